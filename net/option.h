/* SPDX-License-Identifier: ISC
 *
 * Socket options on bare descriptors, and sockets opened with some of them set.
 */
#ifndef NET_OPTION_H
#define NET_OPTION_H

#include <net/net.h>

#include <sys/stat.h>

/* Sets an option of the socket `number`. Returns 0 or -errno: -EINVAL for an unknown option or a value out of range. */
int loop_net_set_option(int number, enum loop_socket_option option, int value);

/* Applies settings in their order and stops at the first that fails. Returns 0 or its error. */
int loop_net_apply_settings(int number, const struct loop_socket_setting *settings, size_t n_settings);

/* What connection a socket is for. */
struct loop_net_kind {
    bool packets; /* of a Unix socket */
    bool nagle;
};

/* Binds a socket to an interface and chooses its congestion control. NULL: as it is. Returns 0 or -errno. */
int loop_net_apply_texts(int number, const char *interface, const char *congestion);

/* Opens a nonblocking socket of this family for connections, CLOEXEC, with TCP_NODELAY unless `nagle`. Returns its
 * descriptor or -errno: -EOPNOTSUPP for packets of another family than AF_UNIX. */
int loop_net_open_socket(int family, struct loop_net_kind kind);

/* How a socket is configured before it is bound. */
struct loop_net_binding {
    bool reuse_addr, reuse_port, ipv6_only;
    mode_t mode; /* of a Unix socket's file; 0: as the umask has it */
    const char *interface, *congestion;
    const struct loop_socket_setting *settings;
    size_t n_settings;
};

/* Configures a socket that is to be bound. IPV6_V6ONLY is set both ways, because a sysctl changes its default. Returns
 * 0 or -errno. */
int loop_net_configure(int number, sa_family_t family, const struct loop_net_binding *binding);

#endif
