/* SPDX-License-Identifier: ISC
 *
 * The door's functions for making sockets and for their options: the real kernel and the simulated one must give the
 * same answers.
 */
#include "kernel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static int get(int number, int level, int option)
{
    int value = -1;
    socklen_t length = sizeof value;
    return loop_kernel_getsockopt(number, level, option, &value, &length) ? -errno : value;
}

static int set(int number, int level, int option, int value)
{
    return loop_kernel_setsockopt(number, level, option, &value, sizeof value) ? -errno : 0;
}

static int open_socket(int family, int type)
{
    int number = loop_kernel_socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(number >= 0);
    return number;
}

/* ---- making ---- */

TEST(sockets_that_do_not_exist_are_refused)
{
    int pair[2];

    CHECK_FAILS(loop_kernel_socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_FAILS(loop_kernel_socket(AF_INET, 99, 0), EINVAL);
    CHECK_FAILS(loop_kernel_socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    CHECK_FAILS(loop_kernel_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    CHECK_FAILS(loop_kernel_socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
    CHECK_FAILS(loop_kernel_socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
}

TEST(sockets_tell_what_they_are)
{
    int tcp = open_socket(AF_INET6, SOCK_STREAM);
    int udp = open_socket(AF_INET, SOCK_DGRAM);
    int local = open_socket(AF_UNIX, SOCK_SEQPACKET);
    struct stat status;

    CHECK_IS(get(tcp, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    CHECK_IS(get(tcp, SOL_SOCKET, SO_DOMAIN), AF_INET6);
    CHECK_IS(get(tcp, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
    CHECK_IS(get(udp, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
    CHECK_IS(get(udp, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
    CHECK_IS(get(local, SOL_SOCKET, SO_TYPE), SOCK_SEQPACKET);
    CHECK_IS(get(local, SOL_SOCKET, SO_DOMAIN), AF_UNIX);
    CHECK_IS(get(local, SOL_SOCKET, SO_PROTOCOL), 0);
    CHECK_IS(loop_kernel_fcntl(tcp, F_GETFL, 0), O_RDWR | O_NONBLOCK);
    CHECK_IS(loop_kernel_fcntl(tcp, F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(loop_kernel_fstat(tcp, &status), 0);
    CHECK_IS(status.st_mode, S_IFSOCK | 0777);
    CHECK_IS(status.st_nlink, 1);
    CHECK_IS(status.st_size, 0);
    CHECK_IS(status.st_uid, loop_kernel_geteuid());
    CHECK_FAILS(loop_kernel_lseek(tcp, 0, SEEK_CUR), ESPIPE);
    CHECK_IS(loop_kernel_isatty(tcp), 0);
    close_both((int[]){tcp, udp});
    CHECK_IS(loop_kernel_close(local), 0);
}

TEST(a_listener_says_so)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int number = open_socket(AF_INET, SOCK_STREAM);

    CHECK_IS(get(number, SOL_SOCKET, SO_ACCEPTCONN), 0);
    CHECK_IS(loop_kernel_listen(number, 1), 0);
    CHECK_IS(get(number, SOL_SOCKET, SO_ACCEPTCONN), 1);
    CHECK_IS(loop_kernel_getsockname(number, (struct sockaddr *)&address, &length), 0);
    CHECK(address.sin_port != 0);
    CHECK_IS(address.sin_addr.s_addr, htonl(INADDR_ANY));
    CHECK_FAILS(loop_kernel_bind(number, (struct sockaddr *)&address, sizeof address), EINVAL);
    CHECK_IS(loop_kernel_listen(number, 1), 0);
    CHECK_FAILS(loop_kernel_accept4(number, NULL, NULL, O_APPEND), EINVAL);
    CHECK_IS(loop_kernel_close(number), 0);
}

/* ---- bindings ---- */

/* Binds a new TCP socket with an option to a port of 127.0.0.1. Returns the socket, or a negative errno. */
static int bind_to(struct sockaddr_in *address, int option, bool listens)
{
    socklen_t length = sizeof *address;
    int number = open_socket(AF_INET, SOCK_STREAM);
    int error = 0;
    if (option) {
        CHECK_IS(set(number, SOL_SOCKET, option, 1), 0);
    }
    if (loop_kernel_bind(number, (struct sockaddr *)address, sizeof *address) ||
        (listens && loop_kernel_listen(number, 1))) {
        error = -errno;
        CHECK_IS(loop_kernel_close(number), 0);
        return error;
    }
    CHECK_IS(loop_kernel_getsockname(number, (struct sockaddr *)address, &length), 0);
    return number;
}

TEST(ports_are_shared_when_both_want_it)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = bind_to(&address, SO_REUSEADDR, false);

    CHECK(one >= 0);
    CHECK_IS(bind_to(&address, 0, false), -EADDRINUSE);
    int other = bind_to(&address, SO_REUSEADDR, false);
    CHECK(other >= 0);
    CHECK_IS(loop_kernel_listen(one, 1), 0);
    CHECK_FAILS(loop_kernel_listen(other, 1), EADDRINUSE);
    CHECK_IS(bind_to(&address, SO_REUSEADDR, false), -EADDRINUSE);
    close_both((int[]){one, other});
    one = bind_to(&address, SO_REUSEPORT, true);
    CHECK(one >= 0);
    CHECK_IS(bind_to(&address, SO_REUSEADDR, true), -EADDRINUSE);
    other = bind_to(&address, SO_REUSEPORT, true);
    CHECK(other >= 0);
    close_both((int[]){one, other});
}

TEST(a_port_is_held_after_a_connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = bind_to(&address, 0, true);
    int client = open_socket(AF_INET, SOCK_STREAM);

    CHECK(listener >= 0);
    CHECK_FAILS(loop_kernel_connect(client, (struct sockaddr *)&address, sizeof address), EINPROGRESS);
    int server = loop_kernel_accept4(listener, NULL, NULL, 0);
    CHECK_IS(loop_kernel_close(listener), 0);
    CHECK_IS(bind_to(&address, 0, true), -EADDRINUSE);
    CHECK_IS(loop_kernel_close(server), 0);
    CHECK_IS(loop_kernel_close(client), 0);
    CHECK_IS(bind_to(&address, 0, true), -EADDRINUSE);
    listener = bind_to(&address, SO_REUSEADDR, true);
    CHECK_IS(listener, -EADDRINUSE); /* the connection's socket had it off */
}

TEST(foreign_addresses_cannot_be_bound)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x08080808)};
    int number = open_socket(AF_INET, SOCK_STREAM);

    CHECK_FAILS(loop_kernel_bind(number, (struct sockaddr *)&address, sizeof address), EADDRNOTAVAIL);
    CHECK_FAILS(loop_kernel_bind(number, (struct sockaddr *)&address, sizeof address - 1), EINVAL);
    CHECK_IS(set(number, IPPROTO_IP, IP_FREEBIND, 1), 0);
    CHECK_IS(loop_kernel_bind(number, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(loop_kernel_close(number), 0);
    number = open_socket(AF_INET6, SOCK_STREAM);
    CHECK_FAILS(loop_kernel_bind(number, (struct sockaddr *)&address, sizeof address), EINVAL);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(a_port_is_chosen_by_connect)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = address;
    socklen_t length = sizeof own;
    int listener = bind_to(&address, 0, true);
    int client = open_socket(AF_INET, SOCK_STREAM);

    CHECK_IS(set(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1), 0);
    CHECK_IS(loop_kernel_bind(client, (struct sockaddr *)&own, sizeof own), 0);
    CHECK_IS(loop_kernel_getsockname(client, (struct sockaddr *)&own, &length), 0);
    CHECK_IS(own.sin_port, 0);
    CHECK_IS(own.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_FAILS(loop_kernel_connect(client, (struct sockaddr *)&address, sizeof address), EINPROGRESS);
    CHECK_IS(loop_kernel_getsockname(client, (struct sockaddr *)&own, &length), 0);
    CHECK(own.sin_port != 0);
    close_both((int[]){client, listener});
}

/* ---- options ---- */

/* An option, a value to set and what is read then: a value, or a negative errno of setting. */
struct row {
    int level, option, value, answer;
};

static void check_rows(int number, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int error = set(number, rows[i].level, rows[i].option, rows[i].value);
        int answer = error ? error : get(number, rows[i].level, rows[i].option);
        ck_assert_msg(answer == rows[i].answer, "option %d of level %d, set to %d: %d, not %d", rows[i].option,
                      rows[i].level, rows[i].value, answer, rows[i].answer);
    }
}

static const struct row any_rows[] = {
    {SOL_SOCKET, SO_BROADCAST, 2, 1},        {SOL_SOCKET, SO_DONTROUTE, 1, 1},
    {SOL_SOCKET, SO_KEEPALIVE, 7, 1},        {SOL_SOCKET, SO_KEEPALIVE, 0, 0},
    {SOL_SOCKET, SO_OOBINLINE, 1, 1},        {SOL_SOCKET, SO_PRIORITY, 3, 3},
    {SOL_SOCKET, SO_RCVBUF, 10000, 20000},   {SOL_SOCKET, SO_RCVBUF, 0, 2304},
    {SOL_SOCKET, SO_SNDBUF, 10000, 20000},   {SOL_SOCKET, SO_SNDBUF, 0, 4608},
    {SOL_SOCKET, SO_RCVLOWAT, 5, 5},         {SOL_SOCKET, SO_RCVLOWAT, 0, 1},
    {SOL_SOCKET, SO_REUSEADDR, 1, 1},        {SOL_SOCKET, SO_TYPE, 1, -ENOPROTOOPT},
    {SOL_SOCKET, SO_ERROR, 1, -ENOPROTOOPT}, {SOL_SOCKET, SO_ACCEPTCONN, 1, -ENOPROTOOPT},
    {SOL_SOCKET, 9999, 1, -ENOPROTOOPT},
};

static const struct row internet_rows[] = {
    {SOL_SOCKET, SO_REUSEPORT, 1, 1}, {IPPROTO_IP, IP_FREEBIND, 1, 1},     {IPPROTO_IP, IP_TTL, 7, 7},
    {IPPROTO_IP, IP_TTL, 0, -EINVAL}, {IPPROTO_IP, IP_TTL, 256, -EINVAL},  {IPPROTO_IP, IP_TTL, -1, 64},
    {IPPROTO_IP, IP_PKTINFO, 1, 1},   {IPPROTO_IP, 9999, 1, -ENOPROTOOPT},
};

static const struct row tcp_rows[] = {
    {SOL_SOCKET, SO_RCVLOWAT, 0x7fffffff, 1152},
    {IPPROTO_IP, IP_TOS, 0x13, 0x10},
    {IPPROTO_TCP, TCP_NODELAY, 5, 1},
    {IPPROTO_TCP, TCP_CORK, 1, 1},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 5, 7},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 1, 1},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, 0},
    {IPPROTO_TCP, TCP_FASTOPEN, 5, 5},
    {IPPROTO_TCP, TCP_FASTOPEN, -1, -EINVAL},
    {IPPROTO_TCP, TCP_KEEPCNT, 5, 5},
    {IPPROTO_TCP, TCP_KEEPCNT, 0, -EINVAL},
    {IPPROTO_TCP, TCP_KEEPCNT, 128, -EINVAL},
    {IPPROTO_TCP, TCP_KEEPIDLE, 5, 5},
    {IPPROTO_TCP, TCP_KEEPIDLE, 32768, -EINVAL},
    {IPPROTO_TCP, TCP_KEEPINTVL, 5, 5},
    {IPPROTO_TCP, TCP_KEEPINTVL, 0, -EINVAL},
    {IPPROTO_TCP, TCP_MAXSEG, 1000, 1000},
    {IPPROTO_TCP, TCP_MAXSEG, 87, -EINVAL},
    {IPPROTO_TCP, TCP_MAXSEG, 32768, -EINVAL},
    {IPPROTO_TCP, TCP_QUICKACK, 0, 0},
    {IPPROTO_TCP, TCP_SYNCNT, 5, 5},
    {IPPROTO_TCP, TCP_SYNCNT, 0, -EINVAL},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, 5, 5},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, -1, -EINVAL},
    {IPPROTO_TCP, 9999, 1, -ENOPROTOOPT},
};

static const struct row ipv6_rows[] = {
    {IPPROTO_IPV6, IPV6_V6ONLY, 1, 1},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, 1},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9, 9},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1, 64},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256, -EINVAL},
    {IPPROTO_IPV6, IPV6_TCLASS, 8, 8},
};

#define CHECK_ROWS(number, rows) check_rows(number, rows, sizeof rows / sizeof *rows)

TEST(options_are_kept_and_answered)
{
    int tcp = open_socket(AF_INET6, SOCK_STREAM);
    int udp = open_socket(AF_INET, SOCK_DGRAM);
    int local = open_socket(AF_UNIX, SOCK_STREAM);

    CHECK_ROWS(tcp, any_rows);
    CHECK_ROWS(udp, any_rows);
    CHECK_ROWS(local, any_rows);
    CHECK_ROWS(tcp, internet_rows);
    CHECK_ROWS(udp, internet_rows);
    CHECK_ROWS(tcp, tcp_rows);
    CHECK_ROWS(tcp, ipv6_rows);
    CHECK_IS(set(udp, IPPROTO_IP, IP_TOS, -1), 0);
    CHECK_IS(get(udp, IPPROTO_IP, IP_TOS), 0xff);
    CHECK_IS(set(udp, IPPROTO_IP, IP_TOS, 0x13), 0);
    CHECK_IS(get(udp, IPPROTO_IP, IP_TOS), 0x13);
    close_both((int[]){tcp, udp});
    CHECK_IS(loop_kernel_close(local), 0);
}

TEST(options_of_other_sockets_are_refused)
{
    int tcp = open_socket(AF_INET, SOCK_STREAM);
    int udp = open_socket(AF_INET, SOCK_DGRAM);
    int local = open_socket(AF_UNIX, SOCK_STREAM);

    CHECK_IS(get(local, IPPROTO_TCP, TCP_NODELAY), -EOPNOTSUPP);
    CHECK_IS(set(local, IPPROTO_TCP, TCP_NODELAY, 1), -EOPNOTSUPP);
    CHECK_IS(set(local, IPPROTO_IP, IP_TOS, 1), -EOPNOTSUPP);
    CHECK_IS(set(local, SOL_SOCKET, SO_REUSEPORT, 1), -EOPNOTSUPP);
    CHECK_IS(get(udp, IPPROTO_TCP, TCP_NODELAY), -EOPNOTSUPP);
    CHECK_IS(set(udp, IPPROTO_TCP, TCP_NODELAY, 1), -ENOPROTOOPT);
    CHECK_IS(get(tcp, IPPROTO_IPV6, IPV6_V6ONLY), -EOPNOTSUPP);
    CHECK_IS(set(tcp, IPPROTO_IPV6, IPV6_V6ONLY, 1), -ENOPROTOOPT);
    CHECK_IS(get(tcp, IPPROTO_IP, IP_MTU), -ENOTCONN);
    CHECK_FAILS(loop_kernel_setsockopt(tcp, SOL_SOCKET, SO_KEEPALIVE, "", 1), EINVAL);
    CHECK_FAILS(loop_kernel_setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, "", 1), EINVAL);
    close_both((int[]){tcp, udp});
    CHECK_IS(loop_kernel_close(local), 0);
}

TEST(buffers_and_times_have_their_defaults)
{
    int tcp = open_socket(AF_INET, SOCK_STREAM);
    int local = open_socket(AF_UNIX, SOCK_STREAM);
    struct timeval time = {.tv_sec = 2, .tv_usec = 500000};
    socklen_t length = sizeof time;

    CHECK_IS(get(tcp, SOL_SOCKET, SO_RCVBUF), 131072);
    CHECK_IS(get(tcp, SOL_SOCKET, SO_SNDBUF), 16384);
    CHECK_IS(get(local, SOL_SOCKET, SO_RCVBUF), 212992);
    CHECK_IS(get(local, SOL_SOCKET, SO_SNDBUF), 212992);
    CHECK_IS(get(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 7200);
    CHECK_IS(get(tcp, IPPROTO_TCP, TCP_KEEPINTVL), 75);
    CHECK_IS(get(tcp, IPPROTO_TCP, TCP_KEEPCNT), 9);
    CHECK_IS(get(tcp, IPPROTO_TCP, TCP_SYNCNT), 6);
    CHECK_IS(get(tcp, IPPROTO_TCP, TCP_QUICKACK), 1);
    CHECK_IS(get(tcp, IPPROTO_TCP, TCP_MAXSEG), 536);
    CHECK_IS(loop_kernel_setsockopt(tcp, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
    time = (struct timeval){0};
    CHECK_IS(loop_kernel_getsockopt(tcp, SOL_SOCKET, SO_RCVTIMEO, &time, &length), 0);
    CHECK_IS(time.tv_sec, 2);
    CHECK_IS(time.tv_usec, 500000);
    time.tv_usec = 1000000;
    CHECK_FAILS(loop_kernel_setsockopt(tcp, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time), EDOM);
    close_both((int[]){tcp, local});
}

static struct tcp_info info_of(int number)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;

    CHECK_IS(loop_kernel_getsockopt(number, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    CHECK_IS(length, sizeof info);
    return info;
}

static bool is_up(int number)
{
    struct tcp_info info = info_of(number);

    return info.tcpi_state == TCP_ESTABLISHED && info.tcpi_snd_mss >= 500 && info.tcpi_rcv_mss > 0 &&
           info.tcpi_pmtu > info.tcpi_snd_mss && info.tcpi_snd_cwnd > 0 && info.tcpi_rtt > 0 &&
           info.tcpi_retransmits == 0 && info.tcpi_total_retrans == 0 && info.tcpi_lost == 0;
}

TEST(what_is_known_of_a_connection_can_be_asked)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = open_socket(AF_INET, SOCK_STREAM), client = open_socket(AF_INET, SOCK_STREAM);
    unsigned char state = 0;

    CHECK_IS(info_of(client).tcpi_state, TCP_CLOSE);
    CHECK_IS(info_of(client).tcpi_rtt, 0);
    CHECK_IS(info_of(client).tcpi_unacked, 0);
    CHECK_IS(loop_kernel_bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(loop_kernel_listen(listener, 5), 0);
    CHECK_IS(loop_kernel_getsockname(listener, (struct sockaddr *)&address, &length), 0);
    CHECK(loop_kernel_connect(client, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
    CHECK_IS(info_of(listener).tcpi_state, TCP_LISTEN);
    CHECK_IS(info_of(listener).tcpi_unacked, 1);
    CHECK_IS(info_of(listener).tcpi_sacked, 5);
    int server = loop_kernel_accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(server >= 0);
    CHECK(is_up(client) && is_up(server));
    length = 1;
    CHECK_IS(loop_kernel_getsockopt(server, IPPROTO_TCP, TCP_INFO, &state, &length), 0);
    CHECK(length == 1 && state == TCP_ESTABLISHED);
    CHECK_IS(loop_kernel_shutdown(client, SHUT_WR), 0);
    state = info_of(client).tcpi_state;
    CHECK(state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2);
    CHECK_IS(info_of(server).tcpi_state, TCP_CLOSE_WAIT);
    CHECK_IS(loop_kernel_close(server), 0);
    CHECK_IS(info_of(client).tcpi_state, TCP_CLOSE);
    CHECK_IS(loop_kernel_close(client), 0);
    CHECK_IS(loop_kernel_close(listener), 0);
}

TEST(a_linger_time_is_kept)
{
    int number = open_socket(AF_INET, SOCK_STREAM);
    struct linger linger = {2, 30};
    socklen_t length = sizeof linger;

    CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    linger = (struct linger){0};
    CHECK_IS(loop_kernel_getsockopt(number, SOL_SOCKET, SO_LINGER, &linger, &length), 0);
    CHECK_IS(linger.l_onoff, 1);
    CHECK_IS(linger.l_linger, 30);
    CHECK_FAILS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_LINGER, &linger, 4), EINVAL);
    linger = (struct linger){0};
    CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    CHECK_IS(loop_kernel_getsockopt(number, SOL_SOCKET, SO_LINGER, &linger, &length), 0);
    CHECK_IS(linger.l_onoff, 0);
    length = 1;
    CHECK_IS(loop_kernel_getsockopt(number, SOL_SOCKET, SO_TYPE, &linger, &length), 0);
    CHECK_IS(length, 1);
    CHECK_IS(loop_kernel_close(number), 0);
}
