/* SPDX-License-Identifier: ISC
 *
 * Datagram sockets that are closed, cancelled or paused, or whose scope ends.
 */
#include "datagrams.h"
#include "sockets.h"

#include <loop/part.h>

/* ---- together ---- */

static struct loop_address client_at;

/* ---- cancelling and closing ---- */

LOOP_TEST(p04_p05_a_send_that_is_cancelled_never_leaves)
{
    static struct loop_address peer, at;
    static struct loop_datagram_socket *client;
    static struct once ends[3];
    static loop_job jobs[3];
    static unsigned put, next;
    static int server;
    static char bytes[3][NUMBERED];

    BEGIN;
    server = plain(own_name("server"), &peer);
    client = bound(env->scope, own_name("client"), &at);
    for (; put < 30; put++) {
        CHECK_IS(put_number(client, &peer, put), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        unsigned number = i == 2 ? 31 : 30;
        memcpy(bytes[i], &number, sizeof number);
        jobs[i] = START(loop_datagram_send(client, &peer, bytes[i], NUMBERED, ONCE(&ends[i])));
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    CHECK_IS(loop_cancel(env->loop, jobs[1]), -ENOENT);
    WAIT_UNTIL(ends[1].count);
    ONCE_IS(ends[1], -ECANCELED);
    memset(bytes[1], 'x', NUMBERED);
    CHECK(ends[0].count == 0 && ends[2].count == 0);
    while (next < 32) {
        read_numbers(server, &next);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    ONCE_IS(ends[0], NUMBERED);
    ONCE_IS(ends[2], NUMBERED);
    CHECK_IS(loop_cancel(env->loop, jobs[2]), -ENOENT);
    close(server);
    END;
}

LOOP_TEST(p01_a_send_that_is_cancelled_at_once_is_heard_later)
{
    static struct loop_address peer, at;
    static struct loop_datagram_socket *client;
    static struct once end;
    static int server;
    static loop_job job;

    BEGIN;
    server = plain("udp:127.0.0.1:0", &peer);
    client = bound(env->scope, "udp:127.0.0.1:0", &at);
    job = START(loop_datagram_send(client, &peer, "x", 1, ONCE(&end)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(end.count, 0);
    WAIT_UNTIL(end.count);
    ONCE_IS(end, -ECANCELED);
    AWAIT(turns(env->scope, 2, GO));
    CHECK(recv(server, &job, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    close(server);
    END;
}

LOOP_TEST(p04_a_send_that_was_cancelled_holds_nothing_open)
{
    static struct loop_scope *scope;
    static struct loop_address peer;
    static struct loop_datagram_socket *client;
    static struct once end, ended;
    static int server, filler;
    static loop_job job;

    BEGIN;
    server = plain(own_name("server"), &peer);
    filler = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    while (sendto(filler, "x", 1, 0, &peer.u.any, peer.length) == 1) {
    }
    CHECK_IS(errno, EAGAIN);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    client = connected(scope, &peer);
    job = START(loop_datagram_send(client, NULL, "y", 1, ONCE(&end)));
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK(end.count == 0 && ended.count == 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(end, -ECANCELED);
    ONCE_IS(ended, 0);
    close(filler);
    close(server);
    END;
}

LOOP_TEST(p06_a_close_ends_all_that_is_in_flight)
{
    static struct loop_address peer, at;
    static struct loop_datagram_socket *client;
    static struct heard heard;
    static struct once sent, drained;
    static struct loop_datagram_stats stats;
    static int server, number;

    BEGIN;
    server = plain(own_name("server"), &peer);
    client = bound(env->scope, own_name("client"), &at);
    number = loop_fd_peek(loop_datagram_fd(client));
    START(listen_with(&heard, client));
    for (unsigned i = 0; !loop_datagram_is_full(client); i++) {
        int answer = put_number(client, &peer, i);
        CHECK(answer == 0 || answer == -ENOBUFS);
        if (i == 100) {
            START(loop_datagram_send(client, &peer, "x", 1, ONCE(&sent)));
        }
    }
    START(loop_datagram_wait_drained(client, ONCE(&drained)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_datagram_close(client), 0);
    CHECK_IS(loop_datagram_put(client, &peer, "x", 1), -EBADF);
    CHECK_IS(loop_datagram_close(client), -EBADF);
    CHECK_IS(loop_datagram_address(client, &at), -EBADF);
    CHECK(sent.count == 0 && drained.count == 0 && heard.ends == 0);
    WAIT_UNTIL(sent.count && drained.count && heard.ends);
    ONCE_IS(sent, -ECANCELED);
    ONCE_IS(drained, -ECANCELED);
    CHECK_IS(heard.end, -ECANCELED);
    AWAIT(loop_datagram_send(client, &peer, "x", 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_datagram_wait_drained(client, GO));
    CHECK_IS(result, -EBADF);
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.dropped > 0 && loop_datagram_queued(client) == 0);
    AWAIT(turns(env->scope, 2, GO));
    CHECK(!is_open(number));
    close(server);
    END;
}

static void close_at_second(struct heard *heard)
{
    if (heard->n == 2) {
        CHECK_IS(loop_datagram_close(heard->socket), 0);
    }
}

static loop_job the_stream;

static void cancel_at_second(struct heard *heard)
{
    if (heard->n == 2) {
        CHECK_IS(loop_cancel(the_env->loop, the_stream), 0);
        CHECK_IS(heard->ends, 0);
    }
}

static void pause_at_second(struct heard *heard)
{
    if (heard->n == 2) {
        CHECK_IS(loop_pause(the_env->loop, the_stream), 0);
    }
}

static void check_end_inside(struct loop_env *env, int64_t result, void (*at_second)(struct heard *heard))
{
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard heard;
    static int client;

    BEGIN;
    the_env = env;
    heard.at = at_second;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = plain("udp:127.0.0.1:0", &client_at);
    send_letters(client, &address, "abcd");
    the_stream = START(listen_with(&heard, server));
    WAIT_UNTIL(heard.ends);
    CHECK_IS(heard.end, -ECANCELED);
    CHECK_IS(heard.n, 4);
    CHECK(memcmp(heard.first, "abcd", 4) == 0);
    CHECK(!loop_job_is_alive(env->loop, the_stream));
    close(client);
    END;
}

LOOP_TEST(p06_closed_inside_its_continuation_the_rest_is_handed_out)
{
    check_end_inside(env, result, close_at_second);
}

LOOP_TEST(p04_cancelled_inside_its_continuation_the_rest_is_handed_out)
{
    check_end_inside(env, result, cancel_at_second);
}

LOOP_TEST(p06_closed_by_its_descriptor)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard heard;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    START(listen_with(&heard, server));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_close(loop_datagram_fd(server)), 0);
    WAIT_UNTIL(heard.ends);
    CHECK_IS(heard.end, -ECANCELED);
    END;
}

LOOP_TEST(paused_inside_its_continuation_the_rest_is_kept)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard heard = {.at = pause_at_second};
    static int client;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = plain("udp:127.0.0.1:0", &client_at);
    send_letters(client, &address, "abcd");
    the_env = env;
    the_stream = START(listen_with(&heard, server));
    WAIT_UNTIL(heard.n == 2);
    AWAIT(turns(env->scope, 5, GO));
    send_letters(client, &address, "ef");
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(heard.n, 2);
    CHECK_IS(loop_pause(env->loop, the_stream), 0);
    CHECK_IS(loop_resume(env->loop, the_stream), 0);
    CHECK_IS(loop_resume(env->loop, the_stream), 0);
    CHECK_IS(heard.n, 2);
    WAIT_UNTIL(heard.n == 6);
    CHECK(memcmp(heard.first, "abcdef", 6) == 0);
    loop_datagram_close(server);
    WAIT_UNTIL(heard.ends);
    CHECK_IS(loop_pause(env->loop, the_stream), -ENOENT);
    CHECK_IS(loop_resume(env->loop, the_stream), -ENOENT);
    close(client);
    END;
}

LOOP_TEST(cancelled_while_it_is_paused_the_rest_is_handed_out)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard heard = {.at = pause_at_second};
    static int client;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = plain("udp:127.0.0.1:0", &client_at);
    send_letters(client, &address, "abcd");
    the_env = env;
    the_stream = START(listen_with(&heard, server));
    WAIT_UNTIL(heard.n == 2);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, the_stream), 0);
    CHECK_IS(heard.n, 2);
    WAIT_UNTIL(heard.ends);
    CHECK_IS(heard.n, 4);
    CHECK_IS(heard.end, -ECANCELED);
    close(client);
    END;
}

LOOP_TEST(one_stream_at_a_time_and_then_another)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard first, second, third;
    static int client;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = plain("udp:127.0.0.1:0", &client_at);
    the_stream = START(listen_with(&first, server));
    START(listen_with(&second, server));
    WAIT_UNTIL(second.ends);
    CHECK_IS(second.end, -EBUSY);
    CHECK_IS(loop_cancel(env->loop, the_stream), 0);
    WAIT_UNTIL(first.ends);
    CHECK_IS(first.end, -ECANCELED);
    send_letters(client, &address, "kept");
    AWAIT(turns(env->scope, 3, GO));
    START(listen_with(&third, server));
    WAIT_UNTIL(third.n == 4);
    loop_datagram_close(server);
    WAIT_UNTIL(third.ends);
    third.ends = 0;
    START(listen_with(&third, server));
    WAIT_UNTIL(third.ends);
    CHECK_IS(third.end, -EBADF);
    close(client);
    END;
}

LOOP_TEST(p07_a_deadline_ends_stream_and_sends)
{
    static struct loop_scope *scope;
    static struct loop_datagram_socket *client;
    static struct loop_address peer, at;
    static struct heard heard;
    static struct once sent, ended;
    static int server;

    BEGIN;
    server = plain(own_name("server"), &peer);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    client = bound(scope, own_name("client"), &at);
    START(listen_with(&heard, client));
    for (unsigned i = 0; i < 30; i++) {
        CHECK_IS(put_number(client, &peer, i), 0);
    }
    START(loop_datagram_send(client, &peer, "x", 1, ONCE(&sent)));
    loop_scope_deadline(scope, loop_now(env->loop) + 20 * LOOP_MILLISECOND);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ETIMEDOUT);
    ONCE_IS(sent, -ETIMEDOUT);
    CHECK(heard.ends == 1 && heard.end == -ETIMEDOUT);
    close(server);
    END;
}

LOOP_TEST(in_a_scope_that_is_cancelled_nothing_begins)
{
    static struct loop_scope *scope;
    static struct loop_datagram_socket *server, *other;
    static struct loop_address address;
    static struct loop_datagram_options options = {.bind_to = &address};
    static struct heard heard;
    static struct once ended, sent;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    server = bound(scope, "udp:127.0.0.1:0", &address);
    loop_scope_cancel(scope);
    the_env = env;
    the_stream = START(listen_with(&heard, server));
    CHECK_IS(loop_datagram_put(server, &address, "x", 1), -ECANCELED);
    START(loop_datagram_send(server, &address, "x", 1, ONCE(&sent)));
    CHECK_IS(loop_datagram_open(scope, &options, &other), -ECANCELED);
    CHECK(!other);
    WAIT_UNTIL(ended.count);
    CHECK(heard.ends == 1 && heard.end == -ECANCELED);
    ONCE_IS(sent, -ECANCELED);
    END;
}

LOOP_TEST(p08_a_daemon_stream_holds_nothing_open)
{
    static struct loop_scope *scope;
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard heard;
    static struct once ended;
    static loop_job job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    server = bound(scope, "udp:127.0.0.1:0", &address);
    job = START(listen_with(&heard, server));
    CHECK_IS(loop_daemon(env->loop, job), 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK(heard.ends == 1 && heard.end == -ECANCELED);
    END;
}

LOOP_TEST(what_is_put_leaves_before_the_scope_ends)
{
    static struct loop_scope *scope;
    static struct loop_datagram_socket *client;
    static struct loop_address peer, at;
    static struct once ended;
    static int server;
    char byte;

    BEGIN;
    server = plain("udp:127.0.0.1:0", &peer);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    client = bound(scope, "udp:127.0.0.1:0", &at);
    CHECK_IS(loop_datagram_put(client, &peer, "x", 1), 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK_IS(recv(server, &byte, 1, MSG_DONTWAIT), 1);
    close(server);
    END;
}

LOOP_TEST(p02_without_a_continuation_an_error_is_the_scopes)
{
    static struct loop_scope *scope;
    static struct loop_datagram_socket *client;
    static struct loop_address peer, at;
    static struct once ended;

    BEGIN;
    peer = deserted();
    scope = loop_scope_open(env->scope, ONCE(&ended));
    client = bound(scope, "udp:127.0.0.1:0", &at);
    START(loop_datagram_send(client, &peer, large, 65508, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EMSGSIZE);
    END;
}

/* ---- descriptors that go before what is built on them ---- */

static void ignore(void *ended, int64_t result, const struct loop_datagram *datagram)
{
    if (!datagram) {
        once_resumed(ended, result);
    }
}

LOOP_TEST(p06_a_datagram_socket_whose_descriptor_is_destroyed_touches_no_other)
{
    static struct loop_address address;
    static struct loop_datagram_socket *socket;
    static struct loop_flow *flows[2];
    static struct once ended, again;

    BEGIN;
    CHECK_IS(loop_address_parse(&address, "udp:127.0.0.1:0"), 0);
    CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &address}, &socket), 0);
    START(loop_datagram_stream(socket, ignore, &ended));
    loop_fd_destroy(loop_datagram_fd(socket));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    AWAIT(turns(env->scope, 2, GO));
    make_flows(env->scope, flows);
    START(loop_datagram_stream(socket, ignore, &again));
    WAIT_UNTIL(again.count);
    ONCE_IS(again, -EBADF);
    CHECK_IS(loop_datagram_put(socket, &address, "x", 1), -EBADF);
    CHECK_IS(loop_datagram_close(socket), -EBADF);
    CHECK(loop_fd_is_open(flows[0]->fd) && loop_fd_is_open(flows[1]->fd));
    END;
}
