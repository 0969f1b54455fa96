/* SPDX-License-Identifier: ISC
 *
 * Copies from a descriptor that can be polled to a file. A copy reads into a large buffer, because a thread does each
 * write, and keeps it until that has ended. When the copy ends, what was read and not written goes back to the source.
 */
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/flow/copy_buffer.h>
#include <loop/flow/copy_end.h>
#include <loop/flow/copy_to_file.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/ground/list.h>
#include <loop/syscall/io.h>

#include <errno.h>

/* Gives the buffer, which is empty, back to the loop. */
static void drop_bulk(struct loop *loop, struct loop_job *job)
{
    loop_copy_give(loop, job->u.args.copy.block, true);
    job->u.args.copy.block = NULL;
}

/* Gives the bytes that have not been written, with their buffer, back to the source. */
static void give_bulk_back(struct loop *loop, struct loop_job *job)
{
    struct loop_copy_args *args = &job->u.args.copy;
    struct loop_block *bulk = args->block;
    if (bulk) {
        bulk->at = (size_t)((char *)args->rest.iov_base - (char *)bulk->bytes);
        bulk->end = bulk->at + args->rest.iov_len;
        args->block = NULL;
        loop_unread_put(loop, job->fd, bulk);
    }
}

static void finish_to_file(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    give_bulk_back(loop, job);
    loop_job_finish(loop, job, loop_copy_result(loop, job, why, side));
}

static void on_bulk_written(void *arg, int64_t result);
static void on_room(void *arg, int64_t result);

/* Writes what is left, or waits for room where others have filled the sink's queue. */
static void write_bulk(struct loop *loop, struct loop_job *job)
{
    bool took_chunk;
    struct loop_copy_args *args = &job->u.args.copy;
    struct loop_fd *to = job->u.args.second;
    struct loop_write_state write = {.single = args->rest, .total = args->rest.iov_len};
    loop_job inner = loop_fd_is_full(to) ? loop_fd_drained(to, on_room, job)
                                         : loop_fd_write(to, &write, on_bulk_written, job, &took_chunk);
    args->inner = loop_job_inner(loop, inner, to->scope);
    if (!inner) {
        finish_to_file(loop, job, -ENOMEM, LOOP_COPY_SINK);
    }
}

static void on_bulk_written(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct loop *loop = job->scope->loop;
    struct loop_copy_args *args = &job->u.args.copy;
    size_t n = result > 0 ? (size_t)result : 0;
    assert(n <= args->rest.iov_len);
    args->done += (int64_t)n;
    args->rest = (struct iovec){(char *)args->rest.iov_base + n, args->rest.iov_len - n};
    int64_t why = loop_copy_end_of_write(job, result, loop_fd_is_full(job->u.args.second));
    if (why) {
        finish_to_file(loop, job, why, job->is_cancelled ? LOOP_COPY_SOURCE : LOOP_COPY_SINK);
    } else if (args->rest.iov_len > 0) {
        write_bulk(loop, job); /* a write that stopped half-way gave no reason: this one does */
    } else {
        drop_bulk(loop, job);
        loop_ready_wait_read(loop, job->fd, job);
    }
}

/* Takes the job out of the list of readers: it waits for a job of the sink from now on. */
static enum loop_attempt leave_list(struct loop_job *job)
{
    loop_line_remove(&job->link);
    job->where = LOOP_AT_OWNER;
    return LOOP_ATTEMPT_MOVED;
}

static void on_room(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct loop *loop = job->scope->loop;
    if (result < 0 || job->is_cancelled) {
        finish_to_file(loop, job, result < 0 ? result : -ECANCELED,
                       job->is_cancelled ? LOOP_COPY_SOURCE : LOOP_COPY_SINK);
    } else if (job->u.args.copy.block) {
        write_bulk(loop, job);
    } else {
        loop_ready_wait_read(loop, job->fd, job);
    }
}

/* Ends the copy from an attempt. */
static enum loop_attempt end_to_file(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    job->result = loop_copy_result(loop, job, why, side);
    return LOOP_ATTEMPT_DONE;
}

/* Waits until the sink's queue, which others have filled, has drained. */
static enum loop_attempt wait_for_room(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *to = job->u.args.second;
    job->u.args.copy.inner = loop_job_inner(loop, loop_fd_drained(to, on_room, job), to->scope);
    return job->u.args.copy.inner ? leave_list(job) : end_to_file(loop, job, -ENOMEM, LOOP_COPY_SINK);
}

static enum loop_attempt attempt_to_file(struct loop *loop, struct loop_job *job)
{
    if (loop_fd_is_full(job->u.args.second)) {
        return wait_for_room(loop, job);
    }
    struct loop_block *bulk = loop_copy_take(loop, true);
    if (!bulk) {
        return end_to_file(loop, job, -ENOMEM, LOOP_COPY_SOURCE);
    }
    int64_t n = loop_io_read_one(loop, job->fd, bulk->bytes, LOOP_COPY_BULK_BYTES);
    if (n <= 0) {
        loop_copy_give(loop, bulk, true);
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN
                            : end_to_file(loop, job, loop_unread_end(job->fd, n), LOOP_COPY_SOURCE);
    }
    job->u.args.copy.block = bulk;
    job->u.args.copy.rest = (struct iovec){bulk->bytes, (size_t)n};
    enum loop_attempt attempt = leave_list(job);
    write_bulk(loop, job);
    return attempt;
}

static void cancel_to_file(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_OWNER) {
        loop_cancel(loop, job->u.args.copy.inner);
    } else {
        loop_job_complete(loop, job, loop_copy_result(loop, job, -ECANCELED, LOOP_COPY_SOURCE));
    }
}

const struct loop_job_kind loop_copy_to_file_kind = {.name = "copy",
                                                     .cancel = cancel_to_file,
                                                     .attempt = attempt_to_file,
                                                     .made_daemon = loop_copy_made_daemon,
                                                     .uses_args = true,
                                                     .size = LOOP_JOB_LARGE};
