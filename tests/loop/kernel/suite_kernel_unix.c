/* SPDX-License-Identifier: ISC
 *
 * The door's functions for Unix sockets: the real kernel and the simulated one must give the same answers.
 */
#include "kernel.h"

#include <sys/un.h>

#define PEERPIDFD 77 /* SO_PEERPIDFD, which the C library may not know */

enum { NONBLOCKING = SOCK_NONBLOCK | SOCK_CLOEXEC, EVERYTHING = 0xffff & ~POLLNVAL };

enum {
    WRITABLE = POLLOUT | POLLWRNORM | POLLWRBAND,
    READABLE = POLLIN | POLLRDNORM,
    PEER_HAS_ENDED = WRITABLE | READABLE | POLLRDHUP,
    ENDED = PEER_HAS_ENDED | POLLHUP
};

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

static void open_pair(int type, int pair[2])
{
    CHECK_IS(loop_kernel_socketpair(AF_UNIX, type | NONBLOCKING, 0, pair), 0);
}

/* An abstract name, which is gone with its socket. */
static socklen_t abstract_name(const char *text, struct sockaddr_un *name)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(name->sun_path + 1, sizeof name->sun_path - 1, "noria-suite-%d-%s", (int)loop_kernel_getpid(), text);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name->sun_path + 1));
}

static const struct sockaddr *any(const struct sockaddr_un *name)
{
    return (const struct sockaddr *)name;
}

static int open_bound(int type, const char *text, struct sockaddr_un *name, socklen_t *length)
{
    int number = loop_kernel_socket(AF_UNIX, type | NONBLOCKING, 0);
    *length = abstract_name(text, name);
    CHECK(number >= 0);
    CHECK_IS(loop_kernel_bind(number, any(name), *length), 0);
    return number;
}

/* ---- streams ---- */

TEST(a_pair_of_streams_carries_bytes)
{
    int pair[2];

    open_pair(SOCK_STREAM, pair);
    CHECK_IS(events_of(pair[0]), WRITABLE);
    CHECK_FAILS(loop_kernel_recv(pair[0], bytes, 0, 0), EAGAIN);
    CHECK_IS(loop_kernel_send(pair[0], "", 0, 0), 0);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 1, 0), EAGAIN);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_write(pair[0], "def", 3), 3);
    CHECK_IS(events_of(pair[1]), WRITABLE | READABLE);
    int left = 0;
    CHECK_IS(loop_kernel_ioctl(pair[1], FIONREAD, &left), 0);
    CHECK_IS(left, 6);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 5, MSG_PEEK), 5);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 4, 0), 4);
    CHECK_IS(memcmp(bytes, "abcd", 4), 0);
    CHECK_IS(loop_kernel_read(pair[1], bytes, 9), 2);
    CHECK_IS(memcmp(bytes, "ef", 2), 0);
    CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
    CHECK_IS(events_of(pair[0]), WRITABLE);
    CHECK_IS(events_of(pair[1]), PEER_HAS_ENDED);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 0);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_send(pair[1], "x", 1, 0), 1);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(events_of(pair[0]), ENDED);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 9, 0), 1);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 9, 0), 0);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(a_close_with_unread_bytes_resets_the_peer)
{
    int pair[2];

    open_pair(SOCK_STREAM, pair);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(events_of(pair[0]), ENDED | POLLERR);
    CHECK_FAILS(loop_kernel_recv(pair[0], bytes, 1, 0), ECONNRESET);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 1, 0), 0);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(receiving_that_is_shut_down_refuses_the_peer)
{
    int pair[2];

    open_pair(SOCK_STREAM, pair);
    CHECK_IS(loop_kernel_shutdown(pair[1], SHUT_RD), 0);
    CHECK_IS(events_of(pair[0]), WRITABLE);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 1, 0), 0);
    CHECK_IS(loop_kernel_shutdown(pair[1], SHUT_RDWR), 0);
    CHECK_IS(events_of(pair[0]), ENDED);
    CHECK_IS(loop_kernel_shutdown(pair[1], SHUT_RDWR), 0);
    close_both(pair);
}

