/* SPDX-License-Identifier: ISC
 *
 * Errors of the network with the datagram that they are about, and the length that the path to a peer allows.
 */
#include "datagrams.h"
#include "network.h"
#include "sockets.h"

enum { MTU = 1500 };

static struct loop_datagram_socket *client;
static struct loop_address at, deserts[3], peer;
static struct loop_datagram_stats stats;
static loop_job stream;

/* The errors that were reported, with destinations. */
static struct {
    unsigned n, n_datagrams;
    int64_t error[8];
    struct loop_address destination[8], offender[8];
    size_t mtu_bytes;
    void (*at)(void);
} seen;

static void see(void *unused, int64_t result, const struct loop_datagram *datagram)
{
    (void)unused;
    if (datagram && result < 0) {
        CHECK(!datagram->data && datagram->destination && seen.n < 8);
        seen.error[seen.n] = result;
        seen.destination[seen.n] = *datagram->destination;
        seen.offender[seen.n++] = *datagram->sender;
        seen.mtu_bytes = datagram->mtu_bytes;
    } else if (datagram) {
        seen.n_datagrams++;
    }
    if (datagram && seen.at) {
        seen.at();
    }
    script_poke();
}

static const char *const hosts[] = {"udp:127.0.0.1:0", "udp:[::1]:0", "udp:[::ffff:127.0.0.1]:0"};

/* Stores addresses that no socket has. */
static void make_deserts(const char *host)
{
    int fds[COUNT_OF(deserts)];

    for (unsigned i = 0; i < COUNT_OF(deserts); i++) {
        fds[i] = plain(host, &deserts[i]);
    }
    for (unsigned i = 0; i < COUNT_OF(deserts); i++) {
        close(fds[i]);
    }
}

static void open_asking(struct loop_env *env, const char *text, unsigned reports)
{
    at = parsed(text);
    CHECK_IS(
        loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &at, .reports = reports}, &client),
        0);
    stream = loop_datagram_stream(client, see, NULL);
    loop_daemon(env->loop, stream);
    loop_scope_hold(env->scope);
}

static void check_offender(const struct loop_address *offender, const char *host)
{
    struct loop_address expected = parsed(host);

    CHECK(is_same(offender, &expected));
}

LOOP_TEST_ROWS(errors_come_with_the_address_that_failed, COUNT_OF(hosts))
{
    static unsigned i;

    BEGIN;
    make_deserts(hosts[script.row]);
    open_asking(env, script.row == 0 ? "udp:0.0.0.0:0" : "udp:[::]:0", LOOP_DATAGRAM_ERRORS);
    for (i = 0; i < COUNT_OF(deserts); i++) {
        AWAIT(loop_datagram_send(client, &deserts[i], "lost", 4, GO));
        CHECK_IS(result, 4);
    }
    WAIT_UNTIL(seen.n == COUNT_OF(deserts));
    for (i = 0; i < COUNT_OF(deserts); i++) {
        CHECK_IS(seen.error[i], -ECONNREFUSED);
        CHECK(is_same(&seen.destination[i], &deserts[i]));
        check_offender(&seen.offender[i], hosts[script.row]);
    }
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.sent == 3 && stats.failed == 0 && stats.errors_told == 3 && stats.last_error == -ECONNREFUSED);
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST(errors_of_the_only_peer_come_with_its_address)
{
    BEGIN;
    make_deserts(hosts[0]);
    CHECK_IS(loop_datagram_open(
                 env->scope,
                 &(struct loop_datagram_options){.connect_to = &deserts[0], .reports = LOOP_DATAGRAM_ERRORS}, &client),
             0);
    loop_daemon(env->loop, loop_datagram_stream(client, see, NULL));
    loop_scope_hold(env->scope);
    CHECK_IS(loop_datagram_put(client, NULL, "lost", 4), 0);
    WAIT_UNTIL(seen.n == 1);
    CHECK_IS(seen.error[0], -ECONNREFUSED);
    CHECK(is_same(&seen.destination[0], &deserts[0]));
    loop_scope_unhold(env->scope);
    END;
}

/* What was sent in one call fails one by one, and no datagram fails for the error of another. */
LOOP_TEST(errors_of_some_hold_up_no_others)
{
    static struct once ends[6];
    static struct heard heard;
    static struct loop_datagram_socket *server;

    BEGIN;
    make_deserts(hosts[0]);
    server = bound(env->scope, hosts[0], &peer);
    loop_daemon(env->loop, listen_with(&heard, server));
    open_asking(env, "udp:127.0.0.1:0", LOOP_DATAGRAM_ERRORS);
    for (unsigned i = 0; i < 6; i++) {
        START(loop_datagram_send(client, i % 2 ? &peer : &deserts[i / 2], &"abcdef"[i], 1, ONCE(&ends[i])));
    }
    WAIT_UNTIL(heard.n == 3 && seen.n == 3 && ends[5].count);
    for (unsigned i = 0; i < 6; i++) {
        ONCE_IS(ends[i], 1);
    }
    CHECK_TEXT(heard.first, "bdf");
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST(an_unconnected_socket_that_does_not_ask_is_told_nothing)
{
    BEGIN;
    make_deserts(hosts[0]);
    open_asking(env, "udp:127.0.0.1:0", 0);
    CHECK_IS(loop_datagram_put(client, &deserts[0], "lost", 4), 0);
    AWAIT(turns(env->scope, 5, GO));
    loop_datagram_get_stats(client, &stats);
    CHECK(seen.n == 0 && stats.errors_told == 0 && stats.sent == 1);
    loop_scope_unhold(env->scope);
    END;
}

static void pause_it(void)
{
    CHECK_IS(loop_pause(loop_scope_loop(script.env->scope), stream), 0);
}

LOOP_TEST(p10_p18_errors_wait_while_the_stream_is_paused)
{
    static struct loop_stats before, after;

    BEGIN;
    make_deserts(hosts[0]);
    open_asking(env, "udp:127.0.0.1:0", LOOP_DATAGRAM_ERRORS);
    seen.at = pause_it;
    for (unsigned i = 0; i < 3; i++) {
        CHECK_IS(loop_datagram_put(client, &deserts[i], "lost", 4), 0);
    }
    WAIT_UNTIL(seen.n == 1);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(seen.n, 1);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 50 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 10);
    CHECK_IS(seen.n, 1);
    seen.at = NULL;
    CHECK_IS(loop_resume(env->loop, stream), 0);
    WAIT_UNTIL(seen.n == 3);
    loop_scope_unhold(env->scope);
    END;
}

