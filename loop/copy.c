/* SPDX-License-Identifier: ISC
 *
 * Copying from a source to a sink. Between two descriptors that can be waited for, a copy reads into a spare buffer of
 * the loop and writes it at once: the buffer stays in the cache and serves one connection after the other. Only where
 * the sink is slow does the copy keep the buffer, with what is left in it, and reads no more until that is gone.
 * To a file it reads into a larger one, because each write is a thread's work, and keeps it until that is done. Between
 * two regular files it is file_copy.c's. Anything else is read and written by the two's own functions, one buffer at a
 * time.
 */
#include <loop/copy.h>
#include <loop/io.h>

#include <errno.h>
#include <stdlib.h>

/* So many are kept; the rest goes back to malloc. */
#define SPARES_KEPT 16
#define BULKS_KEPT 4

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
    return take(&loop->spares, LOOP_COPY_BYTES);
}

static void give_spare(struct loop *loop, struct loop_spare *spare)
{
    give(&loop->spares, spare, SPARES_KEPT);
}

struct loop_spare *loop_copy_take(struct loop *loop, bool is_bulk)
{
    return is_bulk ? take(&loop->bulks, LOOP_COPY_BULK_BYTES) : take_spare(loop);
}

void loop_copy_give(struct loop *loop, struct loop_spare *spare, bool is_bulk)
{
    give(is_bulk ? &loop->bulks : &loop->spares, spare, is_bulk ? BULKS_KEPT : SPARES_KEPT);
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
    int64_t n = loop_io_read_one(from, spare->bytes, LOOP_COPY_BYTES);
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

/* ---- the call ---- */

static const struct loop_job_kind *kind_for(const struct loop_fd *from, const struct loop_fd *to)
{
    if (!from || !to) {
        return &loop_copy_other_kind;
    }
    if (loop_fd_is_stream(from) && to->write_by != LOOP_IO_BLOCKING) {
        return from == to ? &echo_kind : &pass_kind;
    }
    if (loop_fd_is_stream(from)) {
        return &loop_copy_to_file_kind;
    }
    return loop_file_can_copy(from, to) ? &loop_file_copy_kind : &loop_copy_other_kind;
}

loop_job loop_copy(struct loop_source *source, struct loop_sink *sink, loop_fn *fn, void *arg)
{
    bool ended;
    struct loop *loop = source->scope->loop;
    struct loop_fd *from = source->ops->fd ? source->ops->fd(source) : NULL;
    struct loop_fd *to = sink->ops->fd ? sink->ops->fd(sink) : NULL;
    const struct loop_job_kind *kind = kind_for(from, to);
    struct job *job = loop_job_start(source->scope, kind == &loop_copy_other_kind ? NULL : from, kind, fn, arg, &ended);
    if (!job) {
        return 0;
    }
    loop_job id = job->id;
    if (ended) {
        return id;
    }
    if (kind == &loop_copy_other_kind) {
        loop_copy_other(loop, job, source, sink);
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
