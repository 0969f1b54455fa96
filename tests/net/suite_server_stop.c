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
