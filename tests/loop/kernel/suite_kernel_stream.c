/* SPDX-License-Identifier: ISC
 *
 * The door's functions for TCP sockets, within one host: the real kernel and the simulated one must give the same
 * answers.
 */
#include "kernel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum { NONBLOCKING = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, EVERYTHING = 0xffff & ~POLLNVAL };

/* What poll(2) reports of a connection that is open, that the peer has ended, and that has ended both ways. */
enum {
    OPEN = POLLOUT | POLLWRNORM,
    READABLE = POLLIN | POLLRDNORM,
    PEER_HAS_ENDED = OPEN | READABLE | POLLRDHUP,
    ENDED = PEER_HAS_ENDED | POLLHUP
};

static char bytes[1 << 16];

static struct sockaddr_in address_of(int number)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    CHECK_IS(loop_kernel_getsockname(number, (struct sockaddr *)&address, &length), 0);
    CHECK_IS(length, sizeof address);
    return address;
}

static const struct sockaddr *any(const struct sockaddr_in *address)
{
    return (const struct sockaddr *)address;
}

static int listen_at_loopback(int backlog, struct sockaddr_in *address)
{
    int number = loop_kernel_socket(AF_INET, NONBLOCKING, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(number >= 0);
    CHECK_IS(loop_kernel_bind(number, any(address), sizeof *address), 0);
    CHECK_IS(loop_kernel_listen(number, backlog), 0);
    *address = address_of(number);
    return number;
}

static int begin_connect(const struct sockaddr_in *address)
{
    int number = loop_kernel_socket(AF_INET, NONBLOCKING, 0);
    CHECK(number >= 0);
    CHECK_FAILS(loop_kernel_connect(number, any(address), sizeof *address), EINPROGRESS);
    return number;
}

static int error_of(int number)
{
    int error = -1;
    socklen_t length = sizeof error;
    CHECK_IS(loop_kernel_getsockopt(number, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    return error;
}

/* Makes a connection: pair[0] has connected, pair[1] is accepted. */
static void connect_pair(int pair[2])
{
    struct sockaddr_in address;
    int listener = listen_at_loopback(1, &address);
    pair[0] = begin_connect(&address);
    pair[1] = loop_kernel_accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    CHECK(pair[1] >= 0);
    CHECK_IS(loop_kernel_close(listener), 0);
}

static unsigned events_of(int number)
{
    return poll_now(number, (short)EVERYTHING);
}

/* ---- connecting ---- */

TEST(a_connection_within_a_host_is_made_at_once)
{
    struct sockaddr_in address, from;
    socklen_t length = sizeof from;
    int listener = listen_at_loopback(1, &address);

    CHECK_FAILS(loop_kernel_accept4(listener, NULL, NULL, 0), EAGAIN);
    CHECK_IS(events_of(listener), 0);
    int client = begin_connect(&address);
    CHECK_IS(events_of(client), OPEN);
    CHECK_IS(events_of(listener), READABLE);
    CHECK_IS(loop_kernel_connect(client, any(&address), sizeof address), 0);
    CHECK_FAILS(loop_kernel_connect(client, any(&address), sizeof address), EISCONN);
    int server = loop_kernel_accept4(listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC);
    CHECK(server >= 0);
    CHECK_IS(loop_kernel_fcntl(server, F_GETFL, 0), O_RDWR);
    CHECK_IS(loop_kernel_fcntl(server, F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(from.sin_port, address_of(client).sin_port);
    CHECK_IS(address_of(server).sin_port, address.sin_port);
    length = sizeof from;
    CHECK_IS(loop_kernel_getpeername(client, (struct sockaddr *)&from, &length), 0);
    CHECK_IS(from.sin_port, address.sin_port);
    CHECK_IS(events_of(listener), 0);
    close_both((int[]){client, server});
    CHECK_IS(loop_kernel_close(listener), 0);
}

TEST(a_refused_connect_reports_its_error_once)
{
    struct sockaddr_in address;
    int listener = listen_at_loopback(1, &address);
    CHECK_IS(loop_kernel_close(listener), 0);

    int client = begin_connect(&address);
    CHECK_IS(events_of(client), ENDED | POLLERR);
    CHECK_IS(error_of(client), ECONNREFUSED);
    CHECK_IS(error_of(client), 0);
    CHECK_FAILS(loop_kernel_connect(client, any(&address), sizeof address), ECONNABORTED);
    CHECK_FAILS(loop_kernel_connect(client, any(&address), sizeof address), EINPROGRESS);
    CHECK_FAILS(loop_kernel_connect(client, any(&address), sizeof address), ECONNREFUSED);
    CHECK_FAILS(loop_kernel_send(client, bytes, 1, MSG_NOSIGNAL), EPIPE);
    CHECK_FAILS(loop_kernel_recv(client, bytes, 1, 0), ENOTCONN);
    CHECK_IS(events_of(client), OPEN | POLLHUP);
    CHECK_IS(loop_kernel_close(client), 0);
}

TEST(a_blocking_connect_waits_until_the_connection_stands)
{
    struct sockaddr_in address;
    int listener = listen_at_loopback(1, &address);
    int client = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);

    CHECK_IS(loop_kernel_connect(client, any(&address), sizeof address), 0);
    CHECK_FAILS(loop_kernel_connect(client, any(&address), sizeof address), EISCONN);
    CHECK_IS(loop_kernel_close(client), 0);
    CHECK_IS(loop_kernel_close(listener), 0);
    client = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_FAILS(loop_kernel_connect(client, any(&address), sizeof address), ECONNREFUSED);
    CHECK_IS(error_of(client), 0);
    CHECK_IS(loop_kernel_close(client), 0);
}

TEST(a_full_backlog_leaves_connects_waiting)
{
    struct sockaddr_in address;
    int listener = listen_at_loopback(0, &address);
    int first = begin_connect(&address);
    int second = begin_connect(&address);

    CHECK_IS(events_of(first), OPEN);
    CHECK_IS(events_of(second), 0);
    CHECK_FAILS(loop_kernel_connect(second, any(&address), sizeof address), EALREADY);
    CHECK_FAILS(loop_kernel_send(second, bytes, 1, 0), EAGAIN);
    CHECK_FAILS(loop_kernel_recv(second, bytes, 1, 0), EAGAIN);
    CHECK_IS(loop_kernel_close(listener), 0);
    CHECK_IS(events_of(first) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
    CHECK_IS(error_of(first), ECONNRESET);
    close_both((int[]){first, second});
}

TEST(a_shutdown_ends_a_connect)
{
    struct sockaddr_in address;
    int listener = listen_at_loopback(0, &address);
    int first = begin_connect(&address);
    int second = begin_connect(&address);

    CHECK_IS(loop_kernel_shutdown(second, SHUT_RDWR), 0);
    CHECK_IS(error_of(second), ECONNRESET);
    CHECK_IS(events_of(second), OPEN | POLLHUP);
    close_both((int[]){first, second});
    CHECK_IS(loop_kernel_shutdown(listener, SHUT_RD), 0);
    CHECK_FAILS(loop_kernel_accept4(listener, NULL, NULL, 0), EINVAL);
    CHECK_IS(loop_kernel_close(listener), 0);
}

TEST(sockets_without_a_connection_refuse)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int number = loop_kernel_socket(AF_INET, NONBLOCKING, 0);

    CHECK_IS(events_of(number), OPEN | POLLHUP);
    CHECK_FAILS(loop_kernel_recv(number, bytes, 1, 0), ENOTCONN);
    CHECK_FAILS(loop_kernel_send(number, bytes, 1, MSG_NOSIGNAL), EPIPE);
    CHECK_FAILS(loop_kernel_accept4(number, NULL, NULL, 0), EINVAL);
    CHECK_FAILS(loop_kernel_getpeername(number, (struct sockaddr *)&address, &length), ENOTCONN);
    CHECK_FAILS(loop_kernel_shutdown(number, 3), EINVAL);
    CHECK_FAILS(loop_kernel_shutdown(number, SHUT_RDWR), ENOTCONN);
    CHECK_IS(events_of(number), ENDED);
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_FAILS(loop_kernel_recv(number, bytes, 1, 0), EBADF);
    int listener = listen_at_loopback(1, &address);
    CHECK_FAILS(loop_kernel_recv(listener, bytes, 1, 0), ENOTCONN);
    CHECK_FAILS(loop_kernel_send(listener, bytes, 1, MSG_NOSIGNAL), EPIPE);
    CHECK_FAILS(loop_kernel_connect(listener, any(&address), sizeof address), EISCONN);
    CHECK_IS(loop_kernel_close(listener), 0);
    int pipe[2];
    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_FAILS(loop_kernel_recv(pipe[0], bytes, 1, 0), ENOTSOCK);
    CHECK_FAILS(loop_kernel_listen(pipe[0], 1), ENOTSOCK);
    close_both(pipe);
}

TEST(unreachable_addresses_are_refused_at_once)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_BROADCAST)};
    int number = loop_kernel_socket(AF_INET, NONBLOCKING, 0);

    CHECK_FAILS(loop_kernel_connect(number, any(&address), sizeof address), ENETUNREACH);
    CHECK_FAILS(loop_kernel_connect(number, any(&address), sizeof address - 1), EINVAL);
    CHECK_FAILS(loop_kernel_connect(number, any(&address), 1), EINVAL);
    address.sin_family = AF_UNIX;
    CHECK_FAILS(loop_kernel_connect(number, any(&address), sizeof address), EAFNOSUPPORT);
    CHECK_IS(loop_kernel_close(number), 0);
}

/* ---- bytes ---- */

TEST(bytes_can_be_read_when_send_returns)
{
    int pair[2];

    connect_pair(pair);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 1, 0), EAGAIN);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 0, 0), EAGAIN);
    CHECK_IS(loop_kernel_send(pair[0], "", 0, 0), 0);
    CHECK_IS(events_of(pair[1]), OPEN);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_write(pair[0], "def", 3), 3);
    CHECK_IS(events_of(pair[1]), OPEN | READABLE);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 2, MSG_PEEK), 2);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 0, 0), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 4, 0), 4);
    CHECK_IS(memcmp(bytes, "abcd", 4), 0);
    int left = 0;
    CHECK_IS(loop_kernel_ioctl(pair[1], FIONREAD, &left), 0);
    CHECK_IS(left, 2);
    CHECK_IS(loop_kernel_recv(pair[1], NULL, 1, MSG_TRUNC), 1);
    CHECK_IS(loop_kernel_read(pair[1], bytes, 9), 1);
    CHECK_IS(bytes[0], 'f');
    CHECK_FAILS(loop_kernel_pread(pair[1], bytes, 9, 0), ESPIPE);
    close_both(pair);
}

