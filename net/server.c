/* SPDX-License-Identifier: ISC
 *
 * A server: a listener, the accepts on it, and a scope for each connection.
 *
 *     the caller's scope
 *       the server's: the listener, the accept that runs, the two signals (daemons)
 *         connections: held open until the server stops
 *           one for each connection, with its socket; where connections have a timeout, inside one with that deadline
 *
 * The server keeps nothing for a connection but its scope and its descriptor. Once it has stopped, only the running
 * connections hold the two outer scopes open, and the server ends with the last of them.
 */
#include <domain/domain.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <net/connect.h>
#include <net/listen.h>
#include <net/server.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>

/* ---- the end ---- */

/* Calls on_end. Without one an error fails the scope, as that of a job does, unless the scope is cancelled. */
static void report_end(struct loop_server *server)
{
    if (server->on_end) {
        server->on_end(server->on_end_arg, server->error);
    } else if (server->error < 0 && server->error != -ECANCELED && !loop_scope_is_cancelled(server->parent)) {
        loop_scope_fail(server->parent, server->error);
    }
}

/* The hooks of a server that needs none. */
static const struct loop_server_hooks none;

/* on_end may still ask for the statistics, and stop the server again: by then there is nothing left to stop. */
static void on_server_end(void *arg, int64_t error)
{
    struct loop_server *server = arg;
    const struct loop_server_hooks *hooks = server->hooks;

    (void)error; /* a cancel from outside has ended the accept with the same error */
    assert(!server->connections && (!server->is_serving || server->is_stopped));
    server->hooks = &none;
    if (server->is_serving) {
        report_end(server);
    }
    if (hooks->over) {
        hooks->over(server->hooks_arg);
    }
    loop_kernel_free(server);
}

/* Connections that a deadline has ended are no failure of the server. */
static void on_connections_end(void *arg, int64_t error)
{
    struct loop_server *server = arg;

    (void)error;
    server->connections = NULL;
}

void loop_arrival_close(struct loop_arrival arrival)
{
    if (arrival.number >= 0) {
        loop_kernel_close(arrival.number);
    }
    loop_detached_destroy(arrival.detached);
}

static void stop_accepting(struct loop_server *server)
{
    assert(!server->is_stopped);
    server->is_stopped = true;
    if (server->acceptor.listener && !server->is_retiring) {
        loop_acceptor_stop(&server->acceptor);
    }
    loop_arrival_close((struct loop_arrival){.number = server->waiting});
    server->waiting = -1;
    if (server->connections) {
        loop_scope_unhold(server->connections);
    }
}

void loop_server_halt(struct loop_server *server, int64_t deadline_ns)
{
    bool was_stopped = server->is_stopped;

    if (!was_stopped) {
        stop_accepting(server);
    }
    if (deadline_ns < server->deadline_ns) {
        server->deadline_ns = deadline_ns;
        if (server->connections) {
            loop_scope_deadline(server->connections, deadline_ns);
        }
    } else if (was_stopped) {
        return;
    }
    if (server->hooks->stop) {
        server->hooks->stop(server->hooks_arg, server->deadline_ns);
    }
}

static void take_waiting(struct loop_server *server);

/* Stops a server that retires. The accept may have results that have not been delivered: after the last of them it is
 * over. A connection that goes to a domain may come back, and go to another one. */
static void finish_retiring(struct loop_server *server)
{
    bool is_carrying = server->hooks->is_carrying && server->hooks->is_carrying(server->hooks_arg);
    bool has_more = server->waiting >= 0 || server->n_drained > 0;

    if (!server->acceptor.job && !server->acceptor.leaving && !is_carrying && !has_more) {
        loop_server_halt(server, server->retired_ns);
    }
}

void loop_server_arrived(struct loop_server *server)
{
    if (server->is_retiring && !server->is_stopped) {
        finish_retiring(server);
    }
}

/* A domain that does nothing holds up what goes to it, but not the deadline of the others. */
static void on_retired_too_long(void *arg, int64_t result)
{
    struct loop_server *server = arg;

    if (result == 0 && !server->is_stopped) {
        loop_server_halt(server, server->retired_ns);
    }
}

