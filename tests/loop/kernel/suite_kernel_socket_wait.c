/* SPDX-License-Identifier: ISC
 *
 * The door's functions for sockets that wait, with two threads: the real kernel and the simulated one must give the
 * same answers.
 */
#include "kernel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

enum { MANY = 8 << 20 };

static char bytes[1 << 16];

/* What a thread does, and what has come of it. */
struct task {
    int number;
    ssize_t result;
    int error;
    size_t total;
};

static void run_task(void *(*act)(void *arg), struct task *task, pthread_t *thread)
{
    CHECK_IS(loop_kernel_pthread_create(thread, NULL, act, task), 0);
}

static void note(struct task *task, ssize_t result)
{
    task->result = result;
    task->error = result < 0 ? errno : 0;
}

/* Makes a blocking TCP connection over ::1. */
static void connect_pair(int pair[2])
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, from;
    socklen_t length = sizeof address;
    int listener = loop_kernel_socket(AF_INET6, SOCK_STREAM, 0);
    CHECK_IS(loop_kernel_bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(loop_kernel_listen(listener, 1), 0);
    CHECK_IS(loop_kernel_getsockname(listener, (struct sockaddr *)&address, &length), 0);
    pair[0] = loop_kernel_socket(AF_INET6, SOCK_STREAM, 0);
    CHECK_IS(loop_kernel_connect(pair[0], (struct sockaddr *)&address, sizeof address), 0);
    pair[1] = loop_kernel_accept4(listener, (struct sockaddr *)&from, &length, 0);
    CHECK_IS(length, sizeof from);
    CHECK(IN6_IS_ADDR_LOOPBACK(&from.sin6_addr));
    CHECK_IS(loop_kernel_close(listener), 0);
}

/* ---- streams ---- */

static void *read_all(void *arg)
{
    struct task *task = arg;
    static char buffer[1 << 16];
    ssize_t n;
    while ((n = loop_kernel_recv(task->number, buffer, sizeof buffer, 0)) > 0) {
        task->total += (size_t)n;
    }
    note(task, n);
    return NULL;
}

static void check_send_of_many(int pair[2])
{
    static char many[MANY];
    struct task task = {.number = pair[1]};
    pthread_t thread;
    run_task(read_all, &task, &thread);
    CHECK_IS(loop_kernel_send(pair[0], many, sizeof many, 0), MANY);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(task.total, MANY);
    CHECK_IS(task.result, 0);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
}

TEST(a_send_waits_until_all_is_in_the_buffer)
{
    int pair[2];
    connect_pair(pair);
    check_send_of_many(pair);
    CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    check_send_of_many(pair);
}

TEST(a_receive_may_wait_for_all)
{
    int pair[2];
    connect_pair(pair);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_send(pair[0], "ab", 2, 0), 2);
        CHECK_IS(loop_kernel_send(pair[0], "cd", 2, 0), 2);
        CHECK_IS(loop_kernel_recv(pair[1], bytes, 4, MSG_WAITALL), 4);
        CHECK_IS(memcmp(bytes, "abcd", 4), 0);
        CHECK_IS(loop_kernel_send(pair[0], "efg", 3, 0), 3);
        CHECK_IS(loop_kernel_recv(pair[1], bytes, 4, MSG_WAITALL | MSG_DONTWAIT), 3);
        CHECK_IS(loop_kernel_send(pair[0], "hi", 2, 0), 2);
        CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
        CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_WAITALL), 2);
        CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_WAITALL), 0);
        close_both(pair);
        CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    }
    close_both(pair);
}

TEST(a_wait_ends_after_the_timeout_of_the_socket)
{
    int pair[2];
    const struct timeval time = {.tv_usec = 10000};
    connect_pair(pair);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
        CHECK_IS(loop_kernel_setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time), 0);
        CHECK_FAILS(loop_kernel_recv(pair[0], bytes, 1, 0), EAGAIN);
        CHECK_IS(loop_kernel_send(pair[1], "abc", 3, 0), 3);
        CHECK_IS(loop_kernel_recv(pair[0], bytes, 9, MSG_WAITALL), 3);
        ssize_t n;
        do { /* TCP may find room once more after a send that has waited in vain */
            n = loop_kernel_send(pair[0], bytes, sizeof bytes, 0);
        } while (n > 0);
        CHECK_FAILS(n, EAGAIN);
        close_both(pair);
        CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    }
    close_both(pair);
}

static void *shut_down(void *arg)
{
    struct task *task = arg;
    note(task, loop_kernel_shutdown(task->number, SHUT_RDWR));
    return NULL;
}

