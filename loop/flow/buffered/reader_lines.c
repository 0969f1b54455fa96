/* SPDX-License-Identifier: ISC
 *
 * loop_reader_lines: one job for all lines of a reader.
 */
#include <loop/core/check.h>
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/flow/buffered/reader_keep.h>
#include <loop/flow/buffered/reader_operation.h>
#include <loop/flow/buffered/reader_state.h>
#include <loop/flow/buffered/reader_steps.h>

#include <errno.h>

#define LINES_AT_ONCE 64

/* Has run_lines called from the dispatch. */
static void nudge(struct loop *loop, struct loop_job *job)
{
    loop_job_backend_complete(loop, job, 0);
}

/* Resumes the continuation for each line that is buffered, up to LINES_AT_ONCE. Returns the result of the last step. */
static int64_t deliver_lines(struct loop *loop, struct loop_job *job, struct loop_reader *reader)
{
    struct loop_reader_operation *operation = &reader->operation;
    int64_t result = 1;
    assert(!operation->is_delivering && !reader->inner);
    operation->is_delivering = true;
    reader->calls++;
    for (int n = 0; n < LINES_AT_ONCE && result > 0 && !operation->is_paused && !job->is_cancelled; n++) {
        result = loop_reader_step_line(reader, operation);
        if (result > 0 && job->fn) {
            job->fn(job->arg, result);
        }
    }
    loop_settle(loop);
    reader->calls--;
    operation->is_delivering = false;
    return result;
}

/* Ends the job. From the dispatch only. */
static void end_lines(struct loop *loop, struct loop_job *job, struct loop_reader *reader, int64_t result)
{
    loop_reader_give_nothing(reader);
    result = loop_reader_last_word(reader, result);
    loop_reader_let_go(reader);
    loop_job_finish(loop, job, result);
}

/* Waits for a resume, or for a close of what is below. Returns 0, or why the job ends instead. */
static int64_t wait_for_resume(struct loop_job *job, struct loop_reader *reader)
{
    const struct loop_fd *fd = reader->rest.fd;
    job->where = LOOP_AT_OWNER;
    if (fd && fd->state != LOOP_FD_OPEN) {
        return -ECANCELED;
    }
    struct loop_reader_operation *operation = &reader->operation;
    if (!loop_own_tie_source(&reader->rest.source, job, &operation->member, &operation->uses_fd)) {
        loop_reader_untie(reader, job);
        return -ENOMEM;
    }
    return 0;
}

/* Delivers lines, and reads on, ends, or waits for a resume. `error`: there has been no read to go on from. From the
 * dispatch only. */
static void run_lines(struct loop *loop, struct loop_job *job, int64_t error)
{
    struct loop_reader *reader = *loop_reader_of(job);
    loop_reader_untie(reader, job);
    int64_t result = deliver_lines(loop, job, reader);
    if (job->is_cancelled) {
        result = -ECANCELED;
    } else if (error && (result == LOOP_READER_NEEDS_MORE || reader->operation.is_paused)) {
        result = error;
    } else if (reader->operation.is_paused) {
        result = wait_for_resume(job, reader);
        if (!result) {
            return;
        }
    } else if (result > 0) {
        nudge(loop, job);
        return;
    } else if (result == LOOP_READER_NEEDS_MORE) {
        result = loop_reader_read_more(reader, job);
        if (!result) {
            return;
        }
    }
    end_lines(loop, job, reader, result);
}

static void cancel_lines(struct loop *loop, struct loop_job *job)
{
    struct loop_reader *reader = *loop_reader_of(job);
    if (reader->calls > 0) {
        return; /* run_lines ends it, or loop_reader_read_more cancels the read */
    }
    if (reader->inner) {
        loop_cancel(loop, reader->inner);
    } else {
        nudge(loop, job);
    }
}

static int pause_lines(struct loop *loop, struct loop_job *job)
{
    (void)loop;
    (*loop_reader_of(job))->operation.is_paused = true;
    return 0;
}

static int resume_lines(struct loop *loop, struct loop_job *job)
{
    struct loop_reader *reader = *loop_reader_of(job);
    struct loop_reader_operation *operation = &reader->operation;
    bool was_paused = operation->is_paused;
    operation->is_paused = false;
    if (was_paused && !operation->is_delivering && !reader->inner && job->where != LOOP_AT_RUN_QUEUE) {
        nudge(loop, job);
    }
    return 0;
}

static const struct loop_job_kind lines_kind = {.name = "buffered read of lines",
                                                .cancel = cancel_lines,
                                                .backend_done = run_lines,
                                                .pause = pause_lines,
                                                .resume = resume_lines};

loop_job loop_reader_lines(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    if (!loop_reader_is_good(reader, __func__)) {
        return 0;
    }
    loop_job id;
    struct loop_reader_operation operation = {.step = loop_reader_step_line, .len = 1};
    struct loop_job *job = loop_reader_begin(reader, &lines_kind, &operation, fn, arg, &id);
    if (!job) {
        return id;
    }
    if (loop_reader_buffered(reader) > 0 || reader->has_ended) {
        nudge(reader->loop, job);
        return id;
    }
    int error = loop_reader_read_more(reader, job);
    if (error) {
        loop_job_complete(reader->loop, job, error);
        loop_reader_let_go(reader);
    }
    return id;
}