TEST(an_urgent_byte_is_read_by_itself)
{
    int pair[2], is_at_mark = 0;
    enum { URGENT = WRITABLE | READABLE | POLLPRI };

    open_pair(SOCK_STREAM, pair);
    CHECK_FAILS(loop_kernel_send(pair[0], "", 0, MSG_OOB), EOPNOTSUPP);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), EINVAL);
    CHECK_IS(loop_kernel_send(pair[0], "ab!", 3, MSG_OOB), 3);
    CHECK_IS(loop_kernel_send(pair[0], "cd", 2, 0), 2);
    CHECK_IS(events_of(pair[1]), URGENT);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB | MSG_PEEK), 1);
    CHECK_IS(bytes[0], '!');
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), 1);
    CHECK_IS(events_of(pair[1]), WRITABLE | READABLE);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), EINVAL);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 2);
    CHECK_IS(loop_kernel_ioctl(pair[1], SIOCATMARK, &is_at_mark), 0);
    CHECK_IS(is_at_mark, 1);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 2);
    CHECK_IS(memcmp(bytes, "cd", 2), 0);
    CHECK_IS(loop_kernel_ioctl(pair[1], SIOCATMARK, &is_at_mark), 0);
    CHECK_IS(is_at_mark, 0);
    CHECK_IS(loop_kernel_send(pair[0], "!", 1, MSG_OOB), 1);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, 0), EAGAIN);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), EINVAL);
    CHECK_IS(loop_kernel_send(pair[0], "a!", 2, MSG_OOB), 2);
    CHECK_IS(loop_kernel_send(pair[0], "b!", 2, MSG_OOB), 2);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 3);
    CHECK_IS(memcmp(bytes, "a!b", 3), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), 1);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(error_of(pair[0]), 0);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(an_urgent_byte_may_be_in_line)
{
    int pair[2], yes = 1;

    open_pair(SOCK_STREAM, pair);
    CHECK_IS(loop_kernel_setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &yes, sizeof yes), 0);
    CHECK_IS(loop_kernel_send(pair[0], "ab!", 3, MSG_OOB), 3);
    CHECK_IS(loop_kernel_send(pair[0], "cd", 2, 0), 2);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), EINVAL);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 2);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 3);
    CHECK_IS(memcmp(bytes, "!cd", 3), 0);
    close_both(pair);
}

/* Sends until there is no room. Returns the number of sends. */
static int fill(int number, size_t len)
{
    int n = 0;
    while (loop_kernel_send(number, bytes, len, MSG_DONTWAIT) == (ssize_t)len) {
        n++;
    }
    return n;
}

TEST(a_full_stream_becomes_writable_when_most_is_read)
{
    int pair[2];

    open_pair(SOCK_STREAM, pair);
    CHECK_IS(fill(pair[0], 1), 278);
    CHECK_FAILS(loop_kernel_send(pair[0], bytes, 1, 0), EAGAIN);
    CHECK_IS(events_of(pair[0]), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 1, 0), 1);
    CHECK_IS(loop_kernel_send(pair[0], bytes, 1, 0), 1);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 208, 0), 208);
    CHECK_IS(events_of(pair[0]), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 1, 0), 1);
    CHECK_IS(events_of(pair[0]), WRITABLE);
    close_both(pair);
}

