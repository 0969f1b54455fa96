/* SPDX-License-Identifier: ISC
 *
 * Socket options by name, and opening sockets with some of them set.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>
#include <loop/part.h>
#include <net/option.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>

enum option_kind {
    OPTION_FLAG, /* 0 or 1 */
    OPTION_NUMBER,
    OPTION_TEXT,
    OPTION_LINGER /* seconds in a struct linger; -1 for off */
};

struct option_row {
    int level, name;
    int min, max;
    enum option_kind kind;
};

#define FLAG(level, name)                                                                                              \
    {                                                                                                                  \
        level, name, 0, 1, OPTION_FLAG                                                                                 \
    }
#define NUMBER(level, name, min, max)                                                                                  \
    {                                                                                                                  \
        level, name, min, max, OPTION_NUMBER                                                                           \
    }

#define TEXT(level, name)                                                                                              \
    {                                                                                                                  \
        level, name, 0, 0, OPTION_TEXT                                                                                 \
    }

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

/* The ranges are those that Linux accepts, without the values that it silently changes (except for sizes in bytes,
 * which it doubles and limits). A TTL of -1, which means the default, is left out too. */
static const struct option_row options[LOOP_SOCKET_OPTION_COUNT] = {
    [LOOP_SO_BINDTODEVICE] = TEXT(SOL_SOCKET, SO_BINDTODEVICE),
    [LOOP_SO_BROADCAST] = FLAG(SOL_SOCKET, SO_BROADCAST),
    [LOOP_SO_BUSY_POLL_US] = NUMBER(SOL_SOCKET, SO_BUSY_POLL, 0, INT_MAX),
    [LOOP_SO_DONTROUTE] = FLAG(SOL_SOCKET, SO_DONTROUTE),
    [LOOP_SO_INCOMING_CPU] = NUMBER(SOL_SOCKET, SO_INCOMING_CPU, 0, INT_MAX),
    [LOOP_SO_KEEPALIVE] = FLAG(SOL_SOCKET, SO_KEEPALIVE),
    [LOOP_SO_LINGER_S] = {SOL_SOCKET, SO_LINGER, -1, INT_MAX, OPTION_LINGER},
    [LOOP_SO_MARK] = NUMBER(SOL_SOCKET, SO_MARK, 0, INT_MAX),
    [LOOP_SO_OOBINLINE] = FLAG(SOL_SOCKET, SO_OOBINLINE),
    [LOOP_SO_PRIORITY] = NUMBER(SOL_SOCKET, SO_PRIORITY, 0, INT_MAX),
    [LOOP_SO_RCVBUF] = NUMBER(SOL_SOCKET, SO_RCVBUF, 0, INT_MAX),
    [LOOP_SO_RCVLOWAT] = NUMBER(SOL_SOCKET, SO_RCVLOWAT, 1, INT_MAX),
    [LOOP_SO_REUSEADDR] = FLAG(SOL_SOCKET, SO_REUSEADDR),
    [LOOP_SO_REUSEPORT] = FLAG(SOL_SOCKET, SO_REUSEPORT),
    [LOOP_SO_SNDBUF] = NUMBER(SOL_SOCKET, SO_SNDBUF, 0, INT_MAX),
    [LOOP_IP_BIND_ADDRESS_NO_PORT] = FLAG(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT),
    [LOOP_IP_LOCAL_PORT_RANGE] = NUMBER(IPPROTO_IP, IP_LOCAL_PORT_RANGE, INT_MIN, INT_MAX),
    [LOOP_IP_FREEBIND] = FLAG(IPPROTO_IP, IP_FREEBIND),
    [LOOP_IP_MTU_DISCOVER] = NUMBER(IPPROTO_IP, IP_MTU_DISCOVER, LOOP_MTU_DISCOVER_DONT, LOOP_MTU_DISCOVER_OMIT),
    [LOOP_IP_MULTICAST_ALL] = FLAG(IPPROTO_IP, IP_MULTICAST_ALL),
    [LOOP_IP_MULTICAST_LOOP] = FLAG(IPPROTO_IP, IP_MULTICAST_LOOP),
    [LOOP_IP_MULTICAST_TTL] = NUMBER(IPPROTO_IP, IP_MULTICAST_TTL, 0, 255),
    [LOOP_IP_TOS] = NUMBER(IPPROTO_IP, IP_TOS, 0, 255),
    [LOOP_IP_TRANSPARENT] = FLAG(IPPROTO_IP, IP_TRANSPARENT),
    [LOOP_IP_TTL] = NUMBER(IPPROTO_IP, IP_TTL, 1, 255),
    [LOOP_IPV6_MTU_DISCOVER] = NUMBER(IPPROTO_IPV6, IPV6_MTU_DISCOVER, LOOP_MTU_DISCOVER_DONT, LOOP_MTU_DISCOVER_OMIT),
    [LOOP_IPV6_MULTICAST_HOPS] = NUMBER(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 0, 255),
    [LOOP_IPV6_MULTICAST_LOOP] = FLAG(IPPROTO_IPV6, IPV6_MULTICAST_LOOP),
    [LOOP_IPV6_ONLY] = FLAG(IPPROTO_IPV6, IPV6_V6ONLY),
    [LOOP_IPV6_TCLASS] = NUMBER(IPPROTO_IPV6, IPV6_TCLASS, 0, 255),
    [LOOP_IPV6_UNICAST_HOPS] = NUMBER(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1, 255),
    [LOOP_TCP_CONGESTION] = TEXT(IPPROTO_TCP, TCP_CONGESTION),
    [LOOP_TCP_CORK] = FLAG(IPPROTO_TCP, TCP_CORK),
    [LOOP_TCP_DEFER_ACCEPT_S] = NUMBER(IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, INT_MAX),
    [LOOP_TCP_FASTOPEN] = NUMBER(IPPROTO_TCP, TCP_FASTOPEN, 0, INT_MAX),
    [LOOP_TCP_FASTOPEN_CONNECT] = FLAG(IPPROTO_TCP, TCP_FASTOPEN_CONNECT),
    [LOOP_TCP_KEEPCNT] = NUMBER(IPPROTO_TCP, TCP_KEEPCNT, 1, 127),
    [LOOP_TCP_KEEPIDLE_S] = NUMBER(IPPROTO_TCP, TCP_KEEPIDLE, 1, 32767),
    [LOOP_TCP_KEEPINTVL_S] = NUMBER(IPPROTO_TCP, TCP_KEEPINTVL, 1, 32767),
    [LOOP_TCP_LINGER2_S] = NUMBER(IPPROTO_TCP, TCP_LINGER2, -1, 120),
    [LOOP_TCP_MAXSEG] = NUMBER(IPPROTO_TCP, TCP_MAXSEG, 88, 32767),
    [LOOP_TCP_NODELAY] = FLAG(IPPROTO_TCP, TCP_NODELAY),
    [LOOP_TCP_NOTSENT_LOWAT] = NUMBER(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, INT_MAX),
    [LOOP_TCP_QUICKACK] = FLAG(IPPROTO_TCP, TCP_QUICKACK),
    [LOOP_TCP_SYNCNT] = NUMBER(IPPROTO_TCP, TCP_SYNCNT, 1, 127),
    [LOOP_TCP_USER_TIMEOUT_MS] = NUMBER(IPPROTO_TCP, TCP_USER_TIMEOUT, 0, INT_MAX),
    [LOOP_TCP_WINDOW_CLAMP] = NUMBER(IPPROTO_TCP, TCP_WINDOW_CLAMP, 0, INT_MAX),
};