TEST(a_shutdown_ends_waits)
{
    int pair[2];
    connect_pair(pair);
    for (int i = 0; i < 2; i++) {
        struct task task = {.number = pair[0]};
        pthread_t thread;
        run_task(shut_down, &task, &thread);
        CHECK_IS(loop_kernel_recv(pair[0], bytes, 1, 0), 0);
        CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
        CHECK_IS(task.result, 0);
        close_both(pair);
        CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    }
    close_both(pair);
}

/* ---- connections ---- */

static void *accept_two(void *arg)
{
    struct task *task = arg;
    for (int i = 0; i < 2; i++) {
        int number = loop_kernel_accept4(task->number, NULL, NULL, 0);
        note(task, number);
        task->total += number >= 0;
        loop_kernel_close(number);
    }
    return NULL;
}

TEST(a_connect_to_a_full_unix_listener_waits_for_room)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t length = sizeof name;
    int listener = loop_kernel_socket(AF_UNIX, SOCK_STREAM, 0);
    int one = loop_kernel_socket(AF_UNIX, SOCK_STREAM, 0);
    int other = loop_kernel_socket(AF_UNIX, SOCK_STREAM, 0);
    struct task task = {.number = listener};
    pthread_t thread;

    CHECK_IS(loop_kernel_bind(listener, (struct sockaddr *)&name, sizeof name.sun_family), 0);
    CHECK_IS(loop_kernel_getsockname(listener, (struct sockaddr *)&name, &length), 0);
    CHECK_IS(loop_kernel_listen(listener, 0), 0);
    CHECK_IS(loop_kernel_connect(one, (struct sockaddr *)&name, length), 0);
    run_task(accept_two, &task, &thread);
    CHECK_IS(loop_kernel_connect(other, (struct sockaddr *)&name, length), 0);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(task.total, 2);
    close_both((int[]){one, other});
    CHECK_IS(loop_kernel_close(listener), 0);
}

static void *receive_messages(void *arg)
{
    struct task *task = arg;
    char byte;
    while (loop_kernel_recv(task->number, &byte, 1, 0) == 1 && byte == 'a') {
        task->total++;
    }
    return NULL;
}

TEST(datagrams_of_unix_sockets_wait_for_room)
{
    enum { MESSAGES = 100 };
    int pair[2];
    struct task task = {0};
    pthread_t thread;

    CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    task.number = pair[1];
    run_task(receive_messages, &task, &thread);
    for (int i = 0; i < MESSAGES; i++) {
        CHECK_IS(loop_kernel_send(pair[0], "a", 1, 0), 1);
    }
    CHECK_IS(loop_kernel_send(pair[0], "z", 1, 0), 1);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(task.total, MESSAGES);
    close_both(pair);
}

/* ---- signals ---- */

TEST(a_stream_without_a_reader_raises_sigpipe)
{
    int pair[2];
    block_sigpipe();
    connect_pair(pair);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
        CHECK_FAILS(loop_kernel_send(pair[0], "a", 1, MSG_NOSIGNAL), EPIPE);
        CHECK_FAILS(take_sigpipe(), EAGAIN);
        CHECK_FAILS(loop_kernel_send(pair[0], "a", 1, 0), EPIPE);
        CHECK_IS(take_sigpipe(), SIGPIPE);
        CHECK_FAILS(loop_kernel_write(pair[0], "a", 1), EPIPE);
        CHECK_IS(take_sigpipe(), SIGPIPE);
        close_both(pair);
        CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    }
    close_both(pair);
}

/* ---- low-water marks and urgent bytes ---- */

TEST(readiness_waits_for_the_low_water_mark)
{
    int pair[2];
    int least = 4;
    connect_pair(pair);
    CHECK_IS(loop_kernel_setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least), 0);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(poll_now(pair[1], POLLIN), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_DONTWAIT), 3);
    CHECK_IS(loop_kernel_send(pair[0], "abcd", 4, 0), 4);
    CHECK_IS(poll_now(pair[1], POLLIN), POLLIN);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 1, 0), 1);
    CHECK_IS(poll_now(pair[1], POLLIN), 0);
    CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
    CHECK_IS(poll_now(pair[1], POLLIN), POLLIN);
    close_both(pair);
}

