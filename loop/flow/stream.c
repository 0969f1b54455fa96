/* SPDX-License-Identifier: ISC
 *
 * Streams: bytes as they come, in chunks lent by the region. fd_stream.c reads descriptors that can be waited for,
 * source_stream.c all other sources.
 */
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/flow/descriptor_stream.h>
#include <loop/flow/own/check.h>
#include <loop/flow/source_stream.h>

#include <errno.h>

loop_job loop_stream(struct loop_source *source, loop_stream_fn *fn, void *arg)
{
    if (!loop_source_is_good(source, __func__)) {
        return 0;
    }
    bool may_ask = source->ops->fd && !source->scope->is_cancelled;
    struct loop_fd *fd = may_ask ? source->ops->fd(source) : NULL;
    return fd && loop_fd_is_stream(fd) ? loop_fd_stream(source->scope, fd, fn, arg)
                                       : loop_source_stream(source, fn, arg);
}

/* The stream with that id; NULL when it has ended or has its result. One that is due to go on is found. */
static struct loop_job *find_stream(struct loop *loop, loop_job id)
{
    LOOP_CHECK_THREAD(loop);
    struct loop_job *job = loop_job_find(loop, id);
    return job && job->kind->continuation == LOOP_CALLS_STREAM_FN &&
                   (job->where != LOOP_AT_RUN_QUEUE || job->is_backends)
               ? job
               : NULL;
}

int loop_stream_pause(struct loop *loop, loop_job id)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    struct loop_job *job = find_stream(loop, id);
    if (!job) {
        return -ENOENT;
    }
    job->kind->pause(loop, job);
    return 0;
}

int loop_stream_resume(struct loop *loop, loop_job id)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    struct loop_job *job = find_stream(loop, id);
    if (!job) {
        return -ENOENT;
    }
    job->kind->resume(loop, job);
    return 0;
}
