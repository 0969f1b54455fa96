/* SPDX-License-Identifier: ISC
 *
 * Sessions of nghttp2 (HTTP/2) over any flow: a socket, TLS, a pair.
 *
 *     struct loop_nghttp2_options options = {.callbacks = callbacks, .arg = client};
 *     loop_nghttp2_open(flow, &options, &http, on_end, client);
 *     nghttp2_submit_settings(loop_nghttp2_session(http), NGHTTP2_FLAG_NONE, NULL, 0);
 *     id = nghttp2_submit_request(loop_nghttp2_session(http), NULL, headers, n_headers, NULL, request);
 *     loop_nghttp2_wait(http, id, on_closed, request);
 *     loop_nghttp2_send(http);
 *
 * The program has nghttp2's callbacks for headers, data and frames, and submits with nghttp2's functions. The adapter
 * reads and writes. What callbacks submit is sent by itself; after submitting elsewhere call loop_nghttp2_send. In
 * place of the session's user data, callbacks get the struct loop_nghttp2, and loop_nghttp2_arg returns the program's.
 *
 * A stream that is waited for ends exactly once, also when the connection is lost and nghttp2 says nothing of it. The
 * flow stays the program's, which closes it when the job of loop_nghttp2_open has ended.
 */
#ifndef ADAPTERS_NGHTTP2_H
#define ADAPTERS_NGHTTP2_H

#include <loop/loop.h>
#include <loop/part.h>

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many bytes are collected for one write. */
#define LOOP_NGHTTP2_BYTES ((size_t)32 * 1024)

struct loop_nghttp2;

struct loop_nghttp2_options {
    bool is_server LOOP_ZERO;
    /* Those of the program, but for what sends, receives, and the two below. Not used after the call */
    nghttp2_session_callbacks *callbacks LOOP_ZERO;
    nghttp2_on_stream_close_callback on_stream_close LOOP_ZERO;     /* or NULL */
    nghttp2_on_frame_not_send_callback on_frame_not_send LOOP_ZERO; /* or NULL */
    const nghttp2_option *option LOOP_ZERO;                         /* or NULL. Not used after the call */
    nghttp2_mem *memory LOOP_ZERO; /* or NULL: malloc and free. Not used after the call */
    void *arg LOOP_ZERO;           /* that loop_nghttp2_arg returns */
};

/* A job that waits for the end of a stream. */
struct loop_nghttp2_waiter {
    struct loop_nghttp2_waiter *next;
    struct loop_nghttp2 *http;
    loop_job job;
    int32_t stream_id;
};

/* A session on a flow. */
struct loop_nghttp2 {
    struct loop *loop;
    struct loop_flow *flow;
    nghttp2_session *session;
    nghttp2_on_stream_close_callback on_stream_close;
    nghttp2_on_frame_not_send_callback on_frame_not_send;
    void *arg;
    loop_job job, reading, writing; /* the first is that of loop_nghttp2_open: 0 when it has ended */
    bool is_inside;                 /* nghttp2 is on the stack */
    int64_t due;                    /* the result with which the session is to end then, or 1 */
    struct loop_nghttp2_waiter *waits;
    const uint8_t *rest; /* bytes of nghttp2 behind those in `bytes` */
    size_t n_rest, n_bytes;
    uint8_t bytes[LOOP_NGHTTP2_BYTES];
};

/* ---- for the adapter itself: ends ---- */

static inline void loop_nghttp2_end_wait(struct loop_nghttp2_waiter *wait, int64_t result)
{
    struct loop_nghttp2_waiter **at = &wait->http->waits;

    while (*at != wait) {
        at = &(*at)->next;
    }
    *at = wait->next;
    (void)loop_resolve(wait->http->loop, wait->job, result);
    free(wait);
}

/* Ends the waits for a stream; 0: for all streams. */
static inline void loop_nghttp2_end_waits(struct loop_nghttp2 *http, int32_t stream_id, int64_t result)
{
    struct loop_nghttp2_waiter *next, *wait;

    for (wait = http->waits; wait; wait = next) {
        next = wait->next;
        if (stream_id == 0 || wait->stream_id == stream_id) {
            loop_nghttp2_end_wait(wait, result);
        }
    }
}

/* Ends the session's job, or notes that it is to end. */
static inline void loop_nghttp2_end(struct loop_nghttp2 *http, int64_t result)
{
    loop_job job = http->job;

    if (http->is_inside) {
        http->due = http->due <= 0 ? http->due : result;
    } else if (job) {
        http->job = 0;
        (void)loop_cancel(http->loop, http->reading);
        (void)loop_cancel(http->loop, http->writing);
        loop_nghttp2_end_waits(http, 0, result < 0 ? result : -ECONNRESET);
        (void)loop_resolve(http->loop, job, result);
    }
}

static inline int64_t loop_nghttp2_error(ssize_t code)
{
    return code == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
}

/* ---- for the adapter itself: callbacks of nghttp2 ---- */

