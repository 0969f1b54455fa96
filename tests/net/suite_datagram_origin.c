/* SPDX-License-Identifier: ISC
 *
 * The local address that a datagram was sent to and is answered from. All of 127.0.0.0/8 is local.
 */
#include "sockets.h"

#include <stdio.h>

/* How the server answers. */
enum answer { ANSWER_SENDER, ANSWER_COPY, ANSWER_LATER, ANSWER_AS_JOB, ANSWER_BY_INTERFACE };

static struct {
    struct loop_datagram_socket *socket;
    enum answer how;
    unsigned reports;
    struct loop_address sender, receiver;
    unsigned questions, answers;
    char receiver_text[LOOP_ADDRESS_TEXT_SIZE];
    int answer_length;
} state;

static void answer(const struct loop_datagram *datagram)
{
    const struct loop_datagram_send_options by = {.interface = datagram->interface};

    switch (state.how) {
    case ANSWER_SENDER:
        CHECK_IS(loop_datagram_put(state.socket, datagram->sender, datagram->data, datagram->len), 0);
        break;
    case ANSWER_COPY: CHECK_IS(loop_datagram_put(state.socket, &state.sender, "answer", 6), 0); break;
    case ANSWER_AS_JOB: START(loop_datagram_send(state.socket, datagram->sender, "answer", 6, NULL, NULL)); break;
    case ANSWER_BY_INTERFACE:
        CHECK(by.interface > 0);
        CHECK_IS(loop_datagram_put_with(state.socket, &by, datagram->sender, "answer", 6), 0);
        break;
    case ANSWER_LATER: break;
    }
}

static void on_question(void *unused, int64_t result, const struct loop_datagram *datagram)
{
    (void)unused;
    if (!datagram || result < 0) {
        return;
    }
    state.questions++;
    state.sender = *datagram->sender;
    state.receiver = *datagram->receiver;
    CHECK(loop_address_format(datagram->receiver, state.receiver_text, sizeof state.receiver_text) > 0);
    answer(datagram);
    script_poke();
}

static void on_answer(void *unused, int64_t result, const struct loop_datagram *datagram)
{
    (void)unused;
    if (datagram && result >= 0) {
        state.answers++;
        state.answer_length = (int)result;
        script_poke();
    }
}

/* Starts a server on `at`, with a port that the kernel chooses, and a client connected to that port of `asked`. A
 * connected client receives from no other address. */
static struct loop_datagram_socket *serve_and_connect(struct loop_env *env, const char *at, const char *asked)
{
    struct loop_address address = parsed(at), target = parsed(asked);
    struct loop_datagram_socket *client;

    const struct loop_datagram_options options = {.bind_to = &address, .reports = state.reports};
    CHECK_IS(loop_datagram_open(env->scope, &options, &state.socket), 0);
    CHECK_IS(loop_datagram_address(state.socket, &address), 0);
    target.u.ipv4.sin_port = address.u.ipv4.sin_port; /* IPv6 has it in the same place */
    CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.connect_to = &target}, &client), 0);
    loop_daemon(env->loop, loop_datagram_stream(state.socket, on_question, NULL));
    loop_daemon(env->loop, loop_datagram_stream(client, on_answer, NULL));
    return client;
}

static void check_receiver(const char *host)
{
    size_t len = strlen(host);

    if (strncmp(state.receiver_text, host, len) != 0 || state.receiver_text[len] != ':') {
        ck_abort_msg("received at %s, not %s", state.receiver_text, host);
    }
}

/* Steps of a test: asks, and waits for the answer. */
static void check_answer(struct loop_env *env, int64_t result, const char *const addresses[2], enum answer how,
                         const char *host)
{
    static struct loop_datagram_socket *client;

    BEGIN;
    state.how = how;
    client = serve_and_connect(env, addresses[0], addresses[1]);
    loop_scope_hold(env->scope);
    CHECK_IS(loop_datagram_put(client, NULL, "question", 8), 0);
    WAIT_UNTIL(state.questions);
    check_receiver(host);
    WAIT_UNTIL(state.answers);
    loop_scope_unhold(env->scope);
    END;
}

#define ASK(at, asked, how, host) check_answer(env, result, (const char *const[]){at, asked}, how, host)

LOOP_TEST(an_answer_leaves_from_the_address_that_was_asked)
{
    ASK("udp:0.0.0.0:0", "udp:127.0.0.2:0", ANSWER_SENDER, "tcp:127.0.0.2");
}

