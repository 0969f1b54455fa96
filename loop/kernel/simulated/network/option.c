/* SPDX-License-Identifier: ISC
 *
 * Socket options. Most are numbers that a socket keeps: a table has their ranges, as Linux checks them.
 */
#include <loop/kernel/simulated/network/udp/group.h>
#include <loop/kernel/simulated/network/host.h>
#include <loop/kernel/simulated/network/option.h>
#include <loop/kernel/simulated/network/tcp/arrival.h>
#include <loop/kernel/simulated/network/tcp/info.h>
#include <loop/kernel/simulated/network/tcp/segment.h>
#include <loop/kernel/simulated/network/unix/pidfd.h>

#include <limits.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/time.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum {
    MOST_BUFFER = 4194304,
    LEAST_RCVBUF = 2304,
    LEAST_SNDBUF = 4608,
    RCVBUF = 212992,
    SNDBUF = 212992,
    TCP_RCVBUF = 131072,
    MOST_TCP_RCVBUF = 33554432,
    TCP_SNDBUF = 16384,
    UNKNOWN_MSS = 536,
    LEAST_MSS = 88,
    LOOPBACK_MSS = 32741,
    ETHERNET_MSS = 1448,
    TCP_RTO_MOST = 120
};

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

/* Which sockets have an option. */
enum { ANY = 0, INTERNET = 1, IPV6 = 2, TCP = 4, DATAGRAM = 8 };

struct row {
    int level, name;
    enum loop_sim_option option;
    int most; /* 1: a flag: anything but 0 is 1. Else the largest number */
    int least;
    int initial;
    int sockets;
};

