/* SPDX-License-Identifier: ISC
 *
 * Limits of a server: connections, time and descriptors.
 */
#include "sockets.h"

#include <loop/part.h>

#include <sys/resource.h>

/* ---- serving ---- */

LOOP_TEST(server_keeps_its_limit)
{
    enum { N = 6 };
    static struct loop_flow *clients[N];
    static int i;
    static struct loop_server_stats stats;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 2}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = visit(env->scope);
    }
    WAIT_UNTIL(serving.connections == 2);
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(serving.connections, 2);
    for (i = 0; i < N; i++) {
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
        loop_flow_close(clients[i]);
    }
    WAIT_UNTIL(serving.over == N);
    AWAIT(turns(env->scope, 3, GO));
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.accepted, N);
    CHECK_IS(stats.connections_most, 2);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    END;
}

LOOP_TEST(connections_live_no_longer_than_allowed)
{
    static int client;
    static int64_t began;
    static struct loop_server_stats stats;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.connection_timeout_ns = 10 * LOOP_MILLISECOND}, echo_connection);
    began = now_ns();
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.over == 1);
    CHECK(now_ns() - began >= 10 * LOOP_MILLISECOND);
    AWAIT(turns(env->scope, 3, GO));
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.failed, 1);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    close(client);
    END;
}

LOOP_TEST(a_server_at_the_limit_of_descriptors)
{
    enum { N = 5 };
    static rlim_t limit;
    static struct loop_stats before, after;
    static int clients[N], i;

    BEGIN;
    for (i = 0; i < N; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    /* Room for the listener and one connection. The ring checks the limit when an accept begins, not when it ends. */
    limit = limit_fds((rlim_t)limit_with_free_fds(2));
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < N; i++) {
        CHECK_IS(connect(clients[i], &serving.address.u.any, serving.address.length), 0);
    }
    WAIT_UNTIL(serving.connections == 1);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 60 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(serving.connections, 1);
    CHECK(after.turns - before.turns < 50);
    CHECK(strlen(log_text()) > 0);
    for (i = 0; i < N; i++) {
        /* Each connection that ends makes room for the next. */
        shutdown(clients[i], SHUT_WR);
        WAIT_UNTIL(serving.over == (unsigned)i + 1);
    }
    limit_fds(limit);
    for (i = 0; i < N; i++) {
        close(clients[i]);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    END;
}

/* ---- serving ---- */

LOOP_TEST(a_limit_of_connections_is_never_passed)
{
    enum { N = 12 };
    static int clients[N], i;
    static char byte;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 3}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
        CHECK_IS(send(clients[i], "x", 1, 0), 1);
    }
    for (i = 0; i < N; i++) {
        AWAIT(loop_op_recv(env->scope, loop_fd_borrow(env->scope, clients[i]), &byte, 1, 0, GO));
        CHECK_IS(result, 1);
        CHECK(served().connections_now <= 3);
        CHECK_IS(shutdown(clients[i], SHUT_WR), 0);
    }
    WAIT_UNTIL(served().accepted == N);
    CHECK_IS(served().connections_most, 3);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    for (i = 0; i < N; i++) {
        close(clients[i]);
    }
    END;
}

LOOP_TEST(a_connection_timeout_of_always_is_none)
{
    static int client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.connection_timeout_ns = LOOP_NEVER}, echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    while (served().accepted < 1) {
        AWAIT(turns(env->scope, 1, GO));
    }
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(served().connections_now, 1);
    close(client);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

/* ---- descriptors ---- */

static rlim_t usual_limit;

LOOP_TEST(a_server_without_descriptors_waits_without_spinning)
{
    static struct loop_stats before, after;
    static int clients[3], i;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < 3; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
    }
    usual_limit = forbid_fds();
    AWAIT(turns(env->scope, 5, GO));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 40);
    CHECK(after.descriptor_waits > 0);
    CHECK_IS(served().accepted, 0);
    CHECK(strstr(log_text(), "RLIMIT_NOFILE"));
    limit_fds(usual_limit);
    while (served().accepted < 3) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    for (i = 0; i < 3; i++) {
        close(clients[i]);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(a_server_that_waits_for_a_descriptor_can_be_stopped)
{
    static int client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    usual_limit = forbid_fds();
    AWAIT(turns(env->scope, 5, GO));
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    limit_fds(usual_limit);
    close(client);
    END;
}

/* ---- limits beside each other ---- */

static struct once connection_read;
static int64_t own_deadline_ns;

static void set_own_deadline(struct loop_flow *peer, void *unused)
{
    static char byte;

    (void)unused;
    loop_scope_deadline(peer->scope, loop_now(loop_scope_loop(peer->scope)) + own_deadline_ns);
    START(loop_read(&peer->source, &byte, 1, ONCE(&connection_read)));
}

static int serve_with_timeout(struct loop_env *env, int64_t timeout_ns, struct loop_address *address)
{
    struct loop_serve_options options = {.connection_timeout_ns = timeout_ns};

    CHECK_IS(loop_address_parse(address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_serve(env->scope, address, &options, &serving.server, set_own_deadline, NULL), 0);
    return loop_listener_address(loop_server_listener(serving.server), address);
}

/* Steps of a test: a connection with both limits, of which the shorter one holds. */
static void check_limits(struct loop_env *env, int64_t result, int64_t timeout_ns, int64_t deadline_ns)
{
    static struct loop_address address;
    static struct loop_flow *flow;

    BEGIN;
    own_deadline_ns = deadline_ns;
    CHECK_IS(serve_with_timeout(env, timeout_ns, &address), 0);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(connection_read.count);
    ONCE_IS(connection_read, -ETIMEDOUT);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

LOOP_TEST(a_connections_timeout_holds_beside_a_later_deadline_of_its_scope)
{
    check_limits(env, result, 20 * LOOP_MILLISECOND, 3600 * LOOP_SECOND);
}

LOOP_TEST(an_earlier_deadline_of_a_connection_holds_beside_its_timeout)
{
    check_limits(env, result, 3600 * LOOP_SECOND, 20 * LOOP_MILLISECOND);
}

/* ---- no descriptors ---- */

LOOP_TEST(no_descriptors_at_accept_only_delays)
{
    enum { N = 20 };
    static struct loop_fd *ballast[2];
    static struct loop_stats before, after;
    static int clients[N];
    static rlim_t limit;
    static char byte;
    static int at;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (int i = 0; i < 2; i++) {
        ballast[i] = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    for (int i = 0; i < N; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
        CHECK_IS(send(clients[i], "x", 1, 0), 1);
    }
    limit = forbid_fds();
    AWAIT(turns(env->scope, 20, GO));
    CHECK_IS(served().connections_now, 0);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 50 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 50);
    CHECK(after.descriptor_waits > 0);
    loop_fd_destroy(ballast[0]);
    loop_fd_destroy(ballast[1]);
    /* Room for two at a time, and each that is done makes room for the next. */
    for (at = 0; at < N; at++) {
        AWAIT(loop_poll(loop_fd_borrow(env->scope, clients[at]), POLLIN, GO));
        CHECK_IS(recv(clients[at], &byte, 1, 0), 1);
        CHECK_IS(shutdown(clients[at], SHUT_RDWR), 0);
    }
    limit_fds(limit);
    loop_server_stop(serving.server, LOOP_NEVER);
    AWAIT(turns(env->scope, 20, GO));
    for (int i = 0; i < N; i++) {
        close(clients[i]);
    }
    END;
}
