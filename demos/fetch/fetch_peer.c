/* SPDX-License-Identifier: ISC
 *
 * Connects, and exchanges requests and heads of responses. At most one job of a connection is in flight, so that its
 * result is known when the connection's scope ends.
 */
#include "fetch_peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOST_LINE_BYTES ((size_t)1 << 16) /* also of what is read at once of a chunked body */

/* A connection that is made. It lives in the connection's scope. */
struct connecting {
    struct fetcher *fetcher;
    struct peer peer;
    struct loop_flow *socket;
    int64_t until_ns;
    struct loop_name_error name_error;
    struct loop_tls_error tls_error;
    struct peer **to;
    struct fetch_error *why;
    loop_fn *fn;
    void *arg;
};

/* ---- deadlines ---- */

/* Returns how much time a step has. */
static int64_t time_for_step(const struct fetcher *fetcher, int64_t until_ns)
{
    int64_t left_ns = until_ns == LOOP_NEVER ? LOOP_NEVER : until_ns - loop_now(fetcher->env->loop);

    return left_ns < fetcher->stall_ns ? left_ns : fetcher->stall_ns;
}

void peer_set_deadline(const struct fetcher *fetcher, const struct peer *peer, int64_t until_ns)
{
    int64_t step_ns = time_for_step(fetcher, until_ns);

    loop_scope_deadline(peer->scope, step_ns == LOOP_NEVER ? LOOP_NEVER : loop_now(fetcher->env->loop) + step_ns);
}

void peer_rest(const struct peer *peer)
{
    loop_scope_deadline(peer->scope, LOOP_NEVER);
}

bool peer_is_quiet(const struct peer *peer)
{
    size_t n_behind;
    char byte;

    loop_reader_peek(peer->reader, &n_behind);
    return n_behind == 0 && loop_try_read(&peer->flow->source, &byte, 1) == -EAGAIN;
}

void peer_close(struct peer *peer)
{
    if (peer) {
        loop_scope_cancel(peer->scope);
        loop_scope_unhold(peer->scope);
    }
}

/* ---- connecting ---- */

/* The connection's errors have been reported where they occurred. */
static void on_scope_ended(void *arg, int64_t error)
{
    (void)arg;
    (void)error;
}

static void end_connecting(struct connecting *connecting, int64_t result)
{
    loop_fn *fn = connecting->fn;
    void *arg = connecting->arg;

    if (result == 0) {
        *connecting->to = &connecting->peer;
    } else {
        peer_close(&connecting->peer);
    }
    fn(arg, result);
}

static void end_with_reader(struct connecting *connecting)
{
    struct peer *peer = &connecting->peer;

    peer->reader = loop_reader_create(&peer->flow->source, MOST_LINE_BYTES);
    if (!peer->reader) {
        fetch_error_write(connecting->why, "connecting: %s", strerror(ENOMEM));
    }
    end_connecting(connecting, peer->reader ? 0 : -ENOMEM);
}

