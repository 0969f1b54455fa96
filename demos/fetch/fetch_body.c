/* SPDX-License-Identifier: ISC
 *
 * Reads bodies. The bytes that the reader has are delivered first. Then the connection is read directly, unless the
 * body is chunked. The connection's scope has a deadline while a read waits for the peer, and none while the bytes are
 * written: a slow reader of the output is no stall.
 */
#include "fetch_body.h"

#include <net/tls.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void set_deadline(const struct body *body, bool is_waiting)
{
    int64_t now = loop_now(loop_scope_loop(body->source.scope)), until = body->until_ns;

    if (is_waiting && body->stall_ns < until - now) {
        until = now + body->stall_ns;
    }
    loop_scope_deadline(body->source.scope, until);
}

/* Counts bytes that are delivered. Returns the result of the read. */
static int64_t count(struct body *body, int64_t n)
{
    body->n_bytes += (uint64_t)n;
    if (body->n_bytes > body->most) {
        return -EFBIG;
    }
    if (body->adds_to_expected) {
        progress_expect(body->progress, (uint64_t)n);
    }
    progress_add(body->progress, (uint64_t)n);
    return n;
}

static uint64_t left(const struct body *body)
{
    return body->response->framing == FRAMING_LENGTH ? body->response->length - body->n_bytes : UINT64_MAX;
}

/* ---- reading ---- */

static void resolve(struct body *body, int64_t result)
{
    loop_resolve(loop_scope_loop(body->source.scope), body->promise, result);
}

/* Ends a read with what the connection has returned. */
static void deliver(struct body *body, int64_t result)
{
    if (result > 0) {
        result = count(body, result);
    } else if (result == 0 && body->response->framing != FRAMING_END) {
        result = -ECONNABORTED;
    }
    resolve(body, result);
}

/* Adds what else has come to the `n` bytes that were read: TLS returns one record at a time, and each write to a file
 * costs more than a record. An end or an error is kept for the next read: it may be reported only once. */
static int64_t gather(struct body *body, int64_t n)
{
    int64_t more = 0;

    while (n > 0 && (size_t)n < body->room) {
        more = loop_try_read(&body->flow->source, (char *)body->to + n, body->room - (size_t)n);
        if (more <= 0) {
            body->has_ended = more != -EAGAIN;
            body->end = more;
            break;
        }
        n += more;
    }
    return n;
}

static void on_bytes(void *arg, int64_t result)
{
    struct body *body = arg;

    body->read = 0;
    set_deadline(body, false);
    deliver(body, body->is_secure ? gather(body, result) : result);
}

static void fill(struct body *body);

/* Decodes what the reader has. The line ends and lengths between chunks may be all of it: then it reads on. */
static void decode(struct body *body)
{
    size_t len;
    const char *bytes = loop_reader_peek(body->reader, &len);

    len = len < body->room ? len : body->room;
    int64_t n = response_decode(body->response, bytes, len, body->to);
    loop_reader_consume(body->reader, len);
    if (n == 0 && !body->response->is_complete) {
        fill(body);
        return;
    }
    set_deadline(body, false);
    resolve(body, n > 0 ? count(body, n) : n);
}

static void on_filled(void *arg, int64_t result)
{
    struct body *body = arg;

    body->read = 0;
    if (result > 0) {
        decode(body);
    } else {
        set_deadline(body, false);
        resolve(body, result < 0 ? result : -ECONNABORTED);
    }
}

static void fill(struct body *body)
{
    set_deadline(body, true);
    body->read = loop_reader_fill(body->reader, 1, on_filled, body);
    if (!body->read) {
        resolve(body, -ENOMEM);
    }
}

/* Reads at most what is left of the body: what follows belongs to the next response. */
static void read_plain(struct body *body)
{
    size_t len;
    uint64_t rest = left(body);
    const char *bytes = loop_reader_peek(body->reader, &len);

    body->room = body->room < rest ? body->room : (size_t)rest;
    if (body->has_ended) {
        deliver(body, body->end);
        return;
    }
    if (len > 0) {
        len = len < body->room ? len : body->room;
        memcpy(body->to, bytes, len);
        loop_reader_consume(body->reader, len);
        resolve(body, count(body, (int64_t)len));
        return;
    }
    set_deadline(body, true);
    body->read = loop_read(&body->flow->source, body->to, body->room, on_bytes, body);
    if (!body->read) {
        resolve(body, -ENOMEM);
    }
}

/* ---- the source ---- */

static void cancel_read(void *arg, loop_job job)
{
    const struct body *body = arg;
    struct loop *loop = loop_scope_loop(body->source.scope);

    if (body->read) {
        loop_cancel(loop, body->read); /* its continuation resolves the promise: until then it uses the memory */
    } else {
        loop_resolve(loop, job, -ECANCELED);
    }
}

static loop_job read_body(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct body *body = source->self;

    body->promise = loop_promise(source->scope, cancel_read, body, fn, arg);
    if (!body->promise) {
        return 0;
    }
    body->to = buf;
    body->room = len;
    if (left(body) == 0 || body->response->is_complete) {
        resolve(body, 0);
    } else if (body->response->framing == FRAMING_CHUNKED) {
        fill(body);
    } else {
        read_plain(body);
    }
    return body->promise;
}

static const struct loop_source_ops ops = {.read = read_body};

void body_begin(struct body *body)
{
    body->source = (struct loop_source){.ops = &ops, .scope = body->flow->scope, .self = body};
    body->n_bytes = 0;
    body->read = 0;
    body->promise = 0;
    body->is_secure = loop_tls_under(body->flow) != NULL;
    body->has_ended = false;
    body->adds_to_expected = body->response->framing != FRAMING_LENGTH;
    if (!body->adds_to_expected) {
        progress_expect(body->progress, body->response->length);
    }
}

void body_explain(const struct body *body, int error, struct fetch_error *why)
{
    const struct response *response = body->response;
    const char *what = error == -ECONNABORTED ? "the connection was closed in the middle"
                       : error == -EPROTO && response->framing == FRAMING_CHUNKED ? "its chunks are not valid"
                                                                                  : strerror(-error);

    if (error == -EFBIG) {
        fetch_error_write(why, "reading the body: it has more than %" PRIu64 " bytes", body->most);
    } else if (error == -ECONNABORTED && response->framing == FRAMING_LENGTH) {
        fetch_error_write(why, "reading the body: the connection was closed after %" PRIu64 " of %" PRIu64 " bytes",
                          body->n_bytes, response->length);
    } else {
        fetch_error_write(why, "reading the body: %s, after %" PRIu64 " bytes", what, body->n_bytes);
    }
}
