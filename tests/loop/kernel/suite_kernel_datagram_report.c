/* SPDX-License-Identifier: ISC
 *
 * What UDP sockets say of datagrams by control messages, within one host, and error queues: the real kernel and the
 * simulated one must give the same answers.
 */
#include "kernel.h"

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>

enum { NONBLOCKING = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC };

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static const union address loopback[] = {
    {.ipv4 = {.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f}},
    {.ipv6 = {.sin6_family = AF_INET6, .sin6_addr = {.s6_addr = {[15] = 1}}}},
};

static void set(int number, int level, int option, int value)
{
    CHECK_IS(loop_kernel_setsockopt(number, level, option, &value, sizeof value), 0);
}

static int open_bound(int row, union address *address)
{
    socklen_t length = row ? sizeof address->ipv6 : sizeof address->ipv4;
    int number = loop_kernel_socket(row ? AF_INET6 : AF_INET, NONBLOCKING, 0);

    *address = loopback[row];
    CHECK_IS(loop_kernel_bind(number, &address->any, length), 0);
    CHECK_IS(loop_kernel_getsockname(number, &address->any, &length), 0);
    return number;
}

/* ---- control messages ---- */

_Alignas(struct cmsghdr) static char control[512];
static union address name;
static char bytes[2048];
static struct iovec iov;
static struct msghdr header;

/* Receives one message. Returns its length. */
static ssize_t receive(int number, int flags)
{
    iov = (struct iovec){bytes, sizeof bytes};
    header = (struct msghdr){.msg_name = &name,
                             .msg_namelen = sizeof name,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    return loop_kernel_recvmsg(number, &header, flags);
}

static void *find(int level, int type)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&header); at; at = CMSG_NXTHDR(&header, at)) {
        if (at->cmsg_level == level && at->cmsg_type == type) {
            return CMSG_DATA(at);
        }
    }
    return NULL;
}

static int value_of(int level, int type)
{
    int value;
    const void *found = find(level, type);

    CHECK(found != NULL);
    memcpy(&value, found, sizeof value);
    return value;
}

