/* SPDX-License-Identifier: ISC
 *
 * Multicast groups of UDP sockets, on the loopback of one host: the real kernel and the simulated one must give the
 * same answers.
 */
#include "kernel.h"

#include "../../net/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

enum { NONBLOCKING = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, MTU = 65536, LOOPBACK = 1, NONE = 9999 };

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static const struct family {
    int family, level;
    socklen_t length;
    const char *own, *group, *other, *stranger;
} families[] = {
    {AF_INET, IPPROTO_IP, sizeof(struct sockaddr_in), "127.0.0.1", "239.1.2.3", "239.1.2.4", "127.0.0.9"},
    {AF_INET6, IPPROTO_IPV6, sizeof(struct sockaddr_in6), "::1", "ff05::1234", "ff05::1235", "2001:db8::9"},
};

static const struct family *family;

static union address at(const char *text, in_port_t port)
{
    union address address = {.any.sa_family = (sa_family_t)family->family};
    bool is_ipv4 = family->family == AF_INET;

    CHECK_IS(
        inet_pton(family->family, text, is_ipv4 ? (void *)&address.ipv4.sin_addr : (void *)&address.ipv6.sin6_addr), 1);
    address.ipv4.sin_port = port; /* IPv6 has it in the same place */
    return address;
}

static int change(int number, int option, const char *group, const char *source, unsigned interface)
{
    struct group_req of_any = {.gr_interface = interface};
    struct group_source_req of_source = {.gsr_interface = interface};
    union address to = at(group, 0);
    int result;

    if (source) {
        union address from = at(source, 0);
        memcpy(&of_source.gsr_group, &to, family->length);
        memcpy(&of_source.gsr_source, &from, family->length);
        result = loop_kernel_setsockopt(number, family->level, option, &of_source, sizeof of_source);
    } else {
        memcpy(&of_any.gr_group, &to, family->length);
        result = loop_kernel_setsockopt(number, family->level, option, &of_any, sizeof of_any);
    }
    return result < 0 ? -errno : 0;
}

/* By the older options. */
static int change_by_membership(int number, bool joins, const char *group)
{
    union address to = at(group, 0);
    const struct ip_mreqn ipv4 = {.imr_multiaddr = to.ipv4.sin_addr, .imr_ifindex = LOOPBACK};
    const struct ipv6_mreq ipv6 = {.ipv6mr_multiaddr = to.ipv6.sin6_addr, .ipv6mr_interface = LOOPBACK};
    bool is_ipv4 = family->family == AF_INET;
    int option = is_ipv4 ? (joins ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP)
                         : (joins ? IPV6_ADD_MEMBERSHIP : IPV6_DROP_MEMBERSHIP);
    int result = loop_kernel_setsockopt(number, family->level, option, is_ipv4 ? (const void *)&ipv4 : &ipv6,
                                        is_ipv4 ? sizeof ipv4 : sizeof ipv6);

    return result < 0 ? -errno : 0;
}

static int set_interface(int number, int interface)
{
    struct ip_mreqn by_index = {.imr_ifindex = interface};
    bool is_ipv4 = family->family == AF_INET;
    int result = is_ipv4
                     ? loop_kernel_setsockopt(number, IPPROTO_IP, IP_MULTICAST_IF, &by_index, sizeof by_index)
                     : loop_kernel_setsockopt(number, IPPROTO_IPV6, IPV6_MULTICAST_IF, &interface, sizeof interface);

    return result < 0 ? -errno : 0;
}

/* Opens a socket that is bound to all addresses, or to its own; to the port, or to any that is free. */
static int open_bound(bool is_own, in_port_t *port)
{
    union address address = {.any.sa_family = (sa_family_t)family->family};
    int number = loop_kernel_socket(family->family, NONBLOCKING, 0), yes = 1;
    socklen_t length = family->length;

    if (is_own) {
        address = at(family->own, 0);
    }
    address.ipv4.sin_port = *port;
    CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    CHECK_IS(loop_kernel_bind(number, &address.any, family->length), 0);
    CHECK_IS(loop_kernel_getsockname(number, &address.any, &length), 0);
    *port = address.ipv4.sin_port;
    return number;
}

static int sender, member, second;
static in_port_t port;

/* Returns false where a network of the test's own is not permitted. */
static bool open_all(int row)
{
    in_port_t any = 0;

    family = &families[row];
    if (!enter_network(MTU)) {
        return false;
    }
    port = 0;
    member = open_bound(false, &port);
    second = open_bound(false, &port);
    sender = open_bound(true, &any);
    CHECK_IS(set_interface(sender, LOOPBACK), 0);
    return true;
}

static void close_all(void)
{
    CHECK_IS(loop_kernel_close(sender), 0);
    CHECK_IS(loop_kernel_close(member), 0);
    CHECK_IS(loop_kernel_close(second), 0);
}

static void send_to(const char *group, const char *text)
{
    union address to = at(group, port);
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    const struct msghdr message = {.msg_name = &to, .msg_namelen = family->length, .msg_iov = &iov, .msg_iovlen = 1};

    CHECK_IS(loop_kernel_sendmsg(sender, &message, 0), strlen(text));
}

/* Receives all that has come, at most one byte of each, as a string. */
static const char *received(int number)
{
    static char texts[2][32];
    static unsigned n;
    char *text = texts[n++ % 2], *end = text;

    while (loop_kernel_recv(number, end, 1, 0) == 1) {
        end++;
    }
    CHECK_IS(errno, EAGAIN);
    *end = '\0';
    return text;
}

static void set_all(int number, int value)
{
    bool is_ipv4 = family->family == AF_INET;

    CHECK_IS(loop_kernel_setsockopt(number, family->level, is_ipv4 ? IP_MULTICAST_ALL : IPV6_MULTICAST_ALL, &value,
                                    sizeof value),
             0);
}