/* Without an edge, a program that waits for edges would not read what has become enough. */
TEST(lower_low_water_mark_is_an_edge)
{
    int pair[2];
    int least = 4, lower = 3;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int set = loop_kernel_epoll_create1(EPOLL_CLOEXEC);
    connect_pair(pair);
    CHECK_IS(loop_kernel_setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least), 0);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, pair[1], &event), 0);
    CHECK_IS(loop_kernel_send(pair[0], "abc", 3, 0), 3);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    CHECK_IS(loop_kernel_setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &lower, sizeof lower), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 1000), 1);
    CHECK_IS(loop_kernel_setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    CHECK_IS(loop_kernel_shutdown(pair[0], SHUT_WR), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 1000), 1);
    CHECK_IS(loop_kernel_setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 1000), 1);
    close_both(pair);
    CHECK_IS(loop_kernel_close(set), 0);
}

TEST(an_urgent_byte_stops_reads_and_is_read_by_itself)
{
    int pair[2];
    int is_at = -1;
    connect_pair(pair);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 1, MSG_OOB), EINVAL);
    CHECK_IS(loop_kernel_send(pair[0], "ab!", 3, MSG_OOB), 3);
    CHECK_IS(loop_kernel_send(pair[0], "cd", 2, 0), 2);
    CHECK_IS(poll_now(pair[1], POLLIN | POLLPRI), POLLIN | POLLPRI);
    CHECK_IS(loop_kernel_ioctl(pair[1], SIOCATMARK, &is_at), 0);
    CHECK_IS(is_at, 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_DONTWAIT), 2);
    CHECK_IS(loop_kernel_ioctl(pair[1], SIOCATMARK, &is_at), 0);
    CHECK_IS(is_at, 1);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB | MSG_PEEK), 1);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), 1);
    CHECK_IS(bytes[0], '!');
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), EINVAL);
    CHECK_IS(poll_now(pair[1], POLLIN | POLLPRI), POLLIN);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_DONTWAIT), 2);
    CHECK_IS(memcmp(bytes, "cd", 2), 0);
    close_both(pair);
}

/* Returns how many bytes FIONREAD counts. */
static int waiting(int number)
{
    int n = -1;
    CHECK_IS(loop_kernel_ioctl(number, FIONREAD, &n), 0);
    return n;
}

TEST(a_read_behind_an_urgent_byte_leaves_no_mark)
{
    int pair[2];
    int is_at = -1;
    connect_pair(pair);
    CHECK_IS(loop_kernel_send(pair[0], "ab!", 3, MSG_OOB), 3);
    CHECK_IS(loop_kernel_send(pair[0], "cd", 2, 0), 2);
    CHECK_IS(waiting(pair[1]), 2);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_DONTWAIT), 2);
    CHECK_IS(waiting(pair[1]), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 9, MSG_DONTWAIT | MSG_PEEK), 2);
    CHECK_IS(memcmp(bytes, "cd", 2), 0);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 0, MSG_DONTWAIT), 0);
    CHECK_IS(loop_kernel_ioctl(pair[1], SIOCATMARK, &is_at), 0);
    CHECK_IS(is_at, 1);
    CHECK_IS(poll_now(pair[1], POLLIN | POLLPRI), POLLIN | POLLPRI);
    CHECK_IS(loop_kernel_recv(pair[1], bytes, 1, MSG_DONTWAIT), 1);
    CHECK_IS(bytes[0], 'c');
    CHECK_IS(poll_now(pair[1], POLLIN | POLLPRI), POLLIN);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), EINVAL);
    CHECK_IS(waiting(pair[1]), 1);
    close_both(pair);
}

TEST(a_read_at_an_urgent_byte_with_nothing_behind_it_drops_it)
{
    int pair[2];
    connect_pair(pair);
    CHECK_IS(loop_kernel_send(pair[0], "!", 1, MSG_OOB), 1);
    CHECK_IS(poll_now(pair[1], POLLIN | POLLPRI), POLLPRI);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_DONTWAIT | MSG_PEEK), EAGAIN);
    CHECK_IS(poll_now(pair[1], POLLIN | POLLPRI), POLLPRI);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_DONTWAIT), EAGAIN);
    CHECK_IS(poll_now(pair[1], POLLIN | POLLPRI), 0);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), EINVAL);
    close_both(pair);
}

TEST(an_urgent_byte_is_out_of_reach_after_a_reset)
{
    int pair[2];
    connect_pair(pair);
    CHECK_IS(loop_kernel_send(pair[1], "unread", 6, 0), 6);
    CHECK_IS(loop_kernel_send(pair[0], "!", 1, MSG_OOB), 1);
    CHECK_IS(loop_kernel_close(pair[0]), 0);
    CHECK_IS(poll_now(pair[1], POLLPRI), POLLPRI | POLLERR | POLLHUP);
    CHECK_FAILS(loop_kernel_recv(pair[1], bytes, 9, MSG_OOB), ENOTCONN);
    CHECK_IS(loop_kernel_close(pair[1]), 0);
}