/* Closes the listener. Where no other program listens, what is in its backlog is accepted before. */
static void begin_to_retire(struct loop_server *server)
{
    server->is_retiring = true;
    server->retired_ns = LOOP_NEVER;
    if (server->acceptor.listener && server->accepts && !server->is_replaced) {
        loop_acceptor_leave(&server->acceptor);
    } else if (server->acceptor.listener) {
        loop_acceptor_stop(&server->acceptor);
    }
}

/* Stops the server when what it has accepted is served, or at the deadline. */
static void retire(struct loop_server *server, int64_t deadline_ns)
{
    if (!server->is_retiring) {
        begin_to_retire(server);
    }
    take_waiting(server);
    if (server->is_stopped) {
        loop_server_halt(server, deadline_ns);
        return;
    }
    if (deadline_ns < server->retired_ns) {
        server->retired_ns = deadline_ns;
        loop_daemon(server->loop, loop_sleep_until(server->scope, deadline_ns, on_retired_too_long, server));
    }
    finish_retiring(server);
}

/* The successor accepts what is in the backlog. */
void loop_server_withdraw(struct loop_server *server, int64_t deadline_ns)
{
    (void)loop_net_leave_file(server->acceptor.listener);
    server->is_replaced = true;
    if (server->is_stopped) {
        loop_server_halt(server, deadline_ns);
    } else {
        retire(server, deadline_ns);
    }
}

void loop_server_leave(struct loop_server *server, int64_t deadline_ns)
{
    if (!loop_server_takes(server) || deadline_ns <= loop_now(server->loop)) {
        loop_server_halt(server, deadline_ns);
        return;
    }
    if (!server->is_retiring && server->hooks->drain) {
        server->hooks->drain(server->hooks_arg);
    }
    retire(server, deadline_ns);
}

void loop_server_fail(struct loop_server *server, int64_t error)
{
    if (!server->is_stopped) {
        server->error = error;
        loop_server_halt(server, LOOP_NEVER);
    }
}

/* Stops the server because the scope of the connections has been cancelled. */
static void on_cancelled(void *arg, int64_t result)
{
    if (result < 0) {
        loop_server_fail(arg, result);
    }
}

/* ---- connections ---- */

bool loop_server_is_full(const struct loop_server *server)
{
    return server->max_connections > 0 && server->stats.connections_now + server->n_drained >= server->max_connections;
}

void loop_server_count(struct loop_server *server)
{
    struct loop_server_stats *stats = &server->stats;

    stats->accepted++;
    stats->connections_now++;
    if (stats->connections_most < stats->connections_now) {
        stats->connections_most = stats->connections_now;
    }
}

void loop_server_uncount(struct loop_server *server, unsigned n)
{
    assert(server->stats.connections_now >= n);
    server->stats.connections_now -= n;
    take_waiting(server);
    if (server->accepts) {
        loop_acceptor_go_on(&server->acceptor);
    }
}

static void on_connection_end(void *arg, int64_t error)
{
    struct loop_server *server = arg;
    bool has_failed = error < 0 && error != -ECANCELED;

    server->stats.failed += has_failed;
    if (server->hooks->ended) {
        server->hooks->ended(server->hooks_arg, has_failed);
    }
    loop_server_uncount(server, 1);
}

/* Returns the descriptor of what has arrived, in the scope of its connection, or NULL without memory. */
static struct loop_fd *adopt(const struct loop_server *server, struct loop_scope *scope, struct loop_arrival arrival)
{
    if (arrival.detached) {
        return loop_fd_attach(scope, arrival.detached);
    }
    struct loop_listener *listener = server->acceptor.listener;
    bool is_known = listener && !loop_net_has_packets(listener);
    return is_known ? loop_fd_adopt_accepted(scope, loop_listener_fd(listener), arrival.number)
                    : loop_fd_adopt(scope, arrival.number);
}

/* Opens the scope of a connection. A timeout of the connection is the deadline of a scope around it, so that the
 * program can set a deadline of its own. Returns NULL when there is no memory. */