TEST_ROWS(each_member_of_a_group_gets_a_copy, COUNT_OF(families), row)
{
    if (!open_all(row)) {
        return;
    }
    set_all(member, 0);
    set_all(second, 0);
    send_to(family->group, "a"); /* there is no member */
    CHECK_IS(change(member, MCAST_JOIN_GROUP, family->group, NULL, LOOPBACK), 0);
    CHECK_IS(change(member, MCAST_JOIN_GROUP, family->group, NULL, LOOPBACK), -EADDRINUSE);
    send_to(family->group, "b");
    send_to(family->other, "c");
    CHECK_IS(change(second, MCAST_JOIN_GROUP, family->group, NULL, LOOPBACK), 0);
    send_to(family->group, "d");
    CHECK_TEXT(received(member), "bd");
    CHECK_TEXT(received(second), "d");
    CHECK_IS(change(member, MCAST_LEAVE_GROUP, family->group, NULL, LOOPBACK), 0);
    CHECK_IS(change(member, MCAST_LEAVE_GROUP, family->group, NULL, LOOPBACK), -EADDRNOTAVAIL);
    send_to(family->group, "e");
    CHECK_TEXT(received(member), "");
    CHECK_TEXT(received(second), "e");
    CHECK_IS(change_by_membership(second, false, family->group), 0);
    CHECK_IS(change_by_membership(second, false, family->group), -EADDRNOTAVAIL);
    CHECK_IS(change_by_membership(member, true, family->group), 0);
    CHECK_IS(change_by_membership(member, true, family->group), -EADDRINUSE);
    send_to(family->group, "f");
    CHECK_TEXT(received(member), "f");
    CHECK_TEXT(received(second), "");
    close_all();
}

/* By default a socket gets what is for groups that others on its host are in. */
TEST_ROWS(others_get_what_their_host_is_a_member_of, COUNT_OF(families), row)
{
    if (!open_all(row)) {
        return;
    }
    CHECK_IS(change(member, MCAST_JOIN_GROUP, family->group, NULL, LOOPBACK), 0);
    send_to(family->group, "a");
    CHECK_TEXT(received(member), "a");
    CHECK_TEXT(received(second), "a");
    set_all(second, 0);
    send_to(family->group, "b");
    CHECK_TEXT(received(member), "b");
    CHECK_TEXT(received(second), "");
    close_all();
}

TEST_ROWS(a_membership_may_be_for_some_sources, COUNT_OF(families), row)
{
    if (!open_all(row)) {
        return;
    }
    set_all(member, 0);
    CHECK_IS(change(member, MCAST_LEAVE_SOURCE_GROUP, family->group, family->own, LOOPBACK), -EINVAL);
    CHECK_IS(change(member, MCAST_JOIN_SOURCE_GROUP, family->group, family->stranger, LOOPBACK), 0);
    CHECK_IS(change(member, MCAST_JOIN_SOURCE_GROUP, family->group, family->stranger, LOOPBACK), -EADDRNOTAVAIL);
    send_to(family->group, "a");
    CHECK_IS(change(member, MCAST_JOIN_SOURCE_GROUP, family->group, family->own, LOOPBACK), 0);
    send_to(family->group, "b");
    CHECK_IS(change(member, MCAST_LEAVE_SOURCE_GROUP, family->group, family->own, LOOPBACK), 0);
    send_to(family->group, "c");
    CHECK_IS(change(member, MCAST_LEAVE_SOURCE_GROUP, family->group, family->own, LOOPBACK), -EADDRNOTAVAIL);
    CHECK_TEXT(received(member), "b");
    CHECK_IS(change(member, MCAST_LEAVE_SOURCE_GROUP, family->group, family->stranger, LOOPBACK), 0);
    CHECK_IS(change(member, MCAST_LEAVE_GROUP, family->group, NULL, LOOPBACK), -EADDRNOTAVAIL); /* it ended with that */
    CHECK_IS(change(member, MCAST_JOIN_GROUP, family->group, NULL, LOOPBACK), 0);
    send_to(family->group, "d");
    CHECK_IS(change(member, MCAST_JOIN_SOURCE_GROUP, family->group, family->stranger, LOOPBACK), 0);
    send_to(family->group, "e"); /* the stranger is the only source now */
    CHECK_TEXT(received(member), "d");
    close_all();
}

TEST_ROWS(what_is_no_group_or_interface_is_refused, COUNT_OF(families), row)
{
    family = &families[row];
    port = 0;
    member = open_bound(false, &port);
    CHECK_IS(change(member, MCAST_JOIN_GROUP, family->own, NULL, LOOPBACK), -EINVAL);
    CHECK_IS(change(member, MCAST_JOIN_GROUP, family->group, NULL, NONE), -ENODEV);
    CHECK_IS(change(member, MCAST_JOIN_SOURCE_GROUP, family->group, family->own, NONE), -ENODEV);
    CHECK_IS(set_interface(member, NONE), row ? -ENODEV : -EADDRNOTAVAIL);
    CHECK_IS(set_interface(member, LOOPBACK), 0);
    CHECK_IS(set_interface(member, 0), 0);
    struct group_req short_one = {.gr_interface = LOOPBACK};
    CHECK_FAILS(loop_kernel_setsockopt(member, family->level, MCAST_JOIN_GROUP, &short_one, 8), EINVAL);
    CHECK_IS(loop_kernel_close(member), 0);
    int stream = loop_kernel_socket(family->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(change(stream, MCAST_JOIN_GROUP, family->group, NULL, LOOPBACK), 0); /* of no use */
    CHECK_IS(change_by_membership(stream, true, family->group), -EPROTO);
    CHECK_IS(loop_kernel_close(stream), 0);
}
