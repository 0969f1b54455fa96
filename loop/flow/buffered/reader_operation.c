/* SPDX-License-Identifier: ISC
 *
 * Operations of a reader. An operation is a job with a `step`, which makes the result of what is buffered. Where that
 * is too little the operation reads the source, and calls the step again when the read has ended.
 */
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/buffered/reader_keep.h>
#include <loop/flow/buffered/reader_operation.h>
#include <loop/flow/buffered/reader_state.h>
#include <loop/flow/buffered/reader_steps.h>
#include <loop/flow/own/read.h>

#include <errno.h>

/* ---- reading the source ---- */

static void on_read(void *arg, int64_t result);
static void on_read_rest(void *arg, int64_t result);

/* Notes that the source has ended, unless the read was cancelled. */
static void note_end(struct loop_reader *reader, int64_t result)
{
    if (result != -ECANCELED) {
        reader->has_ended = true;
        reader->status = (int32_t)result;
    }
}

/* Ends the read of the source, and returns its checked result. */
static int64_t checked(struct loop_reader *reader, int64_t result)
{
    reader->inner = 0;
    return loop_own_checked(reader->loop, "read of a source of one's own", result, reader->asked);
}

int loop_reader_read_more(struct loop_reader *reader, struct loop_job *job)
{
    assert(!reader->inner);
    struct loop_source *source = reader->source;
    const struct loop_reader_operation *operation = &reader->operation;
    bool is_direct = operation->step == loop_reader_step_rest && reader->buffer.block == 1;
    reader->asked = is_direct ? (size_t)operation->len : loop_reader_buffer_make_room(&reader->buffer);
    if (reader->asked == 0) {
        return -ENOMEM;
    }
    void *bytes = is_direct ? operation->bytes : loop_reader_buffer_end(&reader->buffer);
    reader->calls++; /* the source's function may cancel the operation or destroy the reader */
    reader->inner = loop_source_read(source, bytes, reader->asked, is_direct ? on_read_rest : on_read, reader);
    reader->calls--;
    if (job->is_cancelled) {
        loop_cancel(reader->loop, reader->inner);
    }
    return reader->inner ? 0 : job->is_cancelled ? -ECANCELED : -ENOMEM;
}

/* Returns the result of an operation that is cancelled or can't go on. */
static int64_t broken_off(const struct loop_reader *reader, int64_t error)
{
    return reader->operation.done > 0 ? (int64_t)reader->operation.done : error;
}

/* Calls the step, unless the reader was destroyed: then its bytes go back to the source. */
static int64_t try_step(struct loop_reader *reader)
{
    return reader->is_destroyed ? LOOP_READER_NEEDS_MORE : reader->operation.step(reader, &reader->operation);
}

/* Goes on with the operation after a read. `error`: the read was cancelled. From the dispatch only. */
static void go_on(struct loop *loop, struct loop_job *job, int64_t error)
{
    struct loop_reader *reader = *loop_reader_of(job);
    if (job->kind->backend_done) {
        job->kind->backend_done(loop, job, error);
        return;
    }
    int64_t result = try_step(reader);
    if (result == LOOP_READER_NEEDS_MORE) {
        error = job->is_cancelled ? -ECANCELED : error;
        error = error ? error : loop_reader_read_more(reader, job);
        if (!error) {
            return;
        }
        result = loop_reader_last_word(reader, broken_off(reader, error));
    }
    loop_reader_let_go(reader);
    loop_job_finish(loop, job, result);
}

static void on_read(void *arg, int64_t result)
{
    struct loop_reader *reader = arg;
    result = checked(reader, result);
    if (result > 0) {
        loop_reader_buffer_filled(&reader->buffer, (size_t)result);
    } else {
        note_end(reader, result);
    }
    go_on(reader->loop, loop_reader_running(reader), result == -ECANCELED ? result : 0);
}

static void on_read_rest(void *arg, int64_t result)
{
    struct loop_reader *reader = arg;
    struct loop *loop = reader->loop;
    struct loop_job *job = loop_reader_running(reader);
    result = checked(reader, result);
    if (result <= 0) {
        note_end(reader, result);
    }
    loop_reader_let_go(reader);
    loop_job_finish(loop, job, result);
}

/* ---- operations ---- */

static void cancel_operation(struct loop *loop, struct loop_job *job)
{
    loop_cancel(loop, (*loop_reader_of(job))->inner);
}

static const struct loop_job_kind operation_kind = {.name = "buffered read", .cancel = cancel_operation};

loop_job loop_reader_refuse(struct loop_reader *reader, int64_t error, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(reader->scope, NULL, &operation_kind, fn, arg, &id);
    if (job) {
        loop_job_complete(reader->loop, job, error);
    }
    return id;
}

struct loop_job *loop_reader_begin(struct loop_reader *reader, const struct loop_job_kind *kind,
                                   const struct loop_reader_operation *operation, loop_fn *fn, void *arg, loop_job *id)
{
    bool is_busy = loop_reader_running(reader) != NULL;
    struct loop_job *job = loop_job_start(reader->scope, NULL, kind, fn, arg, id);
    if (!job) {
        return NULL;
    }
    if (is_busy) {
        loop_job_complete(reader->loop, job, -EBUSY);
        return NULL;
    }
    *loop_reader_of(job) = reader;
    job->where = LOOP_AT_OWNER;
    reader->job = job->id;
    reader->operation = *operation;
    loop_reader_give_nothing(reader);
    return job;
}

loop_job loop_reader_start(struct loop_reader *reader, const struct loop_reader_operation *operation, loop_fn *fn,
                           void *arg)
{
    loop_job id;
    struct loop_job *job = loop_reader_begin(reader, &operation_kind, operation, fn, arg, &id);
    if (!job) {
        return id;
    }
    int64_t result = -EINVAL;
    if (operation->len > 0) {
        result = operation->step(reader, &reader->operation);
    }
    if (result == LOOP_READER_NEEDS_MORE) {
        int error = loop_reader_read_more(reader, job);
        if (!error) {
            return id;
        }
        result = broken_off(reader, error);
    }
    loop_job_complete(reader->loop, job, result);
    loop_reader_let_go(reader);
    return id;
}
