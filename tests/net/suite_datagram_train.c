/* SPDX-License-Identifier: ISC
 *
 * Trains: datagrams that pass through the kernel together, when they are sent (UDP_SEGMENT) and when they are received
 * (UDP_GRO). A program sees the datagrams that it would see without them.
 */
#include "datagrams.h"
#include "sockets.h"

#include <loop/kernel/fail.h>
#include <netinet/udp.h>

enum { LENGTH = 1000, MANY = 200 };

static struct loop_datagram_socket *server, *client;
static struct loop_address server_at, client_at;
static struct loop_datagram_stats stats;
static int plain_server;

static bool joins_received(void)
{
    int yes = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool joins = setsockopt(fd, IPPROTO_UDP, UDP_GRO, &yes, sizeof yes) == 0;

    close(fd);
    return joins;
}

static bool splits_sent(void)
{
    int size = 0, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof size;
    bool splits = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &length) == 0;

    close(fd);
    return splits;
}

/* A datagram that begins with its number, which its bytes depend on. */
static const char *numbered(unsigned number)
{
    fill_pattern(large, LENGTH, number);
    memcpy(large, &number, sizeof number);
    return large;
}

static void put_numbered(struct loop_datagram_socket *socket, const struct loop_address *to, unsigned number,
                         size_t len)
{
    CHECK_IS(loop_datagram_put(socket, to, numbered(number), len), 0);
}

/* Datagrams that must come in their order. Every seventh is shorter. */
static struct count {
    unsigned next, ends;
    void (*at)(void);
} count;

static size_t length_of(unsigned number)
{
    return number % 7 == 6 ? LENGTH / 2 : LENGTH;
}

static void check_numbered(const void *data, size_t len, unsigned number)
{
    CHECK_IS(len, length_of(number));
    CHECK(memcmp(data, numbered(number), len) == 0);
}

static void count_numbered(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    struct count *counted = arg;

    if (!datagram) {
        counted->ends++;
    } else {
        CHECK(result >= 0 && !datagram->is_truncated);
        CHECK(is_same(datagram->sender, &client_at));
        check_numbered(datagram->data, datagram->len, counted->next);
        counted->next++;
        if (counted->at) {
            counted->at();
        }
    }
    script_poke();
}

static void read_numbered(unsigned *next)
{
    static char bytes[LENGTH + 1];
    ssize_t n;

    while ((n = recv(plain_server, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0) {
        check_numbered(bytes, (size_t)n, *next);
        ++*next;
    }
}

static void open_both(struct loop_env *env)
{
    count = (struct count){0};
    server = bound(env->scope, "udp:127.0.0.1:0", &server_at);
    client = bound(env->scope, "udp:127.0.0.1:0", &client_at);
    CHECK_IS(loop_socket_set(loop_datagram_fd(server), LOOP_SO_RCVBUF, 4000000), 0);
}

static void put_many(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        put_numbered(client, &server_at, i, length_of(i));
    }
}

/* ---- both ---- */

/* A receive buffer may lose some of many: half of them at a time is less than the smallest buffer. */
LOOP_TEST(trains_arrive_as_the_datagrams_that_they_were)
{
    static unsigned sent;

    BEGIN;
    open_both(env);
    START(loop_datagram_stream(server, count_numbered, &count));
    for (sent = 0; sent < MANY; sent += 20) {
        put_many(sent, sent + 20);
        WAIT_UNTIL(count.next == sent + 20);
    }
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.sent == MANY && stats.failed == 0);
    CHECK(stats.trains_sent > 0 || !splits_sent());
    loop_datagram_get_stats(server, &stats);
    CHECK_IS(stats.received, MANY);
    CHECK(stats.trains_received > 0 || !joins_received());
    loop_datagram_close(server);
    END;
}

LOOP_TEST(sent_trains_arrive_at_a_socket_that_knows_none)
{
    static unsigned next, i;

    BEGIN;
    client = bound(env->scope, "udp:127.0.0.1:0", &client_at);
    plain_server = plain("udp:127.0.0.1:0", &server_at);
    for (i = 0; i < 10; i++) {
        put_many(20 * i, 20 * (i + 1));
        AWAIT(loop_datagram_wait_drained(client, GO));
        AWAIT(turns(env->scope, 2, GO));
        read_numbered(&next);
    }
    CHECK_IS(next, 200);
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.trains_sent > 0 || !splits_sent());
    close(plain_server);
    END;
}

