/* SPDX-License-Identifier: ISC
 *
 * A connection is one job that reads lines. When they form a request, the job is paused and the request is answered in
 * a scope of its own, which gives the file back to the cache of open files. Then the lines go on: pipelined requests
 * wait in the socket meanwhile. A body in between is read in place of the lines. So a connection needs two or three
 * descriptors, and memory for a line and a buffer.
 *
 * All connections are looked at from time to time. One that has taken too long for what it does is ended, with an
 * answer where it has begun a request.
 */
#include "connection.h"
#include "answer.h"
#include "body.h"
#include "text/target.h"

#include "../common/arguments.h"

#include <loop/reader.h>
#ifdef HTTPD_WITH_TLS
#include <net/tls.h>
#endif

#include <errno.h>
#include <string.h>

#define LINGER_BYTES ((uint64_t)1 << 24) /* bytes that a peer may still send after its last answer */
#define PROGRESS_BYTES ((uint64_t)65536) /* that a peer has to take while the server is patient */
#define MOST_SPARES 16

enum state {
    READING_HEAD, /* or waiting for one */
    READING_BODY,
    ANSWERING,
    LINGERING /* after the last answer */
};

struct connection {
    struct connections *all;
    struct loop_flow *peer; /* with TLS the flow over the socket's */
    struct loop_fd *socket;
#ifdef HTTPD_WITH_TLS
    struct loop_tls_error tls_error;
#endif
    const char *tls_name; /* that the client has asked for; or NULL */
    struct client *client;
    struct loop_reader *reader;
    struct http_reading *reading;
    loop_job lines; /* 0 after it has ended */
    enum state state;
    int64_t expires_ns; /* when `state` has taken too long */
    int status;         /* that the request is answered with after its body */
    bool is_closing, is_timed_out;
    bool has_ended;     /* the peer sends no more */
    bool sends_no_more; /* it has said so, and its last request has come whole */
    bool has_ended_output;
    unsigned n_requests;
    struct body body;
    struct answer *answer;
    uint64_t progress; /* of the answer, when it was last looked at */
    bool was_read;     /* the last piece of the answer, then */
    char client_text[ACCESS_LOG_CLIENT_SIZE];
    LIST_ENTRY(connection) link;
};

static void expire_in(struct connection *connection, int64_t duration_ns)
{
    connection->expires_ns = loop_now(connection->all->env->loop) + duration_ns;
}

/* ---- the end of a connection ---- */

/* Reads what the peer is still sending: closing a socket with unread bytes resets the connection, and the peer loses
 * the last answer. A peer that has said that it sends no more, and has sent no more, need not be waited for. By TLS its
 * close_notify follows, maybe before the answer has arrived. */
static void linger(struct connection *connection)
{
    struct connections *all = connection->all;
    struct loop_scope *scope = connection->peer->scope;
    bool sends = !connection->sends_no_more || loop_source_is_readable(loop_reader_source(connection->reader));

    if (!sends && !all->tls) {
        loop_scope_cancel(scope);
    } else if (sends || !lingering_take(&all->lingering, connection->socket, scope)) {
        loop_reader_skip(connection->reader, LINGER_BYTES, NULL, NULL);
    }
}

/* The end of the output has left, so that closing the connection cannot cut it off. */
static void on_output_ended(void *arg, int64_t result)
{
    if (result != -ECANCELED) {
        linger(arg);
    }
}

/* Ends the output, unless the answer has, while the peer is lingered for. */
static void finish(struct connection *connection)
{
    bool waits = connection->sends_no_more && !connection->lines && !connection->has_ended_output;

    connection->state = LINGERING;
    connection->is_closing = true;
    expire_in(connection, LINGERING_NS);
    if (!connection->has_ended_output) {
        waits = loop_shutdown(&connection->peer->sink, waits ? on_output_ended : NULL, connection) && waits;
    }
    if (connection->lines) {
        connection->sends_no_more = false;
        loop_cancel(connection->all->env->loop, connection->lines);
    } else if (!waits) {
        linger(connection);
    }
}

/* ---- answers ---- */

static void read_head(struct connection *connection);

