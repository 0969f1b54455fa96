/* SPDX-License-Identifier: ISC
 *
 * Input is read when something needs it: by a try, into a block, or else by a wait without one. Output is written as
 * soon as OpenSSL has made it, one write at a time.
 */
#include <net/tls/transport.h>

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stddef.h>
#include <string.h>

enum { MOST_TRIES = 8 }; /* then other jobs have their turn */

/* ---- input ---- */

/* Takes the result of a read into `block`: bytes, or the end of the source below. */
static void take_input(struct loop_tls_connection *connection, struct loop_tls_block *block, int64_t result)
{
    if (result > 0) {
        block->end = (uint32_t)result;
        connection->in = block;
        return;
    }
    loop_tls_block_give(&connection->context->spares, block);
    connection->in_status = (int)result;
}

/* Reads without waiting. Returns whether there is something new: bytes, or the end. */
static bool pull(struct loop_tls_connection *connection)
{
    struct loop_source *source = &connection->under->source;

    assert(!connection->in);
    if (connection->in_status <= 0 || connection->receiving || !source->ops->try_read) {
        return false;
    }
    struct loop_tls_block *block = loop_tls_block_take(&connection->context->spares);
    if (!block) {
        connection->in_status = -ENOMEM;
        return true;
    }
    int64_t result = loop_try_read(source, block->bytes, sizeof block->bytes);
    if (result == -EAGAIN) {
        loop_tls_block_give(&connection->context->spares, block);
        return false;
    }
    take_input(connection, block, result);
    return true;
}

bool loop_tls_lacks_input(struct loop_tls_connection *connection)
{
    return !connection->in && connection->in_status > 0 && !pull(connection);
}

/* Continues after a job of the source below has ended. */
static void go_on(struct loop_tls_connection *connection)
{
    connection->waiting = 0;
    connection->stops_waiting = false;
    if (!connection->is_closed) {
        connection->step(connection);
    }
    loop_tls_connection_unref(connection);
}

static void on_received(void *arg, int64_t result)
{
    struct loop_tls_connection *connection = arg;
    struct loop_tls_block *block = connection->receiving;

    connection->receiving = NULL;
    if (result == -ECANCELED && connection->stops_waiting) {
        loop_tls_block_give(&connection->context->spares, block);
    } else {
        take_input(connection, block, result);
    }
    go_on(connection);
}

static void on_readable(void *arg, int64_t result)
{
    struct loop_tls_connection *connection = arg;

    if (result == -EOPNOTSUPP) {
        connection->cannot_wait = true;
    } else if (result < 0 && !(result == -ECANCELED && connection->stops_waiting)) {
        connection->in_status = (int)result;
    }
    go_on(connection);
}

static loop_job start_waiting(struct loop_tls_connection *connection)
{
    struct loop_source *source = &connection->under->source;

    if (!connection->cannot_wait && source->ops->try_read && source->ops->wait_readable) {
        return loop_wait_readable(source, on_readable, connection);
    }
    struct loop_tls_block *block = loop_tls_block_take(&connection->context->spares);
    if (!block) {
        return 0;
    }
    connection->receiving = block;
    loop_job job = loop_read(source, block->bytes, sizeof block->bytes, on_received, connection);
    if (!job) {
        connection->receiving = NULL;
        loop_tls_block_give(&connection->context->spares, block);
    }
    return job;
}

/* The job below is a daemon: what the program has started holds the scope open, or not. */
bool loop_tls_wait_input(struct loop_tls_connection *connection)
{
    if (connection->waiting) {
        return true;
    }
    loop_job job = start_waiting(connection);
    if (!job) {
        connection->in_status = -ENOMEM;
        return false;
    }
    connection->waiting = job;
    loop_tls_connection_ref(connection);
    loop_daemon(connection->loop, job);
    return true;
}

void loop_tls_stop_waiting(struct loop_tls_connection *connection)
{
    if (connection->waiting && !connection->stops_waiting) {
        connection->stops_waiting = true;
        loop_cancel(connection->loop, connection->waiting);
    }
}

/* ---- output ---- */

static void on_written(void *arg, int64_t result);

/* Starts the write of what is left in `sending`. The job below is a daemon: the program's holds the scope open. */
static void send_blocks(struct loop_tls_connection *connection)
{
    size_t n = 0;

    for (struct loop_tls_block *block = connection->sending; block; block = block->next) {
        assert(n < LOOP_TLS_MOST_VECTORS);
        connection->vectors[n++] = (struct iovec){block->bytes + block->at, block->end - block->at};
    }
    connection->writing = loop_writev(&connection->under->sink, connection->vectors, n, on_written, connection);
    if (connection->writing) {
        loop_tls_connection_ref(connection);
        loop_daemon(connection->loop, connection->writing);
    } else {
        connection->out_status = -ENOMEM;
    }
}

/* Drops the first `n` bytes of `sending`. */
static void drop_sent(struct loop_tls_connection *connection, size_t n)
{
    assert(n <= connection->sending_bytes);
    connection->sending_bytes -= n;
    while (connection->sending && n >= connection->sending->end - connection->sending->at) {
        struct loop_tls_block *block = connection->sending;
        n -= block->end - block->at;
        connection->sending = block->next;
        loop_tls_block_give(&connection->context->spares, block);
    }
    if (n > 0) {
        assert(connection->sending);
        connection->sending->at += (uint32_t)n;
    }
}