static const struct row rows[] = {
    {SOL_SOCKET, SO_BROADCAST, LOOP_SIM_OPTION_BROADCAST, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_DONTROUTE, LOOP_SIM_OPTION_DONTROUTE, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_KEEPALIVE, LOOP_SIM_OPTION_KEEPALIVE, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_OOBINLINE, LOOP_SIM_OPTION_OOBINLINE, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_PRIORITY, LOOP_SIM_OPTION_PRIORITY, INT_MAX, INT_MIN, 0, ANY},
    {SOL_SOCKET, SO_RCVLOWAT, LOOP_SIM_OPTION_RCVLOWAT, INT_MAX, INT_MIN, 1, ANY},
    {SOL_SOCKET, SO_REUSEADDR, LOOP_SIM_OPTION_REUSEADDR, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_REUSEPORT, LOOP_SIM_OPTION_REUSEPORT, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_PASSCRED, LOOP_SIM_OPTION_PASSCRED, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_MARK, LOOP_SIM_OPTION_MARK, INT_MAX, INT_MIN, 0, ANY},
    {SOL_SOCKET, SO_TIMESTAMP, LOOP_SIM_OPTION_TIMESTAMP, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_TIMESTAMPNS, LOOP_SIM_OPTION_TIMESTAMPNS, 1, 0, 0, ANY},
    {SOL_SOCKET, SO_BUSY_POLL, LOOP_SIM_OPTION_BUSY_POLL, INT_MAX, 0, 0, ANY},
    {IPPROTO_IP, IP_FREEBIND, LOOP_SIM_OPTION_IP_FREEBIND, 1, 0, 0, INTERNET},
    {IPPROTO_IP, IP_TOS, LOOP_SIM_OPTION_IP_TOS, 255, INT_MIN, 0, INTERNET},
    {IPPROTO_IP, IP_TTL, LOOP_SIM_OPTION_IP_TTL, 255, 1, 64, INTERNET},
    {IPPROTO_IP, IP_PKTINFO, LOOP_SIM_OPTION_IP_PKTINFO, 1, 0, 0, INTERNET},
    {IPPROTO_IP, IP_RECVTOS, LOOP_SIM_OPTION_IP_RECVTOS, 1, 0, 0, INTERNET},
    {IPPROTO_IP, IP_RECVTTL, LOOP_SIM_OPTION_IP_RECVTTL, 1, 0, 0, INTERNET},
    {IPPROTO_IP, IP_RECVERR, LOOP_SIM_OPTION_IP_RECVERR, 1, 0, 0, INTERNET},
    {IPPROTO_IP, IP_MTU_DISCOVER, LOOP_SIM_OPTION_IP_MTU_DISCOVER, 5, 0, 1, INTERNET},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, LOOP_SIM_OPTION_IP_BIND_ADDRESS_NO_PORT, 1, 0, 0, INTERNET},
    {IPPROTO_IP, IP_MULTICAST_TTL, LOOP_SIM_OPTION_IP_MULTICAST_TTL, 255, 0, 1, INTERNET | DATAGRAM},
    {IPPROTO_IP, IP_MULTICAST_LOOP, LOOP_SIM_OPTION_IP_MULTICAST_LOOP, 1, 0, 1, INTERNET},
    {IPPROTO_IP, IP_MULTICAST_ALL, LOOP_SIM_OPTION_IP_MULTICAST_ALL, 1, 0, 1, INTERNET},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, LOOP_SIM_OPTION_IPV6_MTU_DISCOVER, 5, 0, 1, IPV6},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, LOOP_SIM_OPTION_IPV6_MULTICAST_HOPS, 255, -1, 1, IPV6 | DATAGRAM},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, LOOP_SIM_OPTION_IPV6_MULTICAST_LOOP, 1, 0, 1, IPV6},
    {IPPROTO_IPV6, IPV6_MULTICAST_ALL, LOOP_SIM_OPTION_IPV6_MULTICAST_ALL, 1, 0, 1, IPV6},
    {IPPROTO_IPV6, IPV6_V6ONLY, LOOP_SIM_OPTION_IPV6_V6ONLY, 1, 0, 0, IPV6},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, LOOP_SIM_OPTION_IPV6_RECVPKTINFO, 1, 0, 0, IPV6},
    {IPPROTO_IPV6, IPV6_TCLASS, LOOP_SIM_OPTION_IPV6_TCLASS, 255, -1, 0, IPV6},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, LOOP_SIM_OPTION_IPV6_RECVTCLASS, 1, 0, 0, IPV6},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, LOOP_SIM_OPTION_IPV6_RECVHOPLIMIT, 1, 0, 0, IPV6},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, LOOP_SIM_OPTION_IPV6_UNICAST_HOPS, 255, -1, 64, IPV6},
    {IPPROTO_IPV6, IPV6_RECVERR, LOOP_SIM_OPTION_IPV6_RECVERR, 1, 0, 0, IPV6},
    {IPPROTO_TCP, TCP_NODELAY, LOOP_SIM_OPTION_TCP_NODELAY, 1, 0, 0, TCP},
    {IPPROTO_TCP, TCP_CORK, LOOP_SIM_OPTION_TCP_CORK, 1, 0, 0, TCP},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, LOOP_SIM_OPTION_TCP_DEFER_ACCEPT, INT_MAX, INT_MIN, 0, TCP},
    {IPPROTO_TCP, TCP_FASTOPEN, LOOP_SIM_OPTION_TCP_FASTOPEN, INT_MAX, 0, 0, TCP},
    {IPPROTO_TCP, TCP_KEEPCNT, LOOP_SIM_OPTION_TCP_KEEPCNT, 127, 1, 9, TCP},
    {IPPROTO_TCP, TCP_KEEPIDLE, LOOP_SIM_OPTION_TCP_KEEPIDLE, 32767, 1, 7200, TCP},
    {IPPROTO_TCP, TCP_KEEPINTVL, LOOP_SIM_OPTION_TCP_KEEPINTVL, 32767, 1, 75, TCP},
    {IPPROTO_TCP, TCP_MAXSEG, LOOP_SIM_OPTION_TCP_MAXSEG, 32767, 0, 0, TCP},
    {IPPROTO_TCP, TCP_QUICKACK, LOOP_SIM_OPTION_TCP_QUICKACK, 1, 0, 1, TCP},
    {IPPROTO_TCP, TCP_SYNCNT, LOOP_SIM_OPTION_TCP_SYNCNT, 127, 1, 6, TCP},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, LOOP_SIM_OPTION_TCP_USER_TIMEOUT, INT_MAX, 0, 0, TCP},
    {IPPROTO_TCP, TCP_LINGER2, LOOP_SIM_OPTION_TCP_LINGER2, 120, INT_MIN, 60, TCP},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, LOOP_SIM_OPTION_TCP_NOTSENT_LOWAT, INT_MAX, INT_MIN, 0, TCP},
    {SOL_SOCKET, SO_INCOMING_CPU, LOOP_SIM_OPTION_INCOMING_CPU, INT_MAX, INT_MIN, -1, ANY},
    {IPPROTO_IP, IP_TRANSPARENT, LOOP_SIM_OPTION_IP_TRANSPARENT, 1, 0, 0, INTERNET},
    {IPPROTO_IP, IP_LOCAL_PORT_RANGE, LOOP_SIM_OPTION_IP_LOCAL_PORT_RANGE, INT_MAX, INT_MIN, 0, INTERNET},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, LOOP_SIM_OPTION_TCP_FASTOPEN_CONNECT, 1, 0, 0, TCP},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, LOOP_SIM_OPTION_TCP_WINDOW_CLAMP, INT_MAX, 0, 0, TCP},
    {IPPROTO_UDP, UDP_SEGMENT, LOOP_SIM_OPTION_UDP_SEGMENT, UINT16_MAX, 0, 0, DATAGRAM},
    {IPPROTO_UDP, UDP_GRO, LOOP_SIM_OPTION_UDP_GRO, 1, 0, 0, DATAGRAM},
};

