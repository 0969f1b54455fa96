/* SPDX-License-Identifier: ISC
 *
 * Lengths of datagrams, and errors of the network.
 */
#include "datagrams.h"
#include "sockets.h"

#include <loop/kernel/fail.h>

/* ---- together ---- */

static struct loop_address client_at;

/* ---- lengths ---- */

LOOP_TEST(nothing_is_a_datagram_too)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address, at;
    static struct heard by_server = {.echo = true}, by_client;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = bound(env->scope, "udp:127.0.0.1:0", &at);
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, &address, NULL, 0), 0);
    AWAIT(loop_datagram_send(client, &address, "", 0, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(by_client.n == 2);
    CHECK_IS(by_client.len, 0);
    CHECK_IS(by_client.ends, 0);
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

LOOP_TEST(what_is_too_long_is_truncated_and_says_so)
{
    static struct loop_address address = {.length = sizeof(struct sockaddr_in), .u.ipv4 = {.sin_family = AF_INET}};
    static struct loop_datagram_options options = {.bind_to = &address, .max_bytes = 10};
    static struct loop_datagram_socket *server;
    static struct heard heard;
    static int client;

    BEGIN;
    address.u.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_IS(loop_datagram_open(env->scope, &options, &server), 0);
    CHECK_IS(loop_datagram_address(server, &address), 0);
    client = plain("udp:127.0.0.1:0", &client_at);
    heard.bytes = "0123456789";
    START(listen_with(&heard, server));
    send_plain(client, &address, "0123456789", 10);
    WAIT_UNTIL(heard.n == 1);
    CHECK(heard.len == 10 && heard.n_truncated == 0);
    send_plain(client, &address, "0123456789a", 11);
    WAIT_UNTIL(heard.n == 2);
    CHECK(heard.len == 10 && heard.n_truncated == 1);
    send_plain(client, &address, "01", 2);
    WAIT_UNTIL(heard.n == 3);
    CHECK(heard.len == 2 && heard.n_truncated == 1);
    close(client);
    loop_datagram_close(server);
    END;
}

static void check_large(struct loop_env *env, int64_t result, const char *text, size_t len, size_t max_bytes)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address at, address;
    static struct loop_datagram_options options;
    static struct heard heard = {.bytes = large};
    static int i;

    BEGIN;
    fill_pattern(large, sizeof large, 7);
    at = parsed(text);
    options = (struct loop_datagram_options){.bind_to = &at, .max_bytes = max_bytes};
    CHECK_IS(loop_datagram_open(env->scope, &options, &server), 0);
    CHECK_IS(loop_datagram_address(server, &address), 0);
    client = connected(env->scope, &address);
    START(listen_with(&heard, server));
    for (i = 0; i < 5; i++) {
        AWAIT(loop_datagram_send(client, NULL, large, len, GO));
        CHECK_IS(result, len);
        WAIT_UNTIL(heard.n == (unsigned)i + 1);
        CHECK(heard.len == len && heard.n_truncated == 0);
    }
    loop_datagram_close(server);
    END;
}

LOOP_TEST(the_longest_of_udp)
{
    check_large(env, result, "udp:127.0.0.1:0", 65507, 0);
}

LOOP_TEST(sixty_four_kibibytes)
{
    check_large(env, result, own_name("server"), 65536, 0);
}

LOOP_TEST(longer_than_udp_ever_is)
{
    check_large(env, result, own_name("server"), 100000, 100000);
}

LOOP_TEST(p02_what_is_too_long_to_be_sent_fails_alone)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address;
    static struct once ends[3];
    static struct heard heard;
    static struct loop_datagram_stats stats;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = connected(env->scope, &address);
    START(listen_with(&heard, server));
    START(loop_datagram_send(client, NULL, "a", 1, ONCE(&ends[0])));
    START(loop_datagram_send(client, NULL, large, 65508, ONCE(&ends[1])));
    START(loop_datagram_send(client, NULL, "b", 1, ONCE(&ends[2])));
    WAIT_UNTIL(ends[2].count && heard.n == 2);
    ONCE_IS(ends[0], 1);
    ONCE_IS(ends[1], -EMSGSIZE);
    ONCE_IS(ends[2], 1);
    CHECK(ends[0].order < ends[1].order && ends[1].order < ends[2].order);
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.sent == 2 && stats.failed == 1 && stats.last_error == -EMSGSIZE && stats.errors_told == 0);
    loop_datagram_close(server);
    END;
}

/* ---- errors of the network ---- */

