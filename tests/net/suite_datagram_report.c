/* SPDX-License-Identifier: ISC
 *
 * What goes with datagrams beside their bytes: traffic class with ECN, hop limit, interface, destination and time. As
 * they are received, and as they are sent.
 */
#include "datagrams.h"
#include "sockets.h"

enum {
    EVERYTHING = LOOP_DATAGRAM_TRAFFIC_CLASS | LOOP_DATAGRAM_HOP_LIMIT | LOOP_DATAGRAM_PACKET_INFO | LOOP_DATAGRAM_TIME
};

/* The addresses that a server is bound to and a client sends to, and how the server names the latter. */
static const struct pair {
    const char *at, *asked, *named;
} pairs[] = {
    {"udp:127.0.0.1:0", "udp:127.0.0.1:0", "tcp:127.0.0.1:"},
    {"udp:0.0.0.0:0", "udp:127.0.0.2:0", "tcp:127.0.0.2:"},
    {"udp:[::1]:0", "udp:[::1]:0", "tcp:[::1]:"},
    {"udp:[::]:0", "udp:[::1]:0", "tcp:[::1]:"},
    {"udp:[::]:0", "udp:[::ffff:127.0.0.1]:0", "tcp:[::ffff:127.0.0.1]:"},
};

static struct loop_datagram_socket *server, *client;
static struct loop_address asked;

/* What the last datagram came with. */
static struct {
    unsigned n;
    struct loop_datagram last;
    struct loop_address destination;
    char named[LOOP_ADDRESS_TEXT_SIZE];
} seen;

static void see(void *unused, int64_t result, const struct loop_datagram *datagram)
{
    (void)unused;
    if (datagram && result >= 0) {
        seen.n++;
        seen.last = *datagram;
        if (datagram->destination) {
            CHECK(loop_address_format(datagram->destination, seen.named, sizeof seen.named) > 0);
        }
        script_poke();
    }
}

/* Opens a server that reports, and a client that is connected to it or not. */
static void open_pair(struct loop_env *env, const struct pair *pair, unsigned reports, bool connects)
{
    struct loop_address at = parsed(pair->at), any = parsed(pair->asked);
    const struct loop_datagram_options server_options = {.bind_to = &at, .reports = reports};

    asked = any;
    CHECK_IS(loop_datagram_open(env->scope, &server_options, &server), 0);
    CHECK_IS(loop_datagram_address(server, &at), 0);
    asked.u.ipv4.sin_port = at.u.ipv4.sin_port; /* IPv6 has it in the same place */
    const struct loop_datagram_options options = {.bind_to = connects ? NULL : &any,
                                                  .connect_to = connects ? &asked : NULL};
    CHECK_IS(loop_datagram_open(env->scope, &options, &client), 0);
    loop_daemon(env->loop, loop_datagram_stream(server, see, NULL));
    loop_scope_hold(env->scope);
}

static const struct loop_address *to(bool connects)
{
    return connects ? NULL : &asked;
}

/* ---- both ways ---- */