enum { ROWS = sizeof rows / sizeof *rows };

static bool fits(const struct loop_sim_socket *socket, int sockets)
{
    return (!(sockets & INTERNET) || socket->family != AF_UNIX) && (!(sockets & IPV6) || socket->family == AF_INET6) &&
           (!(sockets & TCP) || socket->number == IPPROTO_TCP) &&
           (!(sockets & DATAGRAM) || socket->number == IPPROTO_UDP);
}

static const struct row *find(const struct loop_sim_socket *socket, int level, int name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].level == level && rows[i].name == name && fits(socket, rows[i].sockets)) {
            return &rows[i];
        }
    }
    return NULL;
}

void loop_sim_options_init(struct loop_sim_socket *socket)
{
    bool is_tcp = socket->number == IPPROTO_TCP;
    for (size_t i = 0; i < ROWS; i++) {
        socket->options[rows[i].option] = rows[i].initial;
    }
    socket->options[LOOP_SIM_OPTION_RCVBUF] = is_tcp ? TCP_RCVBUF : RCVBUF;
    socket->options[LOOP_SIM_OPTION_SNDBUF] = is_tcp ? TCP_SNDBUF : SNDBUF;
}

/* The error for a level that a socket does not have. */
static int unknown(const struct loop_sim_socket *socket, int level, bool is_set)
{
    if (level == SOL_SOCKET || (socket->number == IPPROTO_TCP && level == IPPROTO_TCP)) {
        return -ENOPROTOOPT;
    }
    if (socket->family == AF_UNIX) {
        return -EOPNOTSUPP;
    }
    bool is_own = level == IPPROTO_IP ? socket->family == AF_INET : level == IPPROTO_IPV6 && socket->family == AF_INET6;
    return is_own || is_set || socket->family == AF_INET6 ? -ENOPROTOOPT : -EOPNOTSUPP;
}

/* ---- setting ---- */

