/* SPDX-License-Identifier: ISC
 *
 * Serving: a listener, the accepts on it, and a scope for each connection.
 *
 *     the caller's scope
 *       the server's: the listener, the accept that runs, the two signals (daemons)
 *         connections: held open until the server stops
 *           one for each connection, with its socket; where connections have a timeout, inside one with that deadline
 *
 * The server keeps nothing for a connection but its scope and its descriptor. Once it has stopped, only the running
 * connections hold the two outer scopes open, and the server ends with the last of them.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <net/connect.h>
#include <net/listen.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>

struct loop_server {
    struct loop *loop;
    struct loop_scope *parent, *scope;
    struct loop_scope *connections; /* NULL when it has ended */
    struct loop_listener *listener;
    loop_job accepting; /* the accept, or the wait before the next; 0: neither, because of the limit or the end */
    loop_connection_fn *on_connection;
    void *on_connection_arg;
    loop_fn *on_end;
    void *on_end_arg;
    int64_t connection_timeout_ns, grace_ns;
    int64_t deadline_ns; /* of the connections, once stopped */
    int64_t error;       /* of the accept, where that ended the server */
    unsigned max_connections;
    bool is_serving; /* loop_serve has succeeded: on_end is to be called */
    bool is_stopped, is_signalled;
    struct loop_server_stats stats;
};

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

