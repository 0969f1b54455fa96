/* SPDX-License-Identifier: ISC
 *
 * The life of a connection, and the BIO by which OpenSSL reaches its records.
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/time.h>
#include <loop/part.h>
#include <net/tls/connection.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *buf, size_t len, size_t *n)
{
    struct loop_tls_connection *connection = BIO_get_data(bio);
    struct loop_tls_block *in = connection->in;

    BIO_clear_retry_flags(bio);
    *n = 0;
    if (!in) {
        BIO_set_retry_read(bio);
        return 0;
    }
    assert(in->at < in->end);
    size_t left = in->end - in->at;
    *n = len < left ? len : left;
    memcpy(buf, in->bytes + in->at, *n);
    in->at += (uint32_t)*n;
    if (in->at == in->end) {
        connection->in = NULL;
        loop_tls_block_give(&connection->context->spares, in);
    }
    return 1;
}

/* Returns a block with room at the end of `out`, or NULL when there is no memory. */
static struct loop_tls_block *last_with_room(struct loop_tls_connection *connection)
{
    struct loop_tls_block *last = connection->last_out;

    if (last && last->end < sizeof last->bytes) {
        return last;
    }
    struct loop_tls_block *block = loop_tls_block_take(&connection->context->spares);
    if (block) {
        *(last ? &last->next : &connection->out) = block;
        connection->last_out = block;
    }
    return block;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *n)
{
    struct loop_tls_connection *connection = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    *n = 0;
    if (connection->out_bytes >= LOOP_TLS_MOST_OUT_BYTES) {
        BIO_set_retry_write(bio);
        return 0;
    }
    while (*n < len) {
        struct loop_tls_block *block = last_with_room(connection);
        if (!block) {
            connection->out_status = -ENOMEM; /* a part of a record may be there: the stream is broken */
            return 0;
        }
        size_t room = sizeof block->bytes - block->end, part = len - *n < room ? len - *n : room;
        memcpy(block->bytes + block->end, data + *n, part);
        block->end += (uint32_t)part;
        connection->out_bytes += part;
        *n += part;
    }
    return 1;
}

static long bio_control(BIO *bio, int what, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *method_of(struct loop_tls_setup *setup)
{
    if (setup->method) {
        return setup->method;
    }
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "noria");
    if (method) {
        BIO_meth_set_read_ex(method, bio_read);
        BIO_meth_set_write_ex(method, bio_write);
        BIO_meth_set_ctrl(method, bio_control);
        BIO_meth_set_create(method, bio_create);
        setup->method = method;
    }
    return method;
}

/* ---- the life ---- */

/* Certificates are verified at the time of the loop's clock, which is a virtual one on the simulated kernel. */
static void set_time(SSL *ssl)
{
    struct timespec now;

    loop_kernel_clock_gettime(CLOCK_REALTIME, &now);
    X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), now.tv_sec);
}

static int open_ssl(struct loop_tls_connection *connection)
{
    BIO_METHOD *method = method_of(connection->setup);
    BIO *bio = method ? BIO_new(method) : NULL;

    connection->ssl = bio ? SSL_new(connection->setup->ssl_context) : NULL;
    if (!connection->ssl) {
        BIO_free(bio);
        return -ENOMEM;
    }
    BIO_set_data(bio, connection);
    SSL_set_bio(connection->ssl, bio, bio);
    if (!SSL_set_app_data(connection->ssl, &connection->note)) {
        return -ENOMEM;
    }
    set_time(connection->ssl);
    return 0;
}

static void on_scope_end(void *arg)
{
    struct loop_tls_connection *connection = arg;

    connection->hook = NULL;
    connection->is_closed = true;
    loop_tls_connection_unref(connection);
}

struct loop_tls_connection *loop_tls_connection_create(struct loop_flow *under, struct loop_tls_context *context)
{
    struct loop_tls_connection *connection = loop_kernel_calloc(1, sizeof *connection);

    if (!connection) {
        return NULL;
    }
    loop_tls_context_ref(context);
    loop_tls_setup_ref(context->setup);
    connection->context = context;
    connection->setup = context->setup;
    connection->loop = context->loop;
    connection->scope = under->scope;
    connection->under = under;
    connection->refs = 1;
    connection->in_status = connection->out_status = connection->read_status = connection->write_status = 1;
    connection->pinned = under->fd;
    if (connection->pinned) {
        loop_fd_pin(connection->pinned);
    }
    if (open_ssl(connection) < 0) {
        loop_tls_connection_unref(connection);
        return NULL;
    }
    struct loop_hook *hook = loop_scope_defer(connection->scope, on_scope_end, connection);
    if (!hook) {
        return NULL; /* the hook has been called, and has freed it */
    }
    connection->hook = hook;
    return connection;
}

void loop_tls_connection_ref(struct loop_tls_connection *connection)
{
    assert(connection->refs > 0);
    connection->refs++;
}

static void drop_ssl(struct loop_tls_connection *connection)
{
    SSL_free(connection->ssl);
    connection->ssl = NULL;
}

void loop_tls_connection_enter(struct loop_tls_connection *connection)
{
    connection->depth++;
}

void loop_tls_connection_leave(struct loop_tls_connection *connection)
{
    assert(connection->depth > 0);
    if (--connection->depth == 0 && connection->is_closed) {
        drop_ssl(connection);
    }
}

static void finish(struct loop_tls_connection *connection)
{
    struct loop_tls_spares *spares = &connection->context->spares;

    assert(!connection->waiting && !connection->writing && !connection->after.is_due && !connection->first_request &&
           !connection->write.job);
    drop_ssl(connection);
    loop_tls_blocks_give(spares, connection->in);
    loop_tls_blocks_give(spares, connection->receiving);
    loop_tls_blocks_give(spares, connection->out);
    loop_tls_blocks_give(spares, connection->sending);
    loop_kernel_free(connection->unread);
    loop_kernel_free(connection->note.host);
    loop_kernel_free(connection->note.text);
    if (connection->pinned) {
        loop_fd_unpin(connection->pinned);
    }
    loop_tls_setup_unref(connection->setup);
    loop_tls_context_unref(connection->context);
    loop_kernel_free(connection);
}

void loop_tls_connection_unref(struct loop_tls_connection *connection)
{
    assert(connection->refs > 0);
    if (--connection->refs == 0) {
        finish(connection);
    }
}

void loop_tls_connection_disown(struct loop_tls_connection *connection)
{
    if (connection->hook) {
        loop_hook_remove(connection->scope, connection->hook);
        connection->hook = NULL;
        loop_tls_connection_unref(connection);
    }
}
