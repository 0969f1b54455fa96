/* SPDX-License-Identifier: ISC
 *
 * The send queue of a datagram socket (P11): full queues, and the results of answers.
 */
#include "datagrams.h"
#include "sockets.h"

/* ---- full queues ---- */

/* Fills the queue of a socket whose peer does not read until a send is refused; then the peer reads. */
static void check_full(struct loop_env *env, int64_t result, bool is_connected)
{
    static struct loop_address peer, at;
    static struct loop_datagram_options options = {.limit_bytes = 20000};
    static struct loop_datagram_socket *client;
    static struct loop_stats before, after;
    static struct once drained;
    static unsigned put, next;
    static int server, answer;

    BEGIN;
    server = plain(own_name("server"), &peer);
    at = (struct loop_address){.length = sizeof(sa_family_t), .u.any.sa_family = AF_UNIX};
    options.bind_to = &at;
    options.connect_to = is_connected ? &peer : NULL;
    CHECK_IS(loop_datagram_open(env->scope, &options, &client), 0);
    while ((answer = put_number(client, is_connected ? NULL : &peer, put)) == 0) {
        CHECK(++put < 10000);
    }
    CHECK_IS(answer, -ENOBUFS);
    CHECK(loop_datagram_is_full(client) && loop_datagram_queued(client) >= 20000);
    AWAIT(loop_datagram_send(client, &peer, "x", 1, GO));
    CHECK_IS(result, -ENOBUFS);
    START(loop_datagram_wait_drained(client, ONCE(&drained)));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 300 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 40);
    CHECK_IS(drained.count, 0);
    while (next < put) {
        read_numbers(server, &next);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    ONCE_IS(drained, 0);
    CHECK_IS(loop_datagram_queued(client), 0);
    AWAIT(loop_datagram_wait_drained(client, GO));
    CHECK_IS(result, 0);
    close(server);
    END;
}

LOOP_TEST(p11_p18_a_peer_that_never_reads_fills_the_queue)
{
    check_full(env, result, false);
}

LOOP_TEST(p11_p18_the_only_peer_never_reads)
{
    check_full(env, result, true);
}

LOOP_TEST(p11_answers_that_find_no_room_are_kept_whole)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address, at;
    static struct heard heard = {.echo = true};
    static unsigned next, put;
    static int client;

    BEGIN;
    server = bound(env->scope, own_name("server"), &address);
    client = plain(own_name("client"), &at);
    START(listen_with(&heard, server));
    while (put < 100) { /* so many more answers than the client's queue takes */
        char bytes[NUMBERED] = {0};
        memcpy(bytes, &put, sizeof put);
        if (sendto(client, bytes, sizeof bytes, MSG_DONTWAIT, &address.u.any, address.length) > 0) {
            put++;
        } else {
            AWAIT(turns(env->scope, 1, GO));
        }
    }
    WAIT_UNTIL(heard.n == 100);
    CHECK(loop_datagram_queued(server) > 0);
    while (next < 100) {
        read_numbers(client, &next);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    close(client);
    loop_datagram_close(server);
    END;
}