TEST(sockets_that_are_not_connected_refuse)
{
    struct sockaddr_un name;
    socklen_t length = sizeof name;
    int number = loop_kernel_socket(AF_UNIX, SOCK_STREAM | NONBLOCKING, 0);

    CHECK_IS(events_of(number), WRITABLE | POLLHUP);
    CHECK_FAILS(loop_kernel_recv(number, bytes, 1, 0), EINVAL);
    CHECK_FAILS(loop_kernel_send(number, bytes, 1, MSG_NOSIGNAL), ENOTCONN);
    CHECK_FAILS(loop_kernel_accept4(number, NULL, NULL, 0), EINVAL);
    CHECK_FAILS(loop_kernel_listen(number, 1), EINVAL);
    CHECK_FAILS(loop_kernel_getpeername(number, (struct sockaddr *)&name, &length), ENOTCONN);
    CHECK_IS(loop_kernel_getsockname(number, (struct sockaddr *)&name, &length), 0);
    CHECK_IS(length, sizeof name.sun_family);
    length = abstract_name("nobody", &name);
    CHECK_FAILS(loop_kernel_connect(number, any(&name), length), ECONNREFUSED);
    CHECK_FAILS(loop_kernel_connect(number, any(&name), 1), EINVAL);
    CHECK_IS(loop_kernel_shutdown(number, SHUT_RDWR), 0);
    CHECK_IS(loop_kernel_close(number), 0);
}

/* ---- connections by names ---- */

TEST(a_name_leads_to_its_listener)
{
    struct sockaddr_un name, found;
    socklen_t length, found_length = sizeof found;
    int listener = open_bound(SOCK_STREAM, "listener", &name, &length);
    int client = loop_kernel_socket(AF_UNIX, SOCK_STREAM | NONBLOCKING, 0);

    CHECK_FAILS(loop_kernel_connect(client, any(&name), length), ECONNREFUSED);
    CHECK_IS(loop_kernel_listen(listener, 1), 0);
    CHECK_IS(events_of(listener), 0);
    CHECK_FAILS(loop_kernel_accept4(listener, NULL, NULL, 0), EAGAIN);
    CHECK_IS(loop_kernel_connect(client, any(&name), length), 0);
    CHECK_FAILS(loop_kernel_connect(client, any(&name), length), EISCONN);
    CHECK_IS(events_of(listener), READABLE);
    CHECK_IS(events_of(client), WRITABLE);
    CHECK_IS(loop_kernel_send(client, "abc", 3, 0), 3);
    int server = loop_kernel_accept4(listener, (struct sockaddr *)&found, &found_length, SOCK_NONBLOCK);
    CHECK(server >= 0);
    CHECK_IS(found_length, sizeof found.sun_family);
    CHECK_IS(loop_kernel_recv(server, bytes, 9, 0), 3);
    found_length = sizeof found;
    CHECK_IS(loop_kernel_getpeername(client, (struct sockaddr *)&found, &found_length), 0);
    CHECK_IS(found_length, length);
    CHECK_IS(memcmp(&found, &name, length), 0);
    found_length = sizeof found;
    CHECK_IS(loop_kernel_getsockname(server, (struct sockaddr *)&found, &found_length), 0);
    CHECK_IS(found_length, length);
    CHECK_IS(loop_kernel_close(server), 0);
    found_length = sizeof found;
    CHECK_IS(loop_kernel_getpeername(client, (struct sockaddr *)&found, &found_length), 0);
    CHECK_IS(found_length, length);
    CHECK_IS(loop_kernel_close(client), 0);
    CHECK_IS(loop_kernel_close(listener), 0);
}

TEST(a_full_backlog_refuses_for_now)
{
    struct sockaddr_un name;
    socklen_t length;
    int listener = open_bound(SOCK_STREAM, "backlog", &name, &length);
    int clients[2];

    CHECK_IS(loop_kernel_listen(listener, 0), 0);
    for (int i = 0; i < 2; i++) {
        clients[i] = loop_kernel_socket(AF_UNIX, SOCK_STREAM | NONBLOCKING, 0);
    }
    CHECK_IS(loop_kernel_connect(clients[0], any(&name), length), 0);
    CHECK_FAILS(loop_kernel_connect(clients[1], any(&name), length), EAGAIN);
    CHECK_IS(loop_kernel_close(listener), 0);
    CHECK_IS(events_of(clients[0]), ENDED | POLLERR);
    CHECK_IS(error_of(clients[0]), ECONNRESET);
    CHECK_FAILS(loop_kernel_connect(clients[1], any(&name), length), ECONNREFUSED);
    close_both(clients);
}