TEST(vectors_are_received_as_one)
{
    int pair[2];
    char a[2], b[3];
    char text[] = "abcde";
    struct iovec out[] = {{text, 2}, {text, 0}, {text + 2, 3}};
    struct iovec in[] = {{a, 2}, {b, 3}};
    struct sockaddr_in name;
    char control[64];
    struct msghdr sent = {.msg_iov = out, .msg_iovlen = 3};
    struct msghdr received = {.msg_name = &name,
                              .msg_namelen = sizeof name,
                              .msg_iov = in,
                              .msg_iovlen = 2,
                              .msg_control = control,
                              .msg_controllen = sizeof control,
                              .msg_flags = -1};

    connect_pair(pair);
    CHECK_IS(loop_kernel_sendmsg(pair[0], &sent, 0), 5);
    CHECK_IS(loop_kernel_recvmsg(pair[1], &received, 0), 5);
    CHECK_IS(memcmp(a, "ab", 2), 0);
    CHECK_IS(memcmp(b, "cde", 3), 0);
    CHECK_IS(received.msg_namelen, 0);
    CHECK_IS(received.msg_controllen, 0);
    CHECK_IS(received.msg_flags, 0);
    close_both(pair);
}

static size_t fill(int number)
{
    size_t total = 0;
    ssize_t n;
    while ((n = loop_kernel_send(number, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        total += (size_t)n;
    }
    CHECK_IS(errno, EAGAIN);
    return total;
}

static size_t read_all(int number, size_t most)
{
    size_t total = 0;
    ssize_t n = 1;
    while (total < most && n > 0) {
        n = loop_kernel_recv(number, bytes, most - total < sizeof bytes ? most - total : sizeof bytes, MSG_DONTWAIT);
        total += n > 0 ? (size_t)n : 0;
    }
    return total;
}

TEST(a_full_socket_becomes_writable_when_a_third_is_free)
{
    int pair[2];

    connect_pair(pair);
    size_t total = fill(pair[0]);
    CHECK(total > sizeof bytes);
    CHECK_IS(events_of(pair[0]), 0);
    CHECK_IS(read_all(pair[1], 1), 1);
    CHECK_IS(events_of(pair[0]), 0);
    CHECK_IS(read_all(pair[1], total - 1), total - 1);
    CHECK_IS(events_of(pair[0]), OPEN);
    CHECK_IS(fill(pair[0]) > 0, true);
    close_both(pair);
}

TEST(room_is_reported_as_an_edge)
{
    int pair[2];
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET};
    int set = loop_kernel_epoll_create1(0);

    connect_pair(pair);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 1);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    size_t total = fill(pair[0]);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    CHECK_IS(read_all(pair[1], total), total);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 1000), 1);
    CHECK_IS(event.events, EPOLLOUT);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    close_both(pair);
    CHECK_IS(loop_kernel_close(set), 0);
}

