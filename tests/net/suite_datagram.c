/* SPDX-License-Identifier: ISC
 *
 * Datagrams: what comes together and what leaves together, lengths, errors of the network, full queues, and what
 * becomes of datagrams at each kind of end.
 */
#include "sockets.h"

#include <stdio.h>
#include <sys/stat.h>

#define SHARE 128 /* handed out at most before others have their turn */

/* ---- what is heard ---- */

/* Records a stream. With `echo` everything is sent back; `at` is called behind each datagram. */
struct heard {
    struct loop_datagram_socket *socket;
    unsigned n, n_errors, n_truncated, ends;
    int64_t end, error;
    size_t len;        /* of the last one */
    char first[200];   /* the first byte of each of the first ones, in their order */
    const void *bytes; /* what each has to begin with, where it isn't NULL */
    struct loop_address sender;
    bool echo;
    void (*at)(struct heard *heard);
};

static void hear(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    struct heard *heard = arg;

    CHECK_IS(script.starting, 0);
    CHECK_IS(heard->ends, 0);
    if (!datagram) {
        heard->ends++;
        heard->end = result;
    } else if (result < 0) {
        CHECK(!datagram->data && datagram->len == 0);
        heard->n_errors++;
        heard->error = result;
    } else {
        CHECK_IS(result, datagram->len);
        CHECK(datagram->data);
        CHECK(!heard->bytes || memcmp(datagram->data, heard->bytes, datagram->len) == 0);
        if (heard->n < sizeof heard->first) {
            heard->first[heard->n] = datagram->len ? *(const char *)datagram->data : 0;
        }
        heard->n++;
        heard->n_truncated += datagram->is_truncated;
        heard->len = datagram->len;
        heard->sender = *datagram->sender;
        if (heard->echo) {
            CHECK_IS(loop_datagram_put(heard->socket, datagram->sender, datagram->data, datagram->len), 0);
        }
        if (heard->at) {
            heard->at(heard);
        }
    }
    script_poke();
}

static loop_job listen_with(struct heard *heard, struct loop_datagram_socket *socket)
{
    heard->socket = socket;
    return loop_datagram_stream(socket, hear, heard);
}

/* ---- sockets ---- */

/* A socket bound to `text`, and where it is. */
static struct loop_datagram_socket *bound(struct loop_scope *scope, const char *text, struct loop_address *address)
{
    struct loop_address at = parsed(text);
    struct loop_datagram_options options = {.bind_to = &at};
    struct loop_datagram_socket *socket;

    CHECK_IS(loop_datagram_open(scope, &options, &socket), 0);
    CHECK_IS(loop_datagram_address(socket, address), 0);
    return socket;
}

static struct loop_datagram_socket *connected(struct loop_scope *scope, const struct loop_address *address)
{
    struct loop_datagram_options options = {.connect_to = address};
    struct loop_datagram_socket *socket;

    CHECK_IS(loop_datagram_open(scope, &options, &socket), 0);
    return socket;
}

