/* SPDX-License-Identifier: ISC
 *
 * loop_serve: one scope per connection, its failures, and the arguments.
 */
#include "sockets.h"

#include <stdio.h>

/* ---- serving ---- */

LOOP_TEST(server_gives_each_connection_a_scope)
{
    enum { N = 20 };
    static struct loop_flow *clients[N];
    static int i;
    static struct loop_server_stats stats;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = visit(env->scope);
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
    }
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.accepted, N);
    CHECK_IS(stats.connections_now, N);
    CHECK_IS(stats.connections_most, N);
    for (i = 0; i < N; i++) {
        loop_flow_close(clients[i]);
    }
    WAIT_UNTIL(serving.over == N);
    AWAIT(turns(env->scope, 3, GO));
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.connections_now, 0);
    CHECK_IS(stats.connections_most, N);
    CHECK_IS(stats.failed, 0);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

static void fail_at_once(struct loop_flow *peer, void *unused)
{
    (void)unused;
    serving.connections++;
    loop_scope_fail(peer->scope, -EPROTO);
    script_poke();
}

LOOP_TEST(a_failed_connection_ends_alone)
{
    static struct loop_address address;
    static struct loop_server_stats stats;
    static int clients[3], i;
    static char byte;

    BEGIN;
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(env->scope, &address,
                        &(struct loop_serve_options){.on_end = once_resumed, .on_end_arg = &serving.ended},
                        &serving.server, fail_at_once, NULL),
             0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &address), 0);
    for (i = 0; i < 3; i++) {
        clients[i] = connect_to(&address.u.ipv4);
        WAIT_UNTIL(serving.connections == (unsigned)i + 1);
        AWAIT(turns(env->scope, 4, GO));
        CHECK(recv(clients[i], &byte, 1, MSG_DONTWAIT) == 0);
        close(clients[i]);
    }
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.failed, 3);
    CHECK_IS(stats.connections_now, 0);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(a_server_in_a_cancelled_scope)
{
    static struct loop_scope *scope;
    static struct loop_address address;
    static struct once ended;
    static int client;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(scope, &address, NULL, &serving.server, echo_connection, NULL), 0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &address), 0);
    client = connect_to(&address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    CHECK_IS(serving.over, 1);
    CHECK_IS(loop_serve(env->scope, &address, NULL, NULL, NULL, NULL), -EINVAL);
    close(client);
    END;
}

LOOP_TEST(a_server_that_cannot_listen)
{
    static struct loop_address address;
    static struct once never;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(env->scope, &address,
                        &(struct loop_serve_options){.on_end = once_resumed, .on_end_arg = &never}, &serving.server,
                        echo_connection, NULL),
             -EADDRINUSE);
    CHECK(!serving.server);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(never.count, 0);
    END;
}

/* ---- without memory ---- */

#if !HAS_SANITIZER

static unsigned long jobs_taken;
static struct tally of_poor;
static struct loop_scope *poor_scope;
static struct loop_flow *poor_flow;
static char poor_word[4];

static void count_taken(loop_job job)
{
    jobs_taken += job != 0;
}

static void poor_connected(void *tally, int64_t result)
{
    tally_resumed(tally, result);
    if (result == 0) {
        count_taken(loop_write(&poor_flow->sink, "word", 4, TALLY(&of_poor)));
        count_taken(loop_read_exact(&poor_flow->source, poor_word, 4, TALLY(&of_poor)));
    }
}

static void poor_echo(struct loop_flow *peer, void *unused)
{
    (void)unused;
    if (loop_copy(&peer->source, &peer->sink, NULL, NULL) == 0) {
        loop_scope_fail(peer->scope, -ENOMEM);
    }
}

static void start_poor_operations(struct loop_scope *scope)
{
    static const struct loop_open_how how = {.flags = O_RDONLY};
    static char bytes[16];
    static struct iovec vector = {bytes, 16};
    static struct loop_message message = {.iov = &vector, .n_iov = 1};
    struct loop_flow *one, *other;

    count_taken(loop_op_openat2(scope, "/no/such/file", &how, TALLY(&of_poor)));
    count_taken(loop_op_timeout(scope, 0, TALLY(&of_poor)));
    if (loop_socketpair(scope, &one, &other) == 0) {
        loop_buffers_create(scope, 4, 64);
        count_taken(loop_op_send_msg(NULL, one->fd, &message, TALLY(&of_poor)));
        count_taken(loop_op_recv_msg(NULL, other->fd, &message, TALLY(&of_poor)));
        count_taken(loop_op_poll_add(NULL, one->fd, POLLIN, TALLY(&of_poor)));
        count_taken(loop_op_close(poor_scope, one->fd, TALLY(&of_poor)));
    }
}