TEST(each_arrival_is_an_edge)
{
    int pair[2];
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
    int set = loop_kernel_epoll_create1(0);

    connect_pair(pair);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, pair[1], &event), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_send(pair[0], "a", 1, 0), 1);
        CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 1);
        CHECK_IS(event.events, EPOLLIN);
        CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    }
    CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 1);
    CHECK_IS(event.events, EPOLLIN | EPOLLRDHUP);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(loop_kernel_close(set), 0);
}

/* ---- bytes that are kept back ---- */

static int readable_bytes(int number)
{
    int left = -1;
    CHECK_IS(loop_kernel_ioctl(number, FIONREAD, &left), 0);
    return left;
}

static void set_flag(int number, int option, int value)
{
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_TCP, option, &value, sizeof value), 0);
}

/* Linux sends what it has kept back after 200 ms, which a test may take. */
static int64_t sent_ns;

static void send_more(int number, const char *text, int flags)
{
    sent_ns = now_ns();
    CHECK_IS(loop_kernel_send(number, text, strlen(text), flags), strlen(text));
}

/* Checks that not more can be read, and that a number of bytes is not acknowledged. */
static void check_kept(const int pair[2], int readable, int kept)
{
    int left = -1;
    CHECK_IS(loop_kernel_ioctl(pair[0], TIOCOUTQ, &left), 0);
    bool is_kept = readable_bytes(pair[1]) == readable && left == kept;
    CHECK(is_kept || now_ns() - sent_ns > INT64_C(150000000));
}

