/* SPDX-License-Identifier: ISC
 *
 * Starts, completes, cancels and counts jobs. A completed job waits in the run queue; the dispatch resumes its
 * continuation.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>

#include <errno.h>

#define IN_SECOND offsetof(struct loop_job, u.args.in_second)

/* How far from a cancelled timer the memory is loaded: as far as some fifty timers. */
#define AHEAD_BYTES 4096

struct loop_job *loop_job_start(struct loop_scope *scope, struct loop_fd *fd, const struct loop_job_kind *kind,
                                loop_fn *fn, void *arg, loop_job *id)
{
    struct loop_job *job = loop_job_make(scope, kind, fn, arg);
    assert(!fd || kind->size != LOOP_JOB_BARE);
    *id = job ? job->id : 0;
    if (!job) {
        return NULL;
    }
    bool is_closed = fd && fd->state != LOOP_FD_OPEN;
    if (fd && !is_closed) {
        loop_job_use(job, fd);
    }
    int error = is_closed ? -EBADF : scope->is_cancelled ? -ECANCELED : 0;
    if (error) {
        loop_job_complete(scope->loop, job, error);
        return NULL;
    }
    return job;
}

void loop_job_use_second(struct loop_job *job, struct loop_fd *second)
{
    assert(second->state == LOOP_FD_OPEN && !job->u.args.second && job->kind->size == LOOP_JOB_LARGE);
    job->u.args.second = second;
    second->uses++;
    loop_index_push(&job->scope->loop->jobs[LOOP_JOB_LARGE], loop_fd_second_jobs(second), job, IN_SECOND);
}

void loop_job_unuse_second(struct loop_job *job)
{
    loop_index_remove(&job->scope->loop->jobs[LOOP_JOB_LARGE], loop_fd_second_jobs(job->u.args.second), job, IN_SECOND);
}

struct loop_job *loop_job_oldest_second(struct loop_fd *fd)
{
    return loop_index_oldest(&fd->scope->loop->jobs[LOOP_JOB_LARGE], loop_fd_second_jobs(fd), IN_SECOND);
}

struct loop_job *loop_job_newer_second(const struct loop_job *job)
{
    return loop_index_newer(&job->scope->loop->jobs[LOOP_JOB_LARGE], job, IN_SECOND);
}

/* Puts a job that is in no list into the run queue. Its links may be undefined. */
static inline void put_in_run_queue(struct loop *loop, struct loop_job *job, int64_t result)
{
    assert(job->where != LOOP_AT_RUN_QUEUE);
    job->result = result;
    job->where = LOOP_AT_RUN_QUEUE;
    loop_list_push_back(&loop->run_queue, &job->link);
    loop->run_queue_length++;
}

void loop_job_complete(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_timers_leave(loop);
    loop_line_remove(&job->link);
    put_in_run_queue(loop, job, loop_job_told_result(job, result));
}

void loop_timer_complete(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_timers_leave(loop);
    if (job->where == LOOP_AT_TIMER) { /* never true with LOOP_NEVER */
        loop_wheel_unlink(&loop->timers, &job->timer);
    }
    put_in_run_queue(loop, job, loop_job_told_result(job, result));
}

/* Completes the timer in loop->leaving that was cancelled first. */
static inline void leave_first(struct loop *loop)
{
    struct loop_leaving *leaving = &loop->leaving;
    struct loop_job *job = leaving->jobs[leaving->n_taken++ % LOOP_LEAVING_MAX];
    assert(job->where == LOOP_AT_LEAVING && !job->why);
    loop_wheel_unlink(&loop->timers, &job->timer);
    put_in_run_queue(loop, job, loop_scope_reason(job->scope));
}

void loop_timers_leave_now(struct loop *loop)
{
    while (loop_timers_are_leaving(loop)) {
        leave_first(loop);
    }
}

/* Loads the memory that is written when a timer leaves its list: that of its neighbours there, which among many timers
 * is in no cache. Timers that were started one after another are also one after another in memory, upwards or
 * downwards, and are often cancelled in that order, though each list has only some of them. So the memory in the
 * direction of the neighbour that was started later is loaded as well. */
static inline void load_neighbours(const struct loop_job *job)
{
    bool is_upwards = (uintptr_t)job->link.next > (uintptr_t)job;
    __builtin_prefetch(job->link.prev, 1);
    __builtin_prefetch(job->link.next, 1);
    __builtin_prefetch((const char *)job + (is_upwards ? AHEAD_BYTES : -AHEAD_BYTES), 1);
}

/* The timer leaves its list when LOOP_LEAVING_MAX others have been cancelled and its neighbours are loaded. With each
 * cancel one leaves, so that there are always some being loaded. */