static void on_server_end(void *arg, int64_t error)
{
    struct loop_server *server = arg;

    (void)error; /* a cancel from outside has ended the accept with the same error */
    assert(!server->connections && (!server->is_serving || server->is_stopped));
    if (server->is_serving) {
        report_end(server);
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

static void stop_accepting(struct loop_server *server)
{
    assert(!server->is_stopped && server->listener);
    server->is_stopped = true;
    loop_cancel(server->loop, server->accepting);
    (void)loop_listener_close(server->listener);
    if (server->connections) {
        loop_scope_unhold(server->connections);
    }
}

static bool is_good(const struct loop_server *server, const char *function)
{
    return loop_check_object(server, offsetof(struct loop_server, scope), "server", function);
}

void loop_server_stop(struct loop_server *server, int64_t deadline_ns)
{
    if (!is_good(server, __func__)) {
        return;
    }
    if (!server->is_stopped) {
        stop_accepting(server);
    }
    if (deadline_ns < server->deadline_ns) {
        server->deadline_ns = deadline_ns;
        if (server->connections) {
            loop_scope_deadline(server->connections, deadline_ns);
        }
    }
}

/* Stops the server because the accept has ended for good, unless the server has been stopped already. */
static void on_accepting_over(struct loop_server *server, int64_t error)
{
    if (!server->is_stopped) {
        server->error = error;
        loop_server_stop(server, LOOP_NEVER);
    }
}

/* Stops the server because the scope of the connections has been cancelled. */
static void on_cancelled(void *arg, int64_t result)
{
    if (result < 0) {
        on_accepting_over(arg, result);
    }
}

/* ---- connections ---- */

static void accept_more(struct loop_server *server);

static void on_connection_end(void *arg, int64_t error)
{
    struct loop_server *server = arg;

    assert(server->stats.connections_now > 0);
    server->stats.connections_now--;
    if (error < 0 && error != -ECANCELED) {
        server->stats.failed++;
    }
    accept_more(server);
}

static void count(struct loop_server_stats *stats)
{
    stats->accepted++;
    stats->connections_now++;
    if (stats->connections_most < stats->connections_now) {
        stats->connections_most = stats->connections_now;
    }
}

static void hand_over(struct loop_server *server, struct loop_scope *scope, int number)
{
    struct loop_fd *fd = loop_fd_adopt_stream(scope, number);
    struct loop_flow *flow = fd ? loop_fd_flow(fd) : NULL;

    if (!flow) {
        loop_scope_fail(scope, -ENOMEM);
        return;
    }
    server->on_connection(flow, server->on_connection_arg);
}

/* Opens the scope of a connection. A timeout of the connection is the deadline of a scope around it, so that the
 * program can set a deadline of its own. Returns NULL when there is no memory. */
static struct loop_scope *open_connection(struct loop_server *server)
{
    struct loop_scope *scope = loop_scope_open(server->connections, on_connection_end, server);

    if (!scope) {
        return NULL;
    }
    count(&server->stats);
    if (server->connection_timeout_ns == 0) {
        return scope;
    }
    loop_scope_deadline(scope, loop_net_from_now(server->loop, server->connection_timeout_ns));
    return loop_scope_open(scope, NULL, NULL);
}

/* Starts a connection, or closes it when the server has been stopped or cancelled meanwhile, as the kernel closes those
 * that are still in the backlog. */
static void take_connection(struct loop_server *server, int number)
{
    struct loop_scope *scope = NULL;

    assert(number >= 0);
    if (!server->is_stopped && server->connections && !loop_scope_is_cancelled(server->connections)) {
        scope = open_connection(server);
    }
    if (!scope) {
        loop_kernel_close(number);
        return;
    }
    hand_over(server, scope, number);
}

/* ---- accepting ---- */

static void on_wait_over(void *arg, int64_t result)
{
    struct loop_server *server = arg;

    assert(server->accepting);
    server->accepting = 0;
    if (result < 0) {
        on_accepting_over(server, result);
    } else {
        accept_more(server);
    }
}

static void wait_for_descriptor(struct loop_server *server, int64_t pause_ns)
{
    server->accepting = loop_descriptor_wait(server->scope, pause_ns, on_wait_over, server);
    if (!server->accepting) {
        on_accepting_over(server, -ENOMEM);
    }
}

static void on_accept_failed(struct loop_server *server, int64_t error)
{
    int64_t verdict = server->is_stopped ? error : loop_net_accept_failed(server->listener, error);

    if (verdict < 0) {
        on_accepting_over(server, verdict);
    } else if (verdict == 0) {
        accept_more(server);
    } else {
        wait_for_descriptor(server, verdict);
    }
}

/* A result of the multishot accept, which an error ends. */
static void on_accept(void *arg, int64_t result)
{
    struct loop_server *server = arg;

    assert(server->accepting);
    if (result >= 0) {
        loop_net_accept_succeeded(server->listener);
        take_connection(server, (int)result);
    } else {
        server->accepting = 0;
        on_accept_failed(server, result);
    }
}

static void on_accept_one(void *arg, int64_t result)
{
    struct loop_server *server = arg;

    assert(server->accepting && server->max_connections > 0);
    server->accepting = 0;
    if (result >= 0) {
        loop_net_accept_succeeded(server->listener);
        take_connection(server, (int)result);
        accept_more(server);
    } else {
        on_accept_failed(server, result);
    }
}

/* Starts the accept. With a limit connections are accepted one by one: a multishot accept would have accepted more by
 * the time it is cancelled. */
static loop_job start_accept(struct loop_server *server)
{
    struct loop_fd *fd = loop_listener_fd(server->listener);

    assert(!server->accepting && !server->is_stopped);
    if (server->max_connections > 0) {
        return loop_op_accept(server->scope, fd, NULL, NULL, on_accept_one, server);
    }
    return loop_op_accept_multishot(server->scope, fd, on_accept, server);
}

/* Accepts, unless an accept runs already, the server has stopped, or it is at its limit. */
static void accept_more(struct loop_server *server)
{
    bool is_full = server->max_connections > 0 && server->stats.connections_now >= server->max_connections;

    if (server->is_stopped || server->accepting || is_full) {
        return;
    }
    server->accepting = start_accept(server);
    if (!server->accepting) {
        on_accepting_over(server, -ENOMEM);
    }
}

/* ---- signals ---- */

static int hear(struct loop_server *server, int signal_number);

static void on_signal(void *arg, int64_t signal_number)
{
    struct loop_server *server = arg;
    int64_t deadline_ns = LOOP_NEVER;

    if (signal_number < 0) {
        return;
    }
    if (server->is_signalled) {
        deadline_ns = loop_now(server->loop);
    } else if (server->grace_ns > 0) {
        deadline_ns = loop_net_from_now(server->loop, server->grace_ns);
    }
    server->is_signalled = true;
    loop_server_stop(server, deadline_ns);
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
    server->on_end = options->on_end;
    server->on_end_arg = options->on_end_arg;
    server->connection_timeout_ns = options->connection_timeout_ns;
    server->grace_ns = options->grace_ns;
    server->max_connections = options->max_connections;
    server->deadline_ns = LOOP_NEVER;
}

/* Makes the server and its scope, at whose end it is freed. Returns NULL when there is no memory. */
static struct loop_server *create(struct loop_scope *parent, const struct loop_serve_options *options)
{
    struct loop_server *server = loop_kernel_calloc(1, sizeof *server);

    if (!server) {
        return NULL;
    }
    configure(server, options);
    server->loop = loop_scope_loop(parent);
    server->parent = parent;
    server->scope = loop_scope_open(parent, on_server_end, server);
    if (!server->scope) {
        loop_kernel_free(server);
        return NULL;
    }
    return server;
}

static int start(struct loop_server *server, const struct loop_address *address,
                 const struct loop_serve_options *options)
{
    int error = loop_listen(server->scope, address, &options->listen, &server->listener);

    if (error == 0 && options->stop_on_signals) {
        error = hear(server, SIGINT);
        error = error == 0 ? hear(server, SIGTERM) : error;
    }
    if (error < 0) {
        return error;
    }
    server->connections = loop_scope_open(server->scope, on_connections_end, server);
    if (!server->connections) {
        return -ENOMEM;
    }
    loop_scope_hold(server->connections);
    if (loop_scope_on_cancel(server->connections, on_cancelled, server)) {
        server->accepting = start_accept(server);
    }
    return server->accepting ? 0 : -ENOMEM;
}

/* Undoes a start that failed: the listener is closed at once, the rest goes with the scope. */
static void abandon(struct loop_server *server)
{
    if (server->listener) {
        stop_accepting(server);
    }
    loop_scope_cancel(server->scope);
}

int loop_serve(struct loop_scope *scope, const struct loop_address *address, const struct loop_serve_options *options,
               struct loop_server **started, loop_connection_fn *on_connection, void *arg)
{
    static const struct loop_serve_options defaults;

    options = options ? options : &defaults;
    if (started) {
        *started = NULL;
    }
    if (!loop_check_scope(scope, __func__) || !address || !on_connection || options->connection_timeout_ns < 0 ||
        options->grace_ns < 0) {
        return -EINVAL;
    }
    if (loop_scope_is_cancelled(scope)) {
        return -ECANCELED;
    }
    struct loop_server *server = create(scope, options);
    if (!server) {
        return -ENOMEM;
    }
    server->on_connection = on_connection;
    server->on_connection_arg = arg;
    int error = start(server, address, options);
    if (error < 0) {
        abandon(server);
        return error;
    }
    server->is_serving = true;
    if (started) {
        *started = server;
    }
    return 0;
}

/* ---- properties ---- */

struct loop_listener *loop_server_listener(struct loop_server *server)
{
    if (!is_good(server, __func__)) {
        return NULL;
    }
    return server->listener;
}

void loop_server_get_stats(const struct loop_server *server, struct loop_server_stats *stats)
{
    if (!loop_check_pointer(stats, "statistics", __func__)) {
        return;
    }
    if (!is_good(server, __func__)) {
        *stats = (struct loop_server_stats){0};
        return;
    }
    *stats = server->stats;
}
