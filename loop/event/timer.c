/* SPDX-License-Identifier: ISC
 *
 * Timers: jobs that end at a point in time. They share one wheel with alarms, such as the deadlines of scopes; each
 * node of the wheel tells which of the two it is.
 */
#include <loop/core/alarm.h>
#include <loop/core/check.h>
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/event/timer.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/ground/wheel.h>

#include <errno.h>

/* The most timers that are moved in the wheel for each one that may be resumed. */
#define MOVES 16

/* The number of timers whose memory is loaded before they are resumed. */
#define AHEAD 16

int64_t loop_now(const struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    return loop_clock_read();
}

const struct loop_job_kind loop_sleep_kind = {.name = "timer", .cancel = loop_timer_cancel, .size = LOOP_JOB_BARE};
const struct loop_job_kind loop_timeout_kind = {.name = "timer", .cancel = loop_timer_cancel, .size = LOOP_JOB_BARE};

__attribute__((noinline)) loop_job loop_timer_start(struct loop_scope *scope, int64_t at_ns,
                                                    const struct loop_job_kind *kind, loop_fn *fn, void *arg)
{
    struct loop_job *job = loop_job_make(scope, kind, fn, arg);
    if (!job) {
        return 0;
    }
    if (scope->is_cancelled) {
        loop_job_complete(scope->loop, job, -ECANCELED);
    } else if (at_ns == LOOP_NEVER) {
        job->where = LOOP_AT_OWNER;
    } else {
        job->where = LOOP_AT_TIMER;
        loop_wheel_add(&scope->loop->timers, &job->timer, at_ns, LOOP_WHEEL_JOB);
    }
    return job->id;
}

/* Does what loop_timer_start does, for a loop_sleep. Nearly always the scope is open and the slab need not grow. */
static inline loop_job start(struct loop_scope *scope, int64_t at_ns, loop_fn *fn, void *arg)
{
    const struct loop_job_kind *kind = &loop_sleep_kind;
    if (__builtin_expect(at_ns == LOOP_NEVER || !loop_job_is_ready(scope, kind), false)) {
        return loop_timer_start(scope, at_ns, kind, fn, arg);
    }
    struct loop *loop = scope->loop;
    struct loop_job *job = loop_slab_take(loop_job_slab(loop, kind));
    loop_job_fill(scope, job, kind, LOOP_AT_TIMER, fn, arg);
    loop_wheel_add(&loop->timers, &job->timer, at_ns, LOOP_WHEEL_JOB);
    return job->id;
}

loop_job loop_sleep_until(struct loop_scope *scope, int64_t at_ns, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    return start(scope, at_ns, fn, arg);
}

loop_job loop_sleep(struct loop_scope *scope, int64_t duration_ns, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    int64_t at_ns = loop_time_from_now(duration_ns);
    if (duration_ns <= 0) {
        scope->loop->clock_ns = at_ns;
    }
    return start(scope, at_ns, fn, arg);
}

/* ---- due timers ---- */

int64_t loop_timers_next(struct loop *loop)
{
    return loop_wheel_next(&loop->timers);
}

int64_t loop_timers_wake(struct loop *loop)
{
    return loop_wheel_next_within(&loop->timers, loop->options.timer_leeway_ns);
}

static void expire(struct loop *loop, struct loop_wheel_node *node)
{
    if (node->owner == LOOP_WHEEL_ALARM) {
        struct loop_alarm *alarm = LOOP_CONTAINER(node, struct loop_alarm, node);
        loop_alarm_fn *due = alarm->due;
        loop_alarm_clear(loop, alarm);
        due(loop, alarm);
        loop_settle(loop);
    } else {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, timer);
        loop_job_finish(loop, job, job->kind == &loop_timeout_kind ? -ETIME : 0);
    }
}

/* Starts to load what the ends of the next timers access, for all of them at a time: their neighbours in the scope, and
 * the arguments of their continuations. Timers are resumed in another order than they were started, so hardly any of
 * this is in the cache. */
static void prefetch(struct loop_list *batch)
{
    struct loop_list *link = batch->next;
    for (unsigned i = 0; i < AHEAD && link != batch; i++, link = link->next) {
        struct loop_wheel_node *node = LOOP_CONTAINER(link, struct loop_wheel_node, link);
        if (node->owner == LOOP_WHEEL_JOB) {
            const struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, timer);
            __builtin_prefetch(job->in_scope.at, 1);
            __builtin_prefetch(job->in_scope.next, 1);
            __builtin_prefetch(job->arg, 1);
        }
    }
}

/* Timers that continuations start now are left to the next turn, even if they are due. */
bool loop_timers_run(struct loop *loop, unsigned most)
{
    struct loop_list batch, *first;
    loop_timers_leave(loop);
    loop->clock_ns = loop_clock_read();
    loop_wheel_take(&loop->timers, loop->clock_ns, most * MOVES, &batch);
    if (loop_list_is_empty(&batch)) {
        return false;
    }
    for (; most > 0 && (first = loop_list_first(&batch)); most--) {
        if (most % AHEAD == 0) {
            prefetch(&batch);
        }
        expire(loop, LOOP_CONTAINER(first, struct loop_wheel_node, link));
        loop_timers_leave(loop); /* the next one may have been cancelled */
    }
    loop_wheel_put_back(&loop->timers, &batch);
    return true;
}