TEST(names_are_bound_once)
{
    struct sockaddr_un name, found;
    socklen_t length, found_length = sizeof found;
    int one = open_bound(SOCK_STREAM, "once", &name, &length);
    int other = loop_kernel_socket(AF_UNIX, SOCK_STREAM | NONBLOCKING, 0);
    int of_other_type = loop_kernel_socket(AF_UNIX, SOCK_DGRAM | NONBLOCKING, 0);

    CHECK_FAILS(loop_kernel_bind(other, any(&name), length), EADDRINUSE);
    CHECK_FAILS(loop_kernel_bind(one, any(&name), length), EINVAL);
    CHECK_FAILS(loop_kernel_connect(of_other_type, any(&name), length), ECONNREFUSED);
    CHECK_IS(loop_kernel_bind(of_other_type, any(&name), length), 0);
    CHECK_FAILS(loop_kernel_listen(of_other_type, 1), EOPNOTSUPP);
    CHECK_IS(loop_kernel_close(one), 0);
    CHECK_IS(loop_kernel_bind(other, any(&name), length), 0);
    close_both((int[]){other, of_other_type});
    one = loop_kernel_socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_IS(loop_kernel_bind(one, any(&name), sizeof name.sun_family), 0);
    CHECK_IS(loop_kernel_getsockname(one, (struct sockaddr *)&found, &found_length), 0);
    CHECK_IS(found_length, sizeof name.sun_family + 6);
    CHECK_IS(found.sun_path[0], '\0');
    CHECK_IS(loop_kernel_close(one), 0);
}

/* ---- paths ---- */

static socklen_t path_name(const char *text, struct sockaddr_un *name)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(name->sun_path, sizeof name->sun_path, "/tmp/noria-suite-%d-%s", (int)loop_kernel_getpid(), text);
    return (socklen_t)sizeof *name;
}

TEST(a_bound_path_is_a_file)
{
    struct sockaddr_un name, found;
    struct stat status;
    socklen_t length = path_name("file", &name), found_length = sizeof found;
    int listener = loop_kernel_socket(AF_UNIX, SOCK_STREAM | NONBLOCKING, 0);
    int client = loop_kernel_socket(AF_UNIX, SOCK_STREAM | NONBLOCKING, 0);
    int other = loop_kernel_socket(AF_UNIX, SOCK_DGRAM | NONBLOCKING, 0);

    CHECK_FAILS(loop_kernel_connect(client, any(&name), length), ENOENT);
    CHECK_IS(loop_kernel_fchmod(listener, 0700), 0);
    CHECK_IS(loop_kernel_bind(listener, any(&name), length), 0);
    CHECK_IS(loop_kernel_lstat(name.sun_path, &status), 0);
    CHECK_IS(status.st_mode, S_IFSOCK | 0700);
    CHECK_IS(loop_kernel_getsockname(listener, (struct sockaddr *)&found, &found_length), 0);
    CHECK_IS(found_length, offsetof(struct sockaddr_un, sun_path) + strlen(name.sun_path) + 1);
    CHECK_FAILS(loop_kernel_bind(other, any(&name), length), EADDRINUSE);
    CHECK_FAILS(loop_kernel_connect(other, any(&name), length), EPROTOTYPE);
    CHECK_IS(loop_kernel_listen(listener, 1), 0);
    CHECK_IS(loop_kernel_connect(client, any(&name), length), 0);
    close_both((int[]){listener, client});
    client = loop_kernel_socket(AF_UNIX, SOCK_STREAM | NONBLOCKING, 0);
    CHECK_FAILS(loop_kernel_connect(client, any(&name), length), ECONNREFUSED);
    CHECK_FAILS(loop_kernel_bind(client, any(&name), length), EADDRINUSE);
    CHECK_FAILS(loop_kernel_open(name.sun_path, O_RDWR, 0), ENXIO);
    CHECK_IS(loop_kernel_unlink(name.sun_path), 0);
    CHECK_FAILS(loop_kernel_connect(client, any(&name), length), ENOENT);
    CHECK_IS(loop_kernel_bind(client, any(&name), length), 0);
    CHECK_IS(loop_kernel_unlink(name.sun_path), 0);
    CHECK_IS(loop_kernel_bind(other, any(&name), length), 0);
    CHECK_IS(loop_kernel_unlink(name.sun_path), 0);
    close_both((int[]){client, other});
}

