/* SPDX-License-Identifier: ISC
 *
 * Jobs that somebody else ends: promises.
 */
#include <loop/core/check.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>

#include <errno.h>

static void promise_cancel(struct loop *loop, struct loop_job *job)
{
    if (job->u.promise.on_cancel) {
        job->u.promise.on_cancel(job->u.promise.cancel_arg, job->id);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

static const struct loop_job_kind promise_kind = {.name = "promise", .cancel = promise_cancel};

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
        job->u.promise.cancel_arg = cancel_arg;
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
    if (job->kind != &promise_kind) {
        loop_misuse(loop, __func__, "the job is not from loop_promise", "end other jobs with loop_cancel");
        return -EINVAL;
    }
    loop_job_complete(loop, job, result);
    return 0;
}