TEST(a_part_of_a_segment_is_kept_back_while_more_follows)
{
    int pair[2];

    connect_pair(pair);
    send_more(pair[0], "abc", MSG_MORE);
    check_kept(pair, 0, 3);
    CHECK_IS(loop_kernel_send(pair[0], "", 0, 0), 0);
    check_kept(pair, 0, 3);
    CHECK_IS(loop_kernel_send(pair[0], "def", 3, MSG_MORE), 3);
    check_kept(pair, 0, 6);
    CHECK_IS(loop_kernel_write(pair[0], "g", 1), 1);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, sizeof bytes, 0), 7);
    CHECK_IS(memcmp(bytes, "abcdefg", 7), 0);
    CHECK_IS(loop_kernel_send(pair[0], bytes, sizeof bytes, MSG_MORE), sizeof bytes);
    CHECK(readable_bytes(pair[1]) > 30000);
    close_both(pair);
}

TEST(what_is_kept_back_is_sent_in_the_end)
{
    int pair[2];
    struct pollfd entry = {.events = POLLIN};

    connect_pair(pair);
    entry.fd = pair[1];
    send_more(pair[0], "abc", MSG_MORE);
    check_kept(pair, 0, 3);
    CHECK_IS(loop_kernel_poll(&entry, 1, -1), 1);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 3);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, MSG_MORE), 3);
    CHECK_IS(loop_kernel_shutdown(pair[1], SHUT_WR), 0);
    CHECK_IS(readable_bytes(pair[1]), 3);
    CHECK_IS(loop_kernel_send(pair[0], "de", 2, MSG_MORE), 2);
    CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
    CHECK_IS(readable_bytes(pair[1]), 5);
    close_both(pair);
    connect_pair(pair);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, MSG_MORE), 3);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 3);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 0);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
}

