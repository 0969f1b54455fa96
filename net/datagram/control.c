/* SPDX-License-Identifier: ISC
 *
 * Control messages of datagrams. See control.h.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>
#include <net/datagram/control.h>

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

bool loop_net_ask_trains(int number)
{
    int yes = 1;

    return loop_kernel_setsockopt(number, IPPROTO_UDP, UDP_GRO, &yes, sizeof yes) == 0;
}

bool loop_net_has_trains(int number)
{
    int is_on = 0;
    socklen_t length = sizeof is_on;

    return loop_kernel_getsockopt(number, IPPROTO_UDP, UDP_GRO, &is_on, &length) == 0 && is_on;
}

bool loop_net_has_segments(int number)
{
    int size = 0;
    socklen_t length = sizeof size;

    return loop_kernel_getsockopt(number, IPPROTO_UDP, UDP_SEGMENT, &size, &length) == 0;
}

/* ---- receiving ---- */

struct asked {
    unsigned report;
    int level, option;
    bool is_ipv6; /* only on a socket of IPv6; those of IPv4 are for mapped addresses too */
};

static const struct asked asked[] = {
    {LOOP_DATAGRAM_TRAFFIC_CLASS, IPPROTO_IP, IP_RECVTOS, false},
    {LOOP_DATAGRAM_TRAFFIC_CLASS, IPPROTO_IPV6, IPV6_RECVTCLASS, true},
    {LOOP_DATAGRAM_HOP_LIMIT, IPPROTO_IP, IP_RECVTTL, false},
    {LOOP_DATAGRAM_HOP_LIMIT, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, true},
    {LOOP_DATAGRAM_PACKET_INFO, IPPROTO_IP, IP_PKTINFO, false},
    {LOOP_DATAGRAM_PACKET_INFO, IPPROTO_IPV6, IPV6_RECVPKTINFO, true},
    {LOOP_DATAGRAM_TIME, SOL_SOCKET, SO_TIMESTAMPNS, false},
    {LOOP_DATAGRAM_ERRORS, IPPROTO_IP, IP_RECVERR, false},
    {LOOP_DATAGRAM_ERRORS, IPPROTO_IPV6, IPV6_RECVERR, true},
};

int loop_net_ask_reports(int number, sa_family_t family, unsigned reports)
{
    int yes = 1;

    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        bool is_wanted = (reports & asked[i].report) != 0 && (!asked[i].is_ipv6 || family == AF_INET6);
        if (is_wanted && loop_kernel_setsockopt(number, asked[i].level, asked[i].option, &yes, sizeof yes) < 0) {
            return -errno;
        }
    }
    return 0;
}

int loop_net_forbid_fragments(int number, sa_family_t family)
{
    int by_ipv4 = IP_PMTUDISC_DO, by_ipv6 = IPV6_PMTUDISC_DO;

    if (loop_kernel_setsockopt(number, IPPROTO_IP, IP_MTU_DISCOVER, &by_ipv4, sizeof by_ipv4) < 0) {
        return -errno;
    }
    if (family != AF_INET6) {
        return 0;
    }
    return loop_kernel_setsockopt(number, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &by_ipv6, sizeof by_ipv6) < 0 ? -errno : 0;
}

void loop_net_clear_report(struct loop_net_report *report)
{
    report->origin.family = 0;
    report->destination.family = 0;
    report->segment_bytes = 0;
    report->traffic_class = -1;
    report->hop_limit = -1;
    report->interface = 0;
    report->time_ns = 0;
}

static int number_of(const struct cmsghdr *message)
{
    int number = *CMSG_DATA(message); /* IP_TOS has one byte */

    if (message->cmsg_len >= CMSG_LEN(sizeof number)) {
        memcpy(&number, CMSG_DATA(message), sizeof number);
    }
    return number;
}

static void read_packet_info(const struct cmsghdr *message, const struct sockaddr *sender,
                             struct loop_net_report *report)
{
    loop_net_read_origin(message, sender, &report->origin);
    report->interface = loop_net_read_destination(message, sender, &report->destination);
}

