/* SPDX-License-Identifier: ISC
 *
 * Reading. Reads wait in a line, and the first is served with what has been decrypted. A cancelled read takes nothing:
 * the bytes remain with OpenSSL, in the input block or below.
 */
#include <loop/kernel/memory.h>
#include <net/tls/read.h>
#include <net/tls/transport.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- bytes ---- */

static size_t take_unread(struct loop_tls_connection *connection, void *buf, size_t len)
{
    struct loop_tls_unread *unread = connection->unread;
    size_t left = unread->end - unread->at, n = len < left ? len : left;

    memcpy(buf, unread->bytes + unread->at, n);
    unread->at += n;
    if (unread->at == unread->end) {
        loop_kernel_free(unread);
        connection->unread = NULL;
    }
    return n;
}

/* Puts bytes in front of those that have been given back already. */
static int put_back(struct loop_tls_connection *connection, const void *bytes, size_t len)
{
    struct loop_tls_unread *old = connection->unread;
    size_t left = old ? old->end - old->at : 0;
    struct loop_tls_unread *unread = loop_kernel_malloc(sizeof *unread + len + left);

    if (!unread) {
        return -ENOMEM;
    }
    unread->at = 0;
    unread->end = len + left;
    memcpy(unread->bytes, bytes, len);
    if (old) {
        memcpy(unread->bytes + len, old->bytes + old->at, left);
    }
    loop_kernel_free(old);
    connection->unread = unread;
    return 0;
}

/* Notes how the stream has ended. After a violation of TLS nothing can be written either. */
static void end_stream(struct loop_tls_connection *connection, enum loop_tls_state state, int error)
{
    connection->holds_tickets = false;
    connection->read_status = state == LOOP_TLS_CLOSED ? 0 : error;
    if (state == LOOP_TLS_FAILED && connection->in_status > 0 && connection->write_status > 0) {
        connection->write_status = error;
    }
}

/* Whether OpenSSL can deliver nothing before more records have come: no bytes, no end and no error. */
static bool is_dry(struct loop_tls_connection *connection)
{
    bool has_result = SSL_has_pending(connection->ssl) || SSL_want_write(connection->ssl);

    return !has_result && connection->write_status > 0 && loop_tls_lacks_input(connection);
}

/* Decrypts up to `len` bytes, or looks whether there are any where `buf` is NULL. Returns their number, 0 at the end,
 * -EAGAIN or -errno. */
static int64_t decrypt(struct loop_tls_connection *connection, char *buf, size_t len)
{
    size_t done = 0;

    connection->waits_for_output = false;
    if (connection->read_status > 0 && is_dry(connection)) {
        connection->holds_tickets = false;
        return -EAGAIN;
    }
    for (unsigned tries = 0; connection->read_status > 0 && done < len;) {
        char byte;
        size_t n = 0;
        int error = 0;
        loop_tls_clear_errors();
        int result =
            buf ? SSL_read_ex(connection->ssl, buf + done, len - done, &n) : SSL_peek_ex(connection->ssl, &byte, 1, &n);
        if (result > 0) {
            done += n;
            continue;
        }
        if (done > 0 && !connection->in && SSL_get_error(connection->ssl, result) == SSL_ERROR_WANT_READ) {
            break; /* the flow below is not asked for more than was there; an end or an error is noted here */
        }
        enum loop_tls_state state = loop_tls_state_after(connection, result, &tries, &error);
        if (state == LOOP_TLS_WAITS_INPUT || state == LOOP_TLS_WAITS_OUTPUT) {
            connection->waits_for_output = state == LOOP_TLS_WAITS_OUTPUT;
            connection->holds_tickets = false;
            return done > 0 ? (int64_t)done : -EAGAIN;
        }
        if (state != LOOP_TLS_AGAIN) {
            end_stream(connection, state, error);
        }
    }
    return done > 0 ? (int64_t)done : connection->read_status;
}

