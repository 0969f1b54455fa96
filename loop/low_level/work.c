/* SPDX-License-Identifier: ISC
 *
 * Work for the pool. Work that owns its argument has a struct loop_owned_work, which is the argument of both the job's
 * continuation and the function on the thread. It is freed, and the argument released, when neither needs it any more.
 */
#include <loop/core/check.h>
#include <loop/core/close.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/low_level/start.h>

#include <errno.h>

struct loop_owned_work {
    struct loop_late late; /* the pool's, once it is given up */
    loop_work_fn *work;
    void *work_arg;
    loop_hook_fn *release;
    loop_fn *fn;
    void *arg;
    struct loop_scope *scope; /* until the continuation has been resumed */
    struct loop_fd *fds[2];   /* in late use */
    struct loop_scope *held;  /* until its thread has returned, once it is given up */
    bool is_late;             /* given up, and a thread has it */
    bool was_resumed;
};

static void release_if_over(struct loop_owned_work *owned)
{
    if (owned->was_resumed && !owned->is_late) {
        owned->release(owned->work_arg);
        loop_kernel_free(owned);
    }
}

static int64_t run_owned(void *arg, void **buffer)
{
    const struct loop_owned_work *owned = arg;
    (void)buffer;
    return owned->work(owned->work_arg);
}

static int64_t run_plain(void *arg, void **buffer)
{
    const struct loop_job *job = arg;
    (void)buffer;
    return job->u.args.work.work(job->u.args.work.arg);
}

static void on_owned_done(void *arg, int64_t result)
{
    struct loop_owned_work *owned = arg;
    struct loop *loop = owned->scope->loop;
    if (owned->is_late) {
        loop->has_outcome = true;
        loop->outcome = LOOP_WORK_UNKNOWN;
    }
    if (owned->fn) {
        owned->fn(owned->arg, result);
    } else if (result < 0 && result != -ECANCELED) {
        loop_scope_fail(owned->scope, result);
    }
    if (owned->is_late) {
        loop->has_outcome = false;
    }
    owned->was_resumed = true;
    release_if_over(owned);
}

/* A job that no thread has run ends with an error of its arguments, or was cancelled. */
enum loop_outcome loop_work_outcome(const struct loop *loop, int64_t result)
{
    if (!loop_is_good(loop, __func__)) {
        return LOOP_WORK_UNKNOWN;
    }
    if (loop->has_outcome) {
        return loop->outcome;
    }
    return result == -ECANCELED || result == -ETIMEDOUT ? LOOP_WORK_NOT_BEGUN : LOOP_WORK_DONE;
}

/* ---- late ---- */

static void use_late(struct loop_owned_work *owned, unsigned i, struct loop_fd *fd)
{
    owned->fds[i] = fd;
    if (fd) {
        loop_fd_use_late(fd);
    }
}

/* Returns the scope of main, or the loop's own: whichever the scope is inside. */
static struct loop_scope *root_of(struct loop_scope *scope)
{
    struct loop_scope *parent;
    while ((parent = loop_scope_parent(scope))) {
        scope = parent;
    }
    return scope;
}

static void give_up(struct loop *loop, struct loop_job *job)
{
    struct loop_owned_work *owned = job->u.args.work.owned;
    assert(job->op == LOOP_OP_WORK && owned);
    assert(!owned->is_late && !owned->was_resumed);
    owned->is_late = true;
    use_late(owned, 0, job->fd);
    use_late(owned, 1, job->u.args.second);
    owned->held = root_of(job->scope);
    loop_scope_add_hold(owned->held, false);
    loop_job_backend_complete(loop, job, -ECANCELED);
}

/* Releases work that was given up, once its thread has returned. */
static void come_back(struct loop *loop, struct loop_late *late)
{
    struct loop_owned_work *owned = LOOP_CONTAINER(late, struct loop_owned_work, late);
    assert(owned->is_late);
    owned->is_late = false;
    for (unsigned i = 0; i < 2; i++) {
        if (owned->fds[i]) {
            loop_fd_end_late_use(owned->fds[i]);
        }
    }
    struct loop_scope *held = owned->held;
    release_if_over(owned);
    loop_scope_drop_hold(held, false);
    loop_settle(loop);
}

/* ---- calls from the pool ---- */

/* Returns the function for the thread. Owned work can outlive its job, so the thread does not get the job. */
static struct loop_thread_call call_work(struct loop_job *job)
{
    struct loop_owned_work *owned = job->u.args.work.owned;
    return owned ? (struct loop_thread_call){run_owned, owned} : (struct loop_thread_call){run_plain, job};
}

static bool takes_long(const struct loop_job *job)
{
    return job->u.args.work.takes_long;
}

static struct loop_late *late_of(const struct loop_job *job)
{
    struct loop_owned_work *owned = job->u.args.work.owned;
    return owned ? &owned->late : NULL;
}

static const struct loop_thread_kind work_thread = {
    .call = call_work, .takes_long = takes_long, .late = late_of, .give_up = give_up};

static const struct loop_job_kind work_kind = {
    .name = "operation", .cancel = loop_job_cancel_by_backend, .thread = &work_thread, .size = LOOP_JOB_LARGE};

/* ---- starting ---- */

static loop_job start(struct loop_scope *scope, const struct loop_work_options *options,
                      struct loop_operation *operation)
{
    operation->scope = scope;
    operation->op = LOOP_OP_WORK;
    operation->kind = &work_kind;
    operation->fd = options->fd;
    operation->second = options->second;
    operation->args.work.takes_long = options->takes_long;
    return loop_operation_start(operation);
}

static loop_job start_owned(struct loop_scope *scope, const struct loop_work_options *options, loop_work_fn *work,
                            void *work_arg, loop_fn *fn, void *arg)
{
    struct loop_owned_work *owned = loop_kernel_malloc(sizeof *owned);
    if (!owned) {
        return 0;
    }
    *owned = (struct loop_owned_work){.late.came_back = come_back,
                                      .work = work,
                                      .work_arg = work_arg,
                                      .release = options->release,
                                      .fn = fn,
                                      .arg = arg,
                                      .scope = loop_operation_scope(scope, options->fd)};
    struct loop_operation operation = {.fn = on_owned_done, .arg = owned, .error = work ? 0 : -EINVAL};
    operation.args.work.owned = owned;
    loop_job job = start(scope, options, &operation);
    if (!job) {
        loop_kernel_free(owned);
    }
    return job;
}

static loop_job start_with(struct loop_scope *scope, const struct loop_work_options *options, loop_work_fn *work,
                           void *work_arg, loop_fn *fn, void *arg, const char *function)
{
    static const struct loop_work_options defaults;
    options = options ? options : &defaults;
    if (!loop_operation_is_good(scope, options->fd, options->second, function)) {
        return 0;
    }
    if (options->release) {
        return start_owned(scope, options, work, work_arg, fn, arg);
    }
    struct loop_operation operation = {.fn = fn, .arg = arg, .error = work ? 0 : -EINVAL};
    operation.args.work = (struct loop_work_args){.work = work, .arg = work_arg};
    return start(scope, options, &operation);
}

loop_job loop_work_with(struct loop_scope *scope, const struct loop_work_options *options, loop_work_fn *work,
                        void *work_arg, loop_fn *fn, void *arg)
{
    return start_with(scope, options, work, work_arg, fn, arg, __func__);
}

loop_job loop_work(struct loop_scope *scope, loop_work_fn *work, void *work_arg, loop_fn *fn, void *arg)
{
    return start_with(scope, NULL, work, work_arg, fn, arg, __func__);
}