/* Returns the row of an option that is a text or none, or NULL for another or an unknown one. An enum may be signed or
 * unsigned: the cast covers both. */
static const struct option_row *find(enum loop_socket_option option, bool is_text)
{
    const struct option_row *row = (unsigned)option < LOOP_SOCKET_OPTION_COUNT ? &options[option] : NULL;

    return row && (row->kind == OPTION_TEXT) == is_text ? row : NULL;
}

int loop_net_set_option(int number, enum loop_socket_option option, int value)
{
    const struct option_row *row = find(option, false);
    int error;

    if (!row || value < row->min || value > row->max) {
        return -EINVAL;
    }
    if (row->kind == OPTION_LINGER) {
        struct linger linger = {.l_onoff = value >= 0, .l_linger = value >= 0 ? value : 0};
        error = loop_kernel_setsockopt(number, row->level, row->name, &linger, sizeof linger);
    } else {
        error = loop_kernel_setsockopt(number, row->level, row->name, &value, sizeof value);
    }
    return error < 0 ? -errno : 0;
}

static int get_linger(int number, const struct option_row *row, int *value)
{
    struct linger linger = {0};
    socklen_t length = sizeof linger;

    if (loop_kernel_getsockopt(number, row->level, row->name, &linger, &length) < 0) {
        return -errno;
    }
    assert(length == sizeof linger);
    *value = linger.l_onoff ? linger.l_linger : -1;
    return 0;
}

static int get_option(int number, const struct option_row *row, int *value)
{
    int found = 0;
    socklen_t length = sizeof found;

    if (row->kind == OPTION_LINGER) {
        return get_linger(number, row, value);
    }
    if (loop_kernel_getsockopt(number, row->level, row->name, &found, &length) < 0) {
        return -errno;
    }
    *value = row->kind == OPTION_FLAG ? found != 0 : found;
    return 0;
}

int loop_socket_set(struct loop_fd *fd, enum loop_socket_option option, int value)
{
    const struct option_row *row = find(option, false);

    if (!loop_check_fd(fd, __func__) || !row || value < row->min || value > row->max) {
        return -EINVAL;
    }
    int number = loop_fd_use(fd);
    if (number < 0) {
        return number;
    }
    int error = loop_net_set_option(number, option, value);
    loop_fd_unuse(fd);
    return error;
}

int loop_socket_get(struct loop_fd *fd, enum loop_socket_option option, int *value)
{
    const struct option_row *row = find(option, false);

    if (!loop_check_fd(fd, __func__) || !row || !value) {
        return -EINVAL;
    }
    int number = loop_fd_use(fd);
    if (number < 0) {
        return number;
    }
    int error = get_option(number, row, value);
    loop_fd_unuse(fd);
    return error;
}