/* Sends `len` bytes with one control message. */
static ssize_t send_with(int number, const union address *to, size_t len, int level, int type, const void *data,
                         size_t size)
{
    iov = (struct iovec){bytes, len};
    header = (struct msghdr){.msg_name = (void *)(uintptr_t)to,
                             .msg_namelen = to->any.sa_family == AF_INET ? sizeof to->ipv4 : sizeof to->ipv6,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = (socklen_t)CMSG_SPACE(size)};
    memset(control, 0, sizeof control);
    struct cmsghdr *at = CMSG_FIRSTHDR(&header);
    *at = (struct cmsghdr){.cmsg_len = (socklen_t)CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    memcpy(CMSG_DATA(at), data, size);
    return loop_kernel_sendmsg(number, &header, MSG_NOSIGNAL);
}

TEST_ROWS(hop_limits_and_times_come_with_datagrams, 2, row)
{
    union address address;
    int number = open_bound(row, &address), level = row ? IPPROTO_IPV6 : IPPROTO_IP;
    int send_type = row ? IPV6_HOPLIMIT : IP_TTL, hops = 7;
    struct timespec first, second;

    set(number, level, row ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 1);
    set(number, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    CHECK_IS(send_with(number, &address, 3, level, send_type, &hops, sizeof hops), 3);
    CHECK_IS(receive(number, 0), 3);
    CHECK_IS(value_of(level, send_type), 7);
    memcpy(&first, find(SOL_SOCKET, SO_TIMESTAMPNS), sizeof first);
    set(number, level, row ? IPV6_UNICAST_HOPS : IP_TTL, 9);
    iov.iov_len = 0;
    CHECK_IS(send_with(number, &address, 0, SOL_SOCKET, SCM_RIGHTS, "", 0), 0);
    CHECK_IS(receive(number, 0), 0);
    CHECK_IS(value_of(level, send_type), 9);
    memcpy(&second, find(SOL_SOCKET, SO_TIMESTAMPNS), sizeof second);
    CHECK(first.tv_sec > 0);
    CHECK(second.tv_sec > first.tv_sec || (second.tv_sec == first.tv_sec && second.tv_nsec >= first.tv_nsec));
    hops = 256;
    CHECK_FAILS(send_with(number, &address, 3, level, send_type, &hops, sizeof hops), EINVAL);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST_ROWS(segments_are_split, 2, row)
{
    union address address;
    int number = open_bound(row, &address), value = -1;
    uint16_t segment = 1000;
    socklen_t length = sizeof value;

    CHECK_IS(send_with(number, &address, 2048, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 2048);
    CHECK_IS(receive(number, 0), 1000);
    CHECK_IS(receive(number, 0), 1000);
    CHECK_IS(receive(number, 0), 48);
    CHECK_FAILS(receive(number, 0), EAGAIN);
    segment = 5;
    CHECK_FAILS(send_with(number, &address, 2048, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), EINVAL);
    CHECK_FAILS(send_with(number, &address, 20, IPPROTO_UDP, UDP_SEGMENT, &value, sizeof value), EINVAL);
    CHECK_FAILS(send_with(number, &address, 20, IPPROTO_UDP, 99, &segment, sizeof segment), EINVAL);
    CHECK_IS(loop_kernel_getsockopt(number, IPPROTO_UDP, UDP_SEGMENT, &value, &length), 0);
    CHECK_IS(value, 0);
    set(number, IPPROTO_UDP, UDP_SEGMENT, 30);
    CHECK_IS(send_with(number, &address, 40, SOL_SOCKET, SCM_RIGHTS, "", 0), 40);
    CHECK_IS(receive(number, 0), 30);
    CHECK_IS(receive(number, 0), 10);
    CHECK_IS(loop_kernel_close(number), 0);
}

/* Sends `len` bytes as a train. */
static void send_train(int number, const union address *to, size_t len, uint16_t segment)
{
    CHECK_IS(send_with(number, to, len, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), len);
}

TEST_ROWS(trains_are_received_whole_when_asked, 2, row)
{
    union address address, from;
    int number = open_bound(row, &address), sender = open_bound(row, &from), value = -1;
    socklen_t length = sizeof value;

    CHECK_IS(loop_kernel_getsockopt(number, IPPROTO_UDP, UDP_GRO, &value, &length), 0);
    CHECK_IS(value, 0);
    set(number, IPPROTO_UDP, UDP_GRO, 7);
    CHECK_IS(loop_kernel_getsockopt(number, IPPROTO_UDP, UDP_GRO, &value, &length), 0);
    CHECK_IS(value, 1);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i / 100);
    }
    send_train(sender, &address, 2048, 1000);
    memset(bytes, 0, sizeof bytes);
    CHECK_IS(receive(number, MSG_PEEK), 2048);
    CHECK_IS(receive(number, 0), 2048);
    CHECK_IS(value_of(IPPROTO_UDP, UDP_GRO), 1000);
    CHECK_IS(memcmp(&name, &from, row ? sizeof from.ipv6 : sizeof from.ipv4), 0);
    for (size_t i = 0; i < sizeof bytes; i++) {
        CHECK_IS(bytes[i], (char)(i / 100));
    }
    send_train(sender, &address, 2000, 1000); /* each train is a message, and so is what is no train */
    send_train(sender, &address, 1000, 1000);
    send_train(sender, &address, 999, 1000);
    send_train(sender, &address, 40, 10);
    CHECK_IS(receive(number, 0), 2000);
    CHECK_IS(value_of(IPPROTO_UDP, UDP_GRO), 1000);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(receive(number, 0), 1000 - i);
        CHECK(find(IPPROTO_UDP, UDP_GRO) == NULL);
    }
    CHECK_IS(receive(number, 0), 40);
    CHECK_IS(value_of(IPPROTO_UDP, UDP_GRO), 10);
    CHECK_FAILS(receive(number, 0), EAGAIN);
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(loop_kernel_close(sender), 0);
}

/* The rest of a train that does not fit is lost, as that of any message. */
TEST(trains_that_do_not_fit_are_truncated)
{
    union address address;
    int number = open_bound(0, &address);
    char small[1500];

    set(number, IPPROTO_UDP, UDP_GRO, 1);
    send_train(number, &address, 2048, 1000);
    send_train(number, &address, 3, 1000);
    iov = (struct iovec){small, sizeof small};
    header =
        (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK_IS(loop_kernel_recvmsg(number, &header, 0), sizeof small);
    CHECK(header.msg_flags & MSG_TRUNC);
    CHECK_IS(value_of(IPPROTO_UDP, UDP_GRO), 1000);
    CHECK_IS(receive(number, 0), 3);
    CHECK_IS(loop_kernel_close(number), 0);
}

/* ---- error queues ---- */

static void check_error(int row, const union address *destination)
{
    struct sock_extended_err error;
    const char *found = find(row ? IPPROTO_IPV6 : IPPROTO_IP, row ? IPV6_RECVERR : IP_RECVERR);
    union address offender;

    CHECK(header.msg_flags & MSG_ERRQUEUE);
    CHECK_IS(memcmp(&name, destination, row ? sizeof name.ipv6 : sizeof name.ipv4), 0);
    CHECK(found != NULL);
    memcpy(&error, found, sizeof error);
    memcpy(&offender, found + sizeof error, row ? sizeof offender.ipv6 : sizeof offender.ipv4);
    CHECK_IS(error.ee_errno, ECONNREFUSED);
    CHECK_IS(error.ee_origin, row ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP);
    CHECK_IS(error.ee_type, row ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH);
    CHECK_IS(error.ee_code, row ? ICMP6_DST_UNREACH_NOPORT : ICMP_PORT_UNREACH);
    if (row) {
        CHECK_IS(memcmp(&offender.ipv6.sin6_addr, &loopback[1].ipv6.sin6_addr, 16), 0);
    } else {
        CHECK_IS(offender.ipv4.sin_addr.s_addr, loopback[0].ipv4.sin_addr.s_addr);
    }
}

TEST_ROWS(an_error_queue_says_which_datagram_failed, 2, row)
{
    union address address, deserted[2];
    int number = open_bound(row, &address), hops = 64;

    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_close(open_bound(row, &deserted[i])), 0);
    }
    CHECK_FAILS(receive(number, MSG_ERRQUEUE), EAGAIN);
    set(number, row ? IPPROTO_IPV6 : IPPROTO_IP, row ? IPV6_RECVERR : IP_RECVERR, 1);
    CHECK_IS(send_with(number, &deserted[0], 3, row ? IPPROTO_IPV6 : IPPROTO_IP, row ? IPV6_HOPLIMIT : IP_TTL, &hops,
                       sizeof hops),
             3);
    CHECK(poll_now(number, POLLIN) & POLLERR);
    CHECK_FAILS(receive(number, 0), ECONNREFUSED);
    CHECK_FAILS(receive(number, 0), EAGAIN);
    CHECK(poll_now(number, POLLIN) & POLLERR);
    CHECK_IS(send_with(number, &deserted[1], 0, row ? IPPROTO_IPV6 : IPPROTO_IP, row ? IPV6_HOPLIMIT : IP_TTL, &hops,
                       sizeof hops),
             0);
    CHECK(receive(number, MSG_ERRQUEUE) >= 0);
    check_error(row, &deserted[0]);
    CHECK_FAILS(receive(number, 0), ECONNREFUSED); /* of the second one */
    CHECK(receive(number, MSG_ERRQUEUE) >= 0);
    check_error(row, &deserted[1]);
    CHECK_FAILS(receive(number, MSG_ERRQUEUE), EAGAIN);
    CHECK_FAILS(receive(number, 0), EAGAIN);
    CHECK(!(poll_now(number, POLLIN) & POLLERR));
    CHECK_IS(loop_kernel_close(number), 0);
}