LOOP_TEST(a_single_socket_joins_nothing)
{
    static struct loop_address any;

    BEGIN;
    open_both(env);
    any = parsed("udp:127.0.0.1:0");
    CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &any, .single = true}, &client),
             0);
    CHECK_IS(loop_datagram_address(client, &client_at), 0);
    START(loop_datagram_stream(server, count_numbered, &count));
    put_many(0, 30);
    WAIT_UNTIL(count.next == 30);
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.sent == 30 && stats.trains_sent == 0);
    loop_datagram_get_stats(server, &stats);
    CHECK_IS(stats.trains_received, 0);
    loop_datagram_close(server);
    END;
}

/* Whoever had it before may have asked the kernel for trains, which it goes on to make. */
LOOP_TEST(a_single_socket_that_was_adopted_knows_trains)
{
    static const struct loop_datagram_options single = {.single = true};

    BEGIN;
    count = (struct count){0};
    client = bound(env->scope, "udp:127.0.0.1:0", &client_at);
    plain_server = plain("udp:127.0.0.1:0", &server_at);
    (void)setsockopt(plain_server, IPPROTO_UDP, UDP_GRO, &(int){1}, sizeof(int)); /* or the kernel does not join */
    CHECK_IS(loop_datagram_adopt(env->scope, plain_server, &single, &server), 0);
    START(loop_datagram_stream(server, count_numbered, &count));
    put_many(0, 20);
    WAIT_UNTIL(count.next == 20);
    loop_datagram_get_stats(server, &stats);
    CHECK(stats.trains_received > 0 || !joins_received());
    loop_datagram_close(server);
    END;
}

enum { SHORT_TRAIN = 200000 };

static unsigned n_turns;
static struct once train_sent;

/* Counts the turns of the loop until the train has been sent. */
static void count_turn(void *env_pointer, int64_t result)
{
    struct loop_env *env = env_pointer;

    (void)result;
    if (!train_sent.count) {
        n_turns++;
        loop_resolve(env->loop, loop_promise(env->scope, NULL, NULL, count_turn, env), 0);
    }
}

/* A train of datagrams of one byte is many of them: other jobs run meanwhile. */
LOOP_TEST(p10_a_long_train_leaves_turns_to_others)
{
    BEGIN;
    open_both(env);
    n_turns = 0;
    START(loop_datagram_send_with(client, &(struct loop_datagram_send_options){.segment_bytes = 1}, &server_at, large,
                                  SHORT_TRAIN, ONCE(&train_sent)));
    count_turn(env, 0);
    WAIT_UNTIL(train_sent.count);
    ONCE_IS(train_sent, SHORT_TRAIN);
    CHECK(n_turns > 10);
    loop_datagram_get_stats(client, &stats);
    CHECK_IS(stats.sent, SHORT_TRAIN);
    END;
}

/* ---- what is joined ---- */

LOOP_TEST(p11_datagrams_to_two_peers_keep_their_order)
{
    static struct loop_datagram_socket *others[2];
    static struct loop_address at[2];
    static struct heard heard[2];

    BEGIN;
    client = bound(env->scope, "udp:127.0.0.1:0", &client_at);
    for (int i = 0; i < 2; i++) {
        others[i] = bound(env->scope, "udp:127.0.0.1:0", &at[i]);
        START(listen_with(&heard[i], others[i]));
    }
    for (int i = 0; i < 20; i++) {
        static const char letters[] = "abcdefghijklmnopqrst";
        CHECK_IS(loop_datagram_put(client, &at[i / 3 % 2], letters + i, 1), 0);
    }
    WAIT_UNTIL(heard[0].n + heard[1].n == 20);
    CHECK_TEXT(heard[0].first, "abcghimnost");
    CHECK_TEXT(heard[1].first, "defjklpqr");
    loop_datagram_close(others[0]);
    loop_datagram_close(others[1]);
    END;
}

LOOP_TEST(an_empty_datagram_is_in_no_train)
{
    static struct heard heard;
    static const size_t lengths[] = {2, 2, 0, 0, 2, 1, 1, 2};

    BEGIN;
    open_both(env);
    START(listen_with(&heard, server));
    for (unsigned i = 0; i < COUNT_OF(lengths); i++) {
        char bytes[2] = {(char)('a' + i)};
        CHECK_IS(loop_datagram_put(client, &server_at, bytes, lengths[i]), 0);
    }
    WAIT_UNTIL(heard.n == COUNT_OF(lengths));
    CHECK(memcmp(heard.first, "ab\0\0efgh", COUNT_OF(lengths)) == 0);
    loop_datagram_close(server);
    END;
}

