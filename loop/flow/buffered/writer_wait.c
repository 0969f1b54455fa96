/* SPDX-License-Identifier: ISC
 *
 * Waiting for a writer: until all has been written, until there is room, until the sink has been shut down. A job that
 * waits knows the writer by its id, because it may outlive it.
 */
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/flow/buffered/writer_send.h>
#include <loop/flow/buffered/writer_state.h>
#include <loop/ground/list.h>

#include <errno.h>

#define BEING_STARTED UINT64_MAX /* as `inner`: no job has this id, so that a cancel does nothing yet */

/* Finishes a flush, which clears the refusal that it returns. A flush from before the refusal does not return it. */
static void heard(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_writer *writer = loop_writer_of(loop, job);
    if (writer && result == writer->refusal && loop_writer_waiter(job)->n_refusals == writer->n_refusals) {
        writer->refusal = 0;
    }
    loop_job_finish(loop, job, result);
}

/* Finishes a wait for room, which clears the refusal. */
static void drained_heard(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_writer *writer = loop_writer_of(loop, job);
    if (writer && result == 0) {
        writer->refusal = 0;
    }
    loop_job_finish(loop, job, result);
}

static const struct loop_job_kind flush_kind = {
    .name = "flush", .cancel = loop_job_cancel_here, .backend_done = heard, .size = LOOP_JOB_LARGE};
static const struct loop_job_kind drained_kind = {
    .name = "writer drained", .cancel = loop_job_cancel_here, .backend_done = drained_heard, .size = LOOP_JOB_LARGE};

/* Starts a job that waits in `list`. */
static loop_job await(struct loop_writer *writer, struct loop_list *list, const struct loop_job_kind *kind, loop_fn *fn,
                      void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(writer->scope, NULL, kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    *loop_writer_waiter(job) = (struct loop_writer_waiter){
        .writer = writer->id, .target = writer->appended, .refusal = writer->refusal, .n_refusals = writer->n_refusals};
    job->where = LOOP_AT_OWNER;
    loop_list_push_back(list, &job->link);
    loop_writer_look_soon(writer);
    return id;
}

loop_job loop_writer_flush(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    return loop_writer_is_good(writer, __func__) ? await(writer, &writer->waiters, &flush_kind, fn, arg) : 0;
}

loop_job loop_writer_wait_drained(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    return loop_writer_is_good(writer, __func__) ? await(writer, &writer->drainers, &drained_kind, fn, arg) : 0;
}

size_t loop_writer_pending(const struct loop_writer *writer)
{
    return loop_writer_is_good(writer, __func__) ? (size_t)loop_writer_pending_bytes(writer) : 0;
}

bool loop_writer_is_full(const struct loop_writer *writer)
{
    return !loop_writer_is_good(writer, __func__) || writer->refusal ||
           loop_writer_pending_bytes(writer) >= writer->limit_bytes;
}

/* ---- the end of the sink ---- */

static void on_shut_down(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    loop_job_finish(job->scope->loop, job, result);
}

/* Starts the shutdown of the sink, whose function may cancel the job or destroy the writer. */
static void start_shutdown(struct loop *loop, struct loop_writer *writer, struct loop_job *job)
{
    struct loop_writer_waiter *waiter = loop_writer_waiter(job);
    waiter->inner = BEING_STARTED;
    loop_list_push_back(&writer->closers, &job->link);
    loop_writer_enter(writer);
    loop_job inner = loop_shutdown(writer->sink, on_shut_down, job);
    waiter->inner = inner;
    if (!inner) {
        loop_list_remove(&job->link);
    } else if (job->is_cancelled) {
        loop_cancel(loop, inner);
    }
    loop_writer_leave(writer);
    if (!inner) {
        loop_job_finish(loop, job, job->is_cancelled ? -ECANCELED : -ENOMEM);
    }
}

/* Goes on with a shutdown when all has been written, or ends it with the error. From the dispatch only. */
static void all_written(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_writer *writer = loop_writer_of(loop, job);
    if (result == 0 && !job->is_cancelled && writer) {
        start_shutdown(loop, writer, job);
        return;
    }
    if (writer) {
        writer->refusal = 0;
    }
    loop_job_finish(loop, job, result == 0 || job->is_cancelled ? -ECANCELED : result);
}

/* Cancels a shutdown: the sink's, or the wait until all has been written. */
static void cancel_shutdown(struct loop *loop, struct loop_job *job)
{
    if (loop_writer_waiter(job)->inner) {
        loop_cancel(loop, loop_writer_waiter(job)->inner);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

static const struct loop_job_kind shutdown_kind = {
    .name = "writer shutdown", .cancel = cancel_shutdown, .backend_done = all_written, .size = LOOP_JOB_LARGE};

loop_job loop_writer_shutdown(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    loop_job id = loop_writer_is_good(writer, __func__) ? await(writer, &writer->waiters, &shutdown_kind, fn, arg) : 0;
    if (id) {
        writer->is_closed = true;
    }
    return id;
}
