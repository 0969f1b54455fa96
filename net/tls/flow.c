/* SPDX-License-Identifier: ISC
 *
 * The functions of the source and the sink, what continues them, and closing.
 */
#include <net/tls/flow.h>
#include <net/tls/read.h>
#include <net/tls/transport.h>
#include <net/tls/write.h>

#include <errno.h>

/* ---- what is next ---- */

static bool needs_input(const struct loop_tls_connection *connection)
{
    bool reads = connection->first_request && !connection->waits_for_output;
    bool wants = reads || connection->write.waits_for_input || connection->shutdown_waits_for_input;

    return wants && !connection->in && connection->in_status > 0;
}

/* Serves what waits, after anything has happened below or has been asked for. */
static void step(struct loop_tls_connection *connection)
{
    loop_tls_connection_enter(connection);
    loop_tls_serve_reads(connection);
    loop_tls_serve_writes(connection);
    if (needs_input(connection) && !loop_tls_wait_input(connection)) {
        loop_tls_serve_reads(connection);
        loop_tls_serve_writes(connection);
    }
    loop_tls_connection_leave(connection);
}

/* ---- closing ---- */

void loop_tls_flow_close(struct loop_tls_connection *connection)
{
    if (connection->is_closed) {
        return;
    }
    loop_tls_connection_enter(connection);
    connection->is_closed = true;
    loop_tls_end_reads(connection, -ECANCELED);
    loop_tls_end_writes(connection, -ECANCELED);
    loop_tls_stop_waiting(connection);
    loop_cancel(connection->loop, connection->writing);
    (void)loop_flow_close(connection->under);
    loop_tls_connection_leave(connection);
}

static int close_source(struct loop_source *source)
{
    struct loop_tls_connection *connection = source->self;
    bool is_second = connection->has_closed_source;

    connection->has_closed_source = true;
    loop_tls_flow_close(connection);
    return is_second ? -EBADF : 0;
}

static int close_sink(struct loop_sink *sink)
{
    struct loop_tls_connection *connection = sink->self;
    bool is_second = connection->has_closed_sink;

    connection->has_closed_sink = true;
    loop_tls_flow_close(connection);
    return is_second ? -EBADF : 0;
}

/* Resumes with -EBADF, for a flow that is closed. */
static loop_job refuse(const struct loop_tls_connection *connection, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(connection->scope, NULL, NULL, fn, arg);

    loop_resolve(connection->loop, job, -EBADF);
    return job;
}

/* ---- the source ---- */

static loop_job read_source(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct loop_tls_connection *connection = source->self;

    return connection->is_closed ? refuse(connection, fn, arg) : loop_tls_read_later(connection, buf, len, fn, arg);
}

static int64_t try_read_source(struct loop_source *source, void *buf, size_t len)
{
    struct loop_tls_connection *connection = source->self;

    if (connection->is_closed) {
        return -EBADF;
    }
    if (connection->first_request) {
        return -EAGAIN; /* others are in line */
    }
    loop_tls_connection_enter(connection);
    int64_t result = loop_tls_read_now(connection, buf, len);
    loop_tls_connection_leave(connection);
    return result;
}

static loop_job wait_source(struct loop_source *source, loop_fn *fn, void *arg)
{
    struct loop_tls_connection *connection = source->self;

    return connection->is_closed ? refuse(connection, fn, arg) : loop_tls_read_later(connection, NULL, 0, fn, arg);
}

static int unread_source(struct loop_source *source, const void *bytes, size_t len)
{
    struct loop_tls_connection *connection = source->self;

    return connection->is_closed ? -EBADF : loop_tls_give_back(connection, bytes, len);
}

static bool is_source_readable(struct loop_source *source)
{
    struct loop_tls_connection *connection = source->self;

    return connection->is_closed || loop_tls_is_readable(connection);
}

static const struct loop_source_ops source_ops = {.read = read_source,
                                                  .close = close_source,
                                                  .try_read = try_read_source,
                                                  .wait_readable = wait_source,
                                                  .unread = unread_source,
                                                  .is_readable = is_source_readable};

/* ---- the sink ---- */

static loop_job write_sink(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct loop_tls_connection *connection = sink->self;

    return connection->is_closed ? refuse(connection, fn, arg) : loop_tls_write(connection, iov, n_iov, fn, arg);
}

static loop_job shut_down_sink(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct loop_tls_connection *connection = sink->self;

    return connection->is_closed ? refuse(connection, fn, arg) : loop_tls_shut_down(connection, fn, arg);
}

static void expect_shutdown(struct loop_sink *sink)
{
    struct loop_tls_connection *connection = sink->self;

    if (!connection->is_closed) {
        loop_tls_connection_enter(connection);
        loop_tls_expect_shutdown(connection);
        loop_tls_connection_leave(connection);
    }
}

static const struct loop_sink_ops sink_ops = {
    .write = write_sink, .shutdown = shut_down_sink, .expect_shutdown = expect_shutdown, .close = close_sink};

/* ---- flows ---- */

void loop_tls_flow_init(struct loop_tls_connection *connection)
{
    struct loop_scope *scope = connection->scope;

    connection->flow.source = (struct loop_source){.ops = &source_ops, .scope = scope, .self = connection};
    connection->flow.sink = (struct loop_sink){.ops = &sink_ops, .scope = scope, .self = connection};
    connection->flow.scope = scope;
    connection->step = step;
}

struct loop_tls_connection *loop_tls_flow_connection(const struct loop_flow *flow)
{
    return flow->source.ops == &source_ops ? flow->source.self : NULL;
}
