/* SPDX-License-Identifier: ISC
 *
 * Lower bounds: wake-ups. From the loop's own thread by a flag that the loop checks (flag), by an eventfd that epoll or
 * the ring watches, or by a message of the ring to itself; from another thread by an eventfd.
 */
#include "local_raw.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int new_bell(void)
{
    return (int)local_sys("eventfd", eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

static void ring_bell(int bell)
{
    static const uint64_t one = 1;
    local_check(write(bell, &one, sizeof one) == sizeof one, "an eventfd wasn't written");
}

static void quiet_bell(int bell)
{
    uint64_t n;
    local_check(read(bell, &n, sizeof n) == sizeof n && n > 0, "an eventfd wasn't read");
}

/* ---- the own thread ---- */

/* The loop checks its flag once per turn, and does not sleep if it is set. */
void raw_wake_self_flag(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    struct epoll_event event;
    _Atomic bool is_woken = true;
    int epoll = raw_epoll();

    local_window_init(&window, options, result);
    while (atomic_exchange(&is_woken, false)) {
        if (local_goes_on(&window)) {
            atomic_store(&is_woken, true);
        }
        local_check(epoll_wait(epoll, &event, 1, 0) == 0, "an event that nobody made");
    }
    close(epoll);
}

void raw_wake_self_epoll(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    struct epoll_event event;
    int epoll = raw_epoll(), bell = new_bell();

    local_window_init(&window, options, result);
    raw_epoll_add(epoll, bell, EPOLLIN, 0);
    do {
        ring_bell(bell);
        local_check(epoll_wait(epoll, &event, 1, -1) == 1, "no event");
        quiet_bell(bell);
    } while (local_goes_on(&window));
    close(bell);
    close(epoll);
}

/* Waits for the eventfd, and re-arms its poll. */
static void wait_for_bell(struct io_uring *ring, int bell)
{
    struct io_uring_cqe *cqe = raw_ring_wait(ring);

    local_check(cqe->res > 0, "a poll has failed");
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        raw_ring_watch(ring, bell, POLLIN, 0);
    }
    io_uring_cqe_seen(ring, cqe);
    quiet_bell(bell);
}

void raw_wake_self_uring(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    struct io_uring ring;
    int bell = new_bell();

    local_window_init(&window, options, result);
    raw_ring_init(&ring, 64);
    raw_ring_watch(&ring, bell, POLLIN, 0);
    io_uring_submit(&ring);
    do {
        ring_bell(bell);
        wait_for_bell(&ring, bell);
    } while (local_goes_on(&window));
    io_uring_queue_exit(&ring);
    close(bell);
}

static void prepare_message(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = raw_ring_sqe(ring);
    io_uring_prep_msg_ring(sqe, ring->ring_fd, 1, 1, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void raw_wake_self_msg_ring(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    struct io_uring ring;

    local_window_init(&window, options, result);
    raw_ring_init(&ring, 64);
    do {
        struct io_uring_cqe *cqe;
        prepare_message(&ring);
        cqe = raw_ring_wait(&ring);
        local_check(cqe->res == 1 && cqe->user_data == 1, "not the message that was sent");
        io_uring_cqe_seen(&ring, cqe);
    } while (local_goes_on(&window));
    io_uring_queue_exit(&ring);
}

/* ---- another thread ---- */

struct threads {
    struct local_waker waker;
    struct local_mail mail;
    int bell;
};

static bool post(void *arg, uint64_t message)
{
    struct threads *threads = arg;

    if (local_mail_push(&threads->mail, message)) {
        ring_bell(threads->bell);
    }
    return true;
}

static void begin_threads(struct threads *threads, const struct local_options *options)
{
    *threads = (struct threads){.bell = new_bell()};
    threads->waker.post = post;
    threads->waker.arg = threads;
    local_mail_init(&threads->mail, options->count);
    local_waker_start(&threads->waker, options);
}

static void end_threads(struct threads *threads, struct local_result *result)
{
    local_waker_finish(&threads->waker, result);
    free(threads->mail.letters);
    close(threads->bell);
}

void raw_wake_thread_epoll(const struct local_options *options, struct local_result *result)
{
    struct threads threads;
    struct epoll_event event;
    int epoll = raw_epoll();

    begin_threads(&threads, options);
    raw_epoll_add(epoll, threads.bell, EPOLLIN, 0);
    do {
        local_check(epoll_wait(epoll, &event, 1, -1) == 1, "no event");
        quiet_bell(threads.bell);
    } while (!local_mail_deliver(&threads.mail, &threads.waker));
    end_threads(&threads, result);
    close(epoll);
}

void raw_wake_thread_uring(const struct local_options *options, struct local_result *result)
{
    struct threads threads;
    struct io_uring ring;

    begin_threads(&threads, options);
    raw_ring_init(&ring, 64);
    raw_ring_watch(&ring, threads.bell, POLLIN, 0);
    do {
        wait_for_bell(&ring, threads.bell);
    } while (!local_mail_deliver(&threads.mail, &threads.waker));
    io_uring_queue_exit(&ring);
    end_threads(&threads, result);
}
