/* SPDX-License-Identifier: ISC
 *
 * A turn: continuations that are due, posts, timers, ready descriptors, results of the pool. Then the backend submits
 * what these have started, sleeps if there is nothing else to do, and dispatches what the kernel reports, all in one
 * system call. Each part does a bounded amount of work, so that none can delay the others.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/event/held.h>
#include <loop/event/inbox.h>
#include <loop/event/timer.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/ground/wheel.h>
#include <loop/kernel/file.h>
#include <loop/part.h>
#include <loop/syscall/pool.h>
#include <loop/turn/busy_poll.h>
#include <loop/turn/turn.h>

#include <errno.h>
#include <fcntl.h>

#define WORK_PER_TURN 256u /* of each kind */

/* Leaves no slot unfreed, because run_inbox is not called for an empty inbox: the take that finds nothing frees what is
 * left, and so does the last of a full share, which most_unfreed divides. */
static void run_posts(struct loop *loop)
{
    loop_fn *fn;
    void *arg;
    for (unsigned n = 0; n < WORK_PER_TURN && loop_inbox_take(loop->inbox, &fn, &arg); n++) {
        fn(arg, 0);
        loop_settle(loop);
        loop_child_check(loop);
    }
}

static void run_tasks(struct loop *loop)
{
    struct loop_task *task;
    for (unsigned n = 0; n < WORK_PER_TURN && (task = loop_inbox_take_task(loop->inbox)); n++) {
        task->fn(task->arg, 0);
        loop_settle(loop);
        loop_child_check(loop);
    }
}

/* Runs what is in the inbox. Out of line, as run_others. */
__attribute__((noinline)) static void run_inbox(struct loop *loop)
{
    run_posts(loop);
    run_tasks(loop);
}

static bool has_work(const struct loop *loop)
{
    return __builtin_expect(!loop_list_is_empty(&loop->run_queue) || loop_timers_are_leaving(loop) ||
                                loop->active.first || loop_has_to_settle(loop),
                            false);
}

/* Returns how long the loop may sleep for its timers, the first of which is due at `next`: 0 when it is due by now.
 * `now_ns` is the time, or 0 where the clock has to be read. */
__attribute__((noinline)) static int64_t time_to(struct loop *loop, int64_t next, int64_t now_ns)
{
    if (next <= loop->clock_ns) {
        return 0;
    }
    int64_t now = now_ns ? now_ns : loop_clock_read();
    return next > now ? loop_timers_wake(loop) - now : 0;
}

/* Returns how long the loop may sleep for its timers. */
static inline int64_t time_to_next(struct loop *loop, int64_t now_ns)
{
    int64_t next = loop_timers_next(loop);
    return __builtin_expect(next == LOOP_NEVER, true) ? LOOP_NEVER : time_to(loop, next, now_ns);
}

/* Watches the inbox again if the kernel has ended the watch. No job waits for the inbox that would notice. */
static int keep_watching_inbox(struct loop *loop)
{
    struct loop_fd *bell = loop->inbox_fd;
    if (__builtin_expect(bell->state != LOOP_FD_OPEN || bell->watched & POLLIN, true)) {
        return 0;
    }
    return loop->backend->watch(loop, bell, POLLIN);
}

/* Adopts a duplicate of the inbox's eventfd, which is watched and never read. The inbox closes its own after the last
 * post, while the kernel may still watch it. */
int loop_turn_watch_inbox(struct loop *loop)
{
    int number = loop_kernel_dup(loop_inbox_number(loop->inbox), 3);
    if (number < 0) {
        return -errno;
    }
    loop->inbox_fd = loop_fd_adopt_stream(loop->own_scope, number);
    if (!loop->inbox_fd) {
        return -ENOMEM;
    }
    return keep_watching_inbox(loop);
}