static int start_poor(struct loop_env *env, void *unused)
{
    struct loop_address address;
    struct loop_scope *inner;
    char name[64];

    (void)unused;
    poor_scope = loop_scope_open(env->scope, TALLY(&of_poor));
    if (!poor_scope) {
        return -ENOMEM;
    }
    jobs_taken++;
    loop_scope_deadline(poor_scope, loop_now(env->loop) + 3 * LOOP_MILLISECOND);
    snprintf(name, sizeof name, "unix:@noria-without-memory-%d", (int)getpid());
    loop_address_parse(&address, name);
    if (loop_serve(poor_scope, &address, NULL, NULL, poor_echo, NULL) == 0) {
        count_taken(loop_connect(poor_scope, &address, NULL, &poor_flow, poor_connected, &of_poor));
    }
    inner = loop_scope_open(poor_scope, TALLY(&of_poor));
    if (inner) {
        jobs_taken++;
        start_poor_operations(inner);
    }
    return 0;
}

TEST(without_memory_nothing_is_lost_or_left)
{
    unsigned long n = 0, most_jobs = 0;
    bool failed;

    do {
        jobs_taken = 0;
        memset(&of_poor, 0, sizeof of_poor);
        n++;
        fail_allocation(n / 2, n % 2);
        run(start_poor, NULL);
        failed = allocation_failed() || n < 4;
        fail_allocation(0, false);
        if (of_poor.count != jobs_taken) {
            ck_abort_msg("allocation %lu: %lu jobs, %lu ends", n / 2, jobs_taken, of_poor.count);
        }
        most_jobs = jobs_taken > most_jobs ? jobs_taken : most_jobs;
    } while (failed);
    CHECK(n > 20);
    CHECK(most_jobs >= 9);
}

#endif

/* ---- serving ---- */

LOOP_TEST(serve_with_arguments_that_cannot_be)
{
    static struct loop_server *server;
    static struct loop_serve_options options;
    static unsigned before;

    BEGIN;
    struct loop_address address = parsed("tcp:127.0.0.1:0");
    before = count_fds();
    CHECK_IS(loop_serve(env->scope, &address, &options, &server, NULL, NULL), -EINVAL);
    options.connection_timeout_ns = -1;
    CHECK_IS(loop_serve(env->scope, &address, &options, &server, hold_connection, NULL), -EINVAL);
    options = (struct loop_serve_options){.grace_ns = -1};
    CHECK_IS(loop_serve(env->scope, &address, &options, &server, hold_connection, NULL), -EINVAL);
    options = (struct loop_serve_options){.listen.backlog = -1};
    CHECK_IS(loop_serve(env->scope, &address, &options, &server, hold_connection, NULL), -EINVAL);
    CHECK_IS(loop_serve(env->scope, NULL, NULL, NULL, hold_connection, NULL), -EINVAL);
    CHECK(!server);
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(count_fds(), before);
    END;
}

LOOP_TEST(connections_that_are_reset_count_as_failed)
{
    enum { N = 5 };
    static int clients[N], good, i;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
    }
    good = connect_to(&serving.address.u.ipv4);
    while (served().accepted < N + 1) {
        AWAIT(turns(env->scope, 1, GO));
    }
    for (i = 0; i < N; i++) {
        close_with_reset(clients[i]);
    }
    while (served().connections_now > 1) {
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK_IS(served().failed, N);
    CHECK_IS(serving.ended.count, 0);
    close(good);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

static struct once no_end;

LOOP_TEST(a_server_cancelled_from_outside_ends_once)
{
    static struct loop_scope *scope;
    static int client;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&no_end));
    serve(scope, (struct loop_serve_options){.max_connections = 0}, hold_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    loop_scope_cancel(scope);
    WAIT_UNTIL(no_end.count);
    ONCE_IS(no_end, -ECANCELED);
    CHECK_IS(serving.ended.count, 1);
    CHECK(serving.ended.order < no_end.order);
    close(client);
    END;
}

/* ---- continuations that do what they like ---- */

static void cancel_at_once(struct loop_flow *peer, void *unused)
{
    (void)unused;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
    loop_scope_cancel(peer->scope);
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

LOOP_TEST(connection_cancelled_inside_on_connection)
{
    enum { N = 20 };
    static struct loop_flow *clients[N];
    static struct once reads[N];
    static struct loop_server_stats stats;
    static char bytes[N];
    static int at;

    BEGIN;
    serve_well(env->scope, cancel_at_once);
    for (int i = 0; i < N; i++) {
        clients[i] = visit(env->scope);
        START(loop_read(&clients[i]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(reads[at].count);
        ONCE_IS(reads[at], 0);
    }
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.accepted, N);
    CHECK_IS(stats.connections_now, 0);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}
