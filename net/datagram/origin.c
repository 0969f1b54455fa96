/* SPDX-License-Identifier: ISC
 *
 * The local address of a datagram, as control messages. See origin.h.
 */
#include <loop/kernel/socket.h>
#include <net/datagram/origin.h>

#include <assert.h>
#include <string.h>

bool loop_net_ask_origin(int number, const struct loop_address *local)
{
    int yes = 1;

    if (local->u.any.sa_family == AF_INET && local->u.ipv4.sin_addr.s_addr == htonl(INADDR_ANY)) {
        return loop_kernel_setsockopt(number, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes) == 0;
    }
    if (local->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&local->u.ipv6.sin6_addr)) {
        /* For IPv4 datagrams this option has the address to answer a broadcast from. */
        (void)loop_kernel_setsockopt(number, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
        return loop_kernel_setsockopt(number, IPPROTO_IPV6, IPV6_RECVPKTINFO, &yes, sizeof yes) == 0;
    }
    return false;
}

static void map_ipv4(struct in_addr from, struct in6_addr *to)
{
    *to = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&to->s6_addr[12], &from, sizeof from);
}

/* Stores the origin that an IPv6 message names, unless it is a multicast address, which nothing can be sent from. */
static void note_ipv6(const struct in6_pktinfo *info, struct loop_net_origin *origin)
{
    bool is_local = IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr);

    if (origin->family == 0 && !IN6_IS_ADDR_MULTICAST(&info->ipi6_addr)) {
        origin->family = AF_INET6;
        origin->interface = is_local ? (unsigned)info->ipi6_ifindex : 0;
        origin->u.ipv6 = info->ipi6_addr;
    }
}

/* Stores the origin that an IPv4 message names. `ipi_spec_dst` is the address to answer from, also where the datagram
 * was sent to a broadcast or multicast address. */
static void note_ipv4(const struct in_pktinfo *info, bool is_mapped, struct loop_net_origin *origin)
{
    origin->interface = 0;
    origin->family = is_mapped ? AF_INET6 : AF_INET;
    if (is_mapped) {
        map_ipv4(info->ipi_spec_dst, &origin->u.ipv6);
    } else {
        origin->u.ipv4 = info->ipi_spec_dst;
    }
}

void loop_net_read_origin(const struct cmsghdr *message, const struct sockaddr *sender, struct loop_net_origin *origin)
{
    const void *data = CMSG_DATA(message);

    if (message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, data, sizeof info);
        note_ipv4(&info, sender->sa_family == AF_INET6, origin);
    } else if (message->cmsg_level == IPPROTO_IPV6 && message->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, data, sizeof info);
        note_ipv6(&info, origin);
    }
}

unsigned loop_net_read_destination(const struct cmsghdr *message, const struct sockaddr *sender,
                                   struct loop_net_origin *destination)
{
    if (message->cmsg_level == IPPROTO_IP) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(message), sizeof info);
        unsigned interface = (unsigned)info.ipi_ifindex;
        info.ipi_spec_dst = info.ipi_addr;
        note_ipv4(&info, sender->sa_family == AF_INET6, destination);
        return interface;
    }
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(message), sizeof info);
    destination->family = AF_INET6;
    destination->u.ipv6 = info.ipi6_addr;
    destination->interface = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&info.ipi6_addr)
                                 ? (unsigned)info.ipi6_ifindex
                                 : 0;
    return (unsigned)info.ipi6_ifindex;
}

bool loop_net_origin_of(const struct loop_address *address, struct loop_net_origin *origin)
{
    *origin = (struct loop_net_origin){.family = address->u.any.sa_family};
    if (origin->family == AF_INET) {
        origin->u.ipv4 = address->u.ipv4.sin_addr;
        return true;
    }
    origin->u.ipv6 = address->u.ipv6.sin6_addr;
    origin->interface = IN6_IS_ADDR_LINKLOCAL(&origin->u.ipv6) ? address->u.ipv6.sin6_scope_id : 0;
    return origin->family == AF_INET6;
}

void loop_net_origin_address(const struct loop_net_origin *origin, const struct loop_address *local,
                             struct loop_address *address)
{
    assert(origin->family == 0 || origin->family == local->u.any.sa_family);
    *address = *local;
    if (origin->family == AF_INET) {
        address->u.ipv4.sin_addr = origin->u.ipv4;
    } else if (origin->family == AF_INET6) {
        address->u.ipv6.sin6_addr = origin->u.ipv6;
        address->u.ipv6.sin6_scope_id = origin->interface;
    }
}

void loop_net_add_control(struct msghdr *header, void *control, int level, int type, const void *data, size_t size)
{
    struct cmsghdr *message = (void *)((char *)control + header->msg_controllen);

    header->msg_control = control;
    header->msg_controllen += (socklen_t)CMSG_SPACE(size);
    memset(message, 0, CMSG_SPACE(size));
    message->cmsg_level = level;
    message->cmsg_type = type;
    message->cmsg_len = (socklen_t)CMSG_LEN(size);
    memcpy(CMSG_DATA(message), data, size);
}

void loop_net_write_origin(const struct loop_net_origin *origin, void *control, struct msghdr *header)
{
    if (origin->family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = origin->u.ipv4, .ipi_ifindex = (int)origin->interface};
        loop_net_add_control(header, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else if (origin->family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_addr = origin->u.ipv6, .ipi6_ifindex = origin->interface};
        loop_net_add_control(header, control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}
