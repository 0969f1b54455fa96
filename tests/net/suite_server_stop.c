/* SPDX-License-Identifier: ISC
 *
 * Stopping a server: with and without a deadline, from a connection, and by signals.
 */
#include "sockets.h"

/* ---- serving ---- */

LOOP_TEST(stop_lets_running_connections_finish)
{
    static struct loop_flow *clients[2];
    static int late;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    clients[0] = visit(env->scope);
    clients[1] = visit(env->scope);
    WAIT_UNTIL(serving.connections == 2);
    loop_server_stop(serving.server, LOOP_NEVER);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(serving.ended.count, 0);
    late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(connect(late, &serving.address.u.any, serving.address.length), -1);
    CHECK_IS(errno, ECONNREFUSED);
    close(late);
    AWAIT(talk(clients[0], GO));
    CHECK_IS(result, 4);
    loop_flow_close(clients[0]);
    AWAIT(talk(clients[1], GO));
    CHECK_IS(result, 4);
    CHECK_IS(serving.ended.count, 0);
    loop_flow_close(clients[1]);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(serving.over, 2);
    END;
}

LOOP_TEST(stop_with_a_deadline)
{
    static int client;
    static int64_t at;
    static char byte;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    loop_server_stop(serving.server, LOOP_NEVER);
    at = now_ns() + 10 * LOOP_MILLISECOND;
    loop_server_stop(serving.server, at);
    loop_server_stop(serving.server, at + LOOP_SECOND);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    CHECK(now_ns() >= at && now_ns() < at + LOOP_SECOND);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(serving.over, 1);
    CHECK_IS(recv(client, &byte, 1, 0), 0);
    close(client);
    END;
}

LOOP_TEST(stop_of_a_server_without_connections)
{
    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    AWAIT(turns(env->scope, 2, GO));
    loop_server_stop(serving.server, LOOP_NEVER);
    CHECK_IS(serving.ended.count, 0);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

static void stop_server(struct loop_flow *peer, void *unused)
{
    (void)peer;
    (void)unused;
    serving.connections++;
    loop_server_stop(serving.server, 0);
}

LOOP_TEST(stop_from_inside_a_connection)
{
    static struct loop_address address;
    static int client;

    BEGIN;
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(env->scope, &address,
                        &(struct loop_serve_options){.on_end = once_resumed, .on_end_arg = &serving.ended},
                        &serving.server, stop_server, NULL),
             0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &address), 0);
    client = connect_to(&address.u.ipv4);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(serving.connections, 1);
    close(client);
    END;
}

LOOP_TEST(signals_stop_a_server_gracefully)
{
    static struct loop_flow *client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.stop_on_signals = true}, echo_connection);
    client = visit(env->scope);
    WAIT_UNTIL(serving.connections == 1);
    kill(getpid(), SIGTERM);
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(serving.ended.count, 0);
    AWAIT(talk(client, GO));
    CHECK_IS(result, 4);
    loop_flow_close(client);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(a_second_signal_stops_at_once)
{
    static int client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.stop_on_signals = true}, echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    kill(getpid(), SIGINT);
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(serving.ended.count, 0);
    kill(getpid(), SIGINT);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(serving.over, 1);
    close(client);
    END;
}

LOOP_TEST(grace_after_a_signal_is_limited)
{
    static int client;
    static int64_t began;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.stop_on_signals = true, .grace_ns = 10 * LOOP_MILLISECOND},
          echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    began = now_ns();
    kill(getpid(), SIGTERM);
    WAIT_UNTIL(serving.ended.count);
    CHECK(now_ns() - began >= 10 * LOOP_MILLISECOND);
    ONCE_IS(serving.ended, 0);
    close(client);
    END;
}

/* ---- serving ---- */

LOOP_TEST(a_second_stop_only_makes_the_deadline_earlier)
{
    static int client;
    static int64_t began;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, hold_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    began = now_ns();
    loop_server_stop(serving.server, loop_now(env->loop) + 30 * LOOP_MILLISECOND);
    loop_server_stop(serving.server, LOOP_NEVER);
    loop_server_stop(serving.server, loop_now(env->loop) + 3600 * LOOP_SECOND);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK(now_ns() - began >= 30 * LOOP_MILLISECOND);
    close(client);
    END;
}

LOOP_TEST(a_stop_without_a_deadline_can_get_one)
{
    static int client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, hold_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    loop_server_stop(serving.server, LOOP_NEVER);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(serving.ended.count, 0);
    CHECK_IS(served().connections_now, 1);
    loop_server_stop(serving.server, loop_now(env->loop));
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    close(client);
    END;
}

LOOP_TEST(a_server_stopped_while_connections_arrive_ends_once)
{
    enum { N = 20 };
    static int clients[N], i;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
    }
    AWAIT(turns(env->scope, 1, GO));
    loop_server_stop(serving.server, LOOP_NEVER);
    CHECK(served().accepted <= N);
    for (i = 0; i < N; i++) {
        close(clients[i]);
    }
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