static void read_ipv4(const struct cmsghdr *message, const struct sockaddr *sender, struct loop_net_report *report)
{
    switch (message->cmsg_type) {
    case IP_PKTINFO: read_packet_info(message, sender, report); break;
    case IP_TOS: report->traffic_class = number_of(message); break;
    case IP_TTL: report->hop_limit = number_of(message); break;
    default: break;
    }
}

static void read_ipv6(const struct cmsghdr *message, const struct sockaddr *sender, struct loop_net_report *report)
{
    switch (message->cmsg_type) {
    case IPV6_PKTINFO: read_packet_info(message, sender, report); break;
    case IPV6_TCLASS: report->traffic_class = number_of(message); break;
    case IPV6_HOPLIMIT: report->hop_limit = number_of(message); break;
    default: break;
    }
}

static void read_time(const struct cmsghdr *message, struct loop_net_report *report)
{
    struct timespec time;

    if (message->cmsg_type == SO_TIMESTAMPNS && message->cmsg_len >= CMSG_LEN(sizeof time)) {
        memcpy(&time, CMSG_DATA(message), sizeof time);
        report->time_ns = (int64_t)time.tv_sec * LOOP_SECOND + time.tv_nsec;
    }
}

static void read_message(const struct cmsghdr *message, const struct sockaddr *sender, struct loop_net_report *report)
{
    switch (message->cmsg_level) {
    case IPPROTO_IP: read_ipv4(message, sender, report); break;
    case IPPROTO_IPV6: read_ipv6(message, sender, report); break;
    case SOL_SOCKET: read_time(message, report); break;
    case IPPROTO_UDP:
        if (message->cmsg_type == UDP_GRO) {
            report->segment_bytes = (size_t)number_of(message);
        }
        break;
    default: break;
    }
}

void loop_net_read_report(const struct msghdr *header, struct loop_net_report *report)
{
    struct msghdr *messages = (struct msghdr *)(uintptr_t)header; /* CMSG_NXTHDR takes no const */

    loop_net_clear_report(report);
    for (struct cmsghdr *at = CMSG_FIRSTHDR(messages); at; at = CMSG_NXTHDR(messages, at)) {
        read_message(at, header->msg_name, report);
    }
}

void loop_net_close_passed(const struct msghdr *header)
{
    struct msghdr *messages = (struct msghdr *)(uintptr_t)header;

    for (struct cmsghdr *at = CMSG_FIRSTHDR(messages); at; at = CMSG_NXTHDR(messages, at)) {
        bool has_numbers = at->cmsg_level == SOL_SOCKET && (at->cmsg_type == SCM_RIGHTS || at->cmsg_type == SCM_PIDFD);
        size_t n = has_numbers ? (at->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t i = 0; i < n; i++) {
            int number;
            memcpy(&number, CMSG_DATA(at) + i * sizeof number, sizeof number);
            if (number >= 0) { /* that of a process is a negative errno where there was no descriptor left */
                loop_kernel_close(number);
            }
        }
    }
}

/* ---- sending ---- */

void loop_net_write_envelope(const struct loop_net_envelope *envelope, void *control, struct msghdr *header)
{
    int traffic_class = envelope->traffic_class, hop_limit = envelope->hop_limit;
    bool is_ipv4 = envelope->is_ipv4;
    int level = is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6;

    if (envelope->origin.family != 0) {
        loop_net_write_origin(&envelope->origin, control, header);
    }
    if (traffic_class >= 0) {
        loop_net_add_control(header, control, level, is_ipv4 ? IP_TOS : IPV6_TCLASS, &traffic_class,
                             sizeof traffic_class);
    }
    if (hop_limit >= 0) {
        loop_net_add_control(header, control, level, is_ipv4 ? IP_TTL : IPV6_HOPLIMIT, &hop_limit, sizeof hop_limit);
    }
}

bool loop_net_is_same_envelope(const struct loop_net_envelope *one, const struct loop_net_envelope *other)
{
    const struct loop_net_origin *from = &one->origin, *other_from = &other->origin;

    if (from->family != other_from->family || one->traffic_class != other->traffic_class ||
        one->hop_limit != other->hop_limit) {
        return false;
    }
    size_t size = from->family == AF_INET ? sizeof from->u.ipv4 : sizeof from->u.ipv6;
    return from->family == 0 ||
           (from->interface == other_from->interface && memcmp(&from->u, &other_from->u, size) == 0);
}
