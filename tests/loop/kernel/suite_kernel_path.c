/* SPDX-License-Identifier: ISC
 *
 * The longest packets of a path, on the loopback of one host: the real kernel and the simulated one must give the same
 * answers.
 */
#include "kernel.h"

#include "../../net/network.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/udp.h>

enum { NONBLOCKING = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, MTU = 1500 };

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static int number, level, head;
static bool is_ipv4;
static char bytes[9000];

static void set(int option, int value)
{
    CHECK_IS(loop_kernel_setsockopt(number, level, option, &value, sizeof value), 0);
}

static int path_mtu(void)
{
    int value = 0;
    socklen_t length = sizeof value;

    CHECK_IS(loop_kernel_getsockopt(number, level, is_ipv4 ? IP_MTU : IPV6_MTU, &value, &length), 0);
    return value;
}

/* Opens a socket that sends to itself. Returns false where a network of the test's own is not permitted. */
static bool open_path(int row)
{
    union address address = {.ipv4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = row ? sizeof address.ipv6 : sizeof address.ipv4;

    if (!enter_network(MTU)) {
        return false;
    }
    is_ipv4 = row == 0;
    level = row ? IPPROTO_IPV6 : IPPROTO_IP;
    head = row ? 48 : 28;
    if (row) {
        address.ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    }
    number = loop_kernel_socket(row ? AF_INET6 : AF_INET, NONBLOCKING, 0);
    CHECK_IS(loop_kernel_bind(number, &address.any, length), 0);
    CHECK_IS(loop_kernel_getsockname(number, &address.any, &length), 0);
    CHECK_IS(loop_kernel_connect(number, &address.any, length), 0);
    return true;
}

static ssize_t send_bytes(int len)
{
    return loop_kernel_send(number, bytes, (size_t)len, 0);
}

static ssize_t receive(void)
{
    return loop_kernel_recv(number, bytes, sizeof bytes, 0);
}

TEST_ROWS(the_mtu_of_a_path_is_that_of_the_interface, 2, row)
{
    if (!open_path(row)) {
        return;
    }
    CHECK_IS(path_mtu(), MTU);
    CHECK(set_mtu(1400));
    CHECK_IS(path_mtu(), 1400);
    CHECK(set_mtu(65536));
    CHECK_IS(path_mtu(), row ? 65536 : 65535);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST_ROWS(what_is_longer_is_fragmented_where_that_is_allowed, 2, row)
{
    if (!open_path(row)) {
        return;
    }
    CHECK_IS(send_bytes(5000), 5000);
    CHECK_IS(receive(), 5000);
    set(is_ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, IP_PMTUDISC_DO);
    CHECK_IS(send_bytes(MTU - head), MTU - head);
    CHECK_FAILS(send_bytes(MTU - head + 1), EMSGSIZE);
    CHECK(set_mtu(9000));
    CHECK_IS(send_bytes(MTU - head + 1), MTU - head + 1);
    set(is_ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, IP_PMTUDISC_DONT);
    CHECK_IS(send_bytes(9000), 9000);
    CHECK_IS(receive(), MTU - head);
    CHECK_IS(receive(), MTU - head + 1);
    CHECK_IS(receive(), 9000);
    CHECK_FAILS(receive(), EAGAIN);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST_ROWS(segments_are_no_longer_than_the_path_allows, 2, row)
{
    if (!open_path(row)) {
        return;
    }
    int segment = MTU - head;
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    CHECK_IS(send_bytes(2 * segment), 2 * segment);
    CHECK_IS(receive(), segment);
    CHECK_IS(receive(), segment);
    segment++;
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    CHECK_IS(send_bytes(2 * segment), -1);
    CHECK(errno == EMSGSIZE || errno == EINVAL); /* by the version of the kernel */
    CHECK_FAILS(receive(), EAGAIN);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST_ROWS(an_error_queue_says_what_the_path_allows, 2, row)
{
    _Alignas(struct cmsghdr) char control[512];
    union address name;
    struct sock_extended_err error;
    struct iovec iov = {bytes, sizeof bytes};
    struct msghdr message = {.msg_name = &name,
                             .msg_namelen = sizeof name,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};

    if (!open_path(row)) {
        return;
    }
    set(is_ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, IP_PMTUDISC_DO);
    CHECK_FAILS(send_bytes(5000), EMSGSIZE);
    CHECK_FAILS(loop_kernel_recvmsg(number, &message, MSG_ERRQUEUE), EAGAIN); /* it was not asked for */
    set(is_ipv4 ? IP_RECVERR : IPV6_RECVERR, 1);
    CHECK_FAILS(send_bytes(5000), EMSGSIZE);
    CHECK(poll_now(number, POLLIN) & POLLERR);
    CHECK_FAILS(receive(), EAGAIN);
    CHECK(loop_kernel_recvmsg(number, &message, MSG_ERRQUEUE) >= 0);
    const struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    CHECK(first && first->cmsg_level == level && first->cmsg_type == (is_ipv4 ? IP_RECVERR : IPV6_RECVERR));
    memcpy(&error, CMSG_DATA(first), sizeof error);
    CHECK_IS(error.ee_errno, EMSGSIZE);
    CHECK_IS(error.ee_origin, SO_EE_ORIGIN_LOCAL);
    CHECK_IS(error.ee_info, MTU);
    CHECK_IS(name.any.sa_family, is_ipv4 ? AF_INET : AF_INET6);
    CHECK(!(poll_now(number, POLLIN) & POLLERR));
    CHECK_IS(send_bytes(5), 5);
    CHECK_IS(receive(), 5);
    CHECK_IS(loop_kernel_close(number), 0);
}
