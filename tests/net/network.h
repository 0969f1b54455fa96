/* SPDX-License-Identifier: ISC
 *
 * A network of a test's own, with a loopback interface alone.
 */
#ifndef TESTS_NETWORK_H
#define TESTS_NETWORK_H

#include "harness.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>

static inline bool change_loopback(int fd, int call, struct ifreq *request)
{
    snprintf(request->ifr_name, sizeof request->ifr_name, "lo");
    return ioctl(fd, call, request) == 0;
}

static inline bool set_mtu(int mtu_bytes)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_mtu = mtu_bytes};
    bool is_set = change_loopback(fd, SIOCSIFMTU, &request);

    close(fd);
    return is_set;
}

/* Makes the groups of IPv6 addresses of this machine: the loopback has no route to them by itself, see rtnetlink(7). */
static inline bool add_groups(void)
{
    struct {
        struct nlmsghdr head;
        struct rtmsg route;
        struct rtattr to_head;
        struct in6_addr to;
        struct rtattr by_head;
        int by;
    } request = {.head = {.nlmsg_len = sizeof request,
                          .nlmsg_type = RTM_NEWROUTE,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
                 .route = {.rtm_family = AF_INET6,
                           .rtm_dst_len = 8,
                           .rtm_table = RT_TABLE_LOCAL,
                           .rtm_protocol = RTPROT_BOOT,
                           .rtm_type = RTN_LOCAL},
                 .to_head = {sizeof request.to_head + sizeof request.to, RTA_DST},
                 .to = {.s6_addr = {0xff}},
                 .by_head = {sizeof request.by_head + sizeof request.by, RTA_OIF},
                 .by = 1};
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char rest[256];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool is_added = send(fd, &request, sizeof request, 0) == (ssize_t)sizeof request &&
                    recv(fd, &answer, sizeof answer, 0) > 0 && answer.error.error == 0;

    close(fd);
    return is_added;
}

#if defined(NORIA_SIMULATED) && NORIA_SIMULATED

/* A simulated node has a network of its own. */
static inline bool enter_network(int mtu_bytes)
{
    return set_mtu(mtu_bytes);
}

#else

/* Moves the process to a network of its own, whose loopback has this MTU. Returns false where that is not permitted. */
static inline bool enter_network(int mtu_bytes)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        not_run("a network of its own");
        return false;
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING | IFF_MULTICAST};
    bool is_up = fd >= 0 && change_loopback(fd, SIOCSIFFLAGS, &request);

    close(fd);
    if (!is_up || !set_mtu(mtu_bytes) || !add_groups()) {
        not_run("a network of its own");
        return false;
    }
    return true;
}

#endif

#endif