static struct loop_scope *open_connection(struct loop_server *server)
{
    struct loop_scope *scope = loop_scope_open(server->connections, on_connection_end, server);

    if (!scope) {
        return NULL;
    }
    loop_server_count(server);
    if (server->hooks->begun) {
        server->hooks->begun(server->hooks_arg);
    }
    if (server->connection_timeout_ns == 0) {
        return scope;
    }
    loop_scope_deadline(scope, loop_net_from_now(server->loop, server->connection_timeout_ns));
    struct loop_scope *inner = loop_scope_open(scope, NULL, NULL);
    if (!inner) {
        loop_scope_fail(scope, -ENOMEM);
    }
    return inner ? inner : scope;
}

bool loop_server_takes(const struct loop_server *server)
{
    return !server->is_stopped && server->connections && !loop_scope_is_cancelled(server->connections);
}

bool loop_server_begin(struct loop_server *server, struct loop_arrival arrival)
{
    struct loop_scope *scope = loop_server_takes(server) ? open_connection(server) : NULL;

    if (!scope) {
        return false;
    }
    if (loop_scope_is_cancelled(scope)) {
        loop_arrival_close(arrival);
        return true;
    }
    struct loop_fd *fd = adopt(server, scope, arrival);
    struct loop_flow *flow = fd ? loop_fd_flow(fd) : NULL;
    if (flow) {
        server->on_connection(flow, server->on_connection_arg);
    } else {
        loop_scope_fail(scope, -ENOMEM);
    }
    return true;
}

/* ---- accepting ---- */

static bool may_accept(void *arg)
{
    const struct loop_server *server = arg;

    bool is_over = server->is_stopped || (server->is_retiring && !server->acceptor.is_draining);

    return server->accepts && !is_over && !loop_server_is_full(server);
}

/* Starts a connection, or closes it when the server has been stopped or cancelled meanwhile, as the kernel closes those
 * that are still in the backlog. */
static void serve(struct loop_server *server, int number)
{
    if (server->hooks->take) {
        server->hooks->take(server->hooks_arg, number);
    } else if (loop_server_begin(server, (struct loop_arrival){.number = number})) {
        return;
    } else if (server->hooks->refuse) {
        server->hooks->refuse(server->hooks_arg, number);
    } else {
        loop_kernel_close(number);
    }
}

static bool has_to_wait(const struct loop_server *server)
{
    return loop_server_is_full(server) && !server->is_stopped && !server->is_replaced;
}

static void on_drained(void *arg, int64_t number)
{
    struct loop_server *server = arg;

    assert(number >= 0 && server->n_drained > 0);
    server->n_drained--;
    serve(server, (int)number);
    loop_server_arrived(server);
}

/* Serves a connection when the program's call of loop_server_stop has returned. */
static void serve_soon(struct loop_server *server, int number)
{
    loop_job job = loop_promise(server->scope, NULL, NULL, on_drained, server);

    if (job) {
        server->n_drained++;
        (void)loop_resolve(server->loop, job, number);
    } else {
        loop_kernel_close(number);
    }
}

/* While one was being accepted, loop_server_adopt may have taken the last place. With a limit one accept runs. A server
 * that retires closes none that it has accepted, and so may have one more. */
static void take(void *arg, int number)
{
    struct loop_server *server = arg;

    assert(number >= 0 && server->waiting < 0);
    if (has_to_wait(server)) {
        server->waiting = number;
    } else if (server->acceptor.is_draining && !server->hooks->take) {
        serve_soon(server, number);
    } else {
        serve(server, number);
    }
}

static void take_waiting(struct loop_server *server)
{
    int number = server->waiting;

    if (number >= 0 && !has_to_wait(server)) {
        server->waiting = -1;
        serve(server, number);
        loop_server_arrived(server);
    }
}

static void on_accepting_over(void *arg, int64_t error)
{
    struct loop_server *server = arg;

    if (!server->is_retiring) {
        loop_server_fail(server, error);
    } else if (!server->is_stopped) {
        finish_retiring(server);
    }
}

