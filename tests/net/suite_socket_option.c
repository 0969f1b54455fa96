/* SPDX-License-Identifier: ISC
 *
 * Socket options: set and read back, refused ones, and lingering closes.
 */
#include "sockets.h"

#include <loop/part.h>

#include <sys/wait.h>

/* ---- options ---- */

LOOP_TEST(options_are_set_and_read_back)
{
    static const struct {
        enum loop_socket_option option;
        int value;
    } settings[] = {{LOOP_SO_KEEPALIVE, 1},
                    {LOOP_SO_REUSEADDR, 1},
                    {LOOP_SO_REUSEPORT, 1},
                    {LOOP_SO_OOBINLINE, 1},
                    {LOOP_SO_DONTROUTE, 1},
                    {LOOP_SO_LINGER_S, 5},
                    {LOOP_SO_LINGER_S, -1},
                    {LOOP_SO_PRIORITY, 3},
                    {LOOP_SO_RCVLOWAT, 10},
                    {LOOP_IP_TTL, 33},
                    {LOOP_IP_TOS, 0x10},
                    {LOOP_IP_FREEBIND, 1},
                    {LOOP_TCP_NODELAY, 0},
                    {LOOP_TCP_NODELAY, 1},
                    {LOOP_TCP_CORK, 1},
                    {LOOP_TCP_KEEPIDLE_S, 77},
                    {LOOP_TCP_KEEPINTVL_S, 7},
                    {LOOP_TCP_KEEPCNT, 4},
                    {LOOP_TCP_SYNCNT, 3},
                    {LOOP_TCP_USER_TIMEOUT_MS, 1234},
                    {LOOP_TCP_NOTSENT_LOWAT, 4096},
                    {LOOP_TCP_LINGER2_S, -1},
                    {LOOP_TCP_LINGER2_S, 60},
                    {LOOP_TCP_WINDOW_CLAMP, 8192},
                    {LOOP_TCP_FASTOPEN_CONNECT, 1},
                    {LOOP_IP_BIND_ADDRESS_NO_PORT, 1},
                    {LOOP_IP_MTU_DISCOVER, LOOP_MTU_DISCOVER_PROBE},
                    {LOOP_SO_INCOMING_CPU, 0}};
    static struct loop_fd *fd;
    static int value;

    BEGIN;
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (unsigned i = 0; i < COUNT_OF(settings); i++) {
        CHECK_IS(loop_socket_set(fd, settings[i].option, settings[i].value), 0);
        CHECK_IS(loop_socket_get(fd, settings[i].option, &value), 0);
        if (value != settings[i].value) {
            ck_abort_msg("option %d is %d, not %d", (int)settings[i].option, value, settings[i].value);
        }
    }
    CHECK_IS(loop_socket_set(fd, LOOP_SO_SNDBUF, 20000), 0);
    CHECK_IS(loop_socket_get(fd, LOOP_SO_SNDBUF, &value), 0);
    CHECK_IS(value, 40000);
    END;
}

LOOP_TEST(options_out_of_range_are_refused)
{
    static const struct {
        enum loop_socket_option option;
        int value;
    } bad[] = {{LOOP_SO_KEEPALIVE, 2},
               {LOOP_SO_REUSEADDR, -1},
               {LOOP_SO_SNDBUF, -1},
               {LOOP_SO_RCVBUF, -1},
               {LOOP_SO_LINGER_S, -2},
               {LOOP_IP_TTL, 256},
               {LOOP_IP_TTL, -2},
               {LOOP_IP_TOS, 256},
               {LOOP_TCP_NODELAY, 2},
               {LOOP_TCP_KEEPIDLE_S, 0},
               {LOOP_TCP_KEEPIDLE_S, 32768},
               {LOOP_TCP_KEEPINTVL_S, 0},
               {LOOP_TCP_KEEPCNT, 0},
               {LOOP_TCP_KEEPCNT, 128},
               {LOOP_TCP_SYNCNT, 0},
               {LOOP_TCP_SYNCNT, 128},
               {LOOP_TCP_USER_TIMEOUT_MS, -1},
               {LOOP_TCP_LINGER2_S, 121},
               {LOOP_TCP_LINGER2_S, -2},
               {LOOP_TCP_NOTSENT_LOWAT, -1},
               {LOOP_TCP_WINDOW_CLAMP, -1},
               {LOOP_IP_MTU_DISCOVER, 6},
               {LOOP_IPV6_TCLASS, 256},
               {LOOP_IPV6_UNICAST_HOPS, 0},
               {LOOP_SO_MARK, -1},
               {LOOP_SO_BUSY_POLL_US, -1},
               {LOOP_TCP_CONGESTION, 0},
               {LOOP_SO_BINDTODEVICE, 1},
               {LOOP_SOCKET_OPTION_COUNT, 1},
               {(enum loop_socket_option)9999, 1}};
    static struct loop_fd *fd;
    static int value;

    BEGIN;
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        int answer = loop_socket_set(fd, bad[i].option, bad[i].value);
        if (answer != -EINVAL) {
            ck_abort_msg("option %d with %d: %d", (int)bad[i].option, bad[i].value, answer);
        }
    }
    CHECK_IS(loop_socket_get(fd, LOOP_SOCKET_OPTION_COUNT, &value), -EINVAL);
    END;
}