/* A socket by system calls alone, which never waits. */
static int plain(const char *text, struct loop_address *address)
{
    struct loop_address at = parsed(text);
    int fd = socket(at.u.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_IS(bind(fd, &at.u.any, at.length), 0);
    address->length = sizeof address->u;
    CHECK_IS(getsockname(fd, &address->u.any, &address->length), 0);
    return fd;
}

static void send_plain(int fd, const struct loop_address *to, const void *data, size_t len)
{
    CHECK_IS(sendto(fd, data, len, 0, &to->u.any, to->length), len);
}

static bool is_same(const struct loop_address *one, const struct loop_address *other)
{
    return one->length == other->length && memcmp(&one->u, &other->u, one->length) == 0;
}

static const char *own_name(const char *name)
{
    static char text[2][64];
    static unsigned n;

    snprintf(text[++n % 2], sizeof text[0], "unix:@noria-datagram-%d-%s", (int)getpid(), name);
    return text[n % 2];
}

/* ---- there and back ---- */

static void check_echo(struct loop_env *env, int64_t result, const char *server_text, const char *client_text)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address server_at, client_at;
    static struct heard by_server = {.echo = true}, by_client;
    static struct loop_datagram_stats stats;

    BEGIN;
    server = bound(env->scope, server_text, &server_at);
    client = bound(env->scope, client_text, &client_at);
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, &server_at, "one", 3), 0);
    CHECK_IS(loop_datagram_put(client, &server_at, "two!", 4), 0);
    WAIT_UNTIL(by_client.n == 2);
    CHECK(memcmp(by_server.first, "ot", 2) == 0 && memcmp(by_client.first, "ot", 2) == 0);
    CHECK_IS(by_client.len, 4);
    CHECK(is_same(&by_server.sender, &client_at) && is_same(&by_client.sender, &server_at));
    AWAIT(loop_datagram_send(client, &server_at, "three", 5, GO));
    CHECK_IS(result, 5);
    WAIT_UNTIL(by_client.n == 3);
    AWAIT(turns(env->scope, 2, GO));
    loop_datagram_get_stats(server, &stats);
    CHECK(stats.received == 3 && stats.sent == 3 && stats.failed == 0 && stats.dropped == 0 && stats.truncated == 0);
    CHECK_IS(loop_datagram_close(server), 0);
    CHECK_IS(loop_datagram_close(client), 0);
    WAIT_UNTIL(by_server.ends && by_client.ends);
    CHECK(by_server.end == -ECANCELED && by_client.end == -ECANCELED);
    END;
}

LOOP_TEST(echo_over_ipv4)
{
    check_echo(env, result, "udp:127.0.0.1:0", "udp:127.0.0.1:0");
}

LOOP_TEST(echo_over_ipv6)
{
    static bool has_ipv6;
    static struct loop_address address;
    int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    address = parsed("udp:[::1]:0");
    has_ipv6 = probe >= 0 && bind(probe, &address.u.any, address.length) == 0;
    if (probe >= 0) {
        close(probe);
    }
    check_echo(env, result, has_ipv6 ? "udp:[::1]:0" : "udp:127.0.0.1:0", has_ipv6 ? "udp:[::1]:0" : "udp:127.0.0.1:0");
}

LOOP_TEST(echo_over_unix_abstract)
{
    check_echo(env, result, own_name("server"), own_name("client"));
}

LOOP_TEST(both_families_at_one_socket)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address, at;
    static struct heard by_server = {.echo = true}, by_client;

    BEGIN;
    server = bound(env->scope, "udp::0", &address);
    at = parsed("udp:127.0.0.1:0");
    at.u.ipv4.sin_port = address.u.ipv4.sin_port; /* which is where sin6_port is */
    client = connected(env->scope, &at);
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(by_client.n == 1);
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

LOOP_TEST(a_unix_socket_is_given_a_name_when_it_asks)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address server_at, client_at;
    static struct loop_address any = {.length = sizeof(sa_family_t), .u.any.sa_family = AF_UNIX};
    static struct loop_datagram_options options = {.bind_to = &any, .connect_to = &server_at};
    static struct heard by_server = {.echo = true}, by_client;

    BEGIN;
    server = bound(env->scope, own_name("server"), &server_at);
    CHECK_IS(loop_datagram_open(env->scope, &options, &client), 0);
    CHECK_IS(loop_datagram_address(client, &client_at), 0);
    CHECK(client_at.length > sizeof(sa_family_t));
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(by_client.n == 1);
    CHECK(is_same(&by_server.sender, &client_at));
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

LOOP_TEST(who_has_no_name_is_not_answered)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address;
    static struct heard heard;

    BEGIN;
    server = bound(env->scope, own_name("server"), &address);
    client = connected(env->scope, &address);
    START(listen_with(&heard, server));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(heard.n == 1);
    CHECK_IS(heard.sender.length, 0);
    CHECK_IS(loop_datagram_put(server, &heard.sender, "y", 1), -EDESTADDRREQ);
    AWAIT(loop_datagram_send(server, &heard.sender, "y", 1, GO));
    CHECK_IS(result, -EDESTADDRREQ);
    AWAIT(loop_datagram_send(server, NULL, "y", 1, GO));
    CHECK_IS(result, -EDESTADDRREQ);
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

