/* SPDX-License-Identifier: ISC
 *
 * Lower bounds: the cost of a handwritten loop that serves one purpose. This file measures the ring, epoll, and jobs
 * through them. local_raw_wake.c, local_raw_pipes.c, local_raw_timers.c and local_raw_files.c have the other workloads.
 */
#include "local_raw.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const struct local_workload workloads[] = {
    {"pingpong", "hybrid", raw_pingpong_hybrid},
    {"pingpong", "none", raw_pingpong_none},
    {"pingpong", "epoll", raw_pingpong_epoll},
    {"pingpong", "multishot", raw_pingpong_multishot},
    {"pingpong", "uring", raw_pingpong_uring},
    {"pipe", "epoll", raw_pipe_epoll},
    {"pipe", "none", raw_pipe_none},
    {"pipe", "hybrid", raw_pipe_hybrid},
    {"pipe", "uring", raw_pipe_uring},
    {"wake-self", "flag", raw_wake_self_flag},
    {"wake-self", "uring", raw_wake_self_uring},
    {"wake-self", "epoll", raw_wake_self_epoll},
    {"wake-self", "msg_ring", raw_wake_self_msg_ring},
    {"wake-thread", "epoll", raw_wake_thread_epoll},
    {"wake-thread", "uring", raw_wake_thread_uring},
    {"nop", NULL, raw_nop},
    {"turn", NULL, raw_turn},
    {"timers-start", "first", raw_timers_start_cancel},
    {"timers-start", "again", raw_timers_start_cancel},
    {"timers-cancel", "first", raw_timers_start_cancel},
    {"timers-cancel", "again", raw_timers_start_cancel},
    {"timers-fire", "milliseconds", raw_timers_fire},
    {"timers-fire", "nanoseconds", raw_timers_fire},
    {"read", "fixed", raw_read_fixed},
    {"read", "pread", raw_read_pread},
    {"read", "plain", raw_read_plain},
    {"copy", "read-write", raw_copy_read_write},
    {"copy", "copy_file_range", raw_copy_file_range},
    {"copy", "fixed", raw_copy_fixed},
    {"start-stop", "uring", raw_start_stop_uring},
    {"start-stop", "epoll", raw_start_stop_epoll},
    {NULL, NULL, NULL},
};

/* ---- the ring and epoll ---- */

void raw_ring_init(struct io_uring *ring, unsigned entries)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int error = io_uring_queue_init_params(entries, ring, &params);

    if (error < 0) {
        local_fail("no ring", error);
    }
    (void)io_uring_register_ring_fd(ring);
}

struct io_uring_cqe *raw_ring_peek(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    unsigned head;

    io_uring_for_each_cqe(ring, head, cqe)
    {
        return cqe;
    }
    return NULL;
}

struct io_uring_cqe *raw_ring_wait(struct io_uring *ring)
{
    struct io_uring_cqe *cqe = raw_ring_peek(ring);

    while (!cqe) {
        int error = io_uring_submit_and_wait(ring, 1);
        if (error < 0 && error != -EINTR) {
            local_fail("io_uring_enter", error);
        }
        cqe = raw_ring_peek(ring);
    }
    return cqe;
}

struct io_uring_sqe *raw_ring_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

    if (!sqe) {
        int error = io_uring_submit(ring);
        if (error < 0) {
            local_fail("io_uring_enter", error);
        }
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

void raw_ring_watch(struct io_uring *ring, int fd, unsigned events, uint64_t data)
{
    struct io_uring_sqe *sqe = raw_ring_sqe(ring);

    io_uring_prep_poll_multishot(sqe, fd, events);
    io_uring_sqe_set_data64(sqe, data);
}

int raw_epoll(void)
{
    return (int)local_sys("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
}

void raw_epoll_add(int epoll, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    local_sys("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

/* ---- one job after another ---- */

static void prepare_nop(struct io_uring *ring)
{
    io_uring_prep_nop(raw_ring_sqe(ring));
}

/* Reaps all completions. Returns false after the last one. */
static bool reap_nops(struct io_uring *ring, struct local_window *window)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    bool goes_on = true;

    io_uring_for_each_cqe(ring, head, cqe)
    {
        local_check(cqe->res == 0, "a nop has failed");
        n++;
        goes_on = local_goes_on(window);
        if (goes_on) {
            prepare_nop(ring);
        }
    }
    io_uring_cq_advance(ring, n);
    return goes_on;
}

void raw_nop(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    struct io_uring ring;

    local_window_init(&window, options, result);
    raw_ring_init(&ring, options->depth < 64 ? 64 : options->depth);
    for (unsigned i = 0; i < options->depth; i++) {
        prepare_nop(&ring);
    }
    do {
        (void)raw_ring_wait(&ring);
    } while (reap_nops(&ring, &window));
    io_uring_queue_exit(&ring);
}

/* ---- turns, start and stop ---- */

void raw_turn(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    struct epoll_event event;
    int epoll = raw_epoll();

    local_window_init(&window, options, result);
    do {
        local_check(epoll_wait(epoll, &event, 1, 0) == 0, "an event that nobody made");
    } while (local_goes_on(&window));
    close(epoll);
}

/* A loop has at least its own descriptor and one for wake-ups. */
void raw_start_stop_epoll(const struct local_options *options, struct local_result *result)
{
    struct local_window window;

    local_window_init(&window, options, result);
    do {
        int epoll = raw_epoll();
        int bell = (int)local_sys("eventfd", eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        raw_epoll_add(epoll, bell, EPOLLIN, 0);
        close(bell);
        close(epoll);
    } while (local_goes_on(&window));
}

void raw_start_stop_uring(const struct local_options *options, struct local_result *result)
{
    struct local_window window;

    local_window_init(&window, options, result);
    do {
        struct io_uring ring;
        int bell = (int)local_sys("eventfd", eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        raw_ring_init(&ring, 64);
        raw_ring_watch(&ring, bell, POLLIN, 0);
        io_uring_submit(&ring);
        io_uring_queue_exit(&ring);
        close(bell);
    } while (local_goes_on(&window));
}

int main(int argc, char **argv)
{
    return local_main(argc, argv, workloads);
}