TEST(other_files_refuse_connections)
{
    struct sockaddr_un name;
    socklen_t length = path_name("regular", &name);
    int file = loop_kernel_open(name.sun_path, O_RDWR | O_CREAT | O_EXCL, 0600);
    int client = loop_kernel_socket(AF_UNIX, SOCK_STREAM | NONBLOCKING, 0);

    CHECK(file >= 0);
    CHECK_FAILS(loop_kernel_connect(client, any(&name), length), ECONNREFUSED);
    CHECK_FAILS(loop_kernel_bind(client, any(&name), length), EADDRINUSE);
    CHECK_IS(loop_kernel_unlink(name.sun_path), 0);
    close_both((int[]){file, client});
}

/* ---- datagrams and packets ---- */

TEST(datagrams_keep_their_bounds)
{
    int pair[2];

    open_pair(SOCK_DGRAM, pair);
    CHECK_IS(events_of(pair[0]), WRITABLE);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_send(pair[0], "", 0, 0), 0);
    CHECK_IS(loop_kernel_send(pair[0], "de", 2, 0), 2);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 2, MSG_PEEK | MSG_TRUNC), 3);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 2, 0), 2);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 0);
    struct iovec iov = {bytes, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK_IS(loop_kernel_recvmsg(pair[1], &message, 0), 1);
    CHECK_IS(message.msg_flags, MSG_TRUNC);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, 0), EAGAIN);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(events_of(pair[0]), WRITABLE);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, 0), ECONNREFUSED);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, 0), ENOTCONN);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(datagrams_have_the_name_of_their_sender)
{
    struct sockaddr_un one_name, other_name, from;
    socklen_t one_length, other_length;
    int one = open_bound(SOCK_DGRAM, "one", &one_name, &one_length);
    int other = open_bound(SOCK_DGRAM, "other", &other_name, &other_length);
    struct iovec iov = {bytes, 3};
    struct msghdr message = {.msg_name = &other_name, .msg_namelen = other_length, .msg_iov = &iov, .msg_iovlen = 1};

    CHECK_FAILS(loop_kernel_send(one, "x", 1, 0), ENOTCONN);
    CHECK_IS(loop_kernel_sendmsg(one, &message, 0), 3);
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    CHECK_IS(loop_kernel_recvmsg(other, &message, 0), 3);
    CHECK_IS(message.msg_namelen, one_length);
    CHECK_IS(memcmp(&from, &one_name, one_length), 0);
    CHECK_IS(loop_kernel_connect(one, any(&other_name), other_length), 0);
    CHECK_IS(fill(one, 1), 11);
    CHECK_FAILS(loop_kernel_send(one, "x", 1, 0), EAGAIN);
    CHECK_IS(events_of(one), 0);
    CHECK_IS(loop_kernel_recv(other, bytes, 1, 0), 1);
    CHECK_IS(events_of(one), WRITABLE);
    CHECK_IS(loop_kernel_close(other), 0);
    CHECK_FAILS(loop_kernel_sendmsg(one, &message, 0), EPERM); /* to itself, which has another peer */
    message.msg_name = &other_name;
    message.msg_namelen = other_length;
    CHECK_FAILS(loop_kernel_sendmsg(one, &message, 0), ECONNREFUSED);
    CHECK_IS(loop_kernel_close(one), 0);
}

