/* SPDX-License-Identifier: ISC
 *
 * io_uring_enter(2): submits entries, runs task work, waits for completions.
 */
#include <loop/kernel/simulated/object/signal.h>
#include <loop/kernel/simulated/ring/queue.h>
#include <loop/kernel/simulated/ring/registered.h>
#include <loop/kernel/simulated/ring/setup.h>
#include <loop/kernel/simulated/ring/submit.h>

#include <assert.h>

#if NORIA_URING

#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5)
#endif
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif

#define KNOWN_FLAGS                                                                                                    \
    (IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT | IORING_ENTER_EXT_ARG |                   \
     IORING_ENTER_REGISTERED_RING | IORING_ENTER_ABS_TIMER | IORING_ENTER_NO_IOWAIT)

/* The most task work that one enter runs, unless it waits for more completions. */
#define WORK_PER_ENTER 20u

/* One call. */
struct enter {
    struct loop_sim_ring *ring;
    unsigned to_submit, wait_for, flags;
    const void *arg;
    size_t size;
};

/* ---- waiting ---- */

/* struct io_uring_getevents_arg. The name of the member before the last depends on the version of liburing. */
struct wait_argument {
    uint64_t sigmask;
    uint32_t sigmask_size_bytes;
    uint32_t least_wait_us;
    uint64_t timeout;
};

/* Finds out until when to wait. Returns 0 or a negative errno. */
static int read_timeout(const struct enter *enter, int64_t *until_ns)
{
    int64_t now_ns = enter->ring->file.node->world->now_ns;
    *until_ns = LOOP_SIM_NEVER;
    if (!(enter->flags & IORING_ENTER_EXT_ARG)) {
        return 0;
    }
    const struct wait_argument *arg = enter->arg;
    if (enter->size != sizeof *arg || arg->least_wait_us || arg->sigmask) {
        return -EINVAL;
    }
    const struct __kernel_timespec *timeout = (const void *)(uintptr_t)arg->timeout;
    if (!timeout) {
        return 0;
    }
    bool is_absolute = enter->flags & IORING_ENTER_ABS_TIMER;
    int64_t ns = loop_sim_time_ns(timeout->tv_sec, timeout->tv_nsec);
    if (ns < LOOP_SIM_NEVER) {
        *until_ns = loop_sim_sum_ns(is_absolute ? -LOOP_SIM_MONOTONIC_START_NS : now_ns, ns);
    }
    return 0;
}

/* Waits until a fiber or an event has done something for the ring. Returns 0, -ETIME or -EINTR. */
static int wait_once(struct loop_sim_ring *ring, int64_t until_ns)
{
    if (until_ns <= ring->file.node->world->now_ns) {
        loop_sim_yield();
        return -ETIME;
    }
    int error = loop_sim_wait(&ring->waiting, until_ns);
    return error == -ETIMEDOUT ? -ETIME : error;
}

/* Returns how many pieces of work an enter runs that waits for so many completions. Only deferred work is limited. */
static unsigned most_work(const struct loop_sim_ring *ring, unsigned wait_for)
{
    if (!(ring->flags & IORING_SETUP_DEFER_TASKRUN)) {
        return ring->n_work;
    }
    return wait_for > WORK_PER_ENTER ? wait_for : WORK_PER_ENTER;
}

/* Waits for completions. Returns 0, or an error when there are none. */
static int wait_for_completions(const struct enter *enter, unsigned wait_for)
{
    struct loop_sim_ring *ring = enter->ring;
    int64_t until_ns;
    int error = read_timeout(enter, &until_ns);
    if (error) {
        return error;
    }
    if (ring->flags & IORING_SETUP_DEFER_TASKRUN && loop_sim_ring_is_foreign(ring)) {
        return -EEXIST;
    }
    wait_for = wait_for < ring->memory->cq_entries ? wait_for : ring->memory->cq_entries;
    loop_sim_ring_run_work(ring, most_work(ring, wait_for));
    loop_sim_ring_flush(ring);
    while (loop_sim_ring_ready(ring) < wait_for && !error) {
        error = ring->n_work > 0 ? 0 : wait_once(ring, until_ns);
        loop_sim_ring_run_work(ring, wait_for);
        loop_sim_ring_flush(ring);
    }
    return loop_sim_ring_ready(ring) > 0 ? 0 : error;
}