static void set_buffer(struct loop_sim_socket *socket, bool is_receive, int value)
{
    unsigned most = (unsigned)value < MOST_BUFFER ? (unsigned)value : MOST_BUFFER;
    int doubled = (int)most * 2;
    int least = is_receive ? LEAST_RCVBUF : LEAST_SNDBUF;
    int *option = &socket->options[is_receive ? LOOP_SIM_OPTION_RCVBUF : LOOP_SIM_OPTION_SNDBUF];
    *option = doubled > least ? doubled : least;
    *(is_receive ? &socket->has_set_rcvbuf : &socket->has_set_sndbuf) = true;
    if (!is_receive) {
        loop_sim_socket_changed(socket, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    }
}

static int set_timeout(int64_t *timeout_ns, const void *value, socklen_t length)
{
    enum { US_PER_S = 1000000, NS_PER_US = 1000 };
    struct timeval time;
    if (length < sizeof time) {
        return -EINVAL;
    }
    memcpy(&time, value, sizeof time);
    if (time.tv_usec < 0 || time.tv_usec >= US_PER_S) {
        return -EDOM;
    }
    bool is_forever = time.tv_sec > INT32_MAX;
    *timeout_ns = is_forever ? 0 : time.tv_sec < 0 ? 1 : ((int64_t)time.tv_sec * US_PER_S + time.tv_usec) * NS_PER_US;
    return 0;
}

static int set_linger(struct loop_sim_socket *socket, const void *value, socklen_t length)
{
    struct linger linger;
    if (length < sizeof linger) {
        return -EINVAL;
    }
    memcpy(&linger, value, sizeof linger);
    if (linger.l_onoff) {
        socket->linger = (struct linger){1, linger.l_linger};
    } else {
        socket->linger.l_onoff = 0;
    }
    return 0;
}

/* Options that are no plain numbers. Returns 1 for one that is. */
static int set_special(struct loop_sim_socket *socket, int level, int name, const void *value, socklen_t length)
{
    int number = 0;
    memcpy(&number, value, length < sizeof number ? length : sizeof number);
    if (level != SOL_SOCKET) {
        return loop_sim_group_set(socket, level, name, value, length);
    }
    switch (name) {
    case SO_RCVBUF:
    case SO_RCVBUFFORCE: set_buffer(socket, true, number); return 0;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE: set_buffer(socket, false, number); return 0;
    case SO_RCVTIMEO: return set_timeout(&socket->receive_timeout_ns, value, length);
    case SO_SNDTIMEO: return set_timeout(&socket->send_timeout_ns, value, length);
    case SO_LINGER: return set_linger(socket, value, length);
    case SO_REUSEPORT: return number && socket->family == AF_UNIX ? -EOPNOTSUPP : 1;
    default: return 1;
    }
}

/* Linux keeps the time as a number of tries. */
static int round_defer(int seconds)
{
    int period = 1, timeout = 1;
    while (seconds > period) {
        timeout = timeout * 2 < TCP_RTO_MOST ? timeout * 2 : TCP_RTO_MOST;
        period += timeout;
    }
    return seconds > 0 ? period : 0;
}

/* A TCP socket never waits for more than half of its buffer, which grows for it. */
static int limit_low_water(struct loop_sim_socket *socket, int value)
{
    int *size = &socket->options[LOOP_SIM_OPTION_RCVBUF];
    value = value < 0 ? INT_MAX : value == 0 ? 1 : value;
    if (socket->number != IPPROTO_TCP) {
        return value;
    }
    int most = (socket->has_set_rcvbuf ? *size : MOST_TCP_RCVBUF) / 2;
    value = value < most ? value : most;
    if (!socket->has_set_rcvbuf && value > *size / 2) {
        *size = value * 2;
    }
    return value;
}

/* Changes a value as Linux does when it is set. Returns 0 or a negative errno. */
static int adjust(struct loop_sim_socket *socket, const struct row *row, int *value)
{
    bool is_open = socket->number == IPPROTO_TCP && socket->stream.state != LOOP_SIM_TCP_CLOSED &&
                   socket->stream.state != LOOP_SIM_TCP_LISTEN;
    bool is_wrong = false;
    if (row->most == 1) {
        *value = *value != 0;
    }
    if (*value < row->least && row->option != LOOP_SIM_OPTION_IP_TTL) {
        return -EINVAL;
    }
    switch (row->option) {
    case LOOP_SIM_OPTION_RCVLOWAT: *value = limit_low_water(socket, *value); break;
    case LOOP_SIM_OPTION_IP_TTL:
    case LOOP_SIM_OPTION_IPV6_UNICAST_HOPS: *value = *value == -1 ? row->initial : *value; break;
    case LOOP_SIM_OPTION_IP_TOS:
        *value &= UCHAR_MAX;
        *value = socket->number == IPPROTO_TCP ? *value & ~3 : *value; /* the kernel's own bits */
        break;
    case LOOP_SIM_OPTION_IPV6_TCLASS: *value = *value == -1 ? 0 : *value; break;
    case LOOP_SIM_OPTION_IPV6_V6ONLY: is_wrong = socket->is_bound; break;
    case LOOP_SIM_OPTION_TCP_DEFER_ACCEPT: *value = round_defer(*value); break;
    case LOOP_SIM_OPTION_TCP_FASTOPEN: is_wrong = is_open; break;
    case LOOP_SIM_OPTION_TCP_MAXSEG: is_wrong = *value != 0 && *value < LEAST_MSS; break;
    default: break;
    }
    return is_wrong || *value < row->least || *value > row->most ? -EINVAL : 0;
}

/* TCP_NODELAY, or no TCP_CORK any more: what was kept back is sent. */
static void flush(struct loop_sim_socket *socket, enum loop_sim_option option)
{
    bool is_set = socket->options[option];
    if (is_set == (option == LOOP_SIM_OPTION_TCP_NODELAY)) {
        loop_sim_stream_push(socket, LOOP_SIM_PUSH_ALL);
    }
}

/* What else the change of an option of a TCP socket does. */
static void apply(struct loop_sim_socket *socket, enum loop_sim_option option)
{
    loop_sim_network_enter(socket->file.node->world);
    switch (option) {
    case LOOP_SIM_OPTION_KEEPALIVE:
    case LOOP_SIM_OPTION_TCP_KEEPIDLE: loop_sim_stream_arm_keepalive(socket); break;
    case LOOP_SIM_OPTION_RCVLOWAT: loop_sim_stream_report_data(socket); break;
    case LOOP_SIM_OPTION_TCP_CORK:
    case LOOP_SIM_OPTION_TCP_NODELAY: flush(socket, option); break;
    default: break;
    }
    loop_sim_network_leave(socket->file.node->world);
}

int loop_sim_option_set(struct loop_sim_socket *socket, int level, int name, const void *value, socklen_t length)
{
    int number = 0;
    if ((int)length < 0) {
        return -EINVAL;
    }
    int error = set_special(socket, level, name, value, length);
    if (error != 1) {
        return error;
    }
    const struct row *row = find(socket, level, name);
    if (!row) {
        return unknown(socket, level, true);
    }
    if (length >= sizeof number) {
        memcpy(&number, value, sizeof number);
    } else if (level == IPPROTO_IP && length >= 1) {
        number = *(const unsigned char *)value;
    } else {
        return -EINVAL;
    }
    error = adjust(socket, row, &number);
    if (!error) {
        socket->options[row->option] = number;
    }
    if (!error && socket->number == IPPROTO_TCP) {
        apply(socket, row->option);
    }
    return error;
}

/* ---- getting ---- */

static int answer(void *to, socklen_t *length, const void *from, size_t size)
{
    *length = *length < size ? *length : (socklen_t)size;
    memcpy(to, from, *length);
    return 0;
}

static int answer_number(void *to, socklen_t *length, int number)
{
    return answer(to, length, &number, sizeof number);
}

static int answer_timeout(void *to, socklen_t *length, int64_t timeout_ns)
{
    enum { NS_PER_S = 1000000000, NS_PER_US = 1000 };
    const struct timeval time = {.tv_sec = timeout_ns / NS_PER_S, .tv_usec = timeout_ns % NS_PER_S / NS_PER_US};
    return answer(to, length, &time, sizeof time);
}

static int answer_peer(const struct loop_sim_socket *socket, void *to, socklen_t *length)
{
    const struct loop_sim_credentials *peer = &socket->local_socket.peer_credentials;
    struct ucred credentials = {0, (uid_t)-1, (gid_t)-1};
    if (socket->local_socket.has_peer_credentials) {
        credentials = (struct ucred){peer->pid, peer->user, peer->group};
    }
    return answer(to, length, &credentials, sizeof credentials);
}

static int answer_process(const struct loop_sim_socket *socket, void *to, socklen_t *length)
{
    int number = loop_sim_pidfd_open_peer(socket);
    return number < 0 ? number : answer_number(to, length, number);
}

static bool is_listening(const struct loop_sim_socket *socket)
{
    return socket->family == AF_UNIX ? socket->local_socket.is_listening : socket->stream.state == LOOP_SIM_TCP_LISTEN;
}

/* Options of the socket level that are no plain numbers. Returns 1 for one that is. */
static int get_special(struct loop_sim_socket *socket, int name, void *value, socklen_t *length)
{
    switch (name) {
    case SO_ERROR: {
        int error = socket->error ? socket->error : socket->soft_error;
        socket->error = socket->soft_error = 0;
        return answer_number(value, length, error);
    }
    case SO_TYPE: return answer_number(value, length, socket->type);
    case SO_PROTOCOL: return answer_number(value, length, socket->number);
    case SO_DOMAIN: return answer_number(value, length, socket->family);
    case SO_ACCEPTCONN: return answer_number(value, length, is_listening(socket));
    case SO_RCVBUF: return answer_number(value, length, socket->options[LOOP_SIM_OPTION_RCVBUF]);
    case SO_SNDBUF: return answer_number(value, length, socket->options[LOOP_SIM_OPTION_SNDBUF]);
    case SO_SNDLOWAT: return answer_number(value, length, 1);
    case SO_LINGER: return answer(value, length, &socket->linger, sizeof socket->linger);
    case SO_RCVTIMEO: return answer_timeout(value, length, socket->receive_timeout_ns);
    case SO_SNDTIMEO: return answer_timeout(value, length, socket->send_timeout_ns);
    case SO_PEERCRED: return answer_peer(socket, value, length);
    case SO_PEERPIDFD: return answer_process(socket, value, length);
    case SO_COOKIE:
        return *length < sizeof socket->serial ? -EINVAL
                                               : answer(value, length, &socket->serial, sizeof socket->serial);
    default: return 1;
    }
}

static bool is_within_node(const struct loop_sim_socket *socket)
{
    return loop_sim_host_has(socket->file.node, &socket->remote.address);
}

static int get_segment_size(const struct loop_sim_socket *socket)
{
    int asked = socket->options[LOOP_SIM_OPTION_TCP_MAXSEG];
    if (loop_sim_stream_is_closed(socket) || socket->stream.state == LOOP_SIM_TCP_LISTEN) {
        return asked ? asked : UNKNOWN_MSS;
    }
    int most = is_within_node(socket) ? LOOPBACK_MSS : ETHERNET_MSS;
    return asked && asked < most ? asked : most;
}

static int get_mtu(const struct loop_sim_socket *socket)
{
    return (int)loop_sim_host_mtu(socket->file.node, &socket->remote.address, 0);
}

/* struct tcp_info, and what Linux has behind it since 4.1 (linux/tcp.h). The rates are 0: unknown. */
struct long_info {
    struct tcp_info info;
    uint64_t pacing_rate, max_pacing_rate;
    uint64_t bytes_acked, bytes_received;
};

static int answer_info(const struct loop_sim_socket *socket, void *to, socklen_t *length)
{
    struct long_info answered = {.info = loop_sim_stream_info(socket)};
    struct tcp_info *info = &answered.info;
    bool is_known = !loop_sim_stream_is_closed(socket) && socket->stream.state != LOOP_SIM_TCP_LISTEN;
    uint64_t n_bytes = socket->stream.sent_most - socket->stream.unacknowledged;
    info->tcpi_snd_mss = info->tcpi_rcv_mss = (uint32_t)get_segment_size(socket);
    info->tcpi_pmtu = is_known ? (uint32_t)get_mtu(socket) : 0;
    if (is_known) {
        answered.bytes_acked = socket->stream.unacknowledged - 1; /* 1 is the SYN */
        answered.bytes_received = socket->stream.expected - 1;
        info->tcpi_unacked = (uint32_t)((n_bytes + info->tcpi_snd_mss - 1) / info->tcpi_snd_mss);
    }
    return answer(to, length, &answered, sizeof answered);
}

int loop_sim_option_get(struct loop_sim_socket *socket, int level, int name, void *value, socklen_t *length)
{
    if ((int)*length < 0) {
        return -EINVAL;
    }
    int result = level == SOL_SOCKET ? get_special(socket, name, value, length)
                                     : loop_sim_group_get(socket, level, name, value, length);
    if (result != 1) {
        return result;
    }
    if ((level == IPPROTO_IP && name == IP_MTU && socket->family != AF_UNIX) ||
        (level == IPPROTO_IPV6 && name == IPV6_MTU && socket->family == AF_INET6)) {
        return socket->remote.port == 0 ? -ENOTCONN : answer_number(value, length, get_mtu(socket));
    }
    if (level == IPPROTO_TCP && name == TCP_INFO && socket->number == IPPROTO_TCP) {
        return answer_info(socket, value, length);
    }
    const struct row *row = find(socket, level, name);
    if (!row) {
        return unknown(socket, level, false);
    }
    int number = row->option == LOOP_SIM_OPTION_TCP_MAXSEG ? get_segment_size(socket) : socket->options[row->option];
    if (level == IPPROTO_IP && *length > 0 && *length < sizeof number) { /* ip(7): a short buffer gets one byte */
        unsigned char byte = (unsigned char)number;
        return answer(value, length, &byte, 1);
    }
    return answer_number(value, length, number);
}