LOOP_TEST(econnrefused_is_told_and_the_stream_goes_on)
{
    static struct loop_datagram_socket *client;
    static struct loop_address nobody, at;
    static struct heard heard;
    static struct loop_datagram_stats stats;
    static int server;

    BEGIN;
    nobody = deserted();
    client = connected(env->scope, &nobody);
    START(listen_with(&heard, client));
    AWAIT(loop_datagram_send(client, NULL, "lost", 4, GO));
    CHECK_IS(result, 4);
    WAIT_UNTIL(heard.n_errors >= 1);
    CHECK_IS(heard.error, -ECONNREFUSED);
    CHECK_IS(heard.ends, 0);
    server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(server, &nobody.u.any, nobody.length), 0);
    CHECK_IS(loop_datagram_address(client, &at), 0);
    send_plain(server, &at, "here", 4);
    WAIT_UNTIL(heard.n == 1);
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.errors_told >= 1 && stats.failed == 0 && stats.last_error == -ECONNREFUSED);
    close(server);
    loop_datagram_close(client);
    END;
}

/* Row 1: each error comes with the datagram that it is about, and there is no stream to report it. */
LOOP_TEST_ROWS(what_is_told_of_one_datagram_fails_no_other, 2)
{
    static struct loop_datagram_options options;
    static struct loop_datagram_socket *client;
    static struct loop_address nobody;
    static struct loop_datagram_stats stats;
    static int i;

    BEGIN;
    nobody = deserted();
    options.connect_to = &nobody;
    options.reports = script.row ? LOOP_DATAGRAM_ERRORS : 0;
    CHECK_IS(loop_datagram_open(env->scope, &options, &client), 0);
    for (i = 0; i < 4; i++) {
        AWAIT(loop_datagram_send(client, NULL, "lost", 4, GO));
        CHECK_IS(result, 4);
    }
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.sent == 4 && stats.failed == 0 && stats.last_error == -ECONNREFUSED);
    CHECK(stats.errors_told == 3 || (script.row == 1 && stats.errors_told == 4)); /* the queue has that of the last */
    END;
}

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)
static const struct {
    const char *what;
    int64_t result;
} retries[] = {{"sendmmsg:ECONNREFUSED:1,sendmmsg:EPERM:2", -EPERM},
               {"sendmmsg:ECONNREFUSED:1,sendmmsg:EAGAIN:2", -ECANCELED}};

static loop_job at_once(struct loop_scope *scope, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(scope, NULL, NULL, fn, arg);

    CHECK_IS(loop_resolve(loop_scope_loop(scope), job, 0), 0);
    return job;
}

/* The error of an earlier datagram comes in place of sending this one, whose second try fails by itself (row 0), or
 * that is cancelled before it (1). */
static void told_before(struct loop_env *env, int64_t result)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address;
    static struct heard heard;
    static struct once end;
    static struct loop_datagram_stats stats;
    static loop_job job;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = connected(env->scope, &address);
    START(listen_with(&heard, client));
    job = START(loop_datagram_send(client, NULL, "x", 1, ONCE(&end)));
    AWAIT(at_once(env->scope, GO)); /* behind what sends it */
    CHECK_IS(loop_cancel(env->loop, job), script.row == 1 ? 0 : -ENOENT);
    WAIT_UNTIL(end.count && heard.n_errors);
    ONCE_IS(end, retries[script.row].result);
    CHECK(heard.n_errors == 1 && heard.error == -ECONNREFUSED);
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.errors_told == 1 && stats.failed == (script.row == 0) && stats.sent == 0);
    loop_datagram_close(client);
    loop_datagram_close(server);
    END;
}

TEST_ROWS(what_is_told_of_one_datagram_outlives_the_next, COUNT_OF(retries), row)
{
    script.row = row;
    CHECK(loop_kernel_fail_set(retries[row].what));
    script_run(&(struct loop_options){.queue_depth = 0}, told_before);
    CHECK(loop_kernel_fail_set(NULL));
}
#endif

LOOP_TEST(an_error_behind_a_datagram_is_told_too)
{
    static struct loop_datagram_socket *client;
    static struct loop_address peer, at;
    static struct heard heard;
    static int server;

    BEGIN;
    server = plain("udp:127.0.0.1:0", &peer);
    client = connected(env->scope, &peer);
    CHECK_IS(loop_datagram_address(client, &at), 0);
    send_plain(server, &at, "bye", 3);
    close(server);
    START(listen_with(&heard, client));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(heard.n == 1 && heard.n_errors == 1);
    CHECK_IS(heard.error, -ECONNREFUSED);
    loop_datagram_close(client);
    END;
}

LOOP_TEST(a_unix_socket_that_is_gone_refuses)
{
    static struct loop_datagram_socket *client;
    static struct loop_address address, at;
    static int server;

    BEGIN;
    server = plain(own_name("server"), &address);
    client = bound(env->scope, own_name("client"), &at);
    AWAIT(loop_datagram_send(client, &address, "x", 1, GO));
    CHECK_IS(result, 1);
    close(server);
    AWAIT(loop_datagram_send(client, &address, "x", 1, GO));
    CHECK_IS(result, -ECONNREFUSED);
    END;
}
