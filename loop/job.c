/* SPDX-License-Identifier: ISC
 *
 * Jobs: made, found, cancelled, ended. A job's slot is given back before its continuation is resumed, so that the
 * handle is stale by then and the slot, still in the cache, serves the next job; what it holds of its descriptor and
 * its scope is given back after, so that neither can end under the continuation.
 */
#include <loop/check.h>
#include <loop/job.h>

#include <errno.h>
#include <stdlib.h>

static bool takes_part(struct loop_job *job, struct loop_fd *fd)
{
    if (fd->state != LOOP_FD_OPEN) {
        return false;
    }
    job->fd = fd;
    fd->uses++;
    loop_hlist_push(&fd->jobs, &job->in_fd);
    return true;
}

struct loop_job *loop_job_start(struct loop_scope *scope, struct loop_fd *fd, const struct loop_job_kind *kind,
                                loop_fn *fn, void *arg, bool *ended)
{
    struct loop_job *job = loop_job_make(scope, kind, fn, arg);
    assert(!fd || kind->size != LOOP_JOB_BARE);
    if (!job) {
        return NULL;
    }
    *ended = true;
    if (fd && !takes_part(job, fd)) {
        loop_job_complete(scope->loop, job, -EBADF);
    } else if (scope->is_cancelled) {
        loop_job_complete(scope->loop, job, -ECANCELED);
    } else {
        *ended = false;
    }
    return job;
}

void loop_job_use_second(struct loop_job *job, struct loop_fd *second)
{
    assert(second->state == LOOP_FD_OPEN && !job->u.args.second);
    job->u.args.second = second;
    second->uses++;
    loop_hlist_push(&second->second_jobs, &job->u.args.in_second);
}

/* A job that ends because its scope was cancelled ends with the scope's reason; one whose event can't come, with the
 * reason for that. */
static int64_t told_result(const struct loop_job *job, int64_t result)
{
    const struct loop_scope *scope = job->scope;
    if (result != -ECANCELED) {
        return result;
    }
    return scope->is_cancelled ? scope->reason : scope->loop->wait_error ? scope->loop->wait_error : result;
}

void loop_job_complete(struct loop *loop, struct loop_job *job, int64_t result)
{
    assert(job->where != LOOP_AT_RUN_QUEUE);
    loop_list_remove(&job->link);
    job->result = told_result(job, result);
    job->where = LOOP_AT_RUN_QUEUE;
    loop_list_push_back(&loop->run_queue, &job->link);
    loop->run_queue_length++;
}

void loop_timer_complete(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (job->where == LOOP_AT_TIMER) { /* not with LOOP_NEVER */
        loop_wheel_remove(&loop->timers, &job->timer);
    }
    loop_job_complete(loop, job, result);
}

/* A result that nobody listens to is the scope's affair when it is an error; a cancellation is none, and the loop's own
 * scope, where jobs on descriptors that are gone end, fails for nothing. */
static void tell_scope(struct loop_scope *scope, int64_t result)
{
    if (result < 0 && result != -ECANCELED && scope != scope->loop->own_scope) {
        loop_scope_fail(scope, result);
    }
}

static void call(loop_fn *fn, uint8_t op, bool is_stream, void *arg, int64_t result, void *data)
{
    if (is_stream) {
        ((loop_stream_fn *)(void (*)(void))fn)(arg, result, data);
    } else if (op == LOOP_OP_RECV_MULTISHOT) {
        ((loop_recv_fn *)(void (*)(void))fn)(arg, result, data);
    } else {
        fn(arg, result);
    }
}

static void leave_lists(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_RUN_QUEUE) {
        loop->run_queue_length--;
    }
    loop_list_remove(&job->link);
    loop_hlist_remove(&job->in_scope);
}

/* The second descriptor and the extra memory are an operation's; other kinds keep other things in the same place. */
static struct loop_fd *leave_args(struct loop_job *job)
{
    const struct loop_job_kind *kind = job->kind;
    if (kind->size != LOOP_JOB_LARGE || (job->op == LOOP_OP_NONE && !kind->uses_args)) {
        return NULL;
    }
    if (job->u.args.second) {
        loop_hlist_remove(&job->u.args.in_second);
    }
    free(job->u.args.extra);
    return job->u.args.second;
}

static void give_back_fds(struct loop_fd *fd, struct loop_fd *second, const struct loop_job_kind *kind)
{
    if (fd) {
        if (kind->resumed) {
            kind->resumed(fd);
        }
        loop_fd_drop_use(fd);
    }
    if (second) {
        loop_fd_drop_use(second);
    }
}

/* A job that has neither descriptors nor an operation's arguments, and an ordinary continuation. */
static void end_plain(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_fn *fn = job->fn;
    void *arg = job->arg;
    struct loop_scope *scope = job->scope;
    bool is_daemon = job->is_daemon;
    leave_lists(loop, job);
    loop_slab_put(loop_job_slab(loop, job->kind), job);
    if (fn) {
        fn(arg, result);
    } else {
        tell_scope(scope, result);
    }
    loop_scope_drop_hold(scope, is_daemon);
    loop_settle(loop);
}