/* Sets an option that is a text. Returns 0 or -errno. */
static int set_text(int number, enum loop_socket_option option, const char *text)
{
    const struct option_row *row = find(option, true);
    size_t length = text ? strnlen(text, LOOP_SOCKET_TEXT_SIZE) : LOOP_SOCKET_TEXT_SIZE;

    if (!row || length >= LOOP_SOCKET_TEXT_SIZE) {
        return -EINVAL;
    }
    return loop_kernel_setsockopt(number, row->level, row->name, text, (socklen_t)length) < 0 ? -errno : 0;
}

int loop_socket_set_text(struct loop_fd *fd, enum loop_socket_option option, const char *text)
{
    if (!loop_check_fd(fd, __func__)) {
        return -EINVAL;
    }
    int number = loop_fd_use(fd);
    if (number < 0) {
        return number;
    }
    int error = set_text(number, option, text);
    loop_fd_unuse(fd);
    return error;
}

int loop_socket_get_text(struct loop_fd *fd, enum loop_socket_option option, char *text)
{
    const struct option_row *row = find(option, true);
    socklen_t length = LOOP_SOCKET_TEXT_SIZE;

    if (!loop_check_fd(fd, __func__) || !row || !text) {
        return -EINVAL;
    }
    int number = loop_fd_use(fd);
    if (number < 0) {
        return number;
    }
    int error = loop_kernel_getsockopt(number, row->level, row->name, text, &length) < 0 ? -errno : 0;
    loop_fd_unuse(fd);
    if (error == 0) {
        text[length < LOOP_SOCKET_TEXT_SIZE ? length : LOOP_SOCKET_TEXT_SIZE - 1] = '\0';
    }
    return error;
}

int loop_socket_tcp_info(struct loop_fd *fd, struct loop_tcp_info *info)
{
    struct tcp_info found = {0};
    socklen_t length = sizeof found;

    if (!loop_check_fd(fd, __func__) || !info) {
        return -EINVAL;
    }
    int number = loop_fd_use(fd);
    if (number < 0) {
        return number;
    }
    int error = loop_kernel_getsockopt(number, IPPROTO_TCP, TCP_INFO, &found, &length) < 0 ? -errno : 0;
    loop_fd_unuse(fd);
    if (error == 0) {
        *info = (struct loop_tcp_info){.rtt_us = found.tcpi_rtt,
                                       .rtt_variance_us = found.tcpi_rttvar,
                                       .congestion_window = found.tcpi_snd_cwnd,
                                       .send_mss_bytes = found.tcpi_snd_mss,
                                       .receive_mss_bytes = found.tcpi_rcv_mss,
                                       .path_mtu_bytes = found.tcpi_pmtu,
                                       .unacknowledged = found.tcpi_unacked,
                                       .lost = found.tcpi_lost,
                                       .retransmitted = found.tcpi_total_retrans};
    }
    return error;
}

int loop_net_apply_texts(int number, const char *interface, const char *congestion)
{
    int error = interface ? set_text(number, LOOP_SO_BINDTODEVICE, interface) : 0;

    return error == 0 && congestion ? set_text(number, LOOP_TCP_CONGESTION, congestion) : error;
}

int loop_net_apply_settings(int number, const struct loop_socket_setting *settings, size_t n_settings)
{
    int error = 0;

    if (n_settings > 0 && !settings) {
        return -EINVAL;
    }
    for (size_t i = 0; i < n_settings && error == 0; i++) {
        error = loop_net_set_option(number, settings[i].option, settings[i].value);
    }
    return error;
}

int loop_net_open_socket(int family, struct loop_net_kind kind)
{
    if (kind.packets && family != AF_UNIX) {
        return -EOPNOTSUPP;
    }
    int type = kind.packets ? SOCK_SEQPACKET : SOCK_STREAM;
    int number = loop_kernel_socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (number < 0) {
        return -errno;
    }
    if (family != AF_UNIX && !kind.nagle) {
        /* It only makes small writes faster: a socket without it works too. */
        (void)loop_net_set_option(number, LOOP_TCP_NODELAY, 1);
    }
    return number;
}

int loop_net_configure(int number, sa_family_t family, const struct loop_net_binding *binding)
{
    int error = 0;

    if (family != AF_UNIX && binding->reuse_addr) {
        error = loop_net_set_option(number, LOOP_SO_REUSEADDR, 1);
    }
    if (error == 0 && binding->reuse_port) {
        error = loop_net_set_option(number, LOOP_SO_REUSEPORT, 1);
    }
    if (error == 0 && family == AF_INET6) {
        error = loop_net_set_option(number, LOOP_IPV6_ONLY, binding->ipv6_only);
    }
    if (error == 0 && family == AF_UNIX && binding->mode != 0 && loop_kernel_fchmod(number, binding->mode) < 0) {
        error = -errno;
    }
    error = error == 0 ? loop_net_apply_texts(number, binding->interface, binding->congestion) : error;
    return error == 0 ? loop_net_apply_settings(number, binding->settings, binding->n_settings) : error;
}
