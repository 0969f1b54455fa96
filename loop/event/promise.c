/* SPDX-License-Identifier: ISC
 *
 * Promises: jobs that the program ends.
 */
#include <loop/core/check.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/part.h>

#include <errno.h>

static void promise_cancel(struct loop *loop, struct loop_job *job)
{
    if (job->u.promise.on_cancel) {
        job->u.promise.on_cancel(job->u.promise.arg, job->id);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

static const struct loop_job_kind promise_kind = {.name = "promise", .cancel = promise_cancel};

static void stream_cancel(struct loop *loop, struct loop_job *job)
{
    (void)loop;
    job->u.promise.ops->cancel(job->u.promise.arg, job->id);
}

static int stream_pause(struct loop *loop, struct loop_job *job)
{
    (void)loop;
    return job->u.promise.ops->pause(job->u.promise.arg, job->id);
}

static int stream_resume(struct loop *loop, struct loop_job *job)
{
    (void)loop;
    return job->u.promise.ops->resume(job->u.promise.arg, job->id);
}

static const struct loop_job_kind stream_kind = {
    .name = "promised stream", .cancel = stream_cancel, .pause = stream_pause, .resume = stream_resume};

loop_job loop_promise(struct loop_scope *scope, loop_cancel_fn *on_cancel, void *cancel_arg, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    loop_job id;
    struct loop_job *job = loop_job_start(scope, NULL, &promise_kind, fn, arg, &id);
    if (job) {
        job->where = LOOP_AT_OWNER;
        job->u.promise.on_cancel = on_cancel;
        job->u.promise.arg = cancel_arg;
    }
    return id;
}

static bool is_whole(const struct loop_stream_ops *ops, const char *function)
{
    if (!loop_check_pointer(ops, "table of functions", function)) {
        return false;
    }
    bool has_all = ops->cancel && ops->pause && ops->resume;
    if (!has_all) {
        loop_misuse(NULL, function, "the table lacks a function", "a stream needs cancel, pause and resume");
    }
    return has_all;
}

loop_job loop_promise_stream(struct loop_scope *scope, const struct loop_stream_ops *ops, void *ops_arg, loop_fn *fn,
                             void *arg)
{
    if (!loop_scope_is_good(scope, __func__) || !is_whole(ops, __func__)) {
        return 0;
    }
    loop_job id;
    struct loop_job *job = loop_job_start(scope, NULL, &stream_kind, fn, arg, &id);
    if (job) {
        job->where = LOOP_AT_OWNER;
        job->u.promise.ops = ops;
        job->u.promise.arg = ops_arg;
    }
    return id;
}

int loop_resolve(struct loop *loop, loop_job job_id, int64_t result)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    struct loop_job *job = loop_job_find(loop, job_id);
    if (!job || job->where == LOOP_AT_RUN_QUEUE) {
        return -ENOENT;
    }
    if (job->kind != &promise_kind && job->kind != &stream_kind) {
        loop_misuse(loop, __func__, "the job is not from loop_promise", "end other jobs with loop_cancel");
        return -EINVAL;
    }
    loop_job_complete(loop, job, result);
    return 0;
}
