/* SPDX-License-Identifier: ISC
 *
 * Socket options by name. <net/net.h> includes this header. All functions are for the loop's thread.
 */
#ifndef NET_SOCKET_OPTION_H
#define NET_SOCKET_OPTION_H

#include <loop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

enum loop_socket_option {
    LOOP_SO_BINDTODEVICE, /* a text: the name of an interface; "": none */
    LOOP_SO_BROADCAST,
    LOOP_SO_BUSY_POLL_US,
    LOOP_SO_DONTROUTE,
    LOOP_SO_INCOMING_CPU,
    LOOP_SO_KEEPALIVE,
    LOOP_SO_LINGER_S, /* seconds. -1: off. 0: a close resets the connection. More: close(2) does not wait, and the
                         kernel goes on sending as with -1 */
    LOOP_SO_MARK,
    LOOP_SO_OOBINLINE,
    LOOP_SO_PRIORITY,
    LOOP_SO_RCVBUF,
    LOOP_SO_RCVLOWAT,
    LOOP_SO_REUSEADDR,
    LOOP_SO_REUSEPORT,
    LOOP_SO_SNDBUF,
    LOOP_IP_BIND_ADDRESS_NO_PORT,
    LOOP_IP_FREEBIND,
    LOOP_IP_LOCAL_PORT_RANGE, /* LOOP_PORT_RANGE(lowest, highest); 0: that of the system. Linux 6.3, also for IPv6 */
    LOOP_IP_MTU_DISCOVER,     /* of enum loop_mtu_discover */
    LOOP_IP_MULTICAST_ALL,
    LOOP_IP_MULTICAST_LOOP,
    LOOP_IP_MULTICAST_TTL,
    LOOP_IP_TOS,
    LOOP_IP_TRANSPARENT,
    LOOP_IP_TTL,
    LOOP_IPV6_MTU_DISCOVER, /* of enum loop_mtu_discover */
    LOOP_IPV6_MULTICAST_HOPS,
    LOOP_IPV6_MULTICAST_LOOP,
    LOOP_IPV6_ONLY,
    LOOP_IPV6_TCLASS,
    LOOP_IPV6_UNICAST_HOPS,
    LOOP_TCP_CONGESTION, /* a text: the name of an algorithm, such as "bbr" */
    LOOP_TCP_CORK,
    LOOP_TCP_DEFER_ACCEPT_S,
    LOOP_TCP_FASTOPEN,
    LOOP_TCP_FASTOPEN_CONNECT,
    LOOP_TCP_KEEPCNT,
    LOOP_TCP_KEEPIDLE_S,
    LOOP_TCP_KEEPINTVL_S,
    LOOP_TCP_LINGER2_S, /* -1: no time in FIN_WAIT2; 0: that of the system */
    LOOP_TCP_MAXSEG,
    LOOP_TCP_NODELAY,
    LOOP_TCP_NOTSENT_LOWAT,
    LOOP_TCP_QUICKACK,
    LOOP_TCP_SYNCNT,
    LOOP_TCP_USER_TIMEOUT_MS,
    LOOP_TCP_WINDOW_CLAMP,
    LOOP_SOCKET_OPTION_COUNT
};

/* Values of LOOP_IP_MTU_DISCOVER and LOOP_IPV6_MTU_DISCOVER, IP_MTU_DISCOVER in ip(7). */
enum loop_mtu_discover {
    LOOP_MTU_DISCOVER_DONT,      /* packets may be fragmented on their way */
    LOOP_MTU_DISCOVER_WANT,      /* the kernel fragments what is longer than the path's MTU */
    LOOP_MTU_DISCOVER_DO,        /* what is longer fails with -EMSGSIZE */
    LOOP_MTU_DISCOVER_PROBE,     /* what is longer than the interface's MTU fails; the path's is not heeded */
    LOOP_MTU_DISCOVER_INTERFACE, /* as _PROBE, and never fragments nor forbids it */
    LOOP_MTU_DISCOVER_OMIT       /* as _INTERFACE, and fragments what is longer than the interface's MTU */
};

/* The value of LOOP_IP_LOCAL_PORT_RANGE: the kernel chooses ports from `lowest` to `highest`. */
#define LOOP_PORT_RANGE(lowest, highest) ((int)((unsigned)(lowest) | (unsigned)(highest) << 16))

/* Size of the longest text of an option, including its NUL. */
#define LOOP_SOCKET_TEXT_SIZE 16

/* Sets a socket option, setsockopt(2). Values are in the unit that ends the option's name, or in bytes, or 0 and 1.
 * Returns 0; -EINVAL for an unknown option, one that is a text, or a value out of its range, which is checked before;
 * -ENOPROTOOPT or -EOPNOTSUPP when this kind of socket does not have the option; -EBADF when the descriptor is closed;
 * -ENOTSOCK; or another errno of setsockopt(2), such as -EPERM or -EDOM. The kernel doubles RCVBUF and SNDBUF, and
 * limits them (socket(7)). */
LOOP_API int loop_socket_set(struct loop_fd *fd, enum loop_socket_option option, int value);

/* Stores the value of a socket option, getsockopt(2): 0 or 1 for a flag. Returns 0; -EINVAL for an unknown option;
 * -ENOPROTOOPT or -EOPNOTSUPP when this kind of socket does not have the option; -EBADF when the descriptor is closed;
 * -ENOTSOCK. */
LOOP_API int loop_socket_get(struct loop_fd *fd, enum loop_socket_option option, int *value);

/* Sets a socket option whose value is a text: LOOP_SO_BINDTODEVICE or LOOP_TCP_CONGESTION. Returns 0; -EINVAL for
 * another option, NULL, or a text of LOOP_SOCKET_TEXT_SIZE bytes or more; -ENODEV for an unknown interface; -ENOENT for
 * an unknown algorithm; -EPERM for those that need a privilege; or an error of loop_socket_set. */
LOOP_API int loop_socket_set_text(struct loop_fd *fd, enum loop_socket_option option, const char *text);

/* Stores the value of a socket option that is a text, with its NUL. `text` has LOOP_SOCKET_TEXT_SIZE bytes. Returns 0;
 * -EINVAL for another option or NULL; or an error of loop_socket_get. */
LOOP_API int loop_socket_get_text(struct loop_fd *fd, enum loop_socket_option option, char *text);

/* What the kernel knows of a TCP connection: a part of TCP_INFO, tcp(7). */
struct loop_tcp_info {
    uint32_t rtt_us, rtt_variance_us; /* smoothed round trip time */
    uint32_t congestion_window;       /* in segments */
    uint32_t send_mss_bytes, receive_mss_bytes, path_mtu_bytes;
    uint32_t unacknowledged, lost; /* segments on their way; of these, segments that are taken for lost */
    uint32_t retransmitted;        /* segments, since the connection began */
};

/* Stores what the kernel knows of a TCP connection. Returns 0; -EOPNOTSUPP or -ENOPROTOOPT when it is none; -EBADF when
 * the descriptor is closed; -ENOTSOCK; -EINVAL for NULL. */
LOOP_API int loop_socket_tcp_info(struct loop_fd *fd, struct loop_tcp_info *info);

/* A socket option that is set before bind(2) and connect(2). Options structs have an array of these and its count. */
struct loop_socket_setting {
    enum loop_socket_option option LOOP_ZERO;
    int value LOOP_ZERO;
};

#ifdef __cplusplus
}
#endif

#endif
