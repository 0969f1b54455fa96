/* SPDX-License-Identifier: ISC
 *
 * The queue of a sink of the program's own: its length and limit, and the jobs that wait for it to drain.
 */
#include <loop/core/job.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/memory.h>
#include <loop/flow/own/own.h>
#include <loop/flow/own/sink.h>
#include <loop/ground/list.h>

#include <errno.h>

bool loop_sink_is_own(const struct loop_sink *sink)
{
    return sink->ops != &loop_fd_sink && !loop_sink_takes_all(sink);
}

bool loop_own_is_full(const struct loop_own *own)
{
    return own->has_overflowed || (own->queued_bytes > 0 && own->queued_bytes >= own->limit_bytes);
}

/* Whether the jobs that wait for the queue to drain end. */
static bool has_drained(const struct loop_own *own)
{
    return own->error || own->queued_bytes <= own->limit_bytes / 2;
}

void loop_own_leave(struct loop_own *own, size_t n, int64_t result)
{
    struct loop_list *node;
    assert(own->queued_bytes >= n);
    own->queued_bytes -= n;
    if (result != -ECANCELED && (result < 0 || n > 0)) {
        own->error = result >= 0 ? 0 : result < INT32_MIN ? -EINVAL : (int32_t)result;
    }
    while (has_drained(own) && (node = loop_list_first(&own->drainers))) {
        loop_job_complete(own->loop, LOOP_CONTAINER(node, struct loop_job, link), own->error);
    }
}

void loop_own_forget(struct loop_own *own)
{
    own->error = 0;
    own->has_limit = false;
    own->limit_bytes = own->loop->options.sink_limit_bytes;
    loop_own_settle(own);
}

static const struct loop_job_kind drained_kind = {.name = "drained", .cancel = loop_job_cancel_here};

loop_job loop_own_drained(struct loop_own *own, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(own->scope, NULL, &drained_kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    if (has_drained(own)) {
        loop_job_complete(own->loop, job, own->error);
    } else {
        job->where = LOOP_AT_OWNER;
        loop_list_push_back(&own->drainers, &job->link);
    }
    return id;
}