TEST(a_cork_keeps_back_until_it_is_taken_out)
{
    int pair[2], pipe[2];

    connect_pair(pair);
    set_flag(pair[0], TCP_CORK, 1);
    send_more(pair[0], "abc", 0);
    CHECK_IS(loop_kernel_send(pair[1], "x", 1, 0), 1);
    check_kept(pair, 0, 3);
    set_flag(pair[0], TCP_CORK, 0);
    CHECK_IS(readable_bytes(pair[1]), 3);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, MSG_MORE), 3);
    set_flag(pair[0], TCP_NODELAY, 1);
    CHECK_IS(readable_bytes(pair[1]), 6);
    send_more(pair[0], "abc", MSG_MORE);
    check_kept(pair, 6, 3);
    CHECK_IS(loop_kernel_send(pair[0], "d", 1, MSG_OOB), 1);
    CHECK_IS(readable_bytes(pair[1]), 9);
    close_both(pair);
    connect_pair(pair);
    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_IS(loop_kernel_write(pipe[1], "abcdef", 6), 6);
    sent_ns = now_ns();
    CHECK_IS(loop_kernel_splice(pipe[0], NULL, pair[0], NULL, 2, SPLICE_F_MORE), 2);
    check_kept(pair, 0, 2);
    CHECK_IS(loop_kernel_splice(pipe[0], NULL, pair[0], NULL, 9, 0), 4);
    CHECK_IS(readable_bytes(pair[1]), 6);
    close_both(pipe);
    close_both(pair);
}

/* ---- ends ---- */

TEST(a_half_that_is_shut_down_ends_after_its_bytes)
{
    int pair[2];
    struct sockaddr_in address;
    socklen_t length = sizeof address;

    connect_pair(pair);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
    CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
    CHECK_IS(events_of(pair[0]), OPEN);
    CHECK_IS(events_of(pair[1]), PEER_HAS_ENDED);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 3);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 0);
    CHECK_IS(loop_kernel_send(pair[1], "de", 2, 0), 2);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 9, 0), 2);
    CHECK_IS(loop_kernel_shutdown(pair[1], SHUT_WR), 0);
    CHECK_IS(events_of(pair[0]), ENDED);
    CHECK_IS(events_of(pair[1]), ENDED);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 9, 0), 0);
    CHECK_FAILS(loop_kernel_shutdown(pair[0], SHUT_RDWR), ENOTCONN);
    CHECK_FAILS(loop_kernel_getpeername(pair[0], (struct sockaddr *)&address, &length), ENOTCONN);
    close_both(pair);
}

TEST(bytes_arrive_though_receiving_was_shut_down)
{
    int pair[2];

    connect_pair(pair);
    CHECK_IS(loop_kernel_shutdown(pair[1], SHUT_RD), 0);
    CHECK_IS(events_of(pair[1]), PEER_HAS_ENDED);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 0);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 3);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 0);
    CHECK_IS(loop_kernel_shutdown(pair[1], SHUT_WR), 0);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(error_of(pair[0]), EPIPE);
    close_both(pair);
}

