/* SPDX-License-Identifier: ISC
 *
 * Copying from a source to a sink. Between two descriptors that can be waited for, a copy reads into a spare buffer of
 * the loop and writes it at once: the buffer stays in the cache and serves one connection after the other. Only where
 * the sink is slow does the copy keep the buffer, with what is left in it, and reads no more until that is gone.
 * To a file it reads into a larger one, because each write is a thread's work, and keeps it until that is done. Between
 * two regular files it is file_copy.c's. Anything else is read and written by the two's own functions, one buffer at a
 * time.
 */
#include <loop/fd_flow.h>
#include <loop/io.h>

#include <errno.h>
#include <stdlib.h>

/* Beyond this a larger buffer moves bytes no faster: the copy out of the kernel is what costs. */
#define SPARE_BYTES 65536
#define BULK_BYTES ((size_t)4 * SPARE_BYTES) /* to files */

/* So many are kept; the rest goes back to malloc. */
#define SPARES_KEPT 16
#define BULKS_KEPT 4

struct loop_spare {
    struct loop_spare *next;
    max_align_t bytes[];
};

static struct loop_spare *take(struct loop_spares *spares, size_t bytes)
{
    struct loop_spare *spare = spares->first;
    if (!spare) {
        return malloc(sizeof *spare + bytes);
    }
    spares->first = spare->next;
    spares->n--;
    return spare;
}

static void give(struct loop_spares *spares, struct loop_spare *spare, unsigned most)
{
    if (spares->n >= most) {
        free(spare);
        return;
    }
    spare->next = spares->first;
    spares->first = spare;
    spares->n++;
}

static struct loop_spare *take_spare(struct loop *loop)
{
    return take(&loop->spares, SPARE_BYTES);
}

static void give_spare(struct loop *loop, struct loop_spare *spare)
{
    give(&loop->spares, spare, SPARES_KEPT);
}

static void free_all(struct loop_spares *spares)
{
    while (spares->first) {
        free(take(spares, 0));
    }
}

void loop_copy_finish(struct loop *loop)
{
    free_all(&loop->spares);
    free_all(&loop->bulks);
}

/* ---- between two descriptors ---- */

/* u.args of such a copy: `data` the spare buffer it keeps or NULL, `len` the bytes in it, `offset` how many of them
 * have been written, `second_offset` the bytes written in all; that much there is in a small job. `second` is the
 * sink's descriptor, where it isn't the source's: an echo, which waits on every idle connection, is small. */
static_assert(offsetof(struct loop_op_args, second) <= sizeof(((struct job *)0)->u.small), "an echo is a small job");

static const struct loop_job_kind echo_kind, pass_kind;

static struct loop_fd *sink_of(const struct job *job)
{
    return job->kind == &echo_kind ? job->fd : job->u.args.second;
}

static void drop_spare(struct loop *loop, struct job *job)
{
    if (job->u.args.data) {
        give_spare(loop, job->u.args.data);
        job->u.args.data = NULL;
    }
}

static void cancel_copy(struct loop *loop, struct job *job)
{
    drop_spare(loop, job);
    loop_job_complete(loop, job, -ECANCELED);
}

static enum loop_attempt end_copy(struct job *job, int64_t result)
{
    job->result = result < 0 ? result : job->u.args.second_offset;
    return LOOP_ATTEMPT_DONE;
}

static bool has_room(const struct loop_fd *to)
{
    return (to->ready & POLLOUT) && loop_list_is_empty(&to->writers);
}

/* Reads into the hottest spare buffer and writes it at once; what the sink doesn't take, the job keeps. */
static enum loop_attempt read_some(struct loop *loop, struct job *job)
{
    struct loop_fd *from = job->fd, *to = sink_of(job);
    struct loop_spare *spare = take_spare(loop);
    if (!spare) {
        return end_copy(job, -ENOMEM);
    }
    int64_t n = loop_io_read_one(from, spare->bytes, SPARE_BYTES);
    if (n <= 0) {
        give_spare(loop, spare);
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : end_copy(job, n);
    }
    int64_t written = has_room(to) ? loop_io_write_one(to, spare->bytes, (size_t)n) : -EAGAIN;
    job->u.args.second_offset += written > 0 ? written : 0;
    if (written == n) {
        give_spare(loop, spare);
        return from->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
    }
    if (written < 0 && written != -EAGAIN) {
        give_spare(loop, spare);
        return end_copy(job, written);
    }
    job->u.args.data = spare;
    job->u.args.len = (size_t)n;
    job->u.args.offset = written > 0 ? written : 0;
    loop_list_remove(&job->link);
    loop_ready_wait_write(loop, to, job);
    return LOOP_ATTEMPT_MOVED;
}

