/* SPDX-License-Identifier: ISC
 *
 * Copies that write by jobs of the sink. To a file a copy reads into a large buffer, because each write is a thread's
 * work, and keeps it until that is done. Between sources and sinks of other kinds both are read and written by their
 * own functions, one buffer at a time.
 */
#include <loop/copy.h>
#include <loop/io.h>

#include <errno.h>

/* ---- to a file ---- */

/* u.args of such a copy: `data` the buffer while it is being written, `out` and `len` what of it is still to be,
 * `offset` the sink's job that it waits for, `second_offset` and `second` as above. */

static void drop_bulk(struct loop *loop, struct job *job)
{
    loop_copy_give(loop, job->u.args.data, true);
    job->u.args.data = NULL;
}

static void finish_to_file(struct loop *loop, struct job *job, int64_t result)
{
    drop_bulk(loop, job);
    loop_job_finish(loop, job, result);
}

static void on_bulk_written(void *arg, int64_t result);

static void write_bulk(struct loop *loop, struct job *job)
{
    bool took_chunk;
    struct loop_op_args *args = &job->u.args;
    struct loop_write_state write = {.single = {args->out, args->len}, .n_iov = 1, .total = args->len};
    args->offset = (int64_t)loop_fd_write(args->second, &write, on_bulk_written, job, &took_chunk);
    if (!args->offset) {
        finish_to_file(loop, job, -ENOMEM);
    }
}

static void on_bulk_written(void *arg, int64_t result)
{
    struct job *job = arg;
    struct loop *loop = job->scope->loop;
    struct loop_op_args *args = &job->u.args;
    if (result <= 0 || job->is_cancelled) {
        finish_to_file(loop, job, result < 0 ? result : job->is_cancelled ? -ECANCELED : -EIO);
        return;
    }
    args->second_offset += result;
    args->out = (char *)args->out + result;
    args->len -= (size_t)result;
    if (args->len > 0) {
        write_bulk(loop, job); /* it stopped in the middle without saying why: this one says it */
    } else {
        drop_bulk(loop, job);
        loop_ready_wait_read(loop, job->fd, job);
    }
}

/* It waits for a job of the sink now. */
static enum loop_attempt leave_list(struct job *job)
{
    loop_list_remove(&job->link);
    job->where = LOOP_AT_OWNER;
    return LOOP_ATTEMPT_MOVED;
}

static void on_room(void *arg, int64_t result)
{
    struct job *job = arg;
    struct loop *loop = job->scope->loop;
    if (result < 0 || job->is_cancelled) {
        loop_job_finish(loop, job, result < 0 ? result : -ECANCELED);
    } else {
        loop_ready_wait_read(loop, job->fd, job);
    }
}

/* Others have filled the queue. */
static enum loop_attempt wait_for_room(struct job *job)
{
    job->u.args.offset = (int64_t)loop_fd_drained(job->u.args.second, on_room, job);
    if (!job->u.args.offset) {
        job->result = -ENOMEM;
        return LOOP_ATTEMPT_DONE;
    }
    return leave_list(job);
}

static enum loop_attempt attempt_to_file(struct loop *loop, struct job *job)
{
    struct loop_op_args *args = &job->u.args;
    if (loop_fd_is_full(args->second)) {
        return wait_for_room(job);
    }
    struct loop_spare *bulk = loop_copy_take(loop, true);
    if (!bulk) {
        job->result = -ENOMEM;
        return LOOP_ATTEMPT_DONE;
    }
    args->data = bulk;
    args->out = bulk->bytes;
    int64_t n = loop_io_read_one(job->fd, bulk->bytes, LOOP_COPY_BULK_BYTES);
    if (n <= 0) {
        drop_bulk(loop, job);
        job->result = n < 0 ? n : args->second_offset;
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_DONE;
    }
    args->len = (size_t)n;
    enum loop_attempt attempt = leave_list(job);
    write_bulk(loop, job);
    return attempt;
}