int64_t loop_tls_read_now(struct loop_tls_connection *connection, void *buf, size_t len)
{
    if (connection->unread) {
        return (int64_t)take_unread(connection, buf, len);
    }
    int64_t result = decrypt(connection, buf, len);
    loop_tls_flush(connection); /* an alert, or an answer to a change of keys */
    return result;
}

bool loop_tls_is_readable(struct loop_tls_connection *connection)
{
    bool is_open = connection->read_status > 0 && connection->write_status > 0 && connection->in_status > 0;
    bool has_bytes = connection->unread || connection->in || connection->receiving;

    return !is_open || has_bytes || SSL_has_pending(connection->ssl) || SSL_want_write(connection->ssl) ||
           loop_source_is_readable(&connection->under->source);
}

/* ---- the line ---- */

static void append(struct loop_tls_connection *connection, struct loop_tls_request *request)
{
    *(connection->last_request ? &connection->last_request->next : &connection->first_request) = request;
    connection->last_request = request;
}

/* Removes the first request and resolves it. */
static void end_first(struct loop_tls_connection *connection, int64_t result)
{
    struct loop_tls_request *request = connection->first_request;

    connection->first_request = request->next;
    if (!request->next) {
        connection->last_request = NULL;
    }
    loop_resolve(connection->loop, request->job, result);
    loop_kernel_free(request);
}

/* Brings a request to the front, behind none: its place no longer matters. */
static bool move_to_front(struct loop_tls_connection *connection, loop_job job)
{
    struct loop_tls_request **at = &connection->first_request, *before = NULL;

    while (*at && (*at)->job != job) {
        before = *at;
        at = &before->next;
    }
    struct loop_tls_request *request = *at;
    if (!request) {
        return false;
    }
    *at = request->next;
    if (connection->last_request == request) {
        connection->last_request = before ? before : request;
    }
    request->next = connection->first_request;
    connection->first_request = request;
    return true;
}

/* Ends the wait below where nothing needs input any more. */
static void stop_needless_wait(struct loop_tls_connection *connection)
{
    if (!connection->first_request && !connection->write.waits_for_input && !connection->shutdown_waits_for_input) {
        loop_tls_stop_waiting(connection);
    }
}

static void on_cancel(void *arg, loop_job job)
{
    struct loop_tls_connection *connection = arg;

    if (move_to_front(connection, job)) {
        end_first(connection, -ECANCELED);
    }
    stop_needless_wait(connection);
}

loop_job loop_tls_read_later(struct loop_tls_connection *connection, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct loop_tls_request *request = loop_kernel_malloc(sizeof *request);

    if (!request) {
        return 0;
    }
    *request = (struct loop_tls_request){.buf = buf, .len = len};
    request->job = loop_promise(connection->scope, on_cancel, connection, fn, arg);
    if (!request->job) {
        loop_kernel_free(request);
        return 0;
    }
    loop_job job = request->job;
    append(connection, request);
    connection->step(connection);
    return job;
}

int loop_tls_give_back(struct loop_tls_connection *connection, const void *bytes, size_t len)
{
    int error = put_back(connection, bytes, len);

    if (!error && connection->first_request) {
        connection->step(connection); /* the reads that wait get them */
        stop_needless_wait(connection);
    }
    return error;
}

/* Returns the result of the first request; -EAGAIN while it waits. */
static int64_t serve_first(struct loop_tls_connection *connection)
{
    const struct loop_tls_request *request = connection->first_request;

    if (request->buf) {
        return loop_tls_read_now(connection, request->buf, request->len);
    }
    return connection->unread || decrypt(connection, NULL, 1) != -EAGAIN ? 0 : -EAGAIN;
}

void loop_tls_serve_reads(struct loop_tls_connection *connection)
{
    while (connection->first_request) {
        int64_t result = serve_first(connection);
        if (result == -EAGAIN) {
            return;
        }
        end_first(connection, result);
    }
}

void loop_tls_end_reads(struct loop_tls_connection *connection, int error)
{
    while (connection->first_request) {
        end_first(connection, error);
    }
}