static void end_full(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_fn *fn = job->fn;
    void *arg = job->arg;
    const struct loop_job_kind *kind = job->kind;
    struct loop_fd *fd = job->fd;
    struct loop_scope *scope = job->scope;
    uint8_t op = job->op;
    bool is_stream = job->is_stream, is_daemon = job->is_daemon;
    leave_lists(loop, job);
    loop_hlist_remove(&job->in_fd);
    struct loop_fd *second = leave_args(job);
    loop_slab_put(loop_job_slab(loop, kind), job);
    if (fn) {
        call(fn, op, is_stream, arg, result, NULL);
    } else {
        tell_scope(scope, result);
    }
    give_back_fds(fd, second, kind);
    loop_scope_drop_hold(scope, is_daemon);
    loop_settle(loop);
}

static bool is_plain(const struct loop_job *job)
{
    return job->kind->size == LOOP_JOB_BARE ||
           (job->kind->size == LOOP_JOB_SMALL && !job->fd && !job->in_fd.at && !job->is_stream);
}

static inline void end(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (is_plain(job)) {
        end_plain(loop, job, result);
    } else {
        end_full(loop, job, result);
    }
}

void loop_job_end_unheard(struct loop *loop, struct loop_job *job, int64_t result)
{
    const struct loop_job_kind *kind = job->kind;
    struct loop_fd *fd = job->fd;
    struct loop_scope *scope = job->scope;
    bool is_daemon = job->is_daemon;
    assert(!job->fn && job->where != LOOP_AT_RUN_QUEUE && kind->size != LOOP_JOB_BARE);
    result = told_result(job, result);
    leave_lists(loop, job);
    loop_hlist_remove(&job->in_fd);
    struct loop_fd *second = leave_args(job);
    loop_slab_put(loop_job_slab(loop, kind), job);
    tell_scope(scope, result);
    give_back_fds(fd, second, kind);
    loop_scope_drop_hold(scope, is_daemon);
}

void loop_job_finish(struct loop *loop, struct loop_job *job, int64_t result)
{
    assert(job->where != LOOP_AT_RUN_QUEUE);
    end(loop, job, told_result(job, result));
}

void loop_job_emit(struct loop *loop, struct loop_job *job, int64_t result, void *data)
{
    assert(job->where != LOOP_AT_RUN_QUEUE);
    if (job->fn) {
        call(job->fn, job->op, job->is_stream, job->arg, result, data);
    }
    loop_settle(loop);
}

void loop_job_backend_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (job->kind->backend_done) {
        job->kind->backend_done(loop, job, result);
    } else {
        loop_job_finish(loop, job, result);
    }
}

void loop_job_backend_complete(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_job_complete(loop, job, result);
    if (job->kind->backend_done) {
        if (!loop->wait_error) {
            job->result = result; /* the scope's reason is for the continuation, not for the kind */
        }
        job->is_backends = true;
    }
}

static void hand_to_kind(struct loop *loop, struct loop_job *job)
{
    assert(job->kind && job->kind->backend_done);
    loop_list_remove(&job->link);
    loop->run_queue_length--;
    job->where = LOOP_AT_OWNER;
    job->is_backends = false;
    job->kind->backend_done(loop, job, job->result);
}

void loop_jobs_run(struct loop *loop, unsigned most)
{
    unsigned n = loop->run_queue_length < most ? loop->run_queue_length : most;
    for (; n > 0 && !loop_list_is_empty(&loop->run_queue); n--) {
        struct loop_job *job = LOOP_CONTAINER(loop_list_first(&loop->run_queue), struct loop_job, link);
        if (job->is_backends) {
            hand_to_kind(loop, job);
        } else {
            end(loop, job, job->result);
        }
    }
}

uint32_t loop_jobs_in_use(const struct loop *loop)
{
    uint32_t in_use = 0;
    for (unsigned size = 0; size < LOOP_JOB_SIZES; size++) {
        in_use += loop->jobs[size].in_use;
    }
    return in_use;
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

bool loop_job_cancel(struct loop *loop, struct loop_job *job)
{
    if (job->is_cancelled || (job->where == LOOP_AT_RUN_QUEUE && !job->is_backends)) {
        return false;
    }
    job->is_cancelled = true;
    if (!job->is_backends) { /* else its kind looks at is_cancelled when its turn comes */
        job->kind->cancel(loop, job);
    }
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

bool loop_job_is_alive(const struct loop *loop, loop_job id)
{
    if (!loop_is_good(loop, __func__)) {
        return false;
    }
    return loop_job_find(loop, id) != NULL;
}

/* ---- the job ---- */