static void cancel_to_file(struct loop *loop, struct job *job)
{
    if (job->where == LOOP_AT_OWNER) {
        loop_cancel(loop, (loop_job)job->u.args.offset);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

const struct loop_job_kind loop_copy_to_file_kind = {
    .name = "copy", .cancel = cancel_to_file, .attempt = attempt_to_file, .uses_args = true, .size = LOOP_JOB_LARGE};

/* ---- between others ---- */

struct other_copy {
    struct loop_source *source;
    struct loop_sink *sink;
    struct loop_spare *spare;
    size_t size; /* of that: LOOP_COPY_BYTES, or LOOP_COPY_BULK_BYTES */
    struct iovec iov;
    int64_t total;
    loop_job inner;
};

static_assert(sizeof(struct other_copy) <= sizeof(((struct job *)0)->u.large), "fits into a job");

static struct other_copy *other_of(struct job *job)
{
    return (struct other_copy *)(void *)job->u.large;
}

static void cancel_other(struct loop *loop, struct job *job)
{
    loop_cancel(loop, other_of(job)->inner);
}

const struct loop_job_kind loop_copy_other_kind = {.name = "copy", .cancel = cancel_other, .size = LOOP_JOB_LARGE};

static void give_others_spare(struct loop *loop, const struct other_copy *copy)
{
    loop_copy_give(loop, copy->spare, copy->size == LOOP_COPY_BULK_BYTES);
}

static void finish_other(struct job *job, int64_t result)
{
    struct loop *loop = job->scope->loop;
    give_others_spare(loop, other_of(job));
    loop_job_finish(loop, job, result);
}

static void on_written(void *arg, int64_t result);

static void on_read(void *arg, int64_t result)
{
    struct job *job = arg;
    struct other_copy *copy = other_of(job);
    if (result <= 0) {
        finish_other(job, result < 0 ? result : copy->total);
        return;
    }
    if (job->is_cancelled) {
        finish_other(job, -ECANCELED);
        return;
    }
    copy->iov = (struct iovec){copy->spare->bytes, (size_t)result};
    copy->inner = copy->sink->ops->write(copy->sink, &copy->iov, 1, on_written, job);
    if (!copy->inner) {
        finish_other(job, -ENOMEM);
    }
}

static bool read_next(struct job *job)
{
    struct other_copy *copy = other_of(job);
    copy->inner = copy->source->ops->read(copy->source, copy->spare->bytes, copy->size, on_read, job);
    return copy->inner != 0;
}

static void on_written(void *arg, int64_t result)
{
    struct job *job = arg;
    struct other_copy *copy = other_of(job);
    copy->total += result > 0 ? result : 0;
    if (result < 0 || job->is_cancelled) {
        finish_other(job, result < 0 ? result : -ECANCELED);
    } else if ((size_t)result < copy->iov.iov_len) {
        /* The sink stopped in the middle without saying why: the next write says it. */
        copy->iov = (struct iovec){(char *)copy->iov.iov_base + result, copy->iov.iov_len - (size_t)result};
        copy->inner = result > 0 ? copy->sink->ops->write(copy->sink, &copy->iov, 1, on_written, job) : 0;
        if (!copy->inner) {
            finish_other(job, result > 0 ? -ENOMEM : -EIO);
        }
    } else if (!read_next(job)) {
        finish_other(job, -ENOMEM);
    }
}

void loop_copy_other(struct loop *loop, struct job *job, struct loop_source *source, struct loop_sink *sink)
{
    const struct loop_fd *to = sink->ops->fd ? sink->ops->fd(sink) : NULL;
    bool is_file = to && to->write_by == LOOP_IO_BLOCKING;
    struct loop_spare *spare = loop_copy_take(loop, is_file);
    struct other_copy *copy = other_of(job);
    *copy = (struct other_copy){.source = source, .sink = sink, .spare = spare};
    copy->size = is_file ? LOOP_COPY_BULK_BYTES : LOOP_COPY_BYTES;
    job->where = LOOP_AT_OWNER;
    if (!spare) {
        loop_job_complete(loop, job, -ENOMEM);
    } else if (!read_next(job)) {
        give_others_spare(loop, copy);
        loop_job_complete(loop, job, -ENOMEM);
    }
}
