/* SPDX-License-Identifier: ISC
 *
 * Serving: what programs call.
 */
#include <domain/domain.h>
#include <loop/kernel/file.h>
#include <loop/part.h>
#include <net/listen.h>
#include <net/server.h>
#include <net/spread.h>

#include <assert.h>
#include <errno.h>

static const struct loop_serve_options defaults;

/* Returns whether a server may be made: one with domains needs the inbox of the loop until its end. */
static bool may_serve(const struct loop_scope *scope, const struct loop_serve_options *options, const char *function)
{
    return options->domains > 0 ? loop_check_main_scope(scope, function) && options->domains <= LOOP_DOMAINS_MAX
                                : loop_check_scope(scope, function);
}

static bool is_good(const struct loop_server *server, const char *function)
{
    return loop_check_object(server, offsetof(struct loop_server, scope), "server", function);
}

/* ---- the start ---- */

/* Makes a server, without a listener yet. */
static int create(struct loop_scope *scope, const struct loop_serve_options *options, loop_connection_fn *on_connection,
                  void *arg, struct loop_server **server)
{
    int error = loop_scope_is_cancelled(scope) ? -ECANCELED : loop_server_create(scope, options, server);

    if (error == 0) {
        (*server)->on_connection = on_connection;
        (*server)->on_connection_arg = arg;
    }
    return error;
}

/* Begins to serve with the listener that the server has, or gives it up. */
static int start(struct loop_server *server, const struct loop_serve_options *options, bool is_shared, int error,
                 struct loop_server **started)
{
    if (error == 0 && options->domains > 0) {
        error = loop_spread_start(server, options, is_shared);
    } else if (error == 0) {
        error = loop_server_start(server, options->stop_on_signals);
        error = error < 0 ? error : loop_server_started(server);
    }
    if (error < 0) {
        loop_server_abandon(server);
    } else if (started) {
        *started = server;
    }
    return error;
}

int loop_serve(struct loop_scope *scope, const struct loop_address *address, const struct loop_serve_options *options,
               struct loop_server **started, loop_connection_fn *on_connection, void *arg)
{
    struct loop_server *server;

    options = options ? options : &defaults;
    if (started) {
        *started = NULL;
    }
    if (!may_serve(scope, options, __func__) || !address || !on_connection) {
        return -EINVAL;
    }
    int error = create(scope, options, on_connection, arg, &server);
    if (error < 0) {
        return error;
    }
    bool is_shared = loop_spread_shares(address, options);
    error = loop_net_listen(server->scope, address, &options->listen, is_shared, &server->acceptor.listener);
    return start(server, options, is_shared, error, started);
}

int loop_serve_adopt(struct loop_scope *scope, int number, unsigned flags, const struct loop_serve_options *options,
                     struct loop_server **started, loop_connection_fn *on_connection, void *arg)
{
    struct loop_server *server;
    int error = -EINVAL;

    options = options ? options : &defaults;
    if (started) {
        *started = NULL;
    }
    if (may_serve(scope, options, __func__) && on_connection) {
        error = create(scope, options, on_connection, arg, &server);
    }
    if (error < 0) {
        loop_kernel_close(number);
        return error;
    }
    error = loop_listener_adopt(server->scope, number, flags, &server->acceptor.listener);
    return start(server, options, false, error, started);
}

/* ---- what the program does with it ---- */

int loop_server_adopt(struct loop_server *server, struct loop_detached *connection)
{
    const struct loop_arrival arrival = {.number = -1, .detached = connection};

    if (!is_good(server, __func__) || !loop_check_pointer(connection, "connection", __func__)) {
        return -EINVAL;
    }
    if (!loop_server_takes(server) || server->is_retiring) {
        return -ESHUTDOWN;
    }
    if (loop_server_is_full(server)) {
        return -EAGAIN;
    }
    if (server->spread) {
        return loop_spread_adopt(server->spread, arrival);
    }
    return loop_server_begin(server, arrival) ? 0 : -ENOMEM;
}

void loop_server_stop(struct loop_server *server, int64_t deadline_ns)
{
    if (is_good(server, __func__)) {
        loop_server_leave(server, deadline_ns);
    }
}

void loop_server_retire(struct loop_server *server, int64_t deadline_ns)
{
    if (is_good(server, __func__)) {
        loop_server_withdraw(server, deadline_ns);
    }
}

struct loop_listener *loop_server_listener(struct loop_server *server)
{
    if (!is_good(server, __func__)) {
        return NULL;
    }
    return server->acceptor.listener;
}

void loop_server_get_stats(const struct loop_server *server, struct loop_server_stats *stats)
{
    if (!loop_check_pointer(stats, "statistics", __func__)) {
        return;
    }
    if (!is_good(server, __func__)) {
        *stats = (struct loop_server_stats){0};
    } else if (server->spread) {
        loop_spread_get_stats(server->spread, stats);
    } else {
        *stats = server->stats;
    }
}