static void log_answer(const struct connection *connection)
{
    access_log_add(connection->all->log, &(struct access){.clock = connection->all->env->clock,
                                                          .client = connection->client_text,
                                                          .request = http_reading_request(connection->reading),
                                                          .status = answer_status(connection->answer),
                                                          .body_bytes = answer_body_bytes(connection->answer)});
}

static void on_answered(void *arg, int64_t error)
{
    struct connection *connection = arg;
    const struct answer *answer = connection->answer;

    if (answer && connection->all->log) {
        log_answer(connection);
    }
    connection->has_ended_output = answer && answer_has_ended_output(answer);
    connection->is_closing |= !answer || !answer_keeps_connection(answer);
    spares_give(&connection->all->answers, connection->answer);
    connection->answer = NULL;
    if (error < 0) {
        loop_scope_fail(connection->peer->scope, error);
    } else if (connection->is_closing || connection->all->ending->is_stopping || connection->has_ended) {
        finish(connection);
    } else {
        read_head(connection);
    }
}

static const struct site *site_of(const struct connection *connection)
{
    const struct sites *sites = connection->all->sites;
    size_t len;
    const char *host = host_of_request(http_reading_request(connection->reading), &len);

    if (!host && connection->tls_name) {
        host = connection->tls_name;
        len = strlen(host);
    }
    return host ? sites_find(sites, host, len) : &sites->site[0];
}

static struct answer_how how_to_answer(const struct connection *connection, int status)
{
    const struct connections *all = connection->all;
    const struct site *site = site_of(connection);

    return (struct answer_how){.dir = site->dir,
                               .cache = site->cache,
                               .clock = all->env->clock,
                               .peer = connection->peer,
                               .request = http_reading_request(connection->reading),
                               .status = status,
                               .keep_alive = !connection->is_closing,
                               .has_index = all->has_index,
                               .has_precompressed = all->has_precompressed};
}

/* Stops the lines while the request is answered, or ends them where no other request is wanted. */
static void stop_lines(struct connection *connection)
{
    struct loop *loop = connection->all->env->loop;

    if (connection->is_closing) {
        loop_cancel(loop, connection->lines);
    } else {
        loop_pause(loop, connection->lines);
    }
}

/* Answers with the status, or with the file for 200. */
static void answer(struct connection *connection, int status)
{
    const struct connections *all = connection->all;
    struct loop_scope *scope = loop_scope_open(connection->peer->scope, on_answered, connection);

    if (!scope) {
        loop_scope_fail(connection->peer->scope, -ENOMEM);
        return;
    }
    connection->state = ANSWERING;
    connection->n_requests++;
    connection->is_closing |= !http_reading_request(connection->reading)->keep_alive || all->ending->is_stopping ||
                              all->ending->is_replaced || connection->n_requests == all->limits.most_requests;
    if (connection->lines) {
        stop_lines(connection);
    }
    connection->progress = 0;
    connection->was_read = false;
    expire_in(connection, all->limits.patience_ns);
    const struct answer_how how = how_to_answer(connection, status);
    connection->answer = answer_begin(&connection->all->answers, scope, &how);
}

/* Answers a request that has come whole. */
static void answer_whole(struct connection *connection, int status)
{
    connection->sends_no_more = http_reading_request(connection->reading)->is_last;
    answer(connection, status);
}

/* Answers, and ends the connection: what follows is not known to be a request, or is not wanted. */
static void answer_last(struct connection *connection, int status)
{
    connection->is_closing = true;
    answer(connection, status);
}

/* ---- bodies ---- */

static void on_body(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (connection->is_timed_out) {
        answer_last(connection, 408);
    } else if (result == 0) {
        answer_whole(connection, connection->status);
    } else if (result > 0) {
        answer_last(connection, (int)result);
    } else {
        finish(connection); /* the peer has gone in the middle of it */
    }
}

/* The job of the lines has ended, so the reader is free for the body. */
static void begin_body(struct connection *connection)
{
    if (connection->is_timed_out) {
        answer_last(connection, 408);
        return;
    }
    connection->body.reader = connection->reader;
    connection->body.reading = connection->reading;
    connection->body.most_bytes = connection->all->limits.most_body_bytes;
    body_drop(&connection->body, on_body, connection);
}