static int64_t time_to_sleep(struct loop *loop, int64_t now_ns)
{
#if NORIA_DEBUG
    if (!has_work(loop)) {
        loop_held_name_all(loop);
    }
#endif
    int64_t timeout_ns = has_work(loop) ? 0 : time_to_next(loop, now_ns);
    (void)keep_watching_inbox(loop);
    if (__builtin_expect(timeout_ns > 0 && loop->options.busy_poll_ns > 0, false)) {
        timeout_ns = loop_busy_poll(loop, timeout_ns) ? 0 : time_to_next(loop, 0);
    }
    if (__builtin_expect(timeout_ns > 0 && loop->pool, false)) {
        timeout_ns = loop_pool_time_to_sleep(loop, timeout_ns);
    }
    if (timeout_ns > 0 && (!loop_inbox_sleep(loop->inbox) || (loop->pool && loop_pool_has_results(loop)))) {
        return 0;
    }
    return timeout_ns;
}

static bool has_ended(const struct loop *loop)
{
    return __builtin_expect(loop->main_has_ended && loop->own_has_ended, false);
}

/* Does what loop_settle does, where something is seldom due. Returns whether something was. */
static inline bool settle_rest(struct loop *loop)
{
    if (__builtin_expect(loop->dirty.first || loop->ending, false)) {
        loop_settle_now(loop);
        return true;
    }
    return false;
}

/* Runs timers, descriptors, and results of the pool. Out of line, because most turns have none, and find their code in
 * fewer cache lines after the system call. Returns the time if it has read the clock and no continuation has
 * run since; otherwise 0. */
__attribute__((noinline)) static int64_t run_others(struct loop *loop)
{
    bool has_read = !loop_wheel_is_empty(&loop->timers);
    bool has_run = has_read && loop_timers_run(loop, WORK_PER_TURN);
    if (loop->active.first) {
        has_run = true;
        loop_ready_run(loop, WORK_PER_TURN);
    }
    if (loop->pool) {
        has_run = true;
        loop_pool_collect(loop);
    }
    return has_read && !has_run ? loop->clock_ns : 0;
}

static bool has_others(const struct loop *loop)
{
    return __builtin_expect(!loop_wheel_is_empty(&loop->timers) || loop->active.first || loop->pool, false);
}

bool loop_turn_begin(struct loop *loop, int64_t *timeout_ns)
{
    loop_child_check(loop);
    /* The backend may have let a descriptor go after the last continuation, and with it a scope. */
    (void)settle_rest(loop);
    if (has_ended(loop)) {
        return false;
    }
    loop->stats.turns++;
    loop_timers_leave(loop);
    if (__builtin_expect(loop->run_queue_length > 0, false)) {
        loop_jobs_run(loop, WORK_PER_TURN);
    }
    loop_child_check(loop); /* a forked child does not have the inbox */
    if (__builtin_expect(!loop_inbox_is_empty(loop->inbox), false)) {
        run_inbox(loop);
    }
    int64_t now_ns = has_others(loop) ? run_others(loop) : 0;
    if (settle_rest(loop)) { /* the same for these */
        now_ns = 0;          /* the functions of scopes that have ended may have taken long */
    }
    if (has_ended(loop)) {
        return false;
    }
    *timeout_ns = time_to_sleep(loop, now_ns);
    return true;
}

/* ---- with a host ---- */

bool loop_turn_has_ended(struct loop *loop)
{
    loop_settle(loop);
    return has_ended(loop);
}

int64_t loop_turn_prepare(struct loop *loop)
{
    if (has_ended(loop) || has_work(loop)) {
        return 0;
    }
#if NORIA_DEBUG
    loop_held_name_all(loop);
#endif
    int64_t timeout_ns = time_to_next(loop, 0);
    (void)keep_watching_inbox(loop);
    int64_t backend_ns = loop->backend->time_to_turn(loop);
    if (backend_ns < timeout_ns) {
        timeout_ns = backend_ns;
    }
    if (timeout_ns > 0 && (!loop_inbox_sleep(loop->inbox) || (loop->pool && loop_pool_has_results(loop)))) {
        return 0;
    }
    return timeout_ns;
}