TEST(a_close_with_unread_bytes_resets)
{
    int pair[2];

    connect_pair(pair);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_send(pair[1], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(events_of(pair[0]), ENDED | POLLERR);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 2, 0), 2);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 2, 0), 1);
    CHECK_FAILS(loop_kernel_recv(pair[0], bytes, 2, 0), ECONNRESET);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 2, 0), 0);
    CHECK_FAILS(loop_kernel_send(pair[0], bytes, 2, MSG_NOSIGNAL), EPIPE);
    CHECK_FAILS(loop_kernel_shutdown(pair[0], SHUT_RDWR), ENOTCONN);
    CHECK_IS(events_of(pair[0]), ENDED);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(a_linger_time_of_zero_resets)
{
    int pair[2];
    const struct linger linger = {1, 0};

    connect_pair(pair);
    CHECK_IS(loop_kernel_setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), ECONNRESET);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(bytes_for_a_closed_socket_reset)
{
    int pair[2];

    connect_pair(pair);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(events_of(pair[0]), PEER_HAS_ENDED);
    CHECK_IS(loop_kernel_send(pair[0], "x", 1, 0), 1);
    CHECK_IS(events_of(pair[0]), ENDED | POLLERR);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 1, 0), 0);
    CHECK_IS(error_of(pair[0]), EPIPE);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(bytes_are_sent_after_a_close)
{
    int pair[2];

    connect_pair(pair);
    size_t total = fill(pair[0]);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
    CHECK_IS(read_all(pair[1], total), total);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 1, 0), 0);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
}

TEST(a_reset_connection_leaves_its_port)
{
    struct sockaddr_in address;
    const struct sockaddr_in free = {.sin_family = AF_INET};
    const struct linger linger = {1, 0};
    int listener = listen_at_loopback(1, &address), left;
    int client = begin_connect(&address);
    int server = loop_kernel_accept4(listener, NULL, NULL, 0);

    CHECK_FAILS(loop_kernel_ioctl(listener, FIONREAD, &left), EINVAL);
    CHECK_FAILS(loop_kernel_ioctl(listener, TIOCOUTQ, &left), EINVAL);
    CHECK_FAILS(loop_kernel_bind(client, any(&free), sizeof free), EINVAL);
    CHECK_IS(loop_kernel_setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    CHECK_IS(loop_kernel_close(server), 0);
    struct sockaddr_in before = address_of(client);
    CHECK(before.sin_port != 0);
    CHECK_IS(loop_kernel_bind(client, any(&free), sizeof free), 0);
    CHECK_FAILS(loop_kernel_bind(client, any(&free), sizeof free), EINVAL);
    CHECK_FAILS(loop_kernel_connect(client, any(&address), sizeof address), ECONNRESET);
    CHECK_FAILS(loop_kernel_connect(client, any(&address), sizeof address), EINPROGRESS);
    CHECK_IS(loop_kernel_connect(client, any(&address), sizeof address), 0);
    close_both((int[]){client, listener});
}

TEST(a_name_of_zeros_binds)
{
    struct sockaddr_in name = {0};
    int number = loop_kernel_socket(AF_INET, NONBLOCKING, 0);

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_FAILS(loop_kernel_bind(number, any(&name), sizeof name), EAFNOSUPPORT);
    name.sin_addr.s_addr = 0;
    CHECK_IS(loop_kernel_bind(number, any(&name), sizeof name), 0);
    CHECK_FAILS(loop_kernel_bind(number, any(&name), sizeof name), EINVAL);
    CHECK_IS(loop_kernel_close(number), 0);
}

/* ---- limits ---- */

TEST(a_connection_stays_when_there_is_no_number_for_it)
{
    struct sockaddr_in address;
    struct rlimit limit, none;
    int listener = listen_at_loopback(1, &address);
    int client = begin_connect(&address);

    CHECK_IS(loop_kernel_getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){0, limit.rlim_max};
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_FAILS(loop_kernel_accept4(listener, NULL, NULL, 0), EMFILE);
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int server = loop_kernel_accept4(listener, NULL, NULL, 0);
    CHECK(server >= 0);
    close_both((int[]){client, server});
    CHECK_IS(loop_kernel_close(listener), 0);
}