LOOP_TEST(a_pair_is_adopted)
{
    static struct loop_datagram_socket *ends[2];
    static struct heard heard;
    static int fds[2];

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    CHECK_IS(loop_datagram_adopt(env->scope, fds[0], NULL, &ends[0]), 0);
    CHECK_IS(loop_datagram_adopt(env->scope, fds[1], NULL, &ends[1]), 0);
    START(listen_with(&heard, ends[1]));
    AWAIT(loop_datagram_send(ends[0], NULL, "pair", 4, GO));
    CHECK_IS(result, 4);
    WAIT_UNTIL(heard.n == 1);
    CHECK_IS(heard.len, 4);
    loop_datagram_close(ends[1]);
    END;
}

/* ---- together ---- */

static struct loop_env *the_env;
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

/* All ways in which bytes may be sent, mixed. */
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

static char large[200000];

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

/* Where nobody is. */
static struct loop_address deserted(void)
{
    struct loop_address address;
    int fd = plain("udp:127.0.0.1:0", &address);

    close(fd);
    return address;
}

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

LOOP_TEST(what_is_told_of_one_datagram_fails_no_other)
{
    static struct loop_datagram_socket *client;
    static struct loop_address nobody;
    static struct loop_datagram_stats stats;
    static int i;

    BEGIN;
    nobody = deserted();
    client = connected(env->scope, &nobody);
    for (i = 0; i < 4; i++) {
        AWAIT(loop_datagram_send(client, NULL, "lost", 4, GO));
        CHECK_IS(result, 4);
    }
    loop_datagram_get_stats(client, &stats);
    CHECK(stats.sent == 4 && stats.failed == 0 && stats.errors_told == 3 && stats.last_error == -ECONNREFUSED);
    END;
}

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

/* ---- full queues ---- */

#define NUMBERED 16 /* bytes of a datagram that begins with its number */

static int put_number(struct loop_datagram_socket *socket, const struct loop_address *to, unsigned number)
{
    char bytes[NUMBERED] = {0};

    memcpy(bytes, &number, sizeof number);
    return loop_datagram_put(socket, to, bytes, sizeof bytes);
}

/* Reads all there is now, which must go on with `*next`. */
static void read_numbers(int fd, unsigned *next)
{
    char bytes[NUMBERED + 1];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0) {
        unsigned number;
        CHECK_IS(n, NUMBERED);
        memcpy(&number, bytes, sizeof number);
        CHECK_IS(number, *next);
        ++*next;
    }
}

/* One that nobody reads, written to until it is refused; then it is read. */
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
        CHECK_IS(loop_datagram_pause(heard->socket), 0);
    }
}

static void send_letters(int fd, const struct loop_address *to, const char *letters)
{
    for (; *letters; letters++) {
        send_plain(fd, to, letters, 1);
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
    CHECK_IS(loop_datagram_pause(server), -ENOENT);
    CHECK_IS(loop_datagram_resume(server), -ENOENT);
    client = plain("udp:127.0.0.1:0", &client_at);
    send_letters(client, &address, "abcd");
    START(listen_with(&heard, server));
    WAIT_UNTIL(heard.n == 2);
    AWAIT(turns(env->scope, 5, GO));
    send_letters(client, &address, "ef");
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(heard.n, 2);
    CHECK_IS(loop_datagram_pause(server), 0);
    CHECK_IS(loop_datagram_resume(server), 0);
    CHECK_IS(loop_datagram_resume(server), 0);
    CHECK_IS(heard.n, 2);
    WAIT_UNTIL(heard.n == 6);
    CHECK(memcmp(heard.first, "abcdef", 6) == 0);
    loop_datagram_close(server);
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
    START(listen_with(&heard, server));
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

/* ---- costs ---- */

LOOP_TEST(p18_an_idle_socket_costs_nothing)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address;
    static struct heard by_server = {.echo = true}, by_client;
    static struct loop_stats before, after;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = connected(env->scope, &address);
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(by_client.n == 1);
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 3);
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

#if !HAS_SANITIZER

static void answer_once_more(struct heard *heard)
{
    char answer[] = "made here";

    CHECK_IS(loop_datagram_put(heard->socket, &client_at, answer, sizeof answer), 0);
}

LOOP_TEST(p14_a_warm_echo_allocates_nothing)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard heard = {.echo = true, .at = answer_once_more};
    static unsigned long before;
    static int client, i;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = plain("udp:127.0.0.1:0", &client_at);
    START(listen_with(&heard, server));
    for (i = 0; i < 200; i++) {
        if (i == 100) {
            before = allocations();
        }
        send_letters(client, &address, "abc");
        WAIT_UNTIL(heard.n == 3 * ((unsigned)i + 1));
    }
    CHECK_IS(allocations() - before, 0);
    close(client);
    loop_datagram_close(server);
    END;
}

