/* SPDX-License-Identifier: ISC
 *
 * The io_uring backend: jobs are entries of a ring, readiness comes from polls in the same ring, and each turn makes
 * one system call.
 *
 * Only the turn enters the kernel. Jobs that are started between two turns fill in entries. When the submission queue
 * is full they wait in line, and the turn submits until the line is empty. Each completion is taken out of its queue
 * before a continuation is resumed, so that the continuation finds the ring in a consistent state.
 */
#include <loop/backend/uring/broken.h>
#include <loop/backend/uring/buffers.h>
#include <loop/backend/uring/completions.h>
#include <loop/backend/uring/events.h>
#include <loop/backend/uring/iopoll/iopoll.h>
#include <loop/backend/uring/line.h>
#include <loop/backend/uring/region.h>
#include <loop/backend/uring/ring.h>
#include <loop/backend/uring/receiver.h>
#include <loop/backend/uring/setup.h>
#include <loop/backend/uring/uring.h>
#include <loop/backend/uring/watch.h>
#include <loop/core/backend.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/kernel/time.h>
#include <loop/turn/turn.h>

#include <errno.h>
#include <string.h>
#include <time.h>

/* How often one turn submits to empty the line. */
#define SUBMITS_PER_TURN 64

/* How many completions of an enter show that there may have been more: it runs up to 20 pieces of deferred work, some
 * of which make no completion. */
#define REPORTED_AT_ONCE 16u

/* So many entries are worth a system call of their own. */
#define SUBMITTED_EARLY 16u

/* When the kernel has no memory to accept entries: how long to wait for completions, which is also the first sleep
 * where it cannot even wait; and the longest sleep. */
#define SHORTAGE_WAIT_NS LOOP_MILLISECOND
#define SHORTAGE_SLEEP_MAX_NS (16 * LOOP_MILLISECOND)

/* After this time a shortage is logged. */
#define SHORTAGE_TOLD_NS LOOP_SECOND

/* ---- the lines ---- */

/* Fills in entries for what waits in the lines. Returns true when the lines are empty. */
static bool serve_lines(struct loop_uring *uring)
{
    return loop_uring_serve_fds(uring) && loop_uring_serve_jobs(uring);
}

static bool lines_are_empty(const struct loop_uring *uring)
{
    return __builtin_expect(loop_list_is_empty(&uring->line) && !uring->first_in_line, true);
}

/* Submits until the lines are empty, or until the completion queue is half full. Returns the result of the last enter,
 * or 0. */
static int submit_lines(struct loop_uring *uring)
{
    int result = 0;
    for (unsigned n = 0; n < SUBMITS_PER_TURN && !serve_lines(uring) && result >= 0; n++) {
        if (loop_uring_completions_ready(uring) >= uring->cq_size / 2) {
            return 0;
        }
        result = loop_uring_enter(uring, 0, 0);
    }
    return result;
}

/* ---- the turn ---- */

static void note_overflow(struct loop_uring *uring)
{
    bool is_overflown = loop_uring_queue_flags(uring) & IORING_SQ_CQ_OVERFLOW;
    if (__builtin_expect(is_overflown != uring->has_overflown, false)) {
        uring->loop->stats.completion_overflows += is_overflown;
        uring->has_overflown = is_overflown;
    }
}

/* Whether to enter the kernel without waiting: to submit, to wake its thread, to run deferred work, or to get the
 * completions that did not fit into the queue. */
static bool must_enter(struct loop_uring *uring)
{
    if (__builtin_expect(!uring->is_polled, true)) {
        return loop_uring_unsubmitted(uring) > 0 ||
               loop_uring_queue_flags(uring) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    }
    loop_uring_publish(uring);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint32_t needed = IORING_SQ_CQ_OVERFLOW | (loop_uring_unsubmitted(uring) > 0 ? IORING_SQ_NEED_WAKEUP : 0);
    return loop_uring_queue_flags(uring) & needed;
}

static bool may_wait(const struct loop_uring *uring, int64_t timeout_ns)
{
    return __builtin_expect(timeout_ns != 0 && lines_are_empty(uring) && !loop_uring_iopoll_is_busy(uring) &&
                                loop_uring_completions_ready(uring) == 0 && loop_list_is_empty(&uring->loop->run_queue),
                            true);
}