/* Neither is longer than what one message may be, but both are. */
LOOP_TEST(long_datagrams_are_no_train)
{
    static struct heard heard;

    BEGIN;
    open_both(env);
    heard.bytes = large;
    START(listen_with(&heard, server));
    CHECK_IS(loop_datagram_put(client, &server_at, large, 40000), 0);
    CHECK_IS(loop_datagram_put(client, &server_at, large, 40000), 0);
    CHECK_IS(loop_datagram_put(client, &server_at, large, 65507), 0);
    WAIT_UNTIL(heard.n == 3);
    CHECK_IS(heard.len, 65507);
    loop_datagram_close(server);
    END;
}

LOOP_TEST(p04_one_of_a_train_is_cancelled)
{
    static loop_job jobs[10];
    static struct once done[10];
    static struct heard heard;
    static const char letters[] = "abcdefghij";

    BEGIN;
    open_both(env);
    START(listen_with(&heard, server));
    for (int i = 0; i < 10; i++) {
        jobs[i] = loop_datagram_send(client, &server_at, letters + i, 1, ONCE(&done[i]));
    }
    CHECK_IS(loop_cancel(env->loop, jobs[4]), 0);
    CHECK_IS(loop_cancel(env->loop, jobs[4]), -ENOENT);
    WAIT_UNTIL(heard.n == 9 && done[9].count);
    CHECK_TEXT(heard.first, "abcdfghij");
    for (int i = 0; i < 10; i++) {
        ONCE_IS(done[i], i == 4 ? -ECANCELED : 1);
    }
    loop_datagram_close(server);
    END;
}

/* ---- received trains ---- */

static loop_job the_stream;

static void pause_often(void)
{
    if (count.next % 5 == 3) {
        CHECK_IS(loop_pause(the_env->loop, the_stream), 0);
    }
}

LOOP_TEST(p10_a_stream_is_paused_within_a_train)
{
    static unsigned i;

    BEGIN;
    the_env = env;
    open_both(env);
    put_many(0, 20);
    count.at = pause_often;
    the_stream = loop_datagram_stream(server, count_numbered, &count);
    for (i = 3; i < 20; i += 5) {
        WAIT_UNTIL(count.next == i);
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(count.next, i);
        CHECK_IS(loop_resume(env->loop, the_stream), 0);
    }
    WAIT_UNTIL(count.next == 20);
    loop_datagram_close(server);
    END;
}

static void cancel_soon(void)
{
    if (count.next == 2) {
        CHECK_IS(loop_cancel(the_env->loop, the_stream), 0);
    }
}

LOOP_TEST(p04_a_train_that_was_received_is_delivered_after_a_cancel)
{
    BEGIN;
    the_env = env;
    open_both(env);
    put_many(0, 7);
    AWAIT(turns(env->scope, 3, GO));
    count.at = cancel_soon;
    the_stream = loop_datagram_stream(server, count_numbered, &count);
    WAIT_UNTIL(count.ends);
    CHECK_IS(count.next, 7);
    END;
}

LOOP_TEST(an_answer_to_each_of_a_train)
{
    static struct heard by_server = {.echo = true}, by_client;

    BEGIN;
    open_both(env);
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    for (int i = 0; i < 60; i++) {
        CHECK_IS(loop_datagram_put(client, &server_at, large, 100), 0);
    }
    WAIT_UNTIL(by_client.n == 60);
    loop_datagram_get_stats(server, &stats);
    CHECK(stats.sent == 60 && stats.received == 60);
    CHECK(stats.trains_sent > 0 || !splits_sent());
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

/* Short datagrams have short buffers, which a train has to fit into all the same. */
LOOP_TEST(a_train_of_datagrams_that_are_too_long)
{
    static struct loop_address any;
    static struct heard heard;

    BEGIN;
    client = bound(env->scope, "udp:127.0.0.1:0", &client_at);
    any = parsed("udp:127.0.0.1:0");
    CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &any, .max_bytes = 8}, &server),
             0);
    CHECK_IS(loop_datagram_address(server, &server_at), 0);
    START(listen_with(&heard, server));
    for (int i = 0; i < 5; i++) {
        CHECK_IS(loop_datagram_put(client, &server_at, large, i < 4 ? 10 : 8), 0);
    }
    WAIT_UNTIL(heard.n == 5);
    CHECK(heard.n_truncated == 4 && heard.len == 8);
    loop_datagram_get_stats(server, &stats);
    CHECK(stats.received == 5 && stats.truncated == 4);
    loop_datagram_close(server);
    END;
}