/* ---- the backlog ---- */

enum { WAITING = 40 };

static struct once started;
static struct loop_server_stats at_end;

static const struct stop_kind {
    const char *name;
    unsigned domains, limit, served;
    bool is_unix, has_one_listener, is_by_signal;
} stop_kinds[] = {
    {.name = "one loop", .served = WAITING},
    {.name = "one loop, a signal", .served = WAITING, .is_by_signal = true},
    {.name = "one loop, a Unix socket", .served = WAITING, .is_unix = true},
    {.name = "one loop, a limit", .served = WAITING, .limit = WAITING},
    {.name = "one loop, a lower limit", .served = 10, .limit = 10},
    {.name = "a listener for each domain", .served = WAITING, .domains = 3},
    {.name = "one listener for all domains", .served = WAITING, .domains = 3, .has_one_listener = true},
    {.name = "domains and a limit", .served = WAITING, .domains = 3, .limit = WAITING},
    {.name = "domains and a lower limit", .served = 10, .domains = 3, .limit = 10},
};

static void on_stopped(void *ended, int64_t result)
{
    at_end = served();
    once_resumed(ended, result);
}

/* Starts a server of the kind of this row. Returns the directory of its socket, or NULL. */
static const char *serve_to_stop(struct loop_scope *scope)
{
    const struct stop_kind *kind = &stop_kinds[script.row];
    const char *directory = kind->is_unix ? make_directory() : NULL;
    struct loop_serve_options options = {.domains = kind->domains,
                                         .max_connections = kind->limit,
                                         .one_listener = kind->has_one_listener,
                                         .stop_on_signals = kind->is_by_signal,
                                         .on_start = once_resumed,
                                         .on_start_arg = &started,
                                         .on_end = on_stopped,
                                         .on_end_arg = &serving.ended};

    serving.address = parsed(directory ? unix_path(directory) : "tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(scope, &serving.address, &options, &serving.server, echo_by_copy, NULL), 0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &serving.address), 0);
    return directory;
}

/* Connects and sends a byte, to which the answer is the same one. Returns -1 when the connect is refused. */
static int try_to_ask(void)
{
    int fd = socket(serving.address.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, &serving.address.u.any, serving.address.length) < 0) {
        CHECK(errno == ECONNREFUSED || errno == ENOENT);
        close(fd);
        return -1;
    }
    CHECK_IS(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    shutdown(fd, SHUT_WR);
    return fd;
}

static int ask(void)
{
    int fd = try_to_ask();

    CHECK(fd >= 0);
    return fd;
}

/* Counts those that have got their answer, and closes all. */
static unsigned count_answered(const int *fds, unsigned n)
{
    unsigned answered = 0;
    char byte;

    for (unsigned i = 0; i < n; i++) {
        answered += recv(fds[i], &byte, 1, MSG_DONTWAIT) == 1 && byte == 'x';
        close(fds[i]);
    }
    return answered;
}

LOOP_TEST_ROWS(p05_a_stop_serves_what_has_waited_in_the_backlog, COUNT_OF(stop_kinds))
{
    static const char *directory;
    static int clients[WAITING], i;
    static unsigned answered;

    BEGIN;
    directory = serve_to_stop(env->scope);
    WAIT_UNTIL(stop_kinds[script.row].domains == 0 || started.count);
    AWAIT(turns(env->scope, 2, GO));
    for (i = 0; i < WAITING; i++) {
        clients[i] = ask();
    }
    if (stop_kinds[script.row].is_by_signal) {
        kill(getpid(), SIGTERM);
    } else {
        loop_server_stop(serving.server, LOOP_NEVER);
    }
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    answered = count_answered(clients, WAITING);
    CHECK(answered >= stop_kinds[script.row].served && answered == at_end.accepted);
    CHECK(stop_kinds[script.row].limit == 0 || at_end.connections_most <= stop_kinds[script.row].limit);
    if (directory) {
        remove_directory(directory);
    }
    END;
}

/* While the accept is cancelled the socket still listens. */
LOOP_TEST_ROWS(p05_a_client_that_comes_during_a_stop_is_refused_or_served, 4)
{
    static const char *directory;
    static int clients[10], client;
    static unsigned n, answered;

    BEGIN;
    directory = serve_to_stop(env->scope);
    AWAIT(turns(env->scope, 2, GO));
    clients[n++] = ask();
    loop_server_stop(serving.server, LOOP_NEVER);
    while (n < COUNT_OF(clients) && (client = try_to_ask()) >= 0) {
        clients[n++] = client;
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK(n < COUNT_OF(clients));
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    answered = count_answered(clients, n);
    CHECK_IS(answered, n);
    CHECK_IS(at_end.accepted, n);
    if (directory) {
        remove_directory(directory);
    }
    END;
}