LOOP_TEST(an_answer_to_a_copy_of_the_sender_leaves_from_there_too)
{
    ASK("udp:0.0.0.0:0", "udp:127.0.0.3:0", ANSWER_COPY, "tcp:127.0.0.3");
}

LOOP_TEST(an_answer_sent_as_a_job_leaves_from_there_too)
{
    ASK("udp:0.0.0.0:0", "udp:127.0.0.4:0", ANSWER_AS_JOB, "tcp:127.0.0.4");
}

LOOP_TEST_ROWS(an_answer_by_an_interface_leaves_from_there_too, 3)
{
    static const char *const rows[][3] = {{"udp:0.0.0.0:0", "udp:127.0.0.7:0", "tcp:127.0.0.7"},
                                          {"udp:[::]:0", "udp:127.0.0.8:0", "tcp:[::ffff:127.0.0.8]"},
                                          {"udp:[::]:0", "udp:[::1]:0", "tcp:[::1]"}};

    state.reports = LOOP_DATAGRAM_PACKET_INFO;
    ASK(rows[script.row][0], rows[script.row][1], ANSWER_BY_INTERFACE, rows[script.row][2]);
}

LOOP_TEST(a_socket_of_both_families_answers_ipv4_from_there_too)
{
    ASK("udp:[::]:0", "udp:127.0.0.5:0", ANSWER_SENDER, "tcp:[::ffff:127.0.0.5]");
}

LOOP_TEST(a_socket_of_one_address_says_that_one)
{
    ASK("udp:127.0.0.6:0", "udp:127.0.0.6:0", ANSWER_SENDER, "tcp:127.0.0.6");
}

LOOP_TEST(ipv6_is_answered_from_the_address_that_was_asked)
{
    ASK("udp:[::]:0", "udp:[::1]:0", ANSWER_SENDER, "tcp:[::1]");
}

/* Outside the stream's continuation the program passes the source address. */
LOOP_TEST(a_later_answer_can_say_where_it_leaves_from)
{
    static struct loop_datagram_socket *client;
    static struct loop_address local;

    BEGIN;
    state.how = ANSWER_LATER;
    client = serve_and_connect(env, "udp:0.0.0.0:0", "udp:127.0.0.7:0");
    loop_scope_hold(env->scope);
    CHECK_IS(loop_datagram_put(client, NULL, "question", 8), 0);
    WAIT_UNTIL(state.questions);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_datagram_put_from(state.socket, &state.receiver, &state.sender, "later", 5), 0);
    WAIT_UNTIL(state.answers);
    CHECK_IS(state.answer_length, 5);
    AWAIT(loop_datagram_send_from(state.socket, &state.receiver, &state.sender, "job", 3, GO));
    CHECK_IS(result, 3);
    WAIT_UNTIL(state.answers == 2);
    CHECK_IS(loop_datagram_address(state.socket, &local), 0);
    CHECK(local.u.ipv4.sin_port == state.receiver.u.ipv4.sin_port);
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST(a_datagram_from_an_address_that_is_not_ours_fails)
{
    static struct loop_address address, foreign, other_family;

    BEGIN;
    address = parsed("udp:127.0.0.1:9");
    foreign = parsed("udp:192.0.2.1:9");
    other_family = parsed("udp:[::1]:9");
    CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &(struct loop_address){0}},
                                &state.socket),
             -EINVAL);
    foreign.u.ipv4.sin_port = 0;
    {
        struct loop_address any = parsed("udp:0.0.0.0:0");
        CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &any}, &state.socket), 0);
    }
    CHECK_IS(loop_datagram_put_from(state.socket, &other_family, &address, "x", 1), -EINVAL);
    AWAIT(loop_datagram_send_from(state.socket, &foreign, &address, "x", 1, GO));
    CHECK(result == -EINVAL || result == -ENETUNREACH || result == -EADDRNOTAVAIL);
    END;
}

/* A datagram that waits behind a full queue, outside the batch, keeps its source address. */
LOOP_TEST(many_answers_at_once_leave_from_where_each_was_asked)
{
    static struct loop_datagram_socket *client;

    BEGIN;
    state.how = ANSWER_SENDER;
    client = serve_and_connect(env, "udp:0.0.0.0:0", "udp:127.0.0.8:0");
    loop_scope_hold(env->scope);
    for (int i = 0; i < 50; i++) {
        CHECK_IS(loop_datagram_put(client, NULL, "question", 8), 0);
    }
    WAIT_UNTIL(state.answers == 50);
    loop_scope_unhold(env->scope);
    END;
}
