/* SPDX-License-Identifier: ISC
 *
 * Waits until a descriptor is closed, for callers that have reached the limit of open files.
 */
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/event/timer.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/part.h>

#include <errno.h>

static void descriptor_wait_cancel(struct loop *loop, struct loop_job *job)
{
    loop_hlist_remove(&job->in_fd);
    loop_timer_complete(loop, job, -ECANCELED);
}

static const struct loop_job_kind descriptor_wait_kind = {.name = "descriptor wait", .cancel = descriptor_wait_cancel};

loop_job loop_descriptor_wait(struct loop_scope *scope, int64_t timeout_ns, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    struct loop *loop = scope->loop;
    loop_job id = loop_timer_start(scope, loop_time_from_now(timeout_ns), &descriptor_wait_kind, fn, arg);
    struct loop_job *job = id ? loop_job_find(loop, id) : NULL;
    if (job && job->where != LOOP_AT_RUN_QUEUE) {
        loop_hlist_push(&loop->descriptor_waits, &job->in_fd);
        loop->stats.descriptor_waits++;
    }
    return id;
}