static inline int loop_nghttp2_on_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *arg)
{
    struct loop_nghttp2 *http = (struct loop_nghttp2 *)arg;

    loop_nghttp2_end_waits(http, stream_id, error_code);
    return http->on_stream_close ? http->on_stream_close(session, stream_id, error_code, arg) : 0;
}

static inline int loop_nghttp2_on_unsent(nghttp2_session *session, const nghttp2_frame *frame, int code, void *arg)
{
    struct loop_nghttp2 *http = (struct loop_nghttp2 *)arg;

    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        loop_nghttp2_end_waits(http, frame->hd.stream_id, -ECONNRESET);
    }
    return http->on_frame_not_send ? http->on_frame_not_send(session, frame, code, arg) : 0;
}

/* ---- for the adapter itself: bytes ---- */

static inline void loop_nghttp2_on_written(void *arg, int64_t result);

/* Collects bytes of nghttp2. What does not fit stays where it is, until nghttp2 is asked for more. */
static inline void loop_nghttp2_collect(struct loop_nghttp2 *http)
{
    ssize_t n = 0;

    http->is_inside = true;
    while (http->n_rest == 0 && (n = nghttp2_session_mem_send(http->session, &http->rest)) > 0) {
        if ((size_t)n > sizeof http->bytes - http->n_bytes) {
            http->n_rest = (size_t)n;
        } else {
            memcpy(http->bytes + http->n_bytes, http->rest, (size_t)n);
            http->n_bytes += (size_t)n;
        }
    }
    http->is_inside = false;
    if (n < 0) {
        loop_nghttp2_end(http, loop_nghttp2_error(n));
    }
}

/* Starts a write, unless one is in flight or there is nothing to write. */
static inline void loop_nghttp2_write(struct loop_nghttp2 *http)
{
    if (http->writing || !http->job) {
        return;
    }
    loop_nghttp2_collect(http);
    if (http->due <= 0) {
        loop_nghttp2_end(http, http->due);
    } else if (http->job && http->n_bytes > 0) {
        http->writing = loop_write(&http->flow->sink, http->bytes, http->n_bytes, loop_nghttp2_on_written, http);
    } else if (http->job && http->n_rest > 0) {
        http->writing = loop_write(&http->flow->sink, http->rest, http->n_rest, loop_nghttp2_on_written, http);
    } else if (!nghttp2_session_want_read(http->session) && !nghttp2_session_want_write(http->session)) {
        loop_nghttp2_end(http, 0);
    }
    if (!http->writing && http->job && http->n_bytes + http->n_rest > 0) {
        loop_nghttp2_end(http, -ENOMEM);
    }
}

static inline void loop_nghttp2_on_written(void *arg, int64_t result)
{
    struct loop_nghttp2 *http = (struct loop_nghttp2 *)arg;
    size_t n = http->n_bytes > 0 ? http->n_bytes : http->n_rest;

    http->writing = 0;
    if (result < 0 || (size_t)result < n) {
        loop_nghttp2_end(http, result < 0 ? result : -ECONNRESET);
        return;
    }
    http->n_rest = http->n_bytes > 0 ? http->n_rest : 0;
    http->n_bytes = 0;
    loop_nghttp2_write(http);
}

static inline void loop_nghttp2_on_bytes(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_nghttp2 *http = (struct loop_nghttp2 *)arg;
    ssize_t n;

    if (!http->job) {
        return;
    }
    if (!chunk) {
        http->reading = 0;
        loop_nghttp2_end(http, result);
        return;
    }
    http->is_inside = true;
    n = nghttp2_session_mem_recv(http->session, (const uint8_t *)loop_chunk_data(chunk), (size_t)result);
    http->is_inside = false;
    if (n < 0) {
        loop_nghttp2_end(http, loop_nghttp2_error(n));
    } else if (http->due <= 0) {
        loop_nghttp2_end(http, http->due);
    }
    loop_nghttp2_write(http);
}

static inline void loop_nghttp2_on_cancel(void *arg, loop_job job)
{
    (void)job;
    loop_nghttp2_end((struct loop_nghttp2 *)arg, -ECANCELED);
}

static inline void loop_nghttp2_on_wait_cancel(void *arg, loop_job job)
{
    (void)job;
    loop_nghttp2_end_wait((struct loop_nghttp2_waiter *)arg, -ECANCELED);
}

/* The release hook. All jobs of the scope have ended by now. */
static inline void loop_nghttp2_finish(void *arg)
{
    nghttp2_session_del(((struct loop_nghttp2 *)arg)->session);
}

