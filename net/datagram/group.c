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

/* Returns the level of the options of the socket's family. */
static int level_of(const struct loop_datagram_socket *socket)
{
    return socket->local.u.any.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
}

/* Calls setsockopt(2) with an option of the socket's family. Returns 0 or -errno. */
static int set(struct loop_datagram_socket *socket, int option, const void *value, size_t size)
{
    int number = loop_fd_use(socket->fd);

    if (number < 0) {
        return number;
    }
    int error = loop_kernel_setsockopt(number, level_of(socket), option, value, (socklen_t)size) < 0 ? -errno : 0;
    loop_fd_unuse(socket->fd);
    return error;
}

/* ---- memberships of any source ---- */

/* The kernel has no error for a source of such a group: a join would narrow the membership to that source, and a leave,
 * although it fails, to no source at all. Whether a membership is one of any source the kernel says for an interface,
 * and with IPv4 for that of the route. A call without an interface is with IPv6 about any membership of the group: for
 * these the socket stores them. In the scope's memory. */
struct loop_datagram_membership {
    struct loop_datagram_membership *next;
    struct loop_address group;
    unsigned interface; /* as the program has given it */
};

static bool is_same_group(const struct loop_address *one, const struct loop_address *other)
{
    return one->u.any.sa_family == AF_INET
               ? one->u.ipv4.sin_addr.s_addr == other->u.ipv4.sin_addr.s_addr
               : memcmp(&one->u.ipv6.sin6_addr, &other->u.ipv6.sin6_addr, sizeof one->u.ipv6.sin6_addr) == 0;
}

/* Returns the place of a membership in the list, or that of its end. An interface that the kernel has chosen may be
 * any. */
static struct loop_datagram_membership **find(struct loop_datagram_socket *socket, const struct loop_address *group,
                                              unsigned interface)
{
    struct loop_datagram_membership **at = &socket->memberships, **similar = NULL;

    for (; *at; at = &(*at)->next) {
        bool is_same = is_same_group(&(*at)->group, group);
        if (is_same && (*at)->interface == interface) {
            return at;
        }
        if (is_same && ((*at)->interface == 0 || interface == 0)) {
            similar = at;
        }
    }
    return similar ? similar : at;
}

/* Returns whether a getsockopt(2) has found a membership of any source. */
static bool is_any(int error, uint32_t mode)
{
    return error == 0 && mode == MCAST_EXCLUDE;
}

/* Returns whether the socket is a member of an IPv4 group for any source, on the interface of the route to it. */
static bool is_for_any_by_route(struct loop_datagram_socket *socket, const struct loop_address *group)
{
    struct ip_msfilter filter = {.imsf_multiaddr = group->u.ipv4.sin_addr};
    socklen_t size = IP_MSFILTER_SIZE(0);
    int error = loop_kernel_getsockopt(loop_fd_peek(socket->fd), IPPROTO_IP, IP_MSFILTER, &filter, &size);

    return is_any(error, filter.imsf_fmode);
}

/* Returns whether the socket, which is open, is a member of the group for any source. */
static bool is_for_any(struct loop_datagram_socket *socket, const struct loop_address *group, unsigned interface)
{
    struct group_filter filter = {.gf_interface = interface};
    socklen_t size = GROUP_FILTER_SIZE(0);

    if (interface == 0) {
        bool is_ipv4 = group->u.any.sa_family == AF_INET;
        return is_ipv4 ? is_for_any_by_route(socket, group) : *find(socket, group, interface) != NULL;
    }
    memcpy(&filter.gf_group, &group->u, group->length);
    int error = loop_kernel_getsockopt(loop_fd_peek(socket->fd), level_of(socket), MCAST_MSFILTER, &filter, &size);
    return is_any(error, filter.gf_fmode);
}

static void push(struct loop_datagram_membership **list, struct loop_datagram_membership *membership)
{
    membership->next = *list;
    *list = membership;
}

static struct loop_datagram_membership *pop(struct loop_datagram_membership **at)
{
    struct loop_datagram_membership *membership = *at;

    if (membership) {
        *at = membership->next;
    }
    return membership;
}

static int join_any(struct loop_datagram_socket *socket, const struct loop_address *group, unsigned interface,
                    const struct group_req *request)
{
    struct loop_datagram_membership *membership = pop(&socket->spare_memberships);

    membership = membership ? membership : loop_scope_alloc(socket->scope, sizeof *membership);
    if (!membership) {
        return -ENOMEM;
    }
    membership->group = *group;
    membership->interface = interface;
    int error = set(socket, MCAST_JOIN_GROUP, request, sizeof *request);
    push(error == 0 ? &socket->memberships : &socket->spare_memberships, membership);
    return error;
}

static int change_any(struct loop_datagram_socket *socket, const struct loop_address *group, unsigned interface,
                      bool joins)
{
    struct group_req request = {.gr_interface = interface};

    memcpy(&request.gr_group, &group->u, group->length);
    if (joins) {
        return join_any(socket, group, interface, &request);
    }
    int error = set(socket, MCAST_LEAVE_GROUP, &request, sizeof request);
    struct loop_datagram_membership *membership = error == 0 ? pop(find(socket, group, interface)) : NULL;
    if (membership) {
        push(&socket->spare_memberships, membership);
    }
    return error;
}

/* ---- one source ---- */

/* The kernel's errors for a source that has been joined before, and for one of a group that has not. */
static int change_source(struct loop_datagram_socket *socket, const struct loop_address *group,
                         const struct loop_address *source, unsigned interface, bool joins)
{
    struct group_source_req request = {.gsr_interface = interface};

    memcpy(&request.gsr_group, &group->u, group->length);
    memcpy(&request.gsr_source, &source->u, source->length);
    int error = set(socket, joins ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &request, sizeof request);
    if (joins) {
        return error == -EADDRNOTAVAIL ? -EADDRINUSE : error;
    }
    return error == -EINVAL ? -EADDRNOTAVAIL : error;
}

static int change(struct loop_datagram_socket *socket, const struct loop_address *group,
                  const struct loop_address *source, unsigned interface, bool joins)
{
    int error = check(socket, group, source);

    if (error < 0) {
        return error;
    }
    if (!source) {
        return change_any(socket, group, interface, joins);
    }
    bool has_any = loop_fd_is_open(socket->fd) && is_for_any(socket, group, interface);
    return has_any ? -EADDRNOTAVAIL : change_source(socket, group, source, interface, joins);
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