#endif

/* ---- opening ---- */

/* The file of a socket that is gone. */
static void leave_file_behind(const struct loop_address *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK_IS(bind(fd, &address->u.any, address->length), 0);
    close(fd);
}

static int try_open(struct loop_scope *scope, const char *bind_to, const char *connect_to,
                    struct loop_datagram_options options)
{
    struct loop_address addresses[2];
    struct loop_datagram_socket *socket = (void *)&addresses;

    if (bind_to) {
        addresses[0] = parsed(bind_to);
        options.bind_to = &addresses[0];
    }
    if (connect_to) {
        addresses[1] = parsed(connect_to);
        options.connect_to = &addresses[1];
    }
    int answer = loop_datagram_open(scope, &options, &socket);
    CHECK((answer == 0) == (socket != NULL));
    return answer;
}

LOOP_TEST(p23_opening_fails_with_the_reason)
{
    static const struct loop_datagram_options none;
    static struct loop_socket_setting bad = {LOOP_IP_TTL, 1000};
    static struct loop_datagram_socket *socket;
    static char taken[LOOP_ADDRESS_TEXT_SIZE];
    static struct loop_address address;
    static int fds[2];

    BEGIN;
    CHECK_IS(loop_datagram_open(env->scope, NULL, &socket), -EINVAL);
    CHECK_IS(try_open(env->scope, NULL, NULL, none), -EINVAL);
    CHECK_IS(try_open(env->scope, "udp:127.0.0.1:0", "udp:[::1]:1", none), -EINVAL);
    CHECK_IS(try_open(env->scope, "udp:127.0.0.1:0", NULL, (struct loop_datagram_options){.mode = 01000}), -EINVAL);
    CHECK_IS(try_open(env->scope, "udp:127.0.0.1:0", NULL, (struct loop_datagram_options){.max_bytes = 1048577}),
             -EINVAL);
    CHECK_IS(try_open(env->scope, "udp:127.0.0.1:0", NULL,
                      (struct loop_datagram_options){.settings = &bad, .n_settings = 1}),
             -EINVAL);
    CHECK_IS(try_open(env->scope, own_name("x"), NULL, (struct loop_datagram_options){.reuse_port = true}),
             -EOPNOTSUPP);
    CHECK_IS(try_open(env->scope, "udp:192.0.2.1:0", NULL, none), -EADDRNOTAVAIL);
    CHECK_IS(try_open(env->scope, NULL, "unix:/nowhere/at/all", none), -ENOENT);
    socket = bound(env->scope, "udp:127.0.0.1:0", &address);
    CHECK(loop_address_format(&address, taken, sizeof taken) > 0);
    CHECK_IS(try_open(env->scope, taken, NULL, none), -EADDRINUSE);
    make_pair(fds);
    CHECK_IS(loop_datagram_adopt(env->scope, fds[0], NULL, &socket), -EPROTOTYPE);
    CHECK(!is_open(fds[0]) && !socket);
    close(fds[1]);
    make_pipe(fds);
    CHECK_IS(loop_datagram_adopt(env->scope, fds[0], NULL, &socket), -ENOTSOCK);
    CHECK(!is_open(fds[0]));
    close(fds[1]);
    CHECK_IS(loop_datagram_adopt(env->scope, -1, NULL, &socket), -EBADF);
    END;
}

