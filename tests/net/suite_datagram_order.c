/* SPDX-License-Identifier: ISC
 *
 * Datagrams that are received or sent in one batch, and their order (P11, P13).
 */
#include "datagrams.h"
#include "sockets.h"

#define SHARE 128 /* the most datagrams delivered before other jobs run */

/* ---- together ---- */

static uint64_t last_turn;
static unsigned in_this_turn, most_in_a_turn;

static void count_turn(struct heard *heard)
{
    struct loop_stats stats;

    (void)heard;
    loop_get_stats(the_env->loop, &stats);
    in_this_turn = stats.turns == last_turn ? in_this_turn + 1 : 1;
    last_turn = stats.turns;
    most_in_a_turn = in_this_turn > most_in_a_turn ? in_this_turn : most_in_a_turn;
}

LOOP_TEST(datagrams_are_handed_out_in_the_order_they_came)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address, at;
    static struct heard heard = {.at = count_turn};
    static int client;

    BEGIN;
    the_env = env;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = plain("udp:127.0.0.1:0", &at);
    for (int i = 0; i < 150; i++) {
        char byte = (char)i;
        send_plain(client, &address, &byte, 1);
    }
    START(listen_with(&heard, server));
    WAIT_UNTIL(heard.n == 150);
    for (int i = 0; i < 150; i++) {
        CHECK_IS(heard.first[i], (char)i);
    }
    CHECK(most_in_a_turn > 1);
    close(client);
    loop_datagram_close(server);
    END;
}

static struct loop_address own_address;

static void send_to_itself(struct heard *heard)
{
    count_turn(heard);
    (void)loop_datagram_put(heard->socket, &own_address, "again", 5);
    (void)loop_datagram_put(heard->socket, &own_address, "again", 5);
}

LOOP_TEST(p13_a_flood_starves_nobody)
{
    static struct loop_datagram_socket *server;
    static struct heard heard = {.at = send_to_itself};
    static int i;

    BEGIN;
    the_env = env;
    server = bound(env->scope, "udp:127.0.0.1:0", &own_address);
    START(listen_with(&heard, server));
    send_to_itself(&heard);
    for (i = 0; i < 5; i++) {
        AWAIT(loop_sleep(env->scope, 2 * LOOP_MILLISECOND, GO));
        CHECK_IS(result, 0);
    }
    CHECK(heard.n > 100 && most_in_a_turn <= 2 * SHARE); /* as a turn begins, and when an event has come */
    loop_datagram_close(server);
    WAIT_UNTIL(heard.ends);
    END;
}

static int a_client;

static void nothing_has_left(struct heard *heard)
{
    char byte;

    (void)heard;
    CHECK(recv(a_client, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

LOOP_TEST(what_is_received_together_is_answered_together_in_order)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address, at;
    static struct heard heard = {.echo = true, .at = nothing_has_left};

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    a_client = plain("udp:127.0.0.1:0", &at);
    for (const char *text = "abcd"; *text; text++) {
        send_plain(a_client, &address, text, 1);
    }
    START(listen_with(&heard, server));
    WAIT_UNTIL(heard.n == 4);
    AWAIT(turns(env->scope, 1, GO));
    for (const char *text = "abcd"; *text; text++) {
        char byte;
        CHECK_IS(recv(a_client, &byte, 1, MSG_DONTWAIT), 1);
        CHECK_IS(byte, *text);
    }
    close(a_client);
    loop_datagram_close(server);
    END;
}

static struct once sent_by_job;
static struct loop_address client_at;

/* Answers by all variants of send, mixed. */
static void answer_in_many_ways(struct heard *heard)
{
    static const char kept[] = "2";
    char local = '1';

    CHECK_IS(loop_datagram_put(heard->socket, &client_at, &local, 1), 0);
    local = 'x';
    START(loop_datagram_send(heard->socket, &heard->sender, kept, 1, ONCE(&sent_by_job)));
    CHECK_IS(loop_datagram_put(heard->socket, &heard->sender, "3", 1), 0);
    heard->sender.length = 0;
}

LOOP_TEST(p11_datagrams_leave_in_the_order_of_the_calls)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard heard = {.echo = true, .at = answer_in_many_ways};
    static int client;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = plain("udp:127.0.0.1:0", &client_at);
    send_plain(client, &address, "0", 1);
    START(listen_with(&heard, server));
    WAIT_UNTIL(sent_by_job.count);
    ONCE_IS(sent_by_job, 1);
    AWAIT(turns(env->scope, 2, GO));
    for (const char *text = "0123"; *text; text++) {
        char byte;
        CHECK_IS(recv(client, &byte, 1, MSG_DONTWAIT), 1);
        CHECK_IS(byte, *text);
    }
    close(client);
    loop_datagram_close(server);
    END;
}
