/* SPDX-License-Identifier: ISC
 *
 * Multicast groups, and the path to a peer: what a program asks of a datagram socket while it is open.
 */
#include <loop/kernel/socket.h>
#include <net/address.h>
#include <net/datagram/socket.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- groups ---- */

static bool is_group(const struct loop_address *group)
{
    return group->u.any.sa_family == AF_INET    ? IN_MULTICAST(ntohl(group->u.ipv4.sin_addr.s_addr))
           : group->u.any.sa_family == AF_INET6 ? IN6_IS_ADDR_MULTICAST(&group->u.ipv6.sin6_addr)
                                                : false;
}

/* Returns 0, or the error for an address that is no group of the socket's family, or no source of that family. */
static int check(const struct loop_datagram_socket *socket, const struct loop_address *group,
                 const struct loop_address *source)
{
    sa_family_t family = socket->local.u.any.sa_family;
    int error = group ? loop_net_check_address(group) : -EINVAL;

    if (error == 0 && source) {
        error = loop_net_check_address(source);
    }
    if (error < 0) {
        return error;
    }
    bool is_good = socket->local.length > 0 && is_group(group) && group->u.any.sa_family == family &&
                   (!source || source->u.any.sa_family == family);
    return is_good ? 0 : -EINVAL;
}

/* Calls setsockopt(2) with an option of the socket's family. Returns 0 or -errno. */
static int set(struct loop_datagram_socket *socket, int option, const void *value, size_t size)
{
    int level = socket->local.u.any.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    int number = loop_fd_use(socket->fd);

    if (number < 0) {
        return number;
    }
    int error = loop_kernel_setsockopt(number, level, option, value, (socklen_t)size) < 0 ? -errno : 0;
    loop_fd_unuse(socket->fd);
    return error;
}

static int change(struct loop_datagram_socket *socket, const struct loop_address *group,
                  const struct loop_address *source, unsigned interface, bool joins)
{
    struct group_source_req of_source = {.gsr_interface = interface};
    struct group_req of_any = {.gr_interface = interface};
    int error = check(socket, group, source);

    if (error < 0) {
        return error;
    }
    if (source) {
        memcpy(&of_source.gsr_group, &group->u, group->length);
        memcpy(&of_source.gsr_source, &source->u, source->length);
        return set(socket, joins ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &of_source, sizeof of_source);
    }
    memcpy(&of_any.gr_group, &group->u, group->length);
    return set(socket, joins ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &of_any, sizeof of_any);
}

int loop_datagram_join(struct loop_datagram_socket *socket, const struct loop_address *group,
                       const struct loop_address *source, unsigned interface)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    return change(socket, group, source, interface, true);
}

int loop_datagram_leave(struct loop_datagram_socket *socket, const struct loop_address *group,
                        const struct loop_address *source, unsigned interface)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    return change(socket, group, source, interface, false);
}

int loop_datagram_set_multicast_interface(struct loop_datagram_socket *socket, unsigned interface)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return -EINVAL;
    }
    if (socket->local.length == 0 || socket->local.u.any.sa_family == AF_UNIX || interface > INT_MAX) {
        return -EINVAL;
    }
    int index = (int)interface;
    struct ip_mreqn by_index = {.imr_ifindex = index};
    return socket->local.u.any.sa_family == AF_INET ? set(socket, IP_MULTICAST_IF, &by_index, sizeof by_index)
                                                    : set(socket, IPV6_MULTICAST_IF, &index, sizeof index);
}

/* ---- the path ---- */

int loop_datagram_path_mtu(struct loop_datagram_socket *socket, size_t *bytes)
{
    if (!loop_datagram_is_good(socket, __func__) || !bytes) {
        return -EINVAL;
    }
    if (socket->local.length == 0 || socket->local.u.any.sa_family == AF_UNIX) {
        return -EOPNOTSUPP;
    }
    bool is_ipv4 = socket->local.u.any.sa_family == AF_INET;
    int number = loop_fd_use(socket->fd), found = 0;
    socklen_t length = sizeof found;

    if (number < 0) {
        return number;
    }
    int error = loop_kernel_getsockopt(number, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_MTU : IPV6_MTU, &found,
                                       &length) < 0
                    ? -errno
                    : 0;
    loop_fd_unuse(socket->fd);
    if (error == 0) {
        *bytes = (size_t)found;
    }
    return error;
}