static enum loop_attempt write_some(struct loop *loop, struct job *job)
{
    struct loop_spare *spare = job->u.args.data;
    int64_t n = loop_io_write_one(sink_of(job), (char *)spare->bytes + job->u.args.offset,
                                  job->u.args.len - (size_t)job->u.args.offset);
    if (n < 0) {
        if (n == -EAGAIN) {
            return LOOP_ATTEMPT_AGAIN;
        }
        drop_spare(loop, job);
        return end_copy(job, n);
    }
    job->u.args.offset += n;
    job->u.args.second_offset += n;
    if ((size_t)job->u.args.offset == job->u.args.len) {
        drop_spare(loop, job);
        loop_list_remove(&job->link);
        loop_ready_wait_read(loop, job->fd, job);
    }
    return LOOP_ATTEMPT_MOVED;
}

static enum loop_attempt attempt_copy(struct loop *loop, struct job *job)
{
    return job->u.args.data ? write_some(loop, job) : read_some(loop, job);
}

static const struct loop_job_kind echo_kind = {.name = "copy", .cancel = cancel_copy, .attempt = attempt_copy};
static const struct loop_job_kind pass_kind = {
    .name = "copy", .cancel = cancel_copy, .attempt = attempt_copy, .uses_args = true, .size = LOOP_JOB_LARGE};

/* ---- to a file ---- */

/* u.args of such a copy: `data` the buffer while it is being written, `out` and `len` what of it is still to be,
 * `offset` the sink's job that it waits for, `second_offset` and `second` as above. */

static void drop_bulk(struct loop *loop, struct job *job)
{
    give(&loop->bulks, job->u.args.data, BULKS_KEPT);
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
    struct loop_spare *bulk = take(&loop->bulks, BULK_BYTES);
    if (!bulk) {
        job->result = -ENOMEM;
        return LOOP_ATTEMPT_DONE;
    }
    args->data = bulk;
    args->out = bulk->bytes;
    int64_t n = loop_io_read_one(job->fd, bulk->bytes, BULK_BYTES);
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

static const struct loop_job_kind to_file_kind = {
    .name = "copy", .cancel = cancel_to_file, .attempt = attempt_to_file, .uses_args = true, .size = LOOP_JOB_LARGE};

/* ---- between others ---- */

struct other_copy {
    struct loop_source *source;
    struct loop_sink *sink;
    struct loop_spare *spare;
    size_t size; /* of that: SPARE_BYTES, or BULK_BYTES */
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

static const struct loop_job_kind other_kind = {.name = "copy", .cancel = cancel_other, .size = LOOP_JOB_LARGE};

static void give_others_spare(struct loop *loop, const struct other_copy *copy)
{
    if (copy->size == BULK_BYTES) {
        give(&loop->bulks, copy->spare, BULKS_KEPT);
    } else {
        give_spare(loop, copy->spare);
    }
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

static void start_other(struct loop *loop, struct job *job, struct loop_source *source, struct loop_sink *sink)
{
    const struct loop_fd *to = sink->ops->fd ? sink->ops->fd(sink) : NULL;
    bool is_file = to && to->write_by == LOOP_IO_BLOCKING;
    struct loop_spare *spare = is_file ? take(&loop->bulks, BULK_BYTES) : take_spare(loop);
    struct other_copy *copy = other_of(job);
    *copy = (struct other_copy){.source = source, .sink = sink, .spare = spare};
    copy->size = is_file ? BULK_BYTES : SPARE_BYTES;
    job->where = LOOP_AT_OWNER;
    if (!spare) {
        loop_job_complete(loop, job, -ENOMEM);
    } else if (!read_next(job)) {
        give_others_spare(loop, copy);
        loop_job_complete(loop, job, -ENOMEM);
    }
}

/* ---- the call ---- */

static const struct loop_job_kind *kind_for(const struct loop_fd *from, const struct loop_fd *to)
{
    if (!from || !to) {
        return &other_kind;
    }
    if (loop_fd_is_stream(from) && to->write_by != LOOP_IO_BLOCKING) {
        return from == to ? &echo_kind : &pass_kind;
    }
    if (loop_fd_is_stream(from)) {
        return &to_file_kind;
    }
    return loop_file_can_copy(from, to) ? &loop_file_copy_kind : &other_kind;
}

loop_job loop_copy(struct loop_source *source, struct loop_sink *sink, loop_fn *fn, void *arg)
{
    bool ended;
    struct loop *loop = source->scope->loop;
    struct loop_fd *from = source->ops->fd ? source->ops->fd(source) : NULL;
    struct loop_fd *to = sink->ops->fd ? sink->ops->fd(sink) : NULL;
    const struct loop_job_kind *kind = kind_for(from, to);
    struct job *job = loop_job_start(source->scope, kind == &other_kind ? NULL : from, kind, fn, arg, &ended);
    if (!job) {
        return 0;
    }
    loop_job id = job->id;
    if (ended) {
        return id;
    }
    if (kind == &other_kind) {
        start_other(loop, job, source, sink);
    } else if (to->state != LOOP_FD_OPEN) {
        loop_job_complete(loop, job, -EBADF);
    } else if (kind == &loop_file_copy_kind) {
        loop_file_copy(loop, job, to);
    } else {
        if (kind != &echo_kind) {
            loop_job_use_second(job, to);
        }
        loop_ready_wait_read(loop, from, job);
    }
    return id;
}
