/* SPDX-License-Identifier: ISC
 *
 * <adapters/nghttp2.h>: a client and a server of HTTP/2 on one loop.
 */
#include "harness.h"

#include <adapters/nghttp2.h>

#include <stdio.h>

/* ---- a server: the path says how many bytes to answer ---- */

struct stream {
    size_t length, at;
    bool is_endless;
};

static struct loop_nghttp2 *server_http;
static struct once server_ended;
static unsigned streams_closed; /* of the server */

static ssize_t give_bytes(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t room, uint32_t *flags,
                          nghttp2_data_source *source, void *arg)
{
    struct stream *stream = source->ptr;
    size_t n = stream->length - stream->at < room ? stream->length - stream->at : room;

    (void)session;
    (void)id;
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(stream->at + i);
    }
    stream->at += n;
    if (stream->at == stream->length) {
        if (stream->is_endless) {
            return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
        }
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static int on_request(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    CHECK(loop_nghttp2_arg(arg) == &server_ended);
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        static uint8_t status[] = ":status", ok[] = "200";
        nghttp2_nv header = {status, ok, 7, 3, NGHTTP2_NV_FLAG_NONE};
        nghttp2_data_provider data = {.read_callback = give_bytes};
        data.source.ptr = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        CHECK_IS(nghttp2_submit_response(session, frame->hd.stream_id, &header, 1, &data), 0);
    }
    return 0;
}

/* Called for each stream, also when the connection is lost: on_stream_close is not. */
static void free_stream(void *stream, int64_t result)
{
    (void)result;
    free(stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags, void *arg)
{
    (void)flags;
    (void)arg;
    if (name_length == 5 && memcmp(name, ":path", 5) == 0) {
        struct stream *stream = calloc(1, sizeof *stream);
        CHECK(stream && value_length < 20);
        char text[20] = "";
        memcpy(text, value, value_length);
        stream->length = strtoul(text + 1, NULL, 10);
        stream->is_endless = strchr(text, '+') != NULL;
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
        CHECK(loop_nghttp2_wait(server_http, frame->hd.stream_id, free_stream, stream) != 0);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    (void)session;
    (void)id;
    (void)code;
    (void)arg;
    streams_closed++;
    return 0;
}

static void on_server_end(void *arg, int64_t result)
{
    struct loop_flow *flow = arg;

    once_resumed(&server_ended, result);
    loop_flow_close(flow);
}

static void open_server(struct loop_flow *flow, bool breaks)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_settings_entry most = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 10};

    CHECK_IS(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_request);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    struct loop_nghttp2_options options = {
        .is_server = true, .callbacks = callbacks, .on_stream_close = on_stream_close, .arg = &server_ended};
    CHECK(loop_nghttp2_open(flow, &options, &server_http, on_server_end, flow) != 0);
    nghttp2_session_callbacks_del(callbacks);
    CHECK_IS(nghttp2_submit_settings(loop_nghttp2_session(server_http), NGHTTP2_FLAG_NONE, &most, !breaks), 0);
    loop_nghttp2_send(server_http);
}

/* ---- a client ---- */

struct request {
    int32_t id;
    loop_job job;
    struct once closed;
    size_t length;
};

static struct loop_flow *flows[2];
static struct loop_nghttp2 *http;
static struct once client_ended;
static void (*act)(struct request *request); /* at the next data of a request */

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len, void *arg)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, id);
    void (*now)(struct request *) = act;

    (void)flags;
    (void)arg;
    for (size_t i = 0; i < len; i++) {
        CHECK(bytes[i] == (uint8_t)(request->length + i));
    }
    request->length += len;
    act = NULL;
    if (now) {
        now(request);
    }
    return 0;
}

static void ask(struct request *request, const char *path)
{
    static const struct {
        const char *name, *value;
    } fixed[] = {{":method", "GET"}, {":scheme", "http"}, {":authority", "test"}};
    nghttp2_nv headers[4];

    for (size_t i = 0; i < 4; i++) {
        const char *name = i < 3 ? fixed[i].name : ":path", *value = i < 3 ? fixed[i].value : path;
        headers[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                                  NGHTTP2_NV_FLAG_NONE};
    }
    request->id = nghttp2_submit_request(loop_nghttp2_session(http), NULL, headers, 4, NULL, request);
    CHECK(request->id > 0);
    request->job = loop_nghttp2_wait(http, request->id, ONCE(&request->closed));
    CHECK(request->job != 0);
    loop_nghttp2_send(http);
}