static void sleep_for(int64_t ns)
{
    loop_kernel_nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* Notes a failed enter, and logs a warning when the shortage lasts. */
static void tell_shortage(struct loop_uring *uring, int error)
{
    struct loop_uring_shortage *shortage = &uring->shortage;
    int64_t now_ns = loop_clock_read();
    if (shortage->sleep_ns == 0 || shortage->last_turn + 1 != uring->loop->stats.turns) {
        *shortage = (struct loop_uring_shortage){.began_ns = now_ns, .sleep_ns = SHORTAGE_WAIT_NS};
    } else if (!shortage->is_told && now_ns - shortage->began_ns >= SHORTAGE_TOLD_NS) {
        shortage->is_told = true;
        loop_log_options(
            &uring->loop->options, LOOP_LOG_WARNING,
            "io_uring_enter is refused and tried again (%s): the kernel is short of memory; see the memory limit of "
            "the container",
            strerror(-error));
    }
    shortage->last_turn = uring->loop->stats.turns;
}

/* Waits until operations in flight have ended and freed memory. Where the kernel cannot even wait, sleeps: twice as
 * long after each consecutive failure, up to 16 ms. */
static int outlast_shortage(struct loop_uring *uring, int error, int64_t timeout_ns)
{
    struct loop_uring_shortage *shortage = &uring->shortage;
    tell_shortage(uring, error);
    int result = loop_uring_completions_ready(uring) > 0 ? 0 : loop_uring_enter_now(uring, 0, 1, SHORTAGE_WAIT_NS);
    if (!loop_uring_is_shortage(result)) {
        return result;
    }
    sleep_for(timeout_ns < shortage->sleep_ns ? timeout_ns : shortage->sleep_ns);
    if (shortage->sleep_ns < SHORTAGE_SLEEP_MAX_NS) {
        shortage->sleep_ns *= 2;
    }
    return 0;
}

/* Submits, and waits when there is nothing else to do. Skips the system call when it would do nothing. */
__attribute__((always_inline)) static inline int submit_and_wait(struct loop_uring *uring, int64_t timeout_ns)
{
    unsigned wait_for = may_wait(uring, timeout_ns);
    if (!wait_for && !must_enter(uring)) {
        return 0;
    }
    loop_uring_publish(uring);
    return loop_uring_enter_now(uring, loop_uring_unsubmitted(uring), wait_for, timeout_ns);
}

static int poll_devices(struct loop_uring *uring)
{
    int result = loop_uring_iopoll_turn(uring->iopoll);
    uring->is_iopoll_broken = result < 0;
    return result;
}

/* Submits what the continuations have prepared, and dispatches what that has completed: mostly sends, which give their
 * buffers back. An enter that also ran the deferred work would receive while ended sends still have the buffers. An
 * error is ignored here: the next enter meets it again. */
__attribute__((noinline)) static unsigned dispatch_submitted(struct loop_uring *uring)
{
    loop_uring_publish(uring);
    (void)loop_uring_submit_now(uring, loop_uring_unsubmitted(uring));
    return loop_uring_dispatch(uring);
}

/* Dispatches what the kernel has reported. Returns how many completions that were. */
__attribute__((always_inline)) static inline unsigned dispatch_reported(struct loop_uring *uring)
{
    unsigned n = loop_uring_dispatch(uring);
    if (loop_uring_unsubmitted(uring) >= SUBMITTED_EARLY && loop_uring_receivers_are_short(uring)) {
        n += dispatch_submitted(uring);
    }
    return n;
}

/* Enters the kernel for the rest of what it has to report, after `n` completions of this turn: one enter runs some
 * twenty pieces of deferred work (Linux 6.2 and later). After fewer, what is left has come since then, from descriptors
 * that have had their share of this turn. Returns the result of the last enter, or 0. */
__attribute__((always_inline)) static inline int dispatch_rest(struct loop_uring *uring, unsigned n)
{
    int result = 0;
    for (unsigned last = n; last >= REPORTED_AT_ONCE && n < LOOP_URING_EVENTS_PER_TURN && loop_uring_is_fine(result) &&
                            loop_uring_queue_flags(uring) & IORING_SQ_TASKRUN;
         n += last) {
        loop_uring_publish(uring);
        result = loop_uring_enter_now(uring, loop_uring_unsubmitted(uring), 0, 0);
        last = dispatch_reported(uring);
    }
    return loop_uring_is_shortage(result) ? 0 : result; /* the next turn meets it again */
}

/* Whether the kernel has lost a completion. It reports that only to an enter that waits. */
static bool has_lost(const struct loop_uring *uring)
{
    return __atomic_load_n(uring->cq_lost, __ATOMIC_RELAXED) > 0;
}

/* Dispatches what the kernel reports after an enter with that result. Returns 0, or -errno when the ring cannot be used
 * any more. */
__attribute__((always_inline)) static inline int dispatch(struct loop *loop, struct loop_uring *uring, int result)
{
    loop_turn_woken(loop);
    note_overflow(uring);
    unsigned n = dispatch_reported(uring);
    if (has_lost(uring) && loop_uring_is_fine(result)) {
        result = -EBADR;
    }
    if (!loop->is_hosted && loop_uring_is_fine(result)) {
        result = dispatch_rest(uring, n);
    }
    if (__builtin_expect(uring->iopoll != NULL, false) && loop_uring_is_fine(result)) {
        result = poll_devices(uring);
    }
    if (!loop_uring_is_fine(result)) {
        loop_uring_tell_broken(uring, result);
        return result;
    }
    return 0;
}

static int run(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    int64_t timeout_ns;
    while (loop_turn_begin(loop, &timeout_ns)) {
        int result = lines_are_empty(uring) ? 0 : submit_lines(uring);
        if (loop_uring_is_fine(result)) {
            result = submit_and_wait(uring, timeout_ns);
        }
        if (loop_uring_is_shortage(result)) {
            result = outlast_shortage(uring, result, timeout_ns);
        }
        result = dispatch(loop, uring, result);
        if (result) {
            return result;
        }
    }
    return 0;
}

/* ---- the turn of a loop with a host ---- */

/* Submits what is prepared, without waiting. */
static int submit(struct loop_uring *uring)
{
    int result = lines_are_empty(uring) ? 0 : submit_lines(uring);
    return loop_uring_is_fine(result) ? submit_and_wait(uring, 0) : result;
}

/* Whether the kernel had no memory for the last turn. */
static bool is_in_shortage(const struct loop_uring *uring)
{
    return uring->shortage.sleep_ns > 0 && uring->shortage.last_turn == uring->loop->stats.turns;
}

/* Notes a shortage for time_to_turn: the turns are twice as far apart after each consecutive failure. */
static void note_shortage(struct loop_uring *uring, int error)
{
    struct loop_uring_shortage *shortage = &uring->shortage;
    tell_shortage(uring, error);
    if (shortage->sleep_ns < SHORTAGE_SLEEP_MAX_NS) {
        shortage->sleep_ns *= 2;
    }
}

/* The host sleeps after the turn, so what the continuations have prepared is submitted too. Cold, so that the compiler
 * inlines for `run` what it inlined without this. */
__attribute__((cold)) static int turn(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    int result = submit(uring);
    if (loop_uring_is_shortage(result)) {
        note_shortage(uring, result);
        result = 0;
    }
    loop_uring_merge(uring);
    result = dispatch(loop, uring, result);
    if (result || is_in_shortage(uring)) {
        return result;
    }
    result = submit(uring);
    if (loop_uring_is_shortage(result)) {
        note_shortage(uring, result);
    } else if (!loop_uring_is_fine(result)) {
        loop_uring_tell_broken(uring, result);
        return result;
    }
    return 0;
}

/* What has been prepared since the last turn is submitted by the next. */
static int64_t time_to_turn(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    if (loop_uring_completions_ready(uring) > 0) {
        return 0;
    }
    if (lines_are_empty(uring) && !must_enter(uring) && !loop_uring_iopoll_is_busy(uring)) {
        return LOOP_NEVER;
    }
    return is_in_shortage(uring) ? uring->shortage.sleep_ns : 0;
}

static int number(const struct loop *loop)
{
    return loop_uring_of(loop)->ring.ring_fd;
}

/* An error is ignored here: the next turn meets it again. A lost completion is reported once, but only to an enter that
 * waits. */
static bool has_events(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    if (loop_uring_completions_ready(uring) == 0 && must_enter(uring)) {
        (void)loop_uring_enter(uring, 0, 0);
    }
    return loop_uring_completions_ready(uring) > 0 || !lines_are_empty(uring) || loop_uring_iopoll_is_busy(uring);
}

static void forked(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    loop_uring_detach(uring);
    if (uring->iopoll) {
        loop_uring_detach(uring->iopoll);
    }
}

const struct loop_backend_ops loop_backend_uring = {
    .name = "io_uring",
    .init = loop_uring_init,
    .finish = loop_uring_finish,
    .start = loop_uring_start,
    .cancel = loop_uring_cancel_job,
    .watch = loop_uring_receive_or_watch,
    .unwatch = loop_uring_unwatch,
    .send = loop_uring_send,
    .release = loop_uring_receiver_release,
    .is_scarce = loop_uring_receiver_is_scarce,
    .run = run,
    .turn = turn,
    .time_to_turn = time_to_turn,
    .number = number,
    .broken = &loop_uring_broken,
    .has_events = has_events,
    .forked = forked,
    .poll_devices = loop_uring_poll_devices,
    .region_is_fixed = loop_uring_region_is_fixed,
    .region_is_shared = loop_uring_region_is_shared,
    .buffers_init = loop_uring_buffers_init,
    .buffers_finish = loop_uring_buffers_finish,
    .buffers_recycle = loop_uring_buffers_recycle,
};