void loop_timer_cancel(struct loop *loop, struct loop_job *job)
{
    struct loop_leaving *leaving = &loop->leaving;
    if (job->where != LOOP_AT_TIMER) { /* of LOOP_NEVER */
        loop_job_complete(loop, job, -ECANCELED);
        return;
    }
    load_neighbours(job);
    job->where = LOOP_AT_LEAVING;
    if (leaving->n_added - leaving->n_taken == LOOP_LEAVING_MAX) {
        leave_first(loop);
    }
    leaving->jobs[leaving->n_added++ % LOOP_LEAVING_MAX] = job;
}

void loop_job_backend_complete(struct loop *loop, struct loop_job *job, int64_t result)
{
    int64_t done = job->done;
    loop_job_complete(loop, job, result);
    if (job->kind->backend_done || job->kind->transferred) {
        if (!job->why) {
            job->result = result; /* the continuation gets the scope's reason, the kind the result itself */
        }
        job->is_backends = true;
    }
    if (job->kind->room) { /* has received nothing: loop_job_due_result */
        assert(job->result < 0 && job->result >= INT16_MIN);
        job->why = (int16_t)job->result;
        job->done = done;
    }
}

uint32_t loop_jobs_in_use(const struct loop *loop)
{
    uint32_t in_use = 0;
    for (unsigned size = 0; size < LOOP_JOB_SIZES; size++) {
        in_use += loop_slab_in_use(&loop->jobs[size]);
    }
    return in_use;
}

uint64_t loop_jobs_started(const struct loop *loop)
{
    uint64_t started = 0;
    for (unsigned size = 0; size < LOOP_JOB_SIZES; size++) {
        started += loop->jobs[size].n_taken;
    }
    return started;
}

uint32_t loop_jobs_capacity(const struct loop *loop)
{
    uint32_t capacity = 0;
    for (unsigned size = 0; size < LOOP_JOB_SIZES; size++) {
        capacity += loop_slab_capacity(&loop->jobs[size]);
    }
    return capacity;
}

void loop_job_cancel_here(struct loop *loop, struct loop_job *job)
{
    loop_job_complete(loop, job, -ECANCELED);
}

void loop_job_cancel_by_backend(struct loop *loop, struct loop_job *job)
{
    loop->backend->cancel(loop, job);
}

/* Returns whether only the job's continuation is left. */
static bool has_result(const struct loop_job *job)
{
    return (job->where == LOOP_AT_RUN_QUEUE && !job->is_backends) || job->where == LOOP_AT_LEAVING;
}

/* A job in the run queue is cancelled only for its kind, which checks is_cancelled when its turn comes. */
bool loop_job_cancel(struct loop *loop, struct loop_job *job)
{
    if (job->is_cancelled) {
        return false;
    }
    if (job->where == LOOP_AT_RUN_QUEUE) {
        job->is_cancelled = job->is_backends;
        return job->is_backends;
    }
    assert(!job->is_backends);
    job->is_cancelled = true;
    job->kind->cancel(loop, job);
    return true;
}

int loop_cancel(struct loop *loop, loop_job id)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    struct loop_job *job = loop_job_find(loop, id);
    return job && loop_job_cancel(loop, job) ? 0 : -ENOENT;
}

int loop_pause(struct loop *loop, loop_job id)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    struct loop_job *job = loop_job_find(loop, id);
    if (!job || has_result(job)) {
        return -ENOENT;
    }
    return job->kind->pause ? job->kind->pause(loop, job) : -EINVAL;
}

int loop_resume(struct loop *loop, loop_job id)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    struct loop_job *job = loop_job_find(loop, id);
    if (!job || has_result(job)) {
        return -ENOENT;
    }
    return job->kind->resume ? job->kind->resume(loop, job) : -EINVAL;
}

int loop_daemon(struct loop *loop, loop_job id)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    struct loop_job *job = loop_job_find(loop, id);
    if (!job) {
        return -ENOENT;
    }
    if (!job->is_daemon) {
        job->is_daemon = true;
        loop_scope_add_hold(job->scope, true);
        loop_scope_drop_hold(job->scope, false);
        if (job->kind->made_daemon) {
            job->kind->made_daemon(loop, job);
        }
    }
    return 0;
}

static const struct loop_job_kind instant_kind = {.name = "instant", .cancel = loop_job_cancel_here};

loop_job loop_job_instant(struct loop_scope *scope, int64_t result, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(scope, NULL, &instant_kind, fn, arg, &id);
    if (job) {
        loop_job_complete(scope->loop, job, result);
    }
    return id;
}

loop_job loop_job_inner(struct loop *loop, loop_job inner, const struct loop_scope *scope)
{
    const struct loop_job *job = loop_job_find(loop, inner);
    if (job && job->scope == scope) {
        (void)loop_daemon(loop, inner);
    }
    return inner;
}

bool loop_job_is_alive(const struct loop *loop, loop_job id)
{
    if (!loop_is_good(loop, __func__)) {
        return false;
    }
    return loop_job_find(loop, id) != NULL;
}

/* ---- the job ---- */