static const struct loop_acceptor_ops acceptor_ops = {
    .may_accept = may_accept, .take = take, .over = on_accepting_over};

/* ---- signals ---- */

static int hear(struct loop_server *server, int signal_number);

static void on_signal(void *arg, int64_t signal_number)
{
    struct loop_server *server = arg;
    int64_t deadline_ns = LOOP_NEVER;

    if (signal_number < 0 && signal_number != -ECANCELED) {
        loop_server_fail(server, signal_number); /* it would never hear that it is to stop */
    }
    if (signal_number < 0) {
        return;
    }
    if (server->is_signalled) {
        deadline_ns = loop_now(server->loop);
    } else if (server->grace_ns > 0) {
        deadline_ns = loop_net_from_now(server->loop, server->grace_ns);
    }
    server->is_signalled = true;
    loop_server_leave(server, deadline_ns);
    (void)hear(server, (int)signal_number);
}

static int hear(struct loop_server *server, int signal_number)
{
    loop_job job = loop_signal(server->scope, signal_number, on_signal, server);

    return job ? loop_daemon(server->loop, job) : -ENOMEM;
}

/* ---- the start ---- */

static void configure(struct loop_server *server, const struct loop_serve_options *options)
{
    server->on_start = options->on_start;
    server->on_start_arg = options->on_start_arg;
    server->on_end = options->on_end;
    server->on_end_arg = options->on_end_arg;
    server->connection_timeout_ns = options->connection_timeout_ns;
    server->grace_ns = options->grace_ns;
    server->max_connections = options->max_connections;
    server->deadline_ns = LOOP_NEVER;
    server->waiting = -1;
}

int loop_server_create(struct loop_scope *parent, const struct loop_serve_options *options,
                       struct loop_server **created)
{
    if (options->connection_timeout_ns < 0 || options->grace_ns < 0) {
        return -EINVAL;
    }
    struct loop_server *server = loop_kernel_calloc(1, sizeof *server);
    if (!server) {
        return -ENOMEM;
    }
    configure(server, options);
    server->hooks = &none;
    server->accepts = true;
    server->loop = loop_scope_loop(parent);
    server->parent = parent;
    server->scope = loop_scope_open(parent, on_server_end, server);
    if (!server->scope) {
        loop_kernel_free(server);
        return -ENOMEM;
    }
    server->acceptor.ops = &acceptor_ops;
    server->acceptor.arg = server;
    server->acceptor.scope = server->scope;
    server->acceptor.is_one_by_one = server->max_connections > 0;
    *created = server;
    return 0;
}

int loop_server_start(struct loop_server *server, bool stop_on_signals)
{
    int error = stop_on_signals ? hear(server, SIGINT) : 0;

    error = error == 0 && stop_on_signals ? hear(server, SIGTERM) : error;
    if (error < 0) {
        return error;
    }
    server->accepts = server->accepts && server->acceptor.listener;
    server->connections = loop_scope_open(server->scope, on_connections_end, server);
    if (!server->connections) {
        return -ENOMEM;
    }
    loop_scope_hold(server->connections);
    if (!loop_scope_on_cancel(server->connections, on_cancelled, server)) {
        return -ENOMEM;
    }
    error = server->accepts ? loop_acceptor_start(&server->acceptor) : 0;
    server->is_serving = error == 0;
    return error;
}

static void on_started(void *arg, int64_t result)
{
    const struct loop_server *server = arg;

    if (result == 0 && !server->is_stopped && !server->is_retiring) {
        server->on_start(server->on_start_arg, 0);
    }
}

int loop_server_started(struct loop_server *server)
{
    if (!server->on_start) {
        return 0;
    }
    loop_job job = loop_promise(server->scope, NULL, NULL, on_started, server);
    if (job) {
        (void)loop_resolve(server->loop, job, 0);
    }
    return job ? 0 : -ENOMEM;
}

void loop_server_abandon(struct loop_server *server)
{
    if (!server->is_stopped) {
        stop_accepting(server);
    }
    server->is_serving = false;
    loop_scope_cancel(server->scope);
}