/* ---- refused ---- */

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)

static bool is_connected;
static struct once ends[10];

static void refused_train(struct loop_env *env, int64_t result)
{
    static struct heard heard;

    BEGIN;
    open_both(env);
    if (is_connected) {
        client = connected(env->scope, &server_at);
    }
    START(listen_with(&heard, server));
    for (unsigned i = 0; i < 6; i++) {
        static const char letters[] = "abcdef";
        START(loop_datagram_send(client, is_connected ? NULL : &server_at, letters + i, 1, ONCE(&ends[i])));
    }
    WAIT_UNTIL(heard.n == 6 && ends[5].count);
    CHECK_TEXT(heard.first, "abcdef");
    for (unsigned i = 0; i < 6; i++) {
        ONCE_IS(ends[i], 1);
    }
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.sent == 6 && stats.failed == 0);
    loop_datagram_close(server);
    END;
}

static void run_refused(const char *what, bool connects)
{
    is_connected = connects;
    CHECK(loop_kernel_fail_set(what));
    script_run(&(struct loop_options){.queue_depth = 0}, refused_train);
    CHECK(loop_kernel_fail_set(NULL));
}

static const struct {
    const char *what;
    bool connects;
    unsigned refused, sent, told;
} refusals[] = {
    {"sendmmsg:EIO:1", false, 1, 0, 0},         {"sendmmsg:EINVAL:1", false, 1, 0, 0},
    {"sendmmsg:EMSGSIZE:1", false, 1, 0, 0},    {"sendmmsg:ENOBUFS:1", false, 1, 0, 0},
    {"sendmmsg:EIO:1", true, 1, 0, 0},          {"sendmmsg:EMSGSIZE:1,sendmmsg:EMSGSIZE:2", true, 1, 0, 0},
    {"sendmmsg:ECONNREFUSED:1", true, 0, 1, 1}, {"sendmmsg:EINTR:1", false, 0, 1, 0},
    {"sendmmsg:EAGAIN:1", false, 0, 1, 0},
};

TEST_ROWS(a_refused_train_leaves_as_single_datagrams, COUNT_OF(refusals), row)
{
    if (!splits_sent()) {
        return;
    }
    run_refused(refusals[row].what, refusals[row].connects);
    CHECK_IS(stats.trains_refused, refusals[row].refused);
    CHECK_IS(stats.trains_sent, refusals[row].sent);
    CHECK_IS(stats.errors_told, refusals[row].told);
}

TEST(a_kernel_that_joins_nothing)
{
    run_refused("setsockopt:ENOPROTOOPT:1", false);
    CHECK(stats.trains_refused == 0 && (stats.trains_sent > 0 || !splits_sent()));
}

/* After a refused train those of its length are not tried at once. */
static void refused_twice(struct loop_env *env, int64_t result)
{
    static struct heard heard;
    static unsigned i, wanted;

    BEGIN;
    open_both(env);
    START(listen_with(&heard, server));
    for (i = 0; i < 200; i++) {
        for (unsigned n = 0; n < 10; n++) {
            CHECK_IS(loop_datagram_put(client, &server_at, "abc", 3), 0);
        }
        wanted += 10;
        WAIT_UNTIL(heard.n == wanted);
        loop_datagram_get_stats(client, &stats);
        CHECK(stats.trains_sent == 0 || i > 100);
    }
    CHECK(stats.trains_sent > 0 && stats.trains_refused == 1);
    loop_datagram_close(server);
    END;
}

TEST(a_refusal_is_remembered_for_a_while)
{
    if (!splits_sent()) {
        return;
    }
    CHECK(loop_kernel_fail_set("sendmmsg:EINVAL:1"));
    script_run(&(struct loop_options){.queue_depth = 0}, refused_twice);
    CHECK(loop_kernel_fail_set(NULL));
}

#endif