static void read_body(struct connection *connection, int status)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    connection->state = READING_BODY;
    connection->status = status;
    if (http_reading_request(connection->reading)->expects_continue) {
        loop_write(&connection->peer->sink, go_on, sizeof go_on - 1, NULL, NULL);
    }
    loop_cancel(connection->all->env->loop, connection->lines);
}

/* ---- requests ---- */

/* Returns 421 for a host that the client has not asked for when it was shown a certificate, else the status. */
static int check_host(const struct connection *connection, int status)
{
    size_t len;
    const char *host = host_of_request(http_reading_request(connection->reading), &len);

    return host && connection->tls_name && !host_is(host, len, connection->tls_name) ? 421 : status;
}

/* A head is complete. A body that the client offers is asked for only if it changes anything. */
static void on_head(struct connection *connection, int status)
{
    const struct http_request *request = http_reading_request(connection->reading);
    bool has_body = request->body != BODY_NONE;

    if (status == 200) {
        status = check_host(connection, status);
    }
    if (!request->is_framed) {
        answer_last(connection, status);
    } else if (has_body && body_is_too_long(request, connection->all->limits.most_body_bytes)) {
        answer_last(connection, status == 200 ? 413 : status);
    } else if (has_body && status != 200 && request->fields[FIELD_EXPECT]) {
        answer_last(connection, status);
    } else if (has_body) {
        read_body(connection, status);
    } else {
        answer_whole(connection, status);
    }
}

static void on_lines_ended(struct connection *connection, int64_t result)
{
    connection->lines = 0;
    connection->has_ended = result != -ECANCELED && result != -EMSGSIZE;
    switch (connection->state) {
    case READING_HEAD:
        if (result == -EMSGSIZE) {
            answer_last(connection, http_reading_has_begun(connection->reading) ? 431 : 414);
        }
        break;
    case READING_BODY: begin_body(connection); break;
    case LINGERING: linger(connection); break;
    case ANSWERING: break;
    }
}

static void on_line(void *arg, int64_t result)
{
    struct connection *connection = arg;
    size_t len;
    const char *line = loop_reader_data(connection->reader, &len);

    if (result <= 0) {
        on_lines_ended(connection, result);
    } else if ((size_t)result > len) { /* a partial line: the end of the connection follows */
        if (!http_reading_has_begun(connection->reading)) {
            expire_in(connection, connection->all->limits.patience_ns);
        }
        int status = http_reading_line(connection->reading, line, len, (size_t)result - len);
        if (status != 0) {
            on_head(connection, status);
        }
    }
}

/* Waits for the next request, and reads it. */
static void read_head(struct connection *connection)
{
    http_reading_begin(connection->reading);
    connection->state = READING_HEAD;
    expire_in(connection, connection->all->limits.idle_ns);
    if (connection->lines) {
        loop_resume(connection->all->env->loop, connection->lines);
    } else {
        connection->lines = loop_reader_lines(connection->reader, on_line, connection);
    }
}

/* ---- time ---- */

/* An answer may take longer, as long as the peer takes enough of it. */
static void check_progress(struct connection *connection)
{
    const struct answer *answer = connection->answer;
    uint64_t progress = answer ? answer_progress(answer) : 0;
    bool is_read = answer && answer_is_read(answer);

    if (progress - connection->progress < PROGRESS_BYTES && (!is_read || connection->was_read)) {
        loop_scope_fail(connection->peer->scope, -ETIMEDOUT);
        return;
    }
    connection->progress = progress;
    connection->was_read = is_read;
    expire_in(connection, connection->all->limits.patience_ns);
}

static void on_expired(struct connection *connection)
{
    switch (connection->state) {
    case READING_HEAD:
        if (http_reading_has_begun(connection->reading)) {
            answer_last(connection, 408);
        } else {
            finish(connection);
        }
        break;
    case READING_BODY:
        connection->is_timed_out = true;
        body_cancel(&connection->body);
        expire_in(connection, LINGERING_NS);
        break;
    case ANSWERING: check_progress(connection); break;
    case LINGERING: loop_scope_cancel(connection->peer->scope); break;
    }
}

static void free_spares(void *arg)
{
    struct connections *all = arg;

    spares_free(&all->readings);
    spares_free(&all->answers);
}

static void look_again(struct connections *all);