/* Makes the session. Returns 0 or -errno. */
static inline int loop_nghttp2_make(struct loop_nghttp2 *http, const struct loop_nghttp2_options *options)
{
    int code;

    http->arg = options->arg;
    http->on_stream_close = options->on_stream_close;
    http->on_frame_not_send = options->on_frame_not_send;
    nghttp2_session_callbacks_set_on_stream_close_callback(options->callbacks, loop_nghttp2_on_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(options->callbacks, loop_nghttp2_on_unsent);
    code =
        options->is_server
            ? nghttp2_session_server_new3(&http->session, options->callbacks, http, options->option, options->memory)
            : nghttp2_session_client_new3(&http->session, options->callbacks, http, options->option, options->memory);
    return code == 0 ? 0 : -ENOMEM;
}

/* ---- for programs ---- */

/* Opens a session over `flow`, whose source and sink nothing else may use while the job runs. Sets `*http`, which
 * belongs to the flow's scope and is valid until that has ended; NULL when the job is 0.
 *
 * The job is the connection. It resumes with 0 when both sides are done (see nghttp2_session_want_read), or the peer
 * has ended the connection: the streams tell whether they were whole; -EPROTO when nghttp2 gives up; -ENOMEM; an errno
 * of the flow, such as -ECONNRESET; -ECANCELED. Then nothing is sent or received any more, and all waits of
 * loop_nghttp2_wait have ended. A cancel inside a callback of nghttp2 takes effect when that has returned. Returns job
 * 0 when there is no memory or the scope has ended. */
static inline loop_job loop_nghttp2_open(struct loop_flow *flow, const struct loop_nghttp2_options *options,
                                         struct loop_nghttp2 **http, loop_fn *fn, void *arg)
{
    struct loop_nghttp2 *made;
    loop_job job;

    if (!loop_check_flow(flow, __func__) || !loop_check_pointer(options, "options", __func__) ||
        !loop_check_pointer(options->callbacks, "callbacks", __func__) ||
        !loop_check_pointer(http, "session", __func__)) {
        return 0;
    }
    *http = NULL;
    made = (struct loop_nghttp2 *)loop_scope_alloc(flow->scope, sizeof *made);
    if (!made || loop_nghttp2_make(made, options) < 0 || !loop_scope_defer(flow->scope, loop_nghttp2_finish, made)) {
        return 0;
    }
    made->loop = loop_scope_loop(flow->scope);
    made->flow = flow;
    made->due = 1;
    job = made->job = loop_promise(flow->scope, loop_nghttp2_on_cancel, made, fn, arg);
    if (!job) {
        return 0;
    }
    *http = made;
    made->reading = loop_stream(&flow->source, loop_nghttp2_on_bytes, made);
    if (!made->reading) {
        loop_nghttp2_end(made, -ENOMEM);
    }
    return job;
}

/* Returns the session, for nghttp2's functions. It belongs to `http`. */
static inline nghttp2_session *loop_nghttp2_session(const struct loop_nghttp2 *http)
{
    return loop_check_pointer(http, "session", __func__) ? http->session : NULL;
}

/* Returns `arg` of the options: in callbacks of nghttp2, whose `user_data` is the struct loop_nghttp2. */
static inline void *loop_nghttp2_arg(const void *user_data)
{
    return loop_check_pointer(user_data, "session", __func__) ? ((const struct loop_nghttp2 *)user_data)->arg : NULL;
}

/* Sends what was submitted outside of nghttp2's callbacks. Inside them, and while a write is in flight, it does
 * nothing: what was submitted is sent afterwards. */
static inline void loop_nghttp2_send(struct loop_nghttp2 *http)
{
    if (loop_check_pointer(http, "session", __func__) && !http->is_inside) {
        loop_nghttp2_write(http);
    }
}

/* Waits until a stream has been closed. To be called when the stream has been submitted or received, before the
 * program returns to the loop. Resumes with its error code of HTTP/2: 0 (NGHTTP2_NO_ERROR) or greater, such as
 * NGHTTP2_REFUSED_STREAM; -ECONNRESET when the connection has ended before, or with the errno with which it has ended.
 * A cancel ends the wait and not the stream: nghttp2_submit_rst_stream does that. The job belongs to the flow's scope.
 * Returns job 0 when there is no memory or the scope has ended. */
static inline loop_job loop_nghttp2_wait(struct loop_nghttp2 *http, int32_t stream_id, loop_fn *fn, void *arg)
{
    struct loop_nghttp2_waiter *wait;
    loop_job job;

    if (!loop_check_pointer(http, "session", __func__)) {
        return 0;
    }
    wait = (struct loop_nghttp2_waiter *)calloc(1, sizeof *wait);
    job = wait ? loop_promise(http->flow->scope, loop_nghttp2_on_wait_cancel, wait, fn, arg) : 0;
    if (!job || loop_scope_is_cancelled(http->flow->scope)) {
        free(wait);
        return job;
    }
    wait->http = http;
    wait->job = job;
    wait->stream_id = stream_id;
    wait->next = http->waits;
    http->waits = wait;
    if (!http->job || stream_id <= 0) {
        loop_nghttp2_end_wait(wait, stream_id <= 0 ? -EINVAL : -ECONNRESET);
    }
    return job;
}

#ifdef __cplusplus
}
#endif

#endif
