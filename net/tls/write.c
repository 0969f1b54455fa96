/* SPDX-License-Identifier: ISC
 *
 * Writing. Bytes are encrypted while no write to the flow below is in flight, so that a slow peer holds the program
 * back and not more than a few records wait. A record that was begun is sent, also when the write is cancelled: the
 * peer could not read on behind a half of one.
 */
#include <net/tls/transport.h>
#include <net/tls/write.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

#define RECORD_BYTES ((size_t)SSL3_RT_MAX_PLAIN_LENGTH)

/* ---- encrypting ---- */

/* Skips vectors that are used up. Returns whether something is left. */
static bool has_more(struct loop_tls_write *write)
{
    while (write->n_iov > 0 && write->at == write->iov->iov_len) {
        write->iov++;
        write->n_iov--;
        write->at = 0;
    }
    return write->n_iov > 0;
}

static void advance(struct loop_tls_write *write, size_t n)
{
    write->done += (int64_t)n;
    while (n > 0) {
        size_t left = write->iov->iov_len - write->at, part = n < left ? n : left;
        write->at += part;
        n -= part;
        (void)has_more(write);
    }
}

/* Copies what the next record holds from several vectors. Returns its length. */
static size_t gather(const struct loop_tls_write *write, unsigned char *to)
{
    size_t len = 0, at = write->at;

    for (size_t i = 0; i < write->n_iov && len < RECORD_BYTES; i++, at = 0) {
        size_t left = write->iov[i].iov_len - at, part = left < RECORD_BYTES - len ? left : RECORD_BYTES - len;
        if (part > 0) {
            memcpy(to + len, (const char *)write->iov[i].iov_base + at, part);
        }
        len += part;
    }
    return len;
}

/* Encrypts one record. Small vectors share one. Returns the result of OpenSSL, and stores how many bytes it took. */
static int encrypt_record(struct loop_tls_connection *connection, size_t *n)
{
    struct loop_tls_write *write = &connection->write;
    size_t left = write->iov->iov_len - write->at;
    bool is_small = left < RECORD_BYTES && write->n_iov > 1;
    struct loop_tls_block *block = is_small ? loop_tls_block_take(&connection->context->spares) : NULL;
    const char *from = (const char *)write->iov->iov_base + write->at;
    size_t len = left < RECORD_BYTES ? left : RECORD_BYTES;

    loop_tls_clear_errors();
    if (!block) {
        return SSL_write_ex(connection->ssl, from, len, n);
    }
    int result = SSL_write_ex(connection->ssl, block->bytes, gather(write, block->bytes), n);
    loop_tls_block_give(&connection->context->spares, block);
    return result;
}

static void fail(struct loop_tls_connection *connection, int error)
{
    if (connection->write_status > 0) {
        connection->write_status = error;
    }
}

/* Encrypts until enough waits to be sent. */
static void encrypt(struct loop_tls_connection *connection)
{
    struct loop_tls_write *write = &connection->write;
    unsigned tries = 0;

    write->waits_for_input = false;
    while (!connection->sending && connection->out_bytes < LOOP_TLS_MOST_WRITTEN_BYTES && has_more(write)) {
        size_t n = 0;
        int error = 0, result = encrypt_record(connection, &n);
        if (result > 0) {
            advance(write, n);
            continue;
        }
        enum loop_tls_state state = loop_tls_state_after(connection, result, &tries, &error);
        if (state == LOOP_TLS_WAITS_INPUT || state == LOOP_TLS_WAITS_OUTPUT) {
            write->waits_for_input = state == LOOP_TLS_WAITS_INPUT;
            return;
        }
        if (state != LOOP_TLS_AGAIN) {
            fail(connection, state == LOOP_TLS_CLOSED ? -EPIPE : error);
            return;
        }
    }
}

/* ---- writes ---- */

static void end_write(struct loop_tls_connection *connection, int64_t result)
{
    loop_job job = connection->write.job;

    connection->write = (struct loop_tls_write){0};
    loop_resolve(connection->loop, job, result);
}

/* Returns why no record can be sent, or 1. */
static int status_of_output(const struct loop_tls_connection *connection)
{
    return connection->out_status < 0 ? connection->out_status : connection->write_status;
}

/* Returns the error that the write ends with, or 1. */
static int status_of_write(const struct loop_tls_connection *connection)
{
    int status = status_of_output(connection);

    return status > 0 && connection->shutdown != LOOP_TLS_OPEN && !connection->write.is_last ? -EPIPE : status;
}

static void serve_write(struct loop_tls_connection *connection)
{
    struct loop_tls_write *write = &connection->write;

    if (status_of_write(connection) > 0 && !write->is_cancelled) {
        connection->holds_tickets = false;
        encrypt(connection);
        loop_tls_flush(connection);
    }
    int status = status_of_write(connection);
    if (status > 0 && (!loop_tls_is_flushed(connection) || (has_more(write) && !write->is_cancelled))) {
        return;
    }
    if (status > 0) {
        status = write->is_cancelled ? -ECANCELED : 0;
        write->flushed = write->done;
    }
    end_write(connection, write->flushed > 0 ? write->flushed : status);
}

/* A cancel of this job alone: what was encrypted is sent. In a cancelled scope the write below ends too, and tells
 * what was. */