static void open_client(struct loop_flow *flow)
{
    nghttp2_session_callbacks *callbacks;

    CHECK_IS(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    struct loop_nghttp2_options options = {.callbacks = callbacks};
    CHECK(loop_nghttp2_open(flow, &options, &http, ONCE(&client_ended)) != 0);
    nghttp2_session_callbacks_del(callbacks);
    CHECK_IS(nghttp2_submit_settings(loop_nghttp2_session(http), NGHTTP2_FLAG_NONE, NULL, 0), 0);
    loop_nghttp2_send(http);
}

static struct loop_scope *client_scope, *server_scope;
static struct once client_scope_ended, server_scope_ended;

/* Opens both, each in a scope of its own, over a pair of Unix sockets, or of TCP for the odd rows. */
static void open_both(struct loop_env *env)
{
    int pair[2];

    if (script.row % 2) {
        make_tcp_pair(pair);
    } else {
        make_pair(pair);
    }
    client_scope = loop_scope_open(env->scope, ONCE(&client_scope_ended));
    server_scope = loop_scope_open(env->scope, ONCE(&server_scope_ended));
    flows[0] = flow_of(client_scope, pair[0]);
    flows[1] = flow_of(server_scope, pair[1]);
    open_server(flows[1], false);
    open_client(flows[0]);
}

static void terminate(void)
{
    CHECK_IS(nghttp2_session_terminate_session(loop_nghttp2_session(http), NGHTTP2_NO_ERROR), 0);
    loop_nghttp2_send(http);
}

/* ---- whole streams ---- */

LOOP_TEST_ROWS(requests_are_answered_and_the_session_ends, 2)
{
    static struct request small, large, nothing;

    BEGIN;
    open_both(env);
    ask(&small, "/1000");
    ask(&large, "/3000000");
    ask(&nothing, "/0");
    CHECK_IS(small.closed.count, 0);
    WAIT_UNTIL(small.closed.count && large.closed.count && nothing.closed.count);
    ONCE_IS(small.closed, NGHTTP2_NO_ERROR);
    ONCE_IS(large.closed, NGHTTP2_NO_ERROR);
    CHECK_IS(small.length, 1000);
    CHECK_IS(large.length, 3000000);
    CHECK_IS(nothing.length, 0);
    CHECK_IS(client_ended.count, 0);
    terminate();
    WAIT_UNTIL(client_ended.count);
    ONCE_IS(client_ended, 0);
    loop_flow_close(flows[0]);
    WAIT_UNTIL(server_ended.count);
    ONCE_IS(server_ended, 0);
    CHECK_IS(streams_closed, 3);
    END;
}

/* The server takes ten at a time. */
LOOP_TEST_ROWS(many_requests_wait_for_their_turn, 2)
{
    static struct request requests[300];
    static unsigned i;

    BEGIN;
    open_both(env);
    ask(&requests[0], "/20000");
    WAIT_UNTIL(requests[0].closed.count); /* so that the client knows how many */
    for (i = 1; i < COUNT_OF(requests); i++) {
        ask(&requests[i], "/20000");
    }
    for (i = 0; i < COUNT_OF(requests); i++) {
        WAIT_UNTIL(requests[i].closed.count);
        ONCE_IS(requests[i].closed, NGHTTP2_NO_ERROR);
        CHECK_IS(requests[i].length, 20000);
    }
    terminate();
    WAIT_UNTIL(client_ended.count);
    loop_flow_close(flows[0]);
    END;
}

/* ---- ends ---- */

static bool has_data;

static void note_data(struct request *request)
{
    (void)request;
    has_data = true;
}

LOOP_TEST_ROWS(a_server_that_is_gone_in_mid_answer_ends_each_request_once, 2)
{
    static struct request requests[30];
    static unsigned i;

    BEGIN;
    open_both(env);
    ask(&requests[0], "/1000");
    WAIT_UNTIL(requests[0].closed.count);
    ONCE_IS(requests[0].closed, NGHTTP2_NO_ERROR);
    for (i = 1; i < COUNT_OF(requests); i++) {
        ask(&requests[i], "/1000+");
    }
    act = note_data;
    while (!has_data) {
        AWAIT(turns(env->scope, 1, GO));
    }
    loop_scope_cancel(server_scope);
    WAIT_UNTIL(client_ended.count);
    CHECK(client_ended.result == 0 || client_ended.result == -ECONNRESET);
    for (i = 1; i < COUNT_OF(requests); i++) {
        WAIT_UNTIL(requests[i].closed.count);
        ONCE_IS(requests[i].closed, -ECONNRESET); /* those that waited for their turn too */
    }
    AWAIT(loop_nghttp2_wait(http, requests[1].id, GO));
    CHECK_IS(result, -ECONNRESET);
    WAIT_UNTIL(server_ended.count);
    ONCE_IS(server_ended, -ECANCELED);
    END;
}

static void cancel_session(struct request *request)
{
    (void)request;
    loop_scope_cancel(client_scope);
}

static struct request behind;

static void ask_more(struct request *request)
{
    (void)request;
    ask(&behind, "/500");
}

static void reset_stream(struct request *request)
{
    CHECK_IS(nghttp2_submit_rst_stream(loop_nghttp2_session(http), NGHTTP2_FLAG_NONE, request->id, NGHTTP2_CANCEL), 0);
}

static void cancel_wait(struct request *request)
{
    CHECK_IS(loop_cancel(loop_scope_loop(client_scope), request->job), 0);
}

static const struct {
    void (*act)(struct request *request);
    int64_t result, behind;
} acts[] = {
    {cancel_session, -ECANCELED, -1},
    {ask_more, NGHTTP2_NO_ERROR, NGHTTP2_NO_ERROR},
    {reset_stream, NGHTTP2_CANCEL, -1},
    {cancel_wait, -ECANCELED, -1},
};

LOOP_TEST_ROWS(sessions_and_streams_may_be_ended_in_a_callback, COUNT_OF(acts))
{
    static struct request request;

    BEGIN;
    open_both(env);
    act = acts[script.row].act;
    ask(&request, "/3000000");
    WAIT_UNTIL(request.closed.count);
    ONCE_IS(request.closed, acts[script.row].result);
    if (acts[script.row].behind >= 0) {
        WAIT_UNTIL(behind.closed.count);
        ONCE_IS(behind.closed, acts[script.row].behind);
        CHECK_IS(behind.length, 500);
    }
    if (script.row > 0) {
        terminate();
        loop_scope_cancel(client_scope);
    }
    WAIT_UNTIL(client_scope_ended.count && server_ended.count);
    ONCE_IS(client_scope_ended, -ECANCELED);
    CHECK_IS(client_ended.count, 1);
    END;
}

LOOP_TEST_ROWS(p04_a_session_may_be_cancelled_at_every_step, 8)
{
    static struct request request;

    BEGIN;
    open_both(env);
    ask(&request, "/3000000");
    if (script.row > 0) {
        AWAIT(turns(env->scope, (unsigned)script.row, GO));
    }
    loop_scope_cancel(client_scope);
    CHECK_IS(request.closed.count, 0);
    WAIT_UNTIL(client_scope_ended.count && server_scope_ended.count);
    ONCE_IS(client_ended, -ECANCELED);
    ONCE_IS(request.closed, -ECANCELED);
    END;
}

/* ---- errors ---- */

LOOP_TEST(bytes_that_are_no_http2_end_the_session)
{
    static int pair[2];

    BEGIN;
    make_pair(pair);
    flows[1] = flow_of(env->scope, pair[1]);
    open_server(flows[1], true);
    CHECK(write(pair[0], "GET / HTTP/1.1\r\nHost: test\r\n\r\n", 30) == 30);
    WAIT_UNTIL(server_ended.count);
    ONCE_IS(server_ended, -EPROTO);
    close(pair[0]);
    END;
}

#if !HAS_SANITIZER
LOOP_TEST_ROWS(without_memory_a_session_works_or_ends, 40)
{
    static struct request request;
    static nghttp2_session_callbacks *callbacks;
    static struct loop_nghttp2_options options;
    static loop_job job;

    BEGIN;
    open_both(env);
    ask(&request, "/3000");
    WAIT_UNTIL(request.closed.count);
    request = (struct request){0};
    if (script.row < 20) {
        fail_allocation((unsigned long)script.row / 2 + 1, script.row % 2);
        request.id = nghttp2_submit_ping(loop_nghttp2_session(http), NGHTTP2_FLAG_NONE, NULL);
        request.job = loop_nghttp2_wait(http, 99, ONCE(&request.closed));
        loop_nghttp2_send(http);
        fail_allocation(0, false);
        AWAIT(turns(env->scope, 5, GO));
        loop_scope_cancel(client_scope);
        WAIT_UNTIL(client_scope_ended.count);
        CHECK_IS(request.closed.count, request.job != 0);
        CHECK_IS(client_ended.count, 1);
    } else {
        nghttp2_session_callbacks_new(&callbacks);
        options.callbacks = callbacks;
        loop_scope_cancel(client_scope);
        WAIT_UNTIL(client_scope_ended.count && server_scope_ended.count);
        make_flows(env->scope, flows);
        client_ended = (struct once){0};
        fail_allocation((unsigned long)(script.row - 20) / 2 + 1, script.row % 2);
        job = loop_nghttp2_open(flows[0], &options, &http, ONCE(&client_ended));
        fail_allocation(0, false);
        nghttp2_session_callbacks_del(callbacks);
        loop_flow_close(flows[1]);
        WAIT_UNTIL(job == 0 || client_ended.count);
        CHECK((http != NULL) == (job != 0));
        loop_flow_close(flows[0]);
    }
    END;
}
#endif