TEST(packets_in_sequence_end)
{
    int pair[2];

    open_pair(SOCK_SEQPACKET, pair);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_send(pair[0], "de", 2, 0), 2);
    struct iovec iov = {bytes, 2};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK_IS(loop_kernel_recvmsg(pair[1], &message, 0), 2);
    CHECK_IS(message.msg_flags, MSG_TRUNC);
    CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 2);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 0);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(events_of(pair[0]), ENDED);
    CHECK_FAILS(loop_kernel_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 9, 0), 0);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

/* ---- control messages ---- */

static ssize_t send_with(int number, const char *text, int level, int type, const void *data, size_t len)
{
    char control[CMSG_SPACE(64)] = {0};
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = (socklen_t)CMSG_SPACE(len)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = (socklen_t)CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};
    memcpy(CMSG_DATA(header), data, len);
    return loop_kernel_sendmsg(number, &message, 0);
}

static ssize_t send_numbers(int number, const char *text, const int *numbers, size_t n)
{
    return send_with(number, text, SOL_SOCKET, SCM_RIGHTS, numbers, n * sizeof *numbers);
}

/* Receives up to `len` bytes, with up to `room` bytes of control messages. */
static ssize_t receive_with(int number, size_t len, void *control, size_t room, struct msghdr *message)
{
    static struct iovec iov;
    iov = (struct iovec){bytes, len};
    *message =
        (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = (socklen_t)room};
    return loop_kernel_recvmsg(number, message, MSG_CMSG_CLOEXEC);
}

TEST(descriptors_travel_with_their_bytes)
{
    int pair[2], pipe[2], number;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    struct msghdr message;

    open_pair(SOCK_STREAM, pair);
    CHECK_IS(loop_kernel_pipe2(pipe, 0), 0);
    CHECK_IS(loop_kernel_send(pair[0], "ab", 2, 0), 2);
    CHECK_IS(send_numbers(pair[0], "cd", &pipe[1], 1), 2);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
    CHECK_IS(loop_kernel_send(pair[0], "ef", 2, 0), 2);
    CHECK_IS(receive_with(pair[1], 9, control, sizeof control, &message), 4);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header);
    CHECK_IS(header->cmsg_level, SOL_SOCKET);
    CHECK_IS(header->cmsg_type, SCM_RIGHTS);
    CHECK_IS(header->cmsg_len, CMSG_LEN(sizeof number));
    CHECK_IS(message.msg_flags & MSG_CTRUNC, 0);
    memcpy(&number, CMSG_DATA(header), sizeof number);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(loop_kernel_write(number, "x", 1), 1);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 9), 1);
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 9), 0);
    CHECK_IS(receive_with(pair[1], 9, control, sizeof control, &message), 2);
    CHECK_IS(message.msg_controllen, 0);
    CHECK_IS(loop_kernel_close(pipe[0]), 0);
    close_both(pair);
}

