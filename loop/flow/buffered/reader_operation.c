/* SPDX-License-Identifier: ISC
 *
 * Operations of a reader. An operation is a job that tries to make its result of what is in the buffer (its `step`);
 * where that is too little it starts a read of the source behind what is there, and tries again when that has ended.
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

static void note_end(struct loop_reader *reader, int64_t result)
{
    if (result != -ECANCELED) {
        reader->has_ended = true;
        reader->status = (int32_t)result;
    }
}

/* The answer of the source's read, as far as it can be true. */
static int64_t checked(struct loop_reader *reader, int64_t result)
{
    reader->inner = 0;
    return loop_own_checked(reader->loop, "read of a source of one's own", result, reader->asked);
}

/* The source's function may be the program's: it may cancel the operation, or destroy the reader. */
int loop_reader_read_more(struct loop_reader *reader, struct loop_job *job)
{
    struct loop_source *source = reader->source;
    const struct loop_reader_operation *operation = &reader->operation;
    bool is_direct = operation->step == loop_reader_step_rest && reader->buffer.block == 1;
    reader->asked = is_direct ? (size_t)operation->len : loop_reader_buffer_make_room(&reader->buffer);
    if (reader->asked == 0) {
        return -ENOMEM;
    }
    void *bytes = is_direct ? operation->bytes : loop_reader_buffer_end(&reader->buffer);
    reader->calls++;
    reader->inner = loop_source_read(source, bytes, reader->asked, is_direct ? on_read_rest : on_read, reader);
    reader->calls--;
    if (job->is_cancelled) {
        loop_cancel(reader->loop, reader->inner);
    }
    return reader->inner ? 0 : job->is_cancelled ? -ECANCELED : -ENOMEM;
}

/* What an operation says that is cancelled, or can't go on. */
static int64_t broken_off(const struct loop_reader *reader, int64_t error)
{
    return reader->operation.done > 0 ? (int64_t)reader->operation.done : error;
}

/* What has been read is not consumed any more by an operation of a reader that was destroyed. */
static int64_t try_step(struct loop_reader *reader)
{
    return reader->is_destroyed ? LOOP_READER_NEEDS_MORE : reader->operation.step(reader, &reader->operation);
}

/* Goes on after a read; `error` where there was none to go on from. From the dispatch. */
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