/* Continues after a job of the sink below has ended. */
static void go_on_writing(struct loop_tls_connection *connection)
{
    if (!connection->is_closed) {
        connection->step(connection);
    }
    loop_tls_connection_unref(connection);
}

/* A write that has ended early has not told why: the next one does. */
static void on_written(void *arg, int64_t result)
{
    struct loop_tls_connection *connection = arg;

    connection->writing = 0;
    connection->sends_end = connection->sends_end && result > 0 && (size_t)result < connection->sending_bytes;
    if (result > 0) {
        drop_sent(connection, (size_t)result);
    }
    if (result < 0) {
        connection->out_status = (int)result;
    } else if (connection->sending && !connection->is_closed) {
        send_blocks(connection);
    } else {
        connection->write.flushed = connection->write.done;
    }
    go_on_writing(connection);
}

/* Where the write in front of it has stopped half-way, the output below has not ended: it is ended behind the rest. */
static void on_ended(void *arg, int64_t result)
{
    struct loop_tls_connection *connection = arg;
    bool follows_rest = result < 0 && connection->sends_end && connection->writing;

    connection->shutdown = follows_rest ? LOOP_TLS_NOTIFIED : LOOP_TLS_ENDED;
    connection->shutdown_status = follows_rest ? 0 : (int)result;
    go_on_writing(connection);
}

/* Ends the output below. */
static void end_below(struct loop_tls_connection *connection)
{
    connection->shutdown = LOOP_TLS_ENDING;
    connection->sends_end = connection->sending != NULL;
    loop_tls_connection_ref(connection);
    if (!loop_shutdown(&connection->under->sink, on_ended, connection)) {
        connection->sends_end = false; /* it is not tried again: there may be no memory for long */
        on_ended(connection, -ENOMEM);
    }
}

static bool can_send(const struct loop_tls_connection *connection)
{
    return connection->out && !connection->sending && connection->out_status > 0 && !connection->holds_tickets;
}

/* Whether the close_notify has been handed over, or needs not be. */
static bool can_end(const struct loop_tls_connection *connection)
{
    return connection->shutdown == LOOP_TLS_NOTIFIED && !connection->out && connection->out_status > 0;
}

static void send_out(struct loop_tls_connection *connection)
{
    connection->sending = connection->out;
    connection->sending_bytes = connection->out_bytes;
    connection->out = NULL;
    connection->last_out = NULL;
    connection->out_bytes = 0;
    send_blocks(connection);
}

/* The sink below has a queue: the end of its output leaves together with the close_notify, in order. */
static void on_after(struct loop_part_after *after)
{
    struct loop_tls_connection *connection = (void *)((char *)after - offsetof(struct loop_tls_connection, after));

    if (!connection->is_closed && can_send(connection)) {
        send_out(connection);
    }
    if (!connection->is_closed && can_end(connection)) {
        end_below(connection);
    }
    if (!connection->is_closed && connection->out_status < 0) {
        connection->step(connection); /* no write below will do it */
    }
    loop_tls_connection_unref(connection);
}

void loop_tls_flush(struct loop_tls_connection *connection)
{
    if ((can_send(connection) || can_end(connection)) && !connection->after.is_due) {
        connection->after.fn = on_after;
        loop_tls_connection_ref(connection);
        loop_part_run_after(connection->scope, &connection->after);
    }
}

bool loop_tls_is_flushed(const struct loop_tls_connection *connection)
{
    return connection->out_status < 0 || (!connection->out && !connection->sending);
}

/* ---- OpenSSL's results ---- */

/* Notes why the stream below has ended. Returns the error. */
static int note_end(struct loop_tls_connection *connection)
{
    int status = connection->in_status;

    if (status == 0) {
        loop_tls_note(&connection->note, "the stream ended without the peer's close_notify: it was cut off");
        return -ECONNABORTED;
    }
    loop_tls_note(&connection->note, "reading from the flow below has failed: %s", strerror(-status));
    return status;
}

static int note_failure(struct loop_tls_connection *connection)
{
    struct loop_tls_error why;
    bool lacks_certificate = ERR_GET_REASON(ERR_peek_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    int error = loop_tls_take_error(&why, lacks_certificate ? -ENOKEY : -EPROTO);

    if (connection->out_status < 0) {
        loop_tls_note(&connection->note, "writing to the flow below has failed: %s", strerror(-connection->out_status));
        return connection->out_status;
    }
    loop_tls_note(&connection->note, "%s", why.text);
    return connection->note.error ? connection->note.error : error;
}

enum loop_tls_state loop_tls_state_after(struct loop_tls_connection *connection, int result, unsigned *tries,
                                         int *error)
{
    switch (SSL_get_error(connection->ssl, result)) {
    case SSL_ERROR_ZERO_RETURN: return LOOP_TLS_CLOSED;
    case SSL_ERROR_WANT_READ: break;
    case SSL_ERROR_WANT_WRITE:
        if (connection->out_status > 0) {
            return LOOP_TLS_WAITS_OUTPUT;
        }
        *error = note_failure(connection); /* there will be no room */
        return LOOP_TLS_FAILED;
    default: *error = note_failure(connection); return LOOP_TLS_FAILED;
    }
    if (connection->in || (connection->in_status > 0 && ++*tries < MOST_TRIES && pull(connection) && connection->in)) {
        return LOOP_TLS_AGAIN;
    }
    if (connection->in_status > 0) {
        return LOOP_TLS_WAITS_INPUT;
    }
    *error = note_end(connection);
    return LOOP_TLS_FAILED;
}