TEST(descriptors_without_room_are_closed)
{
    int pair[2], pipe[2];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message;

    open_pair(SOCK_STREAM, pair);
    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    CHECK_IS(send_numbers(pair[0], "abc", (int[]){pipe[1]}, 1), 3);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
    CHECK_FAILS(loop_kernel_read(pipe[0], bytes, 9), EAGAIN);
    CHECK_IS(receive_with(pair[1], 1, NULL, 0, &message), 1);
    CHECK_IS(message.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
    CHECK_IS(loop_kernel_read(pipe[0], bytes, 9), 0);
    CHECK_IS(receive_with(pair[1], 9, control, sizeof control, &message), 2);
    CHECK_IS(message.msg_flags & MSG_CTRUNC, 0);
    CHECK_FAILS(send_numbers(pair[0], "abc", (int[]){1 << 20}, 1), EBADF);
    CHECK_IS(send_numbers(pair[0], "abc", (int[]){pipe[0]}, 1), 3);
    close_both(pair);
    CHECK_IS(loop_kernel_close(pipe[0]), 0);
}

TEST(a_socket_that_is_sent_through_itself_is_freed)
{
    int pair[2];

    open_pair(SOCK_DGRAM, pair);
    CHECK_IS(send_numbers(pair[0], "a", pair, 2), 1);
    close_both(pair);
}

TEST(a_socket_that_has_a_datagram_of_its_own_is_freed)
{
    struct sockaddr_un name;
    socklen_t length = abstract_name("itself", &name);
    int number = loop_kernel_socket(AF_UNIX, SOCK_DGRAM, 0), pair[2];

    CHECK_IS(loop_kernel_bind(number, (struct sockaddr *)&name, length), 0);
    CHECK_IS(loop_kernel_connect(number, (struct sockaddr *)&name, length), 0);
    CHECK_IS(loop_kernel_send(number, "a", 1, 0), 1);
    CHECK_IS(loop_kernel_send(number, "b", 1, 0), 1);
    CHECK_IS(loop_kernel_close(number), 0);
    open_pair(SOCK_DGRAM, pair);
    close_both(pair);
}

/* Nothing has told it yet that its peer is gone. */
TEST(a_socket_whose_peer_is_gone_takes_no_other)
{
    struct sockaddr_un name;
    socklen_t length = abstract_name("left", &name);
    int pair[2];

    open_pair(SOCK_DGRAM, pair);
    CHECK_IS(loop_kernel_bind(pair[0], (struct sockaddr *)&name, length), 0);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_FAILS(loop_kernel_connect(pair[0], (struct sockaddr *)&name, length), EPERM);
    CHECK_FAILS(loop_kernel_send(pair[0], "a", 1, 0), ECONNREFUSED);
    CHECK_IS(loop_kernel_connect(pair[0], (struct sockaddr *)&name, length), 0);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(the_close_of_a_datagram_socket_is_no_event_for_its_peer)
{
    struct epoll_event event = {.events = EPOLLET | EPOLLIN | EPOLLOUT};
    int pair[2], set = loop_kernel_epoll_create1(0);

    open_pair(SOCK_DGRAM, pair);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 1);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
    CHECK_IS(loop_kernel_close(set), 0);
}

TEST(a_datagram_socket_that_leaves_its_peer_drops_its_queue)
{
    int pair[2];
    struct sockaddr_un name;
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    socklen_t length;

    open_pair(SOCK_DGRAM, pair);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_send(pair[1], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_connect(pair[1], &none, sizeof none), 0);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, 0), EAGAIN);
    CHECK_FAILS(loop_kernel_recv(pair[0], bytes, 9, 0), ECONNRESET);
    CHECK_IS(loop_kernel_recv(pair[0], bytes, 9, 0), 3);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_connect(pair[1], &none, sizeof none), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, 0), 3);
    close_both(pair);
    open_pair(SOCK_DGRAM, pair);
    int other = open_bound(SOCK_DGRAM, "other", &name, &length);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_connect(pair[1], any(&name), length), 0);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, 0), EAGAIN);
    close_both(pair);
    CHECK_IS(loop_kernel_close(other), 0);
    open_pair(SOCK_DGRAM, pair);
    CHECK_IS(loop_kernel_send(pair[1], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
    CHECK_FAILS(loop_kernel_send(pair[0], "a", 1, 0), ECONNREFUSED); /* so it has left its peer */
    CHECK_FAILS(loop_kernel_recv(pair[0], bytes, 9, 0), EAGAIN);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
}

TEST(names_without_a_path_lead_nowhere)
{
    const struct sockaddr_un name = {.sun_family = AF_UNIX};
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int number = loop_kernel_socket(AF_UNIX, types[i] | NONBLOCKING, 0);
        CHECK_FAILS(loop_kernel_connect(number, any(&name), sizeof name.sun_family), EINVAL);
        CHECK_FAILS(loop_kernel_connect(number, any(&name), sizeof name), ECONNREFUSED);
        CHECK_IS(loop_kernel_close(number), 0);
    }
}

