/* SPDX-License-Identifier: ISC
 *
 * Rings: sockets. The real kernel and the simulated one must give the same answers.
 */
#include "rings.h"

#if NORIA_URING

#include <netinet/in.h>
#include <sys/un.h>

static void make_unix_pair(int pair[2])
{
    CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

/* Returns a listener on a free port of 127.0.0.1, with its address. */
static int listen_somewhere(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int number = loop_kernel_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_IS(loop_kernel_bind(number, (void *)address, length), 0);
    CHECK_IS(loop_kernel_listen(number, 8), 0);
    CHECK_IS(loop_kernel_getsockname(number, (void *)address, &length), 0);
    return number;
}

static int make_client(const struct sockaddr_in *address)
{
    int number = loop_kernel_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(loop_kernel_connect(number, (const void *)address, sizeof *address), 0);
    return number;
}

/* Makes a connection over TCP. */
static void make_connection(int ends[2])
{
    struct sockaddr_in address;
    int listener = listen_somewhere(&address);
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    ends[0] = make_client(&address);
    CHECK_IS(loop_kernel_poll(&entry, 1, 5000), 1);
    ends[1] = loop_kernel_accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(ends[1] >= 0);
    CHECK_IS(loop_kernel_close(listener), 0);
}

static void send_text(int number, const char *text)
{
    CHECK_IS(loop_kernel_send(number, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* ---- receive and send ---- */

TEST_ROWS(receive_waits_for_bytes, 2 * COUNT_OF(setups), row)
{
    struct io_uring ring;
    int ends[2];
    char data[16] = "";

    if (!make_ring(&ring, 4, 0, setups[row / 2])) {
        return;
    }
    (row % 2 ? make_unix_pair : make_connection)(ends);
    io_uring_prep_recv(entry_of(&ring), ends[0], data, sizeof data, 0);
    EXPECT_NOTHING(&ring);
    send_text(ends[1], "hello");
    EXPECT(&ring, 0, 5, 0);
    CHECK_TEXT(data, "hello");
    io_uring_prep_recv(entry_of(&ring), ends[0], data, sizeof data, MSG_DONTWAIT);
    EXPECT(&ring, 0, -EAGAIN, 0);
    CHECK_IS(loop_kernel_close(ends[1]), 0);
    io_uring_prep_recv(entry_of(&ring), ends[0], data, sizeof data, 0);
    EXPECT(&ring, 0, 0, row % 2 ? 0 : IORING_CQE_F_SOCK_NONEMPTY);
    io_uring_prep_send(entry_of(&ring), ends[0], "x", 1, MSG_NOSIGNAL);
    struct completion sent = next_of(&ring);
    CHECK(sent.result == (row % 2 ? -EPIPE : 1));
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST_ROWS(receive_of_all_goes_on_after_a_part, 2, row)
{
    struct io_uring ring;
    int ends[2];
    char data[9] = "";

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    (row ? make_unix_pair : make_connection)(ends);
    io_uring_prep_recv(entry_of(&ring), ends[0], data, 8, MSG_WAITALL);
    send_text(ends[1], "abc");
    EXPECT_NOTHING(&ring);
    send_text(ends[1], "defgh");
    EXPECT(&ring, 0, 8, 0);
    CHECK_TEXT(data, "abcdefgh");
    io_uring_prep_recv(entry_of(&ring), ends[0], data, 8, MSG_WAITALL);
    send_text(ends[1], "xyz");
    EXPECT_NOTHING(&ring);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_cancel64(entry, 0, 0);
    entry->user_data = 1;
    EXPECT(&ring, 1, 0, 0);
    EXPECT(&ring, 0, 3, 0);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(receive_ends_when_the_socket_is_shut_down)
{
    struct io_uring ring;
    int ends[2];
    char data[8];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_unix_pair(ends);
    io_uring_prep_recv(entry_of(&ring), ends[0], data, sizeof data, 0);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_shutdown(ends[0], SHUT_RDWR), 0);
    EXPECT(&ring, 0, 0, 0);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_shutdown(entry, ends[1], SHUT_WR);
    entry->user_data = 2;
    EXPECT(&ring, 2, 0, 0);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* Fills a socket until it would block. */
static void fill(int number)
{
    static char block[4096];
    while (loop_kernel_send(number, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    CHECK_IS(errno, EAGAIN);
}

static void read_all(int number)
{
    static char block[65536];
    while (loop_kernel_recv(number, block, sizeof block, MSG_DONTWAIT) > 0) {
    }
    CHECK_IS(errno, EAGAIN);
}

TEST(send_waits_for_room)
{
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_unix_pair(ends);
    fill(ends[0]);
    io_uring_prep_send(entry_of(&ring), ends[0], "more", 4, MSG_NOSIGNAL);
    EXPECT_NOTHING(&ring);
    read_all(ends[1]);
    EXPECT(&ring, 0, 4, 0);
    fill(ends[0]);
    io_uring_prep_send(entry_of(&ring), ends[0], "more", 4, MSG_NOSIGNAL);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_close(ends[1]), 0);
    EXPECT(&ring, 0, -EPIPE, 0);
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(messages_carry_vectors_and_control)
{
    struct io_uring ring;
    int ends[2];
    char one[3] = "", other[8] = "", he[] = "he", llo[] = "llo";
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec to[2] = {{one, 2}, {other, 7}}, from[2] = {{he, 2}, {llo, 3}};
    struct msghdr receive = {.msg_iov = to, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    struct msghdr send = {.msg_iov = from, .msg_iovlen = 2};

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_unix_pair(ends);
    io_uring_prep_recvmsg(entry_of(&ring), ends[0], &receive, 0);
    EXPECT_NOTHING(&ring);
    memset(to, 0, sizeof to);
    io_uring_prep_sendmsg(entry_of(&ring), ends[1], &send, MSG_NOSIGNAL);
    ring.sq.sqes[(ring.sq.sqe_tail - 1) & ring.sq.ring_mask].user_data = 1;
    EXPECT(&ring, 1, 5, 0);
    EXPECT(&ring, 0, 5, 0);
    CHECK_TEXT(one, "he");
    CHECK_TEXT(other, "llo");
    CHECK_IS(receive.msg_controllen, 0);
    CHECK_IS(receive.msg_flags, 0);
    send.msg_iovlen = 1025;
    io_uring_prep_sendmsg(entry_of(&ring), ends[1], &send, MSG_NOSIGNAL);
    EXPECT(&ring, 0, -EMSGSIZE, 0);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- accept and connect ---- */

TEST(accept_waits_for_a_connection)
{
    struct io_uring ring;
    struct sockaddr_in address, peer;
    socklen_t length = sizeof peer;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int listener = listen_somewhere(&address);
    io_uring_prep_accept(entry_of(&ring), listener, (void *)&peer, &length, SOCK_CLOEXEC);
    EXPECT_NOTHING(&ring);
    int client = make_client(&address);
    int server = next_of(&ring).result;
    CHECK(server >= 0);
    CHECK_IS(length, sizeof peer);
    CHECK_IS(peer.sin_family, AF_INET);
    CHECK_IS(loop_kernel_fcntl(server, F_GETFD, 0), FD_CLOEXEC);
    close_all((int[]){listener, client, server}, 3);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(multishot_accept_takes_each_connection)
{
    struct io_uring ring;
    struct sockaddr_in address;
    int numbers[7];
    int *end = numbers;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int listener = *end++ = listen_somewhere(&address);
    *end++ = make_client(&address);
    *end++ = make_client(&address);
    io_uring_prep_multishot_accept(entry_of(&ring), listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    for (unsigned i = 0; i < 3; i++) {
        if (i == 2) {
            EXPECT_NOTHING(&ring);
            *end++ = make_client(&address);
        }
        struct completion completion = next_of(&ring);
        CHECK_IS(completion.flags, IORING_CQE_F_MORE | (i == 0 ? IORING_CQE_F_SOCK_NONEMPTY : 0U));
        CHECK(completion.result >= 0);
        CHECK(loop_kernel_fcntl(completion.result, F_GETFL, 0) & O_NONBLOCK);
        *end++ = completion.result;
    }
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_cancel64(entry, 0, 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    EXPECT(&ring, 0, -ECANCELED, 0);
    close_all(numbers, COUNT_OF(numbers));
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(accept_needs_a_listener)
{
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_unix_pair(ends);
    io_uring_prep_accept(entry_of(&ring), ends[0], NULL, NULL, 0);
    EXPECT(&ring, 0, -EINVAL, 0);
    io_uring_prep_accept(entry_of(&ring), ends[0], NULL, NULL, 1);
    EXPECT(&ring, 0, -EINVAL, 0);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(connect_completes_with_its_outcome)
{
    struct io_uring ring;
    struct sockaddr_in address;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int listener = listen_somewhere(&address);
    int client = loop_kernel_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    io_uring_prep_connect(entry_of(&ring), client, (void *)&address, sizeof address);
    EXPECT(&ring, 0, 0, 0);
    io_uring_prep_connect(entry_of(&ring), client, (void *)&address, sizeof address);
    EXPECT(&ring, 0, -EISCONN, 0);
    close_all((int[]){client, listener}, 2);
    client = loop_kernel_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    io_uring_prep_connect(entry_of(&ring), client, (void *)&address, sizeof address);
    EXPECT(&ring, 0, -ECONNREFUSED, 0);
    CHECK_IS(loop_kernel_close(client), 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(connect_waits_for_room_at_a_unix_listener_unless_it_is_nonblocking)
{
    struct io_uring ring;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof address;
    int clients[3];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int listener = loop_kernel_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(loop_kernel_bind(listener, (void *)&address, sizeof(sa_family_t)), 0);
    CHECK_IS(loop_kernel_listen(listener, 0), 0);
    CHECK_IS(loop_kernel_getsockname(listener, (void *)&address, &length), 0);
    for (unsigned i = 0; i < 3; i++) {
        int flags = SOCK_CLOEXEC | (i == 1 ? SOCK_NONBLOCK : 0);
        struct io_uring_sqe *entry = entry_of(&ring);
        clients[i] = loop_kernel_socket(AF_UNIX, SOCK_STREAM | flags, 0);
        io_uring_prep_connect(entry, clients[i], (void *)&address, length);
        entry->user_data = i;
        if (i < 2) {
            EXPECT(&ring, i, i == 1 ? -EAGAIN : 0, 0);
        } else {
            EXPECT_NOTHING(&ring);
        }
    }
    int first = loop_kernel_accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    EXPECT(&ring, 2, 0, 0);
    close_all(clients, 3);
    close_all((int[]){first, listener}, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- polls of sockets ---- */

TEST(poll_of_a_socket_reports_urgent_input_at_each_wakeup)
{
    const unsigned all = POLLIN | POLLPRI | POLLRDBAND;
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_connection(ends);
    io_uring_prep_poll_multishot(entry_of(&ring), ends[0], all);
    EXPECT_NOTHING(&ring);
    send_text(ends[1], "x");
    EXPECT(&ring, 0, all, IORING_CQE_F_MORE);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_poll_add(entry, ends[0], all);
    entry->user_data = 1;
    EXPECT(&ring, 1, POLLIN, 0);
    CHECK_IS(loop_kernel_shutdown(ends[1], SHUT_WR), 0);
    EXPECT(&ring, 0, POLLIN | POLLRDHUP, IORING_CQE_F_MORE);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- provided buffers ---- */

enum { BUFFERS = 4, BUFFER_BYTES = 8, PAGE_BYTES = 4096 };

/* A group of buffers. */
struct group {
    struct io_uring_buf_ring *ring;
    char memory[BUFFERS][BUFFER_BYTES];
};

static void give(struct group *group, unsigned number)
{
    io_uring_buf_ring_add(group->ring, group->memory[number], BUFFER_BYTES, (unsigned short)number,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(group->ring, 1);
}

static void make_group(struct io_uring *ring, struct group *group, unsigned count)
{
    void *memory = loop_kernel_mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    group->ring = memory;
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)memory, .ring_entries = BUFFERS, .bgid = 9};
    CHECK_IS(loop_kernel_io_uring_register_buf_ring(ring, &reg, 0), 0);
    CHECK_IS(loop_kernel_io_uring_register_buf_ring(ring, &reg, 0), -EEXIST);
    for (unsigned i = 0; i < count; i++) {
        give(group, i);
    }
}

static void end_group(struct io_uring *ring, struct group *group)
{
    CHECK_IS(loop_kernel_io_uring_unregister_buf_ring(ring, 9), 0);
    CHECK_IS(loop_kernel_io_uring_unregister_buf_ring(ring, 9), -ENOENT);
    CHECK_IS(loop_kernel_munmap(group->ring, PAGE_BYTES), 0);
}

/* Prepares a receive into a provided buffer. */
static struct io_uring_sqe *start_receive(struct io_uring *ring, int number, int flags)
{
    struct io_uring_sqe *entry = entry_of(ring);
    io_uring_prep_recv(entry, number, NULL, 0, flags);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = 9;
    return entry;
}

static struct io_uring_sqe *start_multishot(struct io_uring *ring, int number, unsigned flags)
{
    struct io_uring_sqe *entry = start_receive(ring, number, 0);
    entry->ioprio |= (uint16_t)(IORING_RECV_MULTISHOT | flags);
    return entry;
}

#define IN_BUFFER(number) (IORING_CQE_F_BUFFER | (unsigned)(number) << IORING_CQE_BUFFER_SHIFT)

TEST(multishot_receive_fills_provided_buffers_until_the_end)
{
    static struct group group;
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_group(&ring, &group, BUFFERS);
    make_connection(ends);
    start_multishot(&ring, ends[0], IORING_RECVSEND_POLL_FIRST);
    EXPECT_NOTHING(&ring);
    send_text(ends[1], "hello");
    EXPECT(&ring, 0, 5, IN_BUFFER(0) | IORING_CQE_F_MORE);
    CHECK(memcmp(group.memory[0], "hello", 5) == 0);
    EXPECT_NOTHING(&ring);
    send_text(ends[1], "0123456789");
    EXPECT(&ring, 0, 8, IN_BUFFER(1) | IORING_CQE_F_MORE | IORING_CQE_F_SOCK_NONEMPTY);
    EXPECT(&ring, 0, 2, IN_BUFFER(2) | IORING_CQE_F_MORE);
    CHECK(memcmp(group.memory[2], "89", 2) == 0);
    give(&group, 0);
    CHECK_IS(loop_kernel_close(ends[1]), 0);
    EXPECT(&ring, 0, 0, IORING_CQE_F_SOCK_NONEMPTY);
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    end_group(&ring, &group);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(multishot_receive_ends_without_buffers_and_loses_nothing)
{
    static struct group group;
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_group(&ring, &group, 1);
    make_unix_pair(ends);
    send_text(ends[1], "0123456789");
    start_multishot(&ring, ends[0], 0);
    struct completion first = next_of(&ring);
    CHECK_IS(first.result, 8);
    CHECK_IS(first.flags & ~IORING_CQE_F_SOCK_NONEMPTY, IN_BUFFER(0) | IORING_CQE_F_MORE);
    EXPECT(&ring, 0, -ENOBUFS, 0);
    start_multishot(&ring, ends[0], 0);
    EXPECT(&ring, 0, -ENOBUFS, 0);
    read_all(ends[0]);
    start_multishot(&ring, ends[0], 0);
    EXPECT(&ring, 0, -ENOBUFS, 0);
    start_multishot(&ring, ends[0], IORING_RECVSEND_POLL_FIRST);
    EXPECT_NOTHING(&ring);
    give(&group, 0);
    send_text(ends[1], "ab");
    EXPECT(&ring, 0, 2, IN_BUFFER(0) | IORING_CQE_F_MORE);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_cancel64(entry, 0, 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    EXPECT(&ring, 0, -ECANCELED, 0);
    close_all(ends, 2);
    end_group(&ring, &group);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(multishot_receive_refuses_what_linux_refuses)
{
    struct io_uring ring;
    int ends[2];
    char byte;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_unix_pair(ends);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_recv_multishot(entry, ends[0], NULL, 0, 0);
    EXPECT(&ring, 0, -EINVAL, 0);
    entry = entry_of(&ring);
    io_uring_prep_recv_multishot(entry, ends[0], NULL, 0, MSG_WAITALL);
    entry->flags |= IOSQE_BUFFER_SELECT;
    EXPECT(&ring, 0, -EINVAL, 0);
    start_multishot(&ring, ends[0], 0);
    EXPECT(&ring, 0, -ENOBUFS, 0);
    entry = entry_of(&ring);
    io_uring_prep_write(entry, ends[0], &byte, 1, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    EXPECT(&ring, 0, -EOPNOTSUPP, 0);
    struct io_uring_buf_reg wrong = {.ring_addr = 4096, .ring_entries = 3, .bgid = 1};
    CHECK_IS(loop_kernel_io_uring_register_buf_ring(&ring, &wrong, 0), -EINVAL);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(multishot_receive_that_does_not_wait_ends_with_eagain)
{
    static struct group group;
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_group(&ring, &group, BUFFERS);
    make_unix_pair(ends);
    send_text(ends[1], "0123456789");
    struct io_uring_sqe *entry = start_multishot(&ring, ends[0], 0);
    entry->msg_flags = MSG_DONTWAIT;
    CHECK_IS(next_of(&ring).result, 8);
    EXPECT(&ring, 0, 2, IN_BUFFER(1) | IORING_CQE_F_MORE);
    EXPECT(&ring, 0, -EAGAIN, 0);
    close_all(ends, 2);
    end_group(&ring, &group);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(receive_of_all_goes_on_in_the_same_buffer)
{
    static struct group group;
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_group(&ring, &group, BUFFERS);
    make_unix_pair(ends);
    for (int round = 0; round < 2; round++) {
        struct io_uring_sqe *entry = start_receive(&ring, ends[0], MSG_WAITALL);
        entry->user_data = 1;
        EXPECT_NOTHING(&ring);
        send_text(ends[1], "abc");
        EXPECT_NOTHING(&ring);
        if (round == 0) {
            send_text(ends[1], "defgh");
            EXPECT(&ring, 1, 8, IN_BUFFER(0));
            CHECK(memcmp(group.memory[0], "abcdefgh", 8) == 0);
        } else {
            io_uring_prep_cancel64(entry_of(&ring), 1, 0);
            EXPECT(&ring, 0, 0, 0);
            EXPECT(&ring, 1, 3, IN_BUFFER(1));
            CHECK(memcmp(group.memory[1], "abc", 3) == 0);
        }
    }
    close_all(ends, 2);
    end_group(&ring, &group);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(a_half_that_this_side_has_shut_down_has_nothing_left)
{
    struct io_uring ring;
    int ends[2];
    char data[8];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_connection(ends);
    CHECK_IS(loop_kernel_shutdown(ends[0], SHUT_RD), 0);
    io_uring_prep_recv(entry_of(&ring), ends[0], data, sizeof data, 0);
    EXPECT(&ring, 0, 0, 0);
    CHECK_IS(loop_kernel_close(ends[1]), 0);
    io_uring_prep_recv(entry_of(&ring), ends[0], data, sizeof data, 0);
    EXPECT(&ring, 0, 0, IORING_CQE_F_SOCK_NONEMPTY);
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(what_is_no_socket_is_refused_before_it_is_polled)
{
    struct io_uring ring;
    static struct group group;
    int pipe[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    make_group(&ring, &group, 0);
    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK), 0);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_send(entry, pipe[0], "a", 1, MSG_NOSIGNAL);
    entry->ioprio = IORING_RECVSEND_POLL_FIRST;
    EXPECT(&ring, 0, -ENOTSOCK, 0);
    (void)start_receive(&ring, pipe[1], 0);
    EXPECT(&ring, 0, -ENOTSOCK, 0);
    close_all(pipe, 2);
    end_group(&ring, &group);
    loop_kernel_io_uring_queue_exit(&ring);
}

#endif
