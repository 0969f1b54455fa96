/* SPDX-License-Identifier: ISC
 *
 * The door's functions for UDP sockets, within one host: the real kernel and the simulated one must give the same
 * answers.
 */
#include "kernel.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { NONBLOCKING = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, EVERYTHING = 0xffff & ~POLLNVAL };
enum { WRITABLE = POLLOUT | POLLWRNORM | POLLWRBAND, READABLE = POLLIN | POLLRDNORM };

static char bytes[1 << 16];

static unsigned events_of(int number)
{
    return poll_now(number, (short)EVERYTHING);
}

static int error_of(int number)
{
    int error = -1;
    socklen_t length = sizeof error;
    CHECK_IS(loop_kernel_getsockopt(number, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    return error;
}

static const struct sockaddr *any(const void *address)
{
    return address;
}

/* Opens a socket that is bound to a free port of 127.0.0.1. */
static int open_bound(struct sockaddr_in *address)
{
    int number = loop_kernel_socket(AF_INET, NONBLOCKING, 0);
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(number >= 0);
    CHECK_IS(loop_kernel_bind(number, any(address), sizeof *address), 0);
    CHECK_IS(loop_kernel_getsockname(number, (struct sockaddr *)address, &length), 0);
    return number;
}

static ssize_t send_to(int number, const char *text, size_t len, const void *address, socklen_t length)
{
    struct iovec iov = {(void *)(uintptr_t)text, len};
    const struct msghdr message = {
        .msg_name = (void *)(uintptr_t)address, .msg_namelen = length, .msg_iov = &iov, .msg_iovlen = 1};
    return loop_kernel_sendmsg(number, &message, MSG_NOSIGNAL);
}

TEST(datagrams_arrive_when_send_returns)
{
    struct sockaddr_in one_address, other_address, from = {0};
    int one = open_bound(&one_address);
    int other = open_bound(&other_address);
    struct iovec iov = {bytes, 2};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};

    CHECK_IS(events_of(one), WRITABLE);
    CHECK_FAILS(loop_kernel_recv(other, bytes, 1, 0), EAGAIN);
    CHECK_FAILS(loop_kernel_recv(other, bytes, 1, MSG_OOB), EAGAIN); /* without a meaning here */
    CHECK_FAILS(loop_kernel_send(one, "a", 1, 0), EDESTADDRREQ);
    CHECK_IS(send_to(one, "abc", 3, &other_address, sizeof other_address), 3);
    CHECK_IS(send_to(one, "", 0, &other_address, sizeof other_address), 0);
    CHECK_IS(send_to(one, "de", 2, &other_address, sizeof other_address), 2);
    CHECK_IS(events_of(other), WRITABLE | READABLE);
    int left = 0;
    CHECK_IS(loop_kernel_ioctl(other, FIONREAD, &left), 0);
    CHECK_IS(left, 3);
    CHECK_IS(loop_kernel_recv(other, bytes, 1, MSG_PEEK | MSG_TRUNC), 3);
    CHECK_IS(loop_kernel_recvmsg(other, &message, 0), 2);
    CHECK_IS(message.msg_flags, MSG_TRUNC);
    CHECK_IS(message.msg_namelen, sizeof from);
    CHECK_IS(from.sin_port, one_address.sin_port);
    CHECK_IS(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_IS(loop_kernel_recv(other, bytes, 9, 0), 0);
    CHECK_IS(loop_kernel_read(other, bytes, 9), 2);
    close_both((int[]){one, other});
}

TEST(a_connected_socket_hears_that_nobody_listens)
{
    struct sockaddr_in one_address, other_address;
    int one = open_bound(&one_address);
    int other = open_bound(&other_address);

    CHECK_IS(loop_kernel_close(other), 0);
    CHECK_IS(send_to(one, "a", 1, &other_address, sizeof other_address), 1);
    CHECK_IS(events_of(one), WRITABLE);
    CHECK_IS(loop_kernel_connect(one, any(&other_address), sizeof other_address), 0);
    CHECK_IS(loop_kernel_send(one, "a", 1, 0), 1);
    CHECK_IS(events_of(one), WRITABLE | POLLERR);
    CHECK_FAILS(loop_kernel_send(one, "a", 1, 0), ECONNREFUSED);
    CHECK_IS(loop_kernel_send(one, "a", 1, 0), 1);
    CHECK_FAILS(loop_kernel_recv(one, bytes, 1, 0), ECONNREFUSED);
    CHECK_FAILS(loop_kernel_recv(one, bytes, 1, 0), EAGAIN);
    CHECK_IS(loop_kernel_send(one, "a", 1, 0), 1);
    CHECK_IS(error_of(one), ECONNREFUSED);
    CHECK_IS(error_of(one), 0);
    CHECK_IS(loop_kernel_close(one), 0);
}

TEST(a_connected_socket_receives_from_its_peer_alone)
{
    struct sockaddr_in one_address, other_address, third_address, found;
    socklen_t length = sizeof found;
    int one = open_bound(&one_address);
    int other = open_bound(&other_address);
    int third = open_bound(&third_address);
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

    CHECK_FAILS(loop_kernel_getpeername(one, (struct sockaddr *)&found, &length), ENOTCONN);
    CHECK_IS(loop_kernel_connect(one, any(&other_address), sizeof other_address), 0);
    CHECK_IS(loop_kernel_getpeername(one, (struct sockaddr *)&found, &length), 0);
    CHECK_IS(found.sin_port, other_address.sin_port);
    CHECK_IS(send_to(third, "a", 1, &one_address, sizeof one_address), 1);
    CHECK_FAILS(loop_kernel_recv(one, bytes, 1, 0), EAGAIN);
    CHECK_IS(send_to(other, "a", 1, &one_address, sizeof one_address), 1);
    CHECK_IS(loop_kernel_recv(one, bytes, 1, 0), 1);
    CHECK_IS(send_to(one, "b", 1, &third_address, sizeof third_address), 1);
    CHECK_IS(loop_kernel_recv(third, bytes, 1, 0), 1);
    CHECK_IS(loop_kernel_connect(one, &nowhere, sizeof nowhere), 0);
    CHECK_FAILS(loop_kernel_send(one, "a", 1, 0), EDESTADDRREQ);
    length = sizeof found;
    CHECK_IS(loop_kernel_getsockname(one, (struct sockaddr *)&found, &length), 0);
    CHECK(found.sin_port != one_address.sin_port); /* which was not asked for by its number */
    close_both((int[]){one, other});
    CHECK_IS(loop_kernel_close(third), 0);
}

TEST(what_cannot_be_sent_is_refused)
{
    struct sockaddr_in address;
    int number = open_bound(&address);
    struct sockaddr_in wrong = address;

    CHECK_FAILS(send_to(number, bytes, 65508, &address, sizeof address), EMSGSIZE);
    CHECK_IS(send_to(number, bytes, 65507, &address, sizeof address), 65507);
    CHECK_IS(loop_kernel_recv(number, bytes, sizeof bytes, 0), 65507);
    wrong.sin_port = 0;
    CHECK_FAILS(send_to(number, "a", 1, &wrong, sizeof wrong), EINVAL);
    CHECK_FAILS(send_to(number, "a", 1, &address, sizeof address - 1), EINVAL);
    wrong.sin_family = AF_UNIX;
    CHECK_FAILS(send_to(number, "a", 1, &wrong, sizeof wrong), EAFNOSUPPORT);
    wrong =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_BROADCAST)};
    CHECK_FAILS(send_to(number, "a", 1, &wrong, sizeof wrong), EACCES);
    CHECK_FAILS(loop_kernel_bind(number, any(&address), sizeof address), EINVAL);
    CHECK_FAILS(loop_kernel_listen(number, 1), EOPNOTSUPP);
    CHECK_FAILS(loop_kernel_accept4(number, NULL, NULL, 0), EOPNOTSUPP);
    CHECK_FAILS(loop_kernel_shutdown(number, SHUT_RDWR), ENOTCONN);
    CHECK_IS(events_of(number), WRITABLE | READABLE | POLLHUP | POLLRDHUP);
    CHECK_FAILS(send_to(number, "a", 1, &address, sizeof address), EPIPE);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(a_full_queue_drops_datagrams)
{
    struct sockaddr_in one_address, other_address;
    int one = open_bound(&one_address);
    int other = open_bound(&other_address);
    int least = 1;
    int n = 0;

    CHECK_IS(loop_kernel_setsockopt(other, SOL_SOCKET, SO_RCVBUF, &least, sizeof least), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_IS(send_to(one, bytes, 100, &other_address, sizeof other_address), 100);
    }
    while (loop_kernel_recv(other, bytes, sizeof bytes, 0) == 100) {
        n++;
    }
    CHECK_IS(errno, EAGAIN);
    CHECK(n > 0 && n < 10);
    close_both((int[]){one, other});
}

TEST(many_datagrams_go_by_one_call)
{
    enum { MANY = 3 };
    struct sockaddr_in address;
    int number = open_bound(&address);
    char in[MANY][4];
    struct iovec out_iov[MANY], in_iov[MANY + 1];
    struct mmsghdr out[MANY] = {0}, received[MANY + 1] = {0};

    for (int i = 0; i < MANY; i++) {
        out_iov[i] = (struct iovec){bytes, (size_t)i};
        out[i].msg_hdr = (struct msghdr){
            .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &out_iov[i], .msg_iovlen = 1};
    }
    for (int i = 0; i <= MANY; i++) {
        in_iov[i] = (struct iovec){in[i % MANY], sizeof in[0]};
        received[i].msg_hdr = (struct msghdr){.msg_iov = &in_iov[i], .msg_iovlen = 1};
    }
    CHECK_FAILS(loop_kernel_recvmmsg(number, received, MANY, 0, NULL), EAGAIN);
    CHECK_IS(loop_kernel_sendmmsg(number, out, MANY, 0), MANY);
    for (int i = 0; i < MANY; i++) {
        CHECK_IS(out[i].msg_len, i);
    }
    CHECK_IS(loop_kernel_recvmmsg(number, received, MANY + 1, 0, NULL), MANY);
    for (int i = 0; i < MANY; i++) {
        CHECK_IS(received[i].msg_len, i);
    }
    CHECK_IS(loop_kernel_sendmmsg(number, out, MANY, 0), MANY);
    struct timespec longest = {.tv_sec = INT64_MAX, .tv_nsec = 999999999}; /* is not taken for a short time */
    CHECK_IS(loop_kernel_recvmmsg(number, received, MANY, 0, &longest), MANY);
    out[1].msg_hdr.msg_namelen = 1;
    CHECK_IS(loop_kernel_sendmmsg(number, out, MANY, 0), 1);
    CHECK_FAILS(loop_kernel_sendmmsg(number, out + 1, MANY - 1, 0), EINVAL);
    CHECK_IS(loop_kernel_sendmmsg(number, out, 0, 0), 0);
    CHECK_IS(loop_kernel_close(number), 0);
}

/* ---- addresses ---- */

TEST(both_families_share_a_port_or_not)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, found;
    socklen_t length = sizeof address;
    int both = loop_kernel_socket(AF_INET6, NONBLOCKING, 0);
    int other = loop_kernel_socket(AF_INET, NONBLOCKING, 0);
    int yes = 1;

    CHECK_IS(loop_kernel_bind(both, any(&address), sizeof address), 0);
    CHECK_IS(loop_kernel_getsockname(both, (struct sockaddr *)&address, &length), 0);
    CHECK_IS(length, sizeof address);
    ipv4.sin_port = address.sin6_port;
    CHECK_FAILS(loop_kernel_bind(other, any(&ipv4), sizeof ipv4), EADDRINUSE);
    CHECK_FAILS(loop_kernel_setsockopt(both, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes), EINVAL);
    CHECK_IS(send_to(other, "abc", 3, &ipv4, sizeof ipv4), 3);
    struct sockaddr_in6 from = {0};
    struct iovec iov = {bytes, 9};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
    CHECK_IS(loop_kernel_recvmsg(both, &message, 0), 3);
    CHECK(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
    length = sizeof found;
    CHECK_IS(loop_kernel_getsockname(other, (struct sockaddr *)&found, &length), 0);
    CHECK_IS(from.sin6_port, found.sin_port);
    CHECK_IS(found.sin_addr.s_addr, htonl(INADDR_ANY));
    close_both((int[]){both, other});
    both = loop_kernel_socket(AF_INET6, NONBLOCKING, 0);
    other = loop_kernel_socket(AF_INET, NONBLOCKING, 0);
    CHECK_IS(loop_kernel_setsockopt(both, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes), 0);
    CHECK_IS(loop_kernel_bind(both, any(&address), sizeof address), 0);
    CHECK_IS(loop_kernel_bind(other, any(&ipv4), sizeof ipv4), 0);
    CHECK_FAILS(send_to(both, "a", 1, &from, sizeof from), ENETUNREACH);
    close_both((int[]){both, other});
}

TEST(an_ipv6_socket_is_connected_to_either_family)
{
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, peer = {0};
    socklen_t length = sizeof peer;
    int receiver = open_bound(&ipv4), yes = 1;
    int both = loop_kernel_socket(AF_INET6, NONBLOCKING, 0);
    int only = loop_kernel_socket(AF_INET6, NONBLOCKING, 0);
    int bound = loop_kernel_socket(AF_INET6, NONBLOCKING, 0);

    CHECK_IS(loop_kernel_connect(both, any(&ipv4), sizeof ipv4), 0);
    CHECK_IS(loop_kernel_getpeername(both, (struct sockaddr *)&peer, &length), 0);
    CHECK_IS(length, sizeof peer);
    CHECK(peer.sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
    CHECK_IS(loop_kernel_send(both, "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_recv(receiver, bytes, 9, 0), 3);
    CHECK_IS(loop_kernel_setsockopt(only, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes), 0);
    CHECK_FAILS(loop_kernel_connect(only, any(&ipv4), sizeof ipv4), EAFNOSUPPORT);
    CHECK_FAILS(send_to(only, "a", 1, &ipv4, sizeof ipv4), ENETUNREACH);
    CHECK_IS(loop_kernel_bind(bound, any(&ipv6), sizeof ipv6), 0);
    CHECK_FAILS(loop_kernel_connect(bound, any(&ipv4), sizeof ipv4), EAFNOSUPPORT);
    ipv6.sin6_port = ipv4.sin_port;
    CHECK_FAILS(loop_kernel_connect(receiver, any(&ipv6), sizeof ipv6), EAFNOSUPPORT);
    close_both((int[]){receiver, both});
    close_both((int[]){only, bound});
}

TEST(the_destination_comes_as_a_control_message)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int number = loop_kernel_socket(AF_INET, NONBLOCKING, 0);
    int yes = 1;
    struct in_pktinfo info;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof info)];
    struct iovec iov = {bytes, 9};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};

    CHECK_IS(loop_kernel_bind(number, any(&address), sizeof address), 0);
    CHECK_IS(loop_kernel_getsockname(number, (struct sockaddr *)&address, &length), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes), 0);
    CHECK_IS(send_to(number, "a", 1, &address, sizeof address), 1);
    CHECK_IS(loop_kernel_recvmsg(number, &message, 0), 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header);
    CHECK_IS(header->cmsg_level, IPPROTO_IP);
    CHECK_IS(header->cmsg_type, IP_PKTINFO);
    memcpy(&info, CMSG_DATA(header), sizeof info);
    CHECK_IS(info.ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_IS(info.ipi_spec_dst.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_IS(info.ipi_ifindex, loop_kernel_if_nametoindex("lo"));
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    info = (struct in_pktinfo){.ipi_spec_dst.s_addr = htonl(INADDR_LOOPBACK + 1)};
    memcpy(CMSG_DATA(header), &info, sizeof info);
    iov.iov_len = 1;
    CHECK_IS(loop_kernel_sendmsg(number, &message, 0), 1);
    CHECK_IS(loop_kernel_recvmsg(number, &message, 0), 1);
    CHECK_IS(address.sin_addr.s_addr, htonl(INADDR_LOOPBACK + 1));
    info.ipi_spec_dst.s_addr = htonl(0x08080808);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    CHECK_FAILS(loop_kernel_sendmsg(number, &message, 0), ENETUNREACH);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(interfaces_have_numbers)
{
    char name[IF_NAMESIZE];

    CHECK_IS(loop_kernel_if_nametoindex("lo"), 1);
    CHECK_IS(loop_kernel_if_nametoindex("none"), 0);
    CHECK_IS(errno, ENODEV);
    CHECK(loop_kernel_if_indextoname(1, name) == name);
    CHECK_IS(strcmp(name, "lo"), 0);
    CHECK(!loop_kernel_if_indextoname(12345, name));
    CHECK_IS(errno, ENXIO);
}