LOOP_TEST(options_of_other_sockets_and_none)
{
    static struct loop_fd *unix_fd, *file, *closed;
    static int value;

    BEGIN;
    unix_fd = adopt(env->scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    file = adopt(env->scope, make_file("", 0));
    closed = adopt(env->scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    loop_fd_close(closed);
    value = loop_socket_set(unix_fd, LOOP_TCP_NODELAY, 1);
    CHECK(value == -EOPNOTSUPP || value == -ENOPROTOOPT);
    CHECK_IS(loop_socket_set(file, LOOP_SO_KEEPALIVE, 1), -ENOTSOCK);
    CHECK_IS(loop_socket_get(file, LOOP_SO_KEEPALIVE, &value), -ENOTSOCK);
    CHECK_IS(loop_socket_set(closed, LOOP_SO_KEEPALIVE, 1), -EBADF);
    CHECK_IS(loop_socket_get(closed, LOOP_SO_KEEPALIVE, &value), -EBADF);
    END;
}

/* ---- options ---- */

LOOP_TEST(every_option_reads_back_what_was_set)
{
    static struct loop_flow *flow;
    static int option, value, before;

    BEGIN;
    flow = flow_of(env->scope, socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (option = 0; option < LOOP_SOCKET_OPTION_COUNT; option++) {
        enum loop_socket_option which = (enum loop_socket_option)option;
        bool is_of_datagrams = which == LOOP_IP_MULTICAST_TTL || which == LOOP_IPV6_MULTICAST_HOPS;
        bool is_text = which == LOOP_SO_BINDTODEVICE || which == LOOP_TCP_CONGESTION;
        bool is_privileged = which == LOOP_SO_MARK || which == LOOP_SO_BUSY_POLL_US || which == LOOP_IP_TRANSPARENT;
        bool is_recent = which == LOOP_IP_LOCAL_PORT_RANGE;
        if (is_of_datagrams || is_text || is_privileged || is_recent) {
            continue;
        }
        CHECK_IS(loop_socket_get(flow->fd, which, &before), 0);
        bool is_size = which == LOOP_SO_RCVBUF || which == LOOP_SO_SNDBUF;
        bool is_settled_later =
            which == LOOP_TCP_MAXSEG || which == LOOP_TCP_DEFER_ACCEPT_S || which == LOOP_TCP_WINDOW_CLAMP;
        if (!is_size && !is_settled_later && which != LOOP_TCP_QUICKACK) {
            bool is_tos = which == LOOP_IP_TOS || which == LOOP_IPV6_TCLASS;
            int wanted = is_tos ? 4 : 1; /* the lowest two bits are TCP's own */
            CHECK_IS(loop_socket_set(flow->fd, which, wanted), 0);
            CHECK_IS(loop_socket_get(flow->fd, which, &value), 0);
            if (value != wanted) {
                ck_abort_msg("option %d reads back as %d", option, value);
            }
        }
    }
    CHECK_IS(loop_socket_set(flow->fd, LOOP_SO_RCVBUF, 8192), 0);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SO_RCVBUF, &value), 0);
    CHECK_IS(value, 16384);
    CHECK_IS(loop_socket_set(flow->fd, LOOP_SO_LINGER_S, -1), 0);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SO_LINGER_S, &value), 0);
    CHECK_IS(value, -1);
    END;
}

LOOP_TEST(a_range_of_ports_is_kept)
{
    static struct loop_fd *fd;
    static int answer, value;

    BEGIN;
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    answer = loop_socket_set(fd, LOOP_IP_LOCAL_PORT_RANGE, LOOP_PORT_RANGE(40000, 50000));
    if (answer == 0) {
        CHECK_IS(loop_socket_get(fd, LOOP_IP_LOCAL_PORT_RANGE, &value), 0);
        CHECK_IS(value, LOOP_PORT_RANGE(40000, 50000));
    } else {
        CHECK_IS(answer, -ENOPROTOOPT);
    }
    END;
}