/* ---- the length of the path ---- */

static const char *const loopbacks[] = {"udp:127.0.0.1:0", "udp:[::1]:0"};

LOOP_TEST_ROWS(the_mtu_of_the_path_is_known_when_connected, COUNT_OF(loopbacks))
{
    static size_t bytes;
    static struct loop_datagram_socket *server, *local;

    BEGIN;
    server = bound(env->scope, loopbacks[script.row], &peer);
    CHECK_IS(loop_datagram_path_mtu(server, &bytes), -ENOTCONN);
    client = connected(env->scope, &peer);
    CHECK_IS(loop_datagram_path_mtu(client, &bytes), 0);
    CHECK(bytes >= 1280);
    CHECK_IS(loop_datagram_path_mtu(client, NULL), -EINVAL);
    local = bound(env->scope, own_name("path"), &at);
    CHECK_IS(loop_datagram_path_mtu(local, &bytes), -EOPNOTSUPP);
    loop_datagram_close(client);
    CHECK_IS(loop_datagram_path_mtu(client, &bytes), -EBADF);
    END;
}

/* Opens a socket for a path whose MTU changes. Returns false where that is not permitted. */
static bool open_path(struct loop_env *env, bool dont_fragment)
{
    if (!enter_network(MTU)) {
        return false;
    }
    at = parsed(loopbacks[script.row]);
    CHECK_IS(loop_datagram_open(
                 env->scope, &(struct loop_datagram_options){.bind_to = &at, .dont_fragment = dont_fragment}, &client),
             0);
    CHECK_IS(loop_datagram_address(client, &peer), 0); /* it sends to itself */
    return true;
}

LOOP_TEST_ROWS(what_must_not_be_fragmented_fails_when_it_is_too_long, COUNT_OF(loopbacks))
{
    static size_t longest;

    BEGIN;
    if (open_path(env, true)) {
        longest = MTU - (script.row ? 48 : 28);
        AWAIT(loop_datagram_send(client, &peer, large, longest, GO));
        CHECK_IS(result, longest);
        AWAIT(loop_datagram_send(client, &peer, large, longest + 1, GO));
        CHECK_IS(result, -EMSGSIZE);
        CHECK(set_mtu(1400));
        AWAIT(loop_datagram_send(client, &peer, large, longest, GO));
        CHECK_IS(result, -EMSGSIZE);
        AWAIT(loop_datagram_send(client, &peer, large, longest - 100, GO));
        CHECK_IS(result, longest - 100);
        CHECK(set_mtu(9000));
        AWAIT(loop_datagram_send(client, &peer, large, longest + 1, GO));
        CHECK_IS(result, longest + 1);
    }
    END;
}

/* Datagrams that are longer than a packet cannot be a train: they leave one by one, in fragments. */
LOOP_TEST_ROWS(trains_follow_an_mtu_that_changes, COUNT_OF(loopbacks))
{
    static struct heard heard;
    static unsigned i, wanted;
    static bool is_possible;

    BEGIN;
    is_possible = open_path(env, false);
    if (is_possible) {
        loop_daemon(env->loop, listen_with(&heard, client));
        loop_scope_hold(env->scope);
        for (i = 0; i < 200; i++) {
            if (i == 5) {
                CHECK(set_mtu(1300));
            }
            for (unsigned n = 0; n < 10; n++) {
                CHECK_IS(loop_datagram_put(client, &peer, large, 1400), 0);
            }
            wanted += 10;
            WAIT_UNTIL(heard.n == wanted);
            CHECK(heard.len == 1400 && heard.n_truncated == 0);
        }
        loop_datagram_get_stats(client, &stats);
        CHECK(stats.sent == 2000 && stats.failed == 0);
        CHECK(stats.trains_sent >= 5 && stats.trains_sent < 50 && stats.trains_refused > 0 && stats.trains_refused < 5);
        loop_scope_unhold(env->scope);
    }
    END;
}

LOOP_TEST(the_mtu_of_the_path_follows_the_interface)
{
    static size_t bytes;

    BEGIN;
    if (enter_network(MTU)) {
        peer = parsed("udp:127.0.0.1:9");
        client = connected(env->scope, &peer);
        CHECK_IS(loop_datagram_path_mtu(client, &bytes), 0);
        CHECK_IS(bytes, MTU);
        CHECK(set_mtu(1400));
        CHECK_IS(loop_datagram_path_mtu(client, &bytes), 0);
        CHECK_IS(bytes, 1400);
    }
    END;
}
