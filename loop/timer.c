/* SPDX-License-Identifier: ISC
 *
 * Time: the clock, and jobs that end at a point in time. They share one heap with the deadlines of scopes; a node says
 * which of the two it belongs to.
 */
#include <loop/timer.h>

#include <errno.h>
#include <time.h>

int64_t loop_clock_read(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * LOOP_SECOND + now.tv_nsec;
}

int64_t loop_now(const struct loop *loop)
{
    LOOP_CHECK_THREAD(loop);
    return loop_clock_read();
}

int64_t loop_time_after(int64_t now_ns, int64_t duration_ns)
{
    return duration_ns > LOOP_NEVER - now_ns ? LOOP_NEVER : now_ns + duration_ns;
}

/* ---- the job ---- */

/* Takes the job out of the heap, where it is, so that it can be ended. */
static void leave_heap(struct loop *loop, struct job *job)
{
    if (loop_heap_is_linked(&job->u.timer.node)) {
        loop_heap_remove(&loop->timers, &job->u.timer.node);
    }
    job->where = LOOP_AT_OWNER;
}

static void timer_cancel(struct loop *loop, struct job *job)
{
    leave_heap(loop, job);
    loop_job_complete(loop, job, -ECANCELED);
}

static const struct loop_job_kind timer_kind = {.name = "timer", .cancel = timer_cancel};

/* A point in the past counts as now. That also keeps a continuation that starts one such timer after another from
 * getting ahead of all others. */
static void enter_heap(struct loop *loop, struct job *job, int64_t at_ns)
{
    int64_t now = loop_clock_read();
    job->u.timer.node.at_ns = at_ns > now ? at_ns : now;
    job->u.timer.node.owner = LOOP_HEAP_JOB;
    int error = loop_heap_add(&loop->timers, &job->u.timer.node);
    if (error) {
        loop_job_complete(loop, job, error);
    } else {
        job->where = LOOP_AT_TIMER;
    }
}

loop_job loop_timer_start(struct loop_scope *scope, int64_t at_ns, bool is_op, loop_fn *fn, void *arg)
{
    bool ended = false;
    struct job *job = loop_job_start(scope, NULL, &timer_kind, fn, arg, &ended);
    if (!job) {
        return 0;
    }
    loop_job id = job->id;
    if (ended) {
        return id;
    }
    job->where = LOOP_AT_OWNER;
    job->u.timer.is_op = is_op;
    if (at_ns != LOOP_NEVER) {
        enter_heap(scope->loop, job, at_ns);
    }
    return id;
}

loop_job loop_sleep_until(struct loop_scope *scope, int64_t at_ns, loop_fn *fn, void *arg)
{
    return loop_timer_start(scope, at_ns, false, fn, arg);
}

loop_job loop_sleep(struct loop_scope *scope, int64_t duration_ns, loop_fn *fn, void *arg)
{
    LOOP_CHECK_THREAD(scope->loop);
    int64_t now = loop_clock_read();
    return loop_timer_start(scope, duration_ns > 0 ? loop_time_after(now, duration_ns) : now, false, fn, arg);
}

/* ---- what is due ---- */

int64_t loop_timers_next(const struct loop *loop)
{
    const struct loop_heap_node *first = loop_heap_first(&loop->timers);
    return first ? first->at_ns : LOOP_NEVER;
}

static void expire(struct loop *loop, struct loop_heap_node *node)
{
    if (node->owner == LOOP_HEAP_SCOPE) {
        loop_heap_remove(&loop->timers, node);
        loop_scope_expire(LOOP_CONTAINER(node, struct loop_deadline, node)->scope);
        loop_settle(loop);
        return;
    }
    struct job *job = LOOP_CONTAINER(node, struct job, u.timer.node);
    leave_heap(loop, job);
    loop_job_finish(loop, job, job->u.timer.is_op ? -ETIME : 0);
}

/* What continuations start meanwhile belongs to the next turn, also when it is due at once: it has a higher order. */
void loop_timers_run(struct loop *loop, unsigned most)
{
    if (loop->timers.count == 0) {
        return;
    }
    int64_t now = loop_clock_read();
    uint64_t end = loop->timers.next_order;
    for (unsigned i = 0; i < most; i++) {
        struct loop_heap_node *first = loop_heap_first(&loop->timers);
        if (!first || first->at_ns > now || first->order >= end) {
            return;
        }
        expire(loop, first);
    }
}