static void check_all(struct loop_env *env, int64_t result, bool connects)
{
    static struct loop_datagram_send_options options = {
        .has_traffic_class = true, .traffic_class = 0xb9, .hop_limit = 77};
    static int64_t first_ns;

    BEGIN;
    open_pair(env, &pairs[script.row], EVERYTHING, connects);
    CHECK_IS(loop_datagram_put_with(client, &options, to(connects), "marked", 6), 0);
    WAIT_UNTIL(seen.n == 1);
    CHECK(seen.last.traffic_class == 0xb9 && seen.last.hop_limit == 77);
    CHECK(seen.last.interface > 0 && seen.last.time_ns > 0);
    CHECK(strncmp(seen.named, pairs[script.row].named, strlen(pairs[script.row].named)) == 0);
    first_ns = seen.last.time_ns;
    options = (struct loop_datagram_send_options){.has_traffic_class = true, .traffic_class = 0};
    AWAIT(loop_datagram_send_with(client, &options, to(connects), "plain", 5, GO));
    CHECK_IS(result, 5);
    WAIT_UNTIL(seen.n == 2);
    CHECK(seen.last.traffic_class == 0 && seen.last.hop_limit == 64);
    CHECK(seen.last.time_ns >= first_ns);
    for (int ecn = 0; ecn < 4; ecn++) { /* not joined: each says another */
        options = (struct loop_datagram_send_options){.has_traffic_class = true, .traffic_class = ecn};
        CHECK_IS(loop_datagram_put_with(client, &options, to(connects), "plain", 5), 0);
    }
    WAIT_UNTIL(seen.n == 6);
    CHECK_IS(seen.last.traffic_class, 3);
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST_ROWS(traffic_class_and_hop_limit_arrive, COUNT_OF(pairs))
{
    check_all(env, result, false);
}

LOOP_TEST_ROWS(traffic_class_and_hop_limit_arrive_at_the_only_peer, COUNT_OF(pairs))
{
    check_all(env, result, true);
}

LOOP_TEST_ROWS(what_was_not_asked_for_is_not_known, COUNT_OF(pairs))
{
    BEGIN;
    open_pair(env, &pairs[script.row], 0, false);
    CHECK_IS(loop_datagram_put(client, &asked, "plain", 5), 0);
    WAIT_UNTIL(seen.n == 1);
    CHECK(seen.last.traffic_class == -1 && seen.last.hop_limit == -1 && seen.last.interface == 0);
    CHECK(!seen.last.destination && seen.last.time_ns == 0);
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST(a_datagram_leaves_by_the_interface_that_it_came_in_by)
{
    static struct loop_datagram_send_options options;

    BEGIN;
    open_pair(env, &pairs[script.row], EVERYTHING, false);
    CHECK_IS(loop_datagram_put(client, &asked, "a", 1), 0);
    WAIT_UNTIL(seen.n == 1);
    options.interface = seen.last.interface;
    CHECK_IS(loop_datagram_put_with(client, &options, &asked, "b", 1), 0);
    WAIT_UNTIL(seen.n == 2);
    CHECK_IS(seen.last.interface, options.interface);
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST_ROWS(a_datagram_leaves_from_the_address_that_is_asked_for, 2)
{
    static struct loop_address from;
    static struct loop_datagram_send_options options = {.from = &from, .hop_limit = 3};

    BEGIN;
    open_pair(env, &pairs[script.row ? 4 : 1], LOOP_DATAGRAM_HOP_LIMIT, false);
    from = parsed(script.row ? "udp:[::ffff:127.0.0.1]:0" : "udp:127.0.0.1:0");
    CHECK_IS(loop_datagram_put_with(client, &options, &asked, "a", 1), 0);
    WAIT_UNTIL(seen.n == 1);
    CHECK_IS(seen.last.hop_limit, 3);
    from = parsed(script.row ? "udp:127.0.0.1:0" : "udp:[::1]:0");
    CHECK_IS(loop_datagram_put_with(client, &options, &asked, "a", 1), -EINVAL);
    loop_scope_unhold(env->scope);
    END;
}

/* ---- trains of the program's own ---- */

enum { SEGMENT = 700, SEGMENTS = 150 };

static struct heard heard;

LOOP_TEST_ROWS(a_train_is_split, 3)
{
    static const size_t segments[] = {SEGMENT, SEGMENT, 1 << 20};
    static struct loop_datagram_send_options options;
    static struct loop_datagram_stats stats;
    static size_t len;

    BEGIN;
    fill_pattern(large, sizeof large, 3);
    open_pair(env, &pairs[0], 0, false);
    CHECK_IS(loop_socket_set(loop_datagram_fd(server), LOOP_SO_RCVBUF, 4000000), 0);
    options.segment_bytes = segments[script.row];
    len = script.row == 0 ? 10 * SEGMENT : script.row == 1 ? 3 * SEGMENT + 1 : 5000;
    CHECK_IS(loop_datagram_put_with(client, &options, &asked, large, len), 0);
    WAIT_UNTIL(seen.n == (script.row == 0 ? 10u : script.row == 1 ? 4u : 1u));
    CHECK_IS(seen.last.len, script.row == 0 ? SEGMENT : script.row == 1 ? 1 : 5000);
    AWAIT(loop_datagram_send_with(client, &options, &asked, large, len, GO));
    CHECK_IS(result, len);
    loop_datagram_get_stats(client, &stats);
    CHECK_IS(stats.sent, script.row == 0 ? 20 : script.row == 1 ? 8 : 2);
    CHECK_IS(loop_datagram_queued(client), 0);
    loop_scope_unhold(env->scope);
    END;
}

/* More than one message may have: it leaves in pieces. */
LOOP_TEST(a_train_of_any_length_is_split)
{
    static struct loop_datagram_send_options options = {.segment_bytes = SEGMENT};
    static int reader;
    static struct loop_address at;
    static char bytes[SEGMENT + 1];
    static size_t n;

    BEGIN;
    fill_pattern(large, sizeof large, 4);
    reader = plain("udp:127.0.0.1:0", &at);
    {
        int size = 8000000;
        (void)setsockopt(reader, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    open_pair(env, &pairs[0], 0, false);
    AWAIT(loop_datagram_send_with(client, &options, &at, large, (size_t)SEGMENT * SEGMENTS, GO));
    CHECK_IS(result, SEGMENT * SEGMENTS);
    for (n = 0; recv(reader, bytes, sizeof bytes, MSG_DONTWAIT) == SEGMENT; n++) {
        CHECK(is_pattern_at(bytes, SEGMENT, 4, n * SEGMENT));
    }
    CHECK(n == SEGMENTS || n > 100); /* the receive buffer may be too small for all */
    close(reader);
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST(p05_a_train_that_fails_says_how_much_was_sent)
{
    static struct loop_datagram_send_options options = {.segment_bytes = 70000};

    BEGIN;
    open_pair(env, &pairs[0], 0, false);
    AWAIT(loop_datagram_send_with(client, &options, &asked, large, 150000, GO));
    CHECK_IS(result, -EMSGSIZE);
    CHECK_IS(loop_datagram_queued(client), 0);
    loop_scope_unhold(env->scope);
    END;
}

/* An answer may be a train, too, of bytes that are lent. */
static void answer_as_train(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    static const struct loop_datagram_send_options options = {.segment_bytes = 2, .hop_limit = 5};

    (void)arg;
    if (datagram && result >= 0) {
        CHECK_IS(loop_datagram_put_with(server, &options, datagram->sender, datagram->data, datagram->len), 0);
    }
}

LOOP_TEST(an_answer_is_a_train)
{
    static struct loop_address at, client_at;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &at);
    client = bound(env->scope, "udp:127.0.0.1:0", &client_at);
    START(loop_datagram_stream(server, answer_as_train, NULL));
    START(listen_with(&heard, client));
    CHECK_IS(loop_datagram_put(client, &at, "aabbc", 5), 0);
    WAIT_UNTIL(heard.n == 3);
    CHECK_TEXT(heard.first, "abc");
    CHECK_IS(heard.len, 1);
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

/* ---- refused ---- */

LOOP_TEST(p23_options_out_of_range_are_refused)
{
    static const struct loop_datagram_send_options bad[] = {
        {.traffic_class = 256}, {.traffic_class = -1}, {.hop_limit = 256}, {.hop_limit = -1}, {.interface = 1u << 31}};
    static struct loop_address any;

    BEGIN;
    open_pair(env, &pairs[0], 0, false);
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        CHECK_IS(loop_datagram_put_with(client, &bad[i], &asked, "a", 1), -EINVAL);
    }
    AWAIT(loop_datagram_send_with(client, &bad[0], &asked, "a", 1, GO));
    CHECK_IS(result, -EINVAL);
    any = parsed("udp:127.0.0.1:0");
    CHECK_IS(
        loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &any, .reports = 1u << 20}, &client),
        -EINVAL);
    CHECK(!client);
    loop_scope_unhold(env->scope);
    END;
}

/* Sends `n` descriptors along with a datagram, by system calls alone. */
static void pass_descriptors(const struct loop_address *address, const char *text, unsigned n)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct iovec vector = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_name = (void *)(uintptr_t)&address->u,
                             .msg_namelen = address->length,
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = (socklen_t)CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *passed = CMSG_FIRSTHDR(&message);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    passed->cmsg_level = SOL_SOCKET;
    passed->cmsg_type = SCM_RIGHTS;
    passed->cmsg_len = (socklen_t)CMSG_LEN(n * sizeof fd);
    for (unsigned i = 0; i < n; i++) {
        memcpy(CMSG_DATA(passed) + i * sizeof fd, &fd, sizeof fd);
    }
    CHECK_IS(sendmsg(fd, &message, 0), strlen(text));
    close(fd);
}

LOOP_TEST(a_unix_socket_has_the_time_and_nothing_else)
{
    static struct loop_address at;
    static const struct loop_datagram_send_options some[] = {
        {.hop_limit = 1}, {.has_traffic_class = true}, {.interface = 1}, {.segment_bytes = 1}};
    static struct loop_datagram_options options = {.bind_to = &at};

    BEGIN;
    at = parsed(own_name("reports"));
    options.reports = LOOP_DATAGRAM_HOP_LIMIT;
    CHECK_IS(loop_datagram_open(env->scope, &options, &server), -EOPNOTSUPP);
    options.reports = LOOP_DATAGRAM_TIME;
    CHECK_IS(loop_datagram_open(env->scope, &options, &server), 0);
    loop_daemon(env->loop, loop_datagram_stream(server, see, NULL));
    loop_scope_hold(env->scope);
    for (unsigned i = 0; i < COUNT_OF(some); i++) {
        CHECK_IS(loop_datagram_put_with(server, &some[i], &at, "a", 1), -EINVAL);
    }
    CHECK_IS(loop_datagram_put_with(server, NULL, &at, "a", 1), 0);
    WAIT_UNTIL(seen.n == 1);
    CHECK(seen.last.time_ns > 0);
    loop_scope_unhold(env->scope);
    END;
}

/* Whoever has room for the time gets descriptors too, which nobody has asked for. */
LOOP_TEST(descriptors_that_came_with_a_datagram_are_closed)
{
    static struct loop_address at;
    static struct loop_datagram_options options = {.bind_to = &at, .reports = LOOP_DATAGRAM_TIME};
    static unsigned fds;

    BEGIN;
    at = parsed(own_name("passed"));
    CHECK_IS(loop_datagram_open(env->scope, &options, &server), 0);
    loop_daemon(env->loop, loop_datagram_stream(server, see, NULL));
    loop_scope_hold(env->scope);
    fds = count_fds();
    pass_descriptors(&at, "a", 3);
    WAIT_UNTIL(seen.n == 1);
    CHECK(seen.last.len == 1 && seen.last.time_ns > 0);
    CHECK_IS(count_fds(), fds);
    loop_scope_unhold(env->scope);
    END;
}

/* An adopted socket gets its options, too. */
LOOP_TEST(an_adopted_socket_reports)
{
    static const struct loop_datagram_options options = {.reports = EVERYTHING};
    static struct loop_datagram_send_options marks = {.has_traffic_class = true, .traffic_class = 2, .hop_limit = 9};

    BEGIN;
    CHECK_IS(loop_datagram_adopt(env->scope, plain("udp:127.0.0.1:0", &asked), &options, &server), 0);
    loop_daemon(env->loop, loop_datagram_stream(server, see, NULL));
    loop_scope_hold(env->scope);
    CHECK_IS(loop_datagram_put_with(server, &marks, &asked, "a", 1), 0);
    WAIT_UNTIL(seen.n == 1);
    CHECK(seen.last.traffic_class == 2 && seen.last.hop_limit == 9 && seen.last.interface > 0);
    loop_scope_unhold(env->scope);
    END;
}

/* ---- what was not asked for ---- */

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

/* A socket that was adopted may pass descriptors of the senders' processes, which nobody asked this library for. */
LOOP_TEST(p06_a_descriptor_of_the_senders_process_is_closed)
{
    static const struct loop_datagram_options options = {.reports = LOOP_DATAGRAM_TIME};
    static struct loop_datagram_socket *socket;
    static struct heard letters;
    static unsigned before;
    static int pair[2];

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    (void)setsockopt(pair[0], SOL_SOCKET, SO_PASSPIDFD, &(int){1}, sizeof(int)); /* from Linux 6.5 on */
    CHECK_IS(loop_datagram_adopt(env->scope, pair[0], &options, &socket), 0);
    START(listen_with(&letters, socket));
    AWAIT(turns(env->scope, 2, GO));
    before = count_fds();
    CHECK_IS(send(pair[1], "a", 1, 0), 1);
    WAIT_UNTIL(letters.n == 1);
    CHECK_IS(count_fds(), before);
    close(pair[1]);
    loop_datagram_close(socket);
    END;
}