static void on_write_cancelled(void *arg, loop_job job)
{
    struct loop_tls_connection *connection = arg;
    struct loop_tls_write *write = &connection->write;

    assert(write->job == job);
    (void)job;
    bool is_scope_cancelled = loop_scope_is_cancelled(connection->scope);
    if (connection->sending && is_scope_cancelled) {
        write->is_cancelled = true;
        loop_cancel(connection->loop, connection->writing);
        return;
    }
    int64_t left = is_scope_cancelled ? write->flushed : write->done; /* in `out` it stays */
    end_write(connection, left > 0 ? left : -ECANCELED);
}

loop_job loop_tls_write(struct loop_tls_connection *connection, const struct iovec *iov, size_t n_iov, loop_fn *fn,
                        void *arg)
{
    loop_job job = loop_promise(connection->scope, on_write_cancelled, connection, fn, arg);

    if (!job) {
        return 0;
    }
    assert(!connection->write.job);
    connection->write = (struct loop_tls_write){.job = job, .iov = iov, .n_iov = n_iov};
    connection->step(connection);
    return job;
}

/* ---- the end of the output ---- */

static void end_shutdown(struct loop_tls_connection *connection, int64_t result)
{
    loop_job job = connection->shutdown_job;

    connection->shutdown_job = 0;
    if (job) {
        loop_resolve(connection->loop, job, result);
    }
}

/* Makes the close_notify. An answer to a change of keys that has begun goes first, and there must be room for both:
 * otherwise this is called again when output has left, or the rest of the peer's message has come. */
static void notify(struct loop_tls_connection *connection)
{
    enum loop_tls_state state = LOOP_TLS_AGAIN;
    unsigned tries = 0;
    int error = 0;

    connection->holds_tickets = false;
    connection->shutdown = LOOP_TLS_NOTIFYING;
    while (state == LOOP_TLS_AGAIN) {
        loop_tls_clear_errors();
        bool is_between = SSL_in_init(connection->ssl);
        int result = is_between ? SSL_do_handshake(connection->ssl) : SSL_shutdown(connection->ssl);
        if (is_between && result == 1) {
            continue;
        }
        if (result >= 0) {
            break; /* it does not wait for the peer's */
        }
        state = loop_tls_state_after(connection, result, &tries, &error);
    }
    connection->shutdown_waits_for_input = state == LOOP_TLS_WAITS_INPUT;
    if (state == LOOP_TLS_AGAIN) {
        connection->shutdown = LOOP_TLS_NOTIFIED;
    } else if (state == LOOP_TLS_FAILED || state == LOOP_TLS_CLOSED) {
        fail(connection, state == LOOP_TLS_FAILED ? error : -EPROTO);
    }
}

/* A peer that has ended its stream and left does not need the close_notify. */
static bool has_left(const struct loop_tls_connection *connection)
{
    int status = connection->out_status;

    return connection->read_status == 0 && (status == -EPIPE || status == -ECONNRESET);
}

static void serve_shutdown(struct loop_tls_connection *connection)
{
    if (connection->shutdown <= LOOP_TLS_NOTIFYING && status_of_output(connection) > 0) {
        notify(connection);
    }
    loop_tls_flush(connection);
    int status = status_of_output(connection);
    if (connection->out_status < 0 || (connection->shutdown <= LOOP_TLS_NOTIFYING && status < 0)) {
        end_shutdown(connection, has_left(connection) ? 0 : status);
        return;
    }
    if (connection->shutdown == LOOP_TLS_ENDED && !connection->sends_end) {
        end_shutdown(connection, connection->shutdown_status);
    }
}

/* Only the wait ends: the close_notify is on its way. */
static void on_shutdown_cancelled(void *arg, loop_job job)
{
    (void)job;
    end_shutdown(arg, -ECANCELED);
}

loop_job loop_tls_shut_down(struct loop_tls_connection *connection, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(connection->scope, on_shutdown_cancelled, connection, fn, arg);

    if (job) {
        assert(!connection->shutdown_job);
        connection->shutdown_job = job;
        connection->step(connection);
    }
    return job;
}

/* Encrypts the close_notify behind the last bytes where these have not left yet. */
void loop_tls_expect_shutdown(struct loop_tls_connection *connection)
{
    struct loop_tls_write *write = &connection->write;
    bool is_whole = write->job && connection->out && !connection->sending && !has_more(write);
    bool is_first = connection->shutdown == LOOP_TLS_OPEN; /* no earlier one, which was cancelled, has done it */

    if (is_whole && is_first && !write->is_cancelled && status_of_write(connection) > 0) {
        write->is_last = true;
        notify(connection);
        connection->step(connection);
    }
}

/* ---- both ---- */

void loop_tls_serve_writes(struct loop_tls_connection *connection)
{
    if (connection->write.job) {
        serve_write(connection);
    }
    if (connection->shutdown_job || connection->shutdown == LOOP_TLS_NOTIFYING) {
        serve_shutdown(connection);
    }
    loop_tls_flush(connection);
}

void loop_tls_end_writes(struct loop_tls_connection *connection, int error)
{
    if (connection->write.job) {
        end_write(connection, connection->write.flushed > 0 ? connection->write.flushed : error);
    }
    end_shutdown(connection, error);
}