static void on_secured(void *arg, int64_t result)
{
    struct connecting *connecting = arg;
    char authority[512];

    if (result < 0) {
        url_authority(&connecting->peer.origin, authority, sizeof authority);
        fetch_error_write(connecting->why, "TLS with %s: %s", authority, connecting->tls_error.text);
        end_connecting(connecting, result);
    } else {
        end_with_reader(connecting);
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct connecting *connecting = arg;
    struct peer *peer = &connecting->peer;

    if (result < 0) {
        fetch_error_write(connecting->why, "%s", connecting->name_error.text);
        end_connecting(connecting, result);
        return;
    }
    peer->flow = connecting->socket;
    if (!peer->origin.is_secure) {
        end_with_reader(connecting);
        return;
    }
    peer_set_deadline(connecting->fetcher, peer, connecting->until_ns);
    if (!loop_tls_connect(connecting->socket, connecting->fetcher->tls, peer->origin.host, &peer->flow,
                          &connecting->tls_error, on_secured, connecting)) {
        on_secured(connecting, -ENOMEM);
    }
}

static bool connect_by_name(struct connecting *connecting)
{
    const struct fetcher *fetcher = connecting->fetcher;
    const struct url *url = &connecting->peer.origin;
    int64_t step_ns = time_for_step(fetcher, connecting->until_ns);
    const struct loop_connect_name_options options = {.resolve = {.resolver = fetcher->resolver},
                                                      .timeout_ns = step_ns == LOOP_NEVER ? 0
                                                                    : step_ns > 0         ? step_ns
                                                                                          : 1};

    return loop_connect_name(connecting->peer.scope, url->host, url->service, &options, &connecting->socket,
                             &connecting->name_error, on_connected, connecting) != 0;
}

static void on_context(void *arg, int64_t result)
{
    struct connecting *connecting = arg;

    if (result < 0) {
        fetch_error_write(connecting->why, "TLS: %s", connecting->tls_error.text);
    } else if (!connect_by_name(connecting)) {
        fetch_error_write(connecting->why, "connecting: %s", strerror(ENOMEM));
        result = -ENOMEM;
    }
    if (result < 0) {
        end_connecting(connecting, result);
    }
}

/* Opens what all connections with TLS share, when the first one is made. */
static bool open_context(struct connecting *connecting)
{
    static const char *const protocols[] = {"http/1.1"};
    struct fetcher *fetcher = connecting->fetcher;
    const struct loop_tls_options options = {.authorities = {.path = fetcher->authorities},
                                             .verify =
                                                 fetcher->is_insecure ? LOOP_TLS_VERIFY_NONE : LOOP_TLS_VERIFY_DEFAULT,
                                             .protocols = protocols,
                                             .n_protocols = 1,
                                             .handshake_timeout_ns = fetcher->stall_ns};

    return loop_tls_open_client(fetcher->env->scope, &options, &fetcher->tls, &connecting->tls_error, on_context,
                                connecting) != 0;
}

bool peer_connect(struct fetcher *fetcher, const struct url *url, int64_t until_ns, struct peer **peer,
                  struct fetch_error *why, loop_fn *fn, void *arg)
{
    struct loop_scope *scope = loop_scope_open(fetcher->env->scope, on_scope_ended, NULL);
    struct connecting *connecting = scope ? loop_scope_alloc(scope, sizeof *connecting) : NULL;

    if (!connecting) {
        return false;
    }
    *connecting = (struct connecting){.fetcher = fetcher,
                                      .peer = {.scope = scope, .origin = *url},
                                      .until_ns = until_ns,
                                      .to = peer,
                                      .why = why,
                                      .fn = fn,
                                      .arg = arg};
    loop_scope_hold(scope);
    if (!(url->is_secure && !fetcher->tls ? open_context(connecting) : connect_by_name(connecting))) {
        peer_close(&connecting->peer);
        return false;
    }
    return true;
}

/* ---- exchanges ---- */

/* Ends with an error. What TLS knows of it is more than the number. */
static void fail(struct exchange *exchange, const char *step, int64_t error)
{
    const char *why = loop_tls_under(exchange->peer->flow) ? loop_tls_why(exchange->peer->flow) : "";

    fetch_error_write(exchange->why, "%s: %s", step, why[0] ? why : strerror((int)-error));
    exchange->fn(exchange->arg, error);
}

static void fail_by(struct exchange *exchange, const char *what, int64_t error)
{
    fetch_error_write(exchange->why, "reading the head of the answer: %s", what);
    exchange->fn(exchange->arg, error);
}

static void read_line(struct exchange *exchange);

static void on_line(void *arg, int64_t result)
{
    struct exchange *exchange = arg;
    size_t len;
    const char *line = loop_reader_data(exchange->peer->reader, &len);

    exchange->is_unanswered = exchange->head_bytes == 0 && result <= 0;
    exchange->head_bytes += result > 0 ? (size_t)result : 0;
    if (exchange->head_bytes > exchange->fetcher->most_head_bytes || result == -EMSGSIZE) {
        fail_by(exchange, "it is too long", -EMSGSIZE);
    } else if (result < 0) {
        fail(exchange, "reading the head of the answer", result);
    } else if ((size_t)result == len) { /* without a line end, or no line at all */
        fail_by(exchange, "the connection was closed before it was whole", -ECONNABORTED);
    } else {
        int is_complete = response_line(&exchange->response, line, len);
        if (is_complete < 0) {
            fail_by(exchange, "it is not HTTP, or not valid", -EPROTO);
        } else if (is_complete) {
            exchange->fn(exchange->arg, 0);
        } else {
            read_line(exchange);
        }
    }
}

static void read_line(struct exchange *exchange)
{
    if (!loop_reader_line(exchange->peer->reader, on_line, exchange)) {
        fail(exchange, "reading the head of the answer", -ENOMEM);
    }
}

static void on_sent(void *arg, int64_t result)
{
    struct exchange *exchange = arg;

    if (result == (int64_t)strlen(exchange->request)) {
        read_line(exchange);
    } else {
        exchange->is_unanswered = true;
        fail(exchange, "sending the request", result < 0 ? result : -EPIPE);
    }
}

bool exchange_begin(struct exchange *exchange, loop_fn *fn, void *arg)
{
    exchange->fn = fn;
    exchange->arg = arg;
    exchange->head_bytes = 0;
    exchange->is_unanswered = false;
    response_begin(&exchange->response);
    peer_set_deadline(exchange->fetcher, exchange->peer, exchange->until_ns);
    return loop_write(&exchange->peer->flow->sink, exchange->request, strlen(exchange->request), on_sent, exchange) !=
           0;
}