LOOP_TEST(p23_sending_takes_no_nonsense)
{
    static struct loop_datagram_socket *client;
    static struct loop_address at, bad = {.length = 3}, other = {.length = 16, .u.any.sa_family = AF_PACKET};

    BEGIN;
    client = bound(env->scope, "udp:127.0.0.1:0", &at);
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), -EDESTADDRREQ);
    CHECK_IS(loop_datagram_put(client, &at, NULL, 1), -EINVAL);
    CHECK_IS(loop_datagram_put(client, &bad, "x", 1), -EAFNOSUPPORT);
    CHECK_IS(loop_datagram_put(client, &other, "x", 1), -EAFNOSUPPORT);
    bad.length = 1;
    CHECK_IS(loop_datagram_put(client, &bad, "x", 1), -EINVAL);
    CHECK_IS(loop_datagram_put(client, &at, "x", SIZE_MAX), -EMSGSIZE);
    AWAIT(loop_datagram_send(client, &bad, "x", 1, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(several_sockets_on_one_port)
{
    static struct loop_address address;
    static struct loop_datagram_options options = {.bind_to = &address, .reuse_port = true};
    static struct loop_datagram_socket *sockets[2];

    BEGIN;
    address = parsed("udp:127.0.0.1:0");
    CHECK_IS(loop_datagram_open(env->scope, &options, &sockets[0]), 0);
    CHECK_IS(loop_datagram_address(sockets[0], &address), 0);
    CHECK_IS(loop_datagram_open(env->scope, &options, &sockets[1]), 0);
    END;
}

LOOP_TEST(the_file_of_a_unix_socket_goes_with_it)
{
    static char text[300];
    static const char *directory;
    static struct loop_datagram_socket *socket;
    static struct loop_address address;
    static struct loop_datagram_options options = {.bind_to = &address, .mode = 0620};
    static struct stat status;

    BEGIN;
    directory = make_directory();
    snprintf(text, sizeof text, "unix:%s/socket", directory);
    address = parsed(text);
    CHECK_IS(loop_datagram_open(env->scope, &options, &socket), 0);
    CHECK_IS(stat(text + 5, &status), 0);
    CHECK(S_ISSOCK(status.st_mode) && (status.st_mode & 0777) == 0620);
    CHECK_IS(try_open(env->scope, text, NULL, (struct loop_datagram_options){.reuse_addr = true}), -EADDRINUSE);
    CHECK_IS(loop_datagram_close(socket), 0);
    CHECK_IS(stat(text + 5, &status), -1);
    leave_file_behind(&address);
    CHECK_IS(try_open(env->scope, text, NULL, (struct loop_datagram_options){0}), -EADDRINUSE);
    CHECK_IS(try_open(env->scope, text, NULL, (struct loop_datagram_options){.reuse_addr = true}), 0);
    CHECK_IS(stat(text + 5, &status), 0);
    CHECK_IS(unlink(text + 5), 0);
    remove_directory(directory);
    END;
}

#if !HAS_SANITIZER

static void ignore(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

/* Each allocation fails in turn: whatever then doesn't begin says so, and nothing is left over. */
LOOP_TEST(p02_without_memory)
{
    static struct loop_scope *scope;
    static struct loop_datagram_socket *socket;
    static struct loop_address at, address;
    static struct loop_datagram_options options = {.bind_to = &at};
    static struct heard heard;
    static struct once ended;
    static unsigned n;

    BEGIN;
    at = parsed("udp:127.0.0.1:0");
    for (n = 1; n < 40; n++) {
        heard = (struct heard){.echo = false};
        ended = (struct once){0};
        scope = loop_scope_open(env->scope, ONCE(&ended));
        CHECK(scope);
        loop_scope_deadline(scope, loop_now(env->loop) + 3 * LOOP_MILLISECOND);
        fail_allocation(n / 2 + 1, n % 2);
        if (loop_datagram_open(scope, &options, &socket) == 0 && loop_datagram_address(socket, &address) == 0) {
            loop_job job = listen_with(&heard, socket);
            (void)loop_datagram_put(socket, &address, "x", 1);
            (void)loop_datagram_send(socket, &address, "y", 1, ignore, NULL);
            heard.ends = job == 0 ? 1 : 0;
            loop_sleep(scope, LOOP_MILLISECOND, ignore, NULL);
        } else {
            heard.ends = 1; /* there is no stream */
        }
        if (n % 2) {
            fail_allocation(0, false);
        }
        WAIT_UNTIL(ended.count);
        fail_allocation(0, false);
        CHECK_IS(heard.ends, 1);
    }
    END;
}

#endif