LOOP_TEST(options_that_are_texts)
{
    static struct loop_fd *fd;
    static char text[LOOP_SOCKET_TEXT_SIZE];
    static int answer, value;

    BEGIN;
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    answer = loop_socket_get_text(fd, LOOP_TCP_CONGESTION, text);
    CHECK(answer == 0 || answer == -ENOPROTOOPT); /* the simulated kernel has one algorithm and no name for it */
    if (answer == 0) {
        CHECK(strlen(text) > 0);
        CHECK_IS(loop_socket_set_text(fd, LOOP_TCP_CONGESTION, text), 0);
        CHECK_IS(loop_socket_set_text(fd, LOOP_TCP_CONGESTION, "none-of-these"), -ENOENT);
        CHECK_IS(loop_socket_get_text(fd, LOOP_SO_BINDTODEVICE, text), 0);
        CHECK_TEXT(text, "");
        CHECK_IS(loop_socket_set_text(fd, LOOP_SO_BINDTODEVICE, "no-such-device"), -ENODEV);
    }
    CHECK_IS(loop_socket_set_text(fd, LOOP_TCP_CONGESTION, "a-name-that-is-too-long"), -EINVAL);
    CHECK_IS(loop_socket_set_text(fd, LOOP_TCP_CONGESTION, NULL), -EINVAL);
    CHECK_IS(loop_socket_set_text(fd, LOOP_TCP_NODELAY, "1"), -EINVAL);
    CHECK_IS(loop_socket_get_text(fd, LOOP_TCP_NODELAY, text), -EINVAL);
    CHECK_IS(loop_socket_get_text(fd, LOOP_TCP_CONGESTION, NULL), -EINVAL);
    CHECK_IS(loop_socket_get(fd, LOOP_TCP_CONGESTION, &value), -EINVAL);
    loop_fd_close(fd);
    CHECK_IS(loop_socket_set_text(fd, LOOP_TCP_CONGESTION, "cubic"), -EBADF);
    CHECK_IS(loop_socket_get_text(fd, LOOP_TCP_CONGESTION, text), -EBADF);
    END;
}

LOOP_TEST(texts_are_set_before_a_connect)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct loop_connect_options options = {.congestion = "none-of-these"};
    static struct loop_listen_options elsewhere = {.interface = "no-such-device"};

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK(result == -ENOENT || result == -ENOPROTOOPT);
    options.congestion = "a-name-that-is-too-long";
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EINVAL);
    loop_listener_close(listener);
    address = parsed("tcp:127.0.0.1:0");
    CHECK(loop_listen(env->scope, &address, &elsewhere, &listener) < 0);
    END;
}

LOOP_TEST(what_is_known_of_a_connection)
{
    static struct loop_fd *fd, *other;
    static struct loop_tcp_info info;
    static int pair[2];

    BEGIN;
    make_tcp_pair(pair);
    fd = adopt(env->scope, pair[0]);
    CHECK_IS(loop_socket_tcp_info(fd, &info), 0);
    CHECK(info.send_mss_bytes > 0 && info.path_mtu_bytes > info.send_mss_bytes);
    CHECK(info.congestion_window > 0 && info.rtt_us > 0 && info.rtt_variance_us > 0);
    CHECK(info.lost == 0 && info.retransmitted == 0);
    CHECK_IS(loop_socket_tcp_info(fd, NULL), -EINVAL);
    other = adopt(env->scope, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    CHECK(loop_socket_tcp_info(other, &info) < 0);
    loop_fd_close(fd);
    CHECK_IS(loop_socket_tcp_info(fd, &info), -EBADF);
    close(pair[1]);
    END;
}

LOOP_TEST(options_of_nothing)
{
    static struct loop_flow *flow;
    static int value;

    BEGIN;
    flow = flow_of(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SO_KEEPALIVE, NULL), -EINVAL);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SOCKET_OPTION_COUNT, &value), -EINVAL);
    CHECK_IS(loop_socket_set(flow->fd, (enum loop_socket_option)1000, 1), -EINVAL);
    loop_flow_close(flow);
    CHECK_IS(loop_socket_set(flow->fd, LOOP_SO_KEEPALIVE, 1), -EBADF);
    CHECK_IS(loop_socket_set(flow->fd, LOOP_SO_KEEPALIVE, 2), -EINVAL);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_SO_KEEPALIVE, &value), -EBADF);
    END;
}

/* ---- closes that would wait ---- */

/* close(2) would block for an hour: a loop that blocks exceeds the test's timeout. */
LOOP_TEST(p13_a_lingering_close_does_not_hold_up_the_loop)
{
    static struct loop_fd *fd;
    static int pair[2];

    BEGIN;
    make_tcp_pair(pair);
    fd = adopt(env->scope, pair[0]);
    CHECK_IS(loop_socket_set(fd, LOOP_SO_LINGER_S, 3600), 0);
    CHECK(stuff(pair[0]) > 0);
    AWAIT(loop_op_close(env->scope, fd, GO));
    CHECK_IS(result, 0);
    CHECK(drain(pair[1]) > 0); /* what was sent still comes */
    close(pair[1]);
    END;
}

/* A time of 0 resets the connection, as before. */
LOOP_TEST(a_linger_of_zero_still_resets)
{
    static struct loop_fd *fd;
    static int pair[2];
    char byte;

    BEGIN;
    make_tcp_pair(pair);
    fd = adopt(env->scope, pair[0]);
    CHECK_IS(loop_socket_set(fd, LOOP_SO_LINGER_S, 0), 0);
    AWAIT(loop_op_close(env->scope, fd, GO));
    CHECK_IS(result, 0);
    CHECK_IS(read(pair[1], &byte, 1), -1);
    CHECK_IS(errno, ECONNRESET);
    close(pair[1]);
    END;
}