TEST(listeners_have_no_bytes_to_read)
{
    struct sockaddr_un name;
    socklen_t length;
    int left = 7, pair[2];
    int listener = open_bound(SOCK_STREAM, "listener", &name, &length);

    CHECK_IS(loop_kernel_ioctl(listener, FIONREAD, &left), 0);
    CHECK_IS(left, 0);
    CHECK_IS(loop_kernel_listen(listener, 1), 0);
    CHECK_FAILS(loop_kernel_ioctl(listener, FIONREAD, &left), EINVAL);
    CHECK_IS(loop_kernel_ioctl(listener, TIOCOUTQ, &left), 0);
    CHECK_IS(loop_kernel_ioctl(listener, SIOCATMARK, &left), 0);
    CHECK_IS(left, 0);
    CHECK_IS(loop_kernel_close(listener), 0);
    open_pair(SOCK_SEQPACKET, pair);
    CHECK_FAILS(loop_kernel_ioctl(pair[0], SIOCATMARK, &left), EOPNOTSUPP);
    close_both(pair);
    int number = loop_kernel_socket(AF_UNIX, SOCK_DGRAM | NONBLOCKING, 0);
    CHECK_FAILS(loop_kernel_ioctl(number, SIOCATMARK, &left), EOPNOTSUPP);
    CHECK_IS(loop_kernel_shutdown(number, SHUT_WR), 0);
    CHECK_FAILS(loop_kernel_send(number, "a", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(the_process_at_the_other_end_has_a_descriptor)
{
    int pair[2], process = -1, other = -1;
    socklen_t length = sizeof process;
    char byte;

    open_pair(SOCK_STREAM, pair);
    int error = loop_kernel_getsockopt(pair[0], SOL_SOCKET, PEERPIDFD, &process, &length) == 0 ? 0 : errno;
    if (error == ENOPROTOOPT) { /* before Linux 6.5 */
        CHECK(!NORIA_SIMULATED);
        close_both(pair);
        return;
    }
    CHECK_IS(error, 0);
    CHECK_IS(length, sizeof process);
    CHECK_IS(loop_kernel_fcntl(process, F_GETFD, 0), FD_CLOEXEC);
    CHECK_IS(poll_now(process, POLLIN | POLLOUT), 0); /* it has not ended */
    CHECK_FAILS(loop_kernel_read(process, &byte, 1), EINVAL);
    loop_kernel_close(process);
    close_both(pair);
    other = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_IS(loop_kernel_getsockopt(other, SOL_SOCKET, PEERPIDFD, &process, &length), -1);
    loop_kernel_close(other);
}

TEST(credentials_are_those_of_the_sender)
{
    int pair[2];
    int yes = 1;
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof credentials)];
    struct msghdr message;

    open_pair(SOCK_STREAM, pair);
    CHECK_IS(loop_kernel_getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &credentials, &length), 0);
    CHECK_IS(credentials.pid, loop_kernel_getpid());
    CHECK_IS(credentials.uid, loop_kernel_geteuid());
    CHECK_IS(loop_kernel_setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes), 0);
    CHECK_IS(loop_kernel_send(pair[0], "ab", 2, 0), 2);
    CHECK_IS(receive_with(pair[1], 9, control, sizeof control, &message), 2);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header);
    CHECK_IS(header->cmsg_type, SCM_CREDENTIALS);
    memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
    CHECK_IS(credentials.pid, loop_kernel_getpid());
    CHECK_FAILS(send_with(pair[0], "a", SOL_SOCKET, SCM_CREDENTIALS, &yes, sizeof yes), EINVAL);
    CHECK_IS(send_with(pair[0], "a", SOL_SOCKET, SCM_CREDENTIALS, &credentials, sizeof credentials), 1);
    CHECK_IS(receive_with(pair[1], 9, NULL, 0, &message), 1);
    CHECK_IS(message.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
    close_both(pair);
}