/* ---- submitting ---- */

static void submit_by_kernel(struct loop_sim_event *event)
{
    struct loop_sim_ring *ring = LOOP_CONTAINER(event, struct loop_sim_ring, submit_event);
    loop_sim_file_ref(&ring->file);
    if (loop_sim_ring_submit(ring, ring->memory->sq_entries) == -EAGAIN) {
        loop_sim_event_set(event, ring->file.node->world->now_ns, submit_by_kernel);
    }
    loop_sim_ring_run_work(ring, ring->n_work);
    loop_sim_queue_wake(&ring->waiting, 0);
    loop_sim_file_unref(&ring->file);
}

/* Wakes the kernel's submitting thread, and waits until the queue has room. */
static int submit_polled(const struct enter *enter)
{
    struct loop_sim_ring *ring = enter->ring;
    struct loop_sim_ring_memory *memory = ring->memory;
    int error = 0;
    if (enter->flags & IORING_ENTER_SQ_WAKEUP) {
        loop_sim_event_set(&ring->submit_event, ring->file.node->world->now_ns, submit_by_kernel);
    }
    while (enter->flags & IORING_ENTER_SQ_WAIT && !error && memory->sq_tail - ring->sq_head >= memory->sq_entries) {
        error = loop_sim_wait(&ring->waiting, LOOP_SIM_NEVER);
    }
    return (int)enter->to_submit;
}

static int submit(const struct enter *enter)
{
    struct loop_sim_ring *ring = enter->ring;
    assert(ring);
    if (ring->flags & IORING_SETUP_SQPOLL) {
        return submit_polled(enter);
    }
    if (enter->to_submit == 0) {
        return 0;
    }
    return loop_sim_ring_is_foreign(ring) ? -EEXIST : loop_sim_ring_submit(ring, enter->to_submit);
}

/* ---- the call ---- */

static int run(const struct enter *enter)
{
    struct loop_sim_ring *ring = enter->ring;
    int submitted = submit(enter), error = 0;
    bool is_polled = ring->flags & IORING_SETUP_SQPOLL;
    if (!is_polled && submitted != (int)enter->to_submit) {
        return submitted;
    }
    if (enter->flags & IORING_ENTER_GETEVENTS) {
        error = wait_for_completions(enter, enter->wait_for);
    } else if (!(ring->flags & (IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_IOPOLL))) {
        loop_sim_ring_run_work(ring, ring->n_work);
    }
    if (submitted == 0 && enter->wait_for == 0 && loop_sim_ring_ready(ring) == 0) {
        loop_sim_yield(); /* the caller may look again and again */
    }
    return submitted ? submitted : error;
}

/* Finds the ring of a call. Returns 0 or a negative errno. */
static int find(unsigned number, struct enter *enter)
{
    const struct loop_sim_node *node = loop_sim_here();
    if (node->ring_error) {
        return -node->ring_error;
    }
    if (enter->flags & ~(unsigned)KNOWN_FLAGS) {
        return -EINVAL;
    }
    if (enter->flags & IORING_ENTER_REGISTERED_RING) {
        if (number >= LOOP_SIM_REGISTERED_RINGS) {
            return -EINVAL;
        }
        const struct loop_sim_ring_registered *registered = loop_sim_ring_registered_find(number);
        enter->ring = registered ? registered->ring : NULL;
        return registered ? 0 : -EBADF;
    }
    struct loop_sim_file *file = loop_sim_file_of((int)number);
    enter->ring = loop_sim_ring_of(file);
    return !file ? -EBADF : !enter->ring ? -EOPNOTSUPP : 0;
}

int loop_kernel_io_uring_enter2(unsigned number, unsigned to_submit, unsigned wait_for, unsigned flags, void *arg,
                                size_t size)
{
    struct enter enter = {.to_submit = to_submit, .wait_for = wait_for, .flags = flags, .arg = arg, .size = size};
    loop_sim_count_call();
    (void)loop_sim_signals_handle();
    int result = find(number, &enter);
    if (result == 0) {
        struct loop_sim_hold *hold = loop_sim_file_hold(&enter.ring->file);
        result = run(&enter);
        loop_sim_file_let_go(hold);
    }
    (void)loop_sim_signals_handle(); /* the call is not started again after them */
    return result;
}

#endif
