/* SPDX-License-Identifier: ISC
 *
 * Waiting for a writer: until all has been written, until there is room, until the sink has been shut down.
 */
#include <loop/writer_state.h>

#include <errno.h>

/* The continuation is about to hear it. */
static void heard(struct loop *loop, struct job *job, int64_t result)
{
    struct loop_writer_waiter *waiter = loop_writer_waiter(job);
    if (waiter->refusal) {
        waiter->writer->refusal = 0;
    }
    loop_job_finish(loop, job, result);
}

static void drained_heard(struct loop *loop, struct job *job, int64_t result)
{
    loop_writer_waiter(job)->writer->refusal = 0;
    loop_job_finish(loop, job, result);
}

static const struct loop_job_kind flush_kind = {.name = "flush", .cancel = loop_job_cancel_here, .backend_done = heard};
static const struct loop_job_kind drained_kind = {
    .name = "writer drained", .cancel = loop_job_cancel_here, .backend_done = drained_heard};

static loop_job await(struct loop_writer *writer, struct loop_list *list, const struct loop_job_kind *kind, loop_fn *fn,
                      void *arg)
{
    bool ended;
    struct job *job = loop_job_start(writer->sink->scope, NULL, kind, fn, arg, &ended);
    if (!job || ended) {
        return job ? job->id : 0;
    }
    *loop_writer_waiter(job) =
        (struct loop_writer_waiter){.writer = writer, .target = writer->appended, .refusal = writer->refusal};
    job->where = LOOP_AT_OWNER;
    loop_list_push_back(list, &job->link);
    loop_writer_look_soon(writer);
    return job->id;
}

loop_job loop_writer_flush(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    return await(writer, &writer->waiters, &flush_kind, fn, arg);
}

loop_job loop_writer_drained(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    return await(writer, &writer->drainers, &drained_kind, fn, arg);
}

size_t loop_writer_pending(const struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(writer->sink->scope->loop);
    return (size_t)loop_writer_pending_bytes(writer);
}

bool loop_writer_is_full(const struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(writer->sink->scope->loop);
    return writer->refusal || loop_writer_pending_bytes(writer) >= writer->limit_bytes;
}

/* ---- the end of the sink ---- */

static void on_shut_down(void *arg, int64_t result)
{
    struct job *job = arg;
    loop_job_finish(job->scope->loop, job, result);
}

/* All has been written, or can't be. From the dispatch. */
static void shut_down_sink(struct loop *loop, struct job *job, int64_t result)
{
    struct loop_writer_waiter *waiter = loop_writer_waiter(job);
    if (result < 0 || job->is_cancelled) {
        waiter->writer->refusal = 0;
        loop_job_finish(loop, job, job->is_cancelled ? -ECANCELED : result);
        return;
    }
    waiter->inner = loop_shutdown(waiter->writer->sink, on_shut_down, job);
    if (!waiter->inner) {
        loop_job_finish(loop, job, -ENOMEM);
    }
}

static void cancel_shutdown(struct loop *loop, struct job *job)
{
    if (loop_writer_waiter(job)->inner) {
        loop_cancel(loop, loop_writer_waiter(job)->inner);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

static const struct loop_job_kind shutdown_kind = {
    .name = "writer shutdown", .cancel = cancel_shutdown, .backend_done = shut_down_sink};

loop_job loop_writer_shutdown(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    LOOP_CHECK_THREAD(writer->sink->scope->loop);
    writer->is_closed = true;
    return await(writer, &writer->waiters, &shutdown_kind, fn, arg);
}