static void look(void *arg, int64_t result)
{
    struct connections *all = arg;
    struct connection *connection;
    int64_t now = loop_now(all->env->loop);

    if (result < 0) {
        return;
    }
    if (LIST_EMPTY(&all->list)) {
        free_spares(all);
    }
    LIST_FOREACH(connection, &all->list, link)
    {
        if (connection->expires_ns <= now) {
            on_expired(connection);
        }
    }
    look_again(all);
}

/* The connections are looked at four times within the shortest limit, and at least once a second. */
static void look_again(struct connections *all)
{
    const struct connection_limits *limits = &all->limits;
    int64_t least_ns = limits->idle_ns < limits->patience_ns ? limits->idle_ns : limits->patience_ns;
    int64_t pause_ns = least_ns / 4 < LOOP_SECOND ? least_ns / 4 : LOOP_SECOND;

    pause_ns = pause_ns > 10 * LOOP_MILLISECOND ? pause_ns : 10 * LOOP_MILLISECOND;
    loop_daemon(all->env->loop, loop_sleep(all->env->scope, pause_ns, look, all));
}

void connections_watch(struct connections *connections)
{
    connections->lingering.env = connections->env;
    if (loop_scope_defer(connections->env->scope, free_spares, connections)) {
        connections->readings.most = MOST_SPARES;
        connections->answers.most = MOST_SPARES;
    }
    look_again(connections);
}

/* ---- the beginning of a connection ---- */

static void forget(void *arg)
{
    struct connection *connection = arg;

    LIST_REMOVE(connection, link);
    spares_give(&connection->all->readings, connection->reading);
}

static void on_client_left(void *arg)
{
    client_remove(arg);
}

/* Begins to read requests. Without memory nothing runs in the scope, so it ends. */
static void begin(struct connection *connection)
{
    struct connections *all = connection->all;
    struct loop_scope *scope = connection->peer->scope;

    connection->reader = loop_reader_create(&connection->peer->source, all->limits.most_head_bytes / 2);
    if (!connection->reader) {
        return;
    }
    connection->reading = http_reading_create(&all->readings, all->limits.most_head_bytes);
    if (!connection->reading) {
        return;
    }
    LIST_INSERT_HEAD(&all->list, connection, link);
    if (loop_scope_defer(scope, forget, connection)) { /* else it was called */
        read_head(connection);
    }
}

#ifdef HTTPD_WITH_TLS
static void on_secured(void *arg, int64_t result)
{
    struct connection *connection = arg;
    struct loop_tls_info info;

    if (result == 0) {
        connection->tls_name = loop_tls_get_info(connection->peer, &info) == 0 ? info.server_name : NULL;
        begin(connection);
    } /* else the connection is closed: a client that goes away or does not trust us is no news */
}
#endif

/* Counts the connection. Returns false where its address has too many: then it is closed at once, because an answer
 * would cost what the limit is to save. */
static bool admit(struct connection *connection)
{
    struct connections *all = connection->all;
    struct loop_address address;

    if (loop_flow_peer_address(connection->peer, &address) != 0) {
        return false; /* it has gone already */
    }
    if (all->log) {
        access_log_write_client(connection->client_text, &address);
    }
    return clients_add(all->clients, &address, loop_now(all->env->loop), &connection->client) == 0 &&
           (!connection->client || loop_scope_defer(connection->peer->scope, on_client_left, connection->client));
}

void connections_accept(struct loop_flow *peer, void *arg)
{
    struct connections *all = arg;
    struct connection *connection = loop_scope_alloc(peer->scope, sizeof *connection);

    if (!connection) {
        return;
    }
    connection->all = all;
    connection->peer = peer;
    connection->socket = peer->fd;
    if (!admit(connection)) {
        return;
    }
#ifdef HTTPD_WITH_TLS
    if (all->tls) {
        loop_tls_accept(peer, all->tls, &connection->peer, &connection->tls_error, on_secured, connection);
        return;
    }
#endif
    begin(connection);
}

void connections_end_idle(struct connections *all)
{
    struct connection *connection;

    LIST_FOREACH(connection, &all->list, link)
    {
        if (connection->state == READING_HEAD && !http_reading_has_begun(connection->reading)) {
            loop_scope_cancel(connection->peer->scope);
        }
    }
}
