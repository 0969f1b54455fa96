/* SPDX-License-Identifier: ISC
 *
 * Copies between sources and sinks of any kind. Both are read and written by their own functions, one buffer at a time.
 * What has been read and not written when the copy ends goes back to the source. From a regular file to a socket the
 * kernel moves what is in the page cache, and only the rest is read.
 */
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/flow/copy_buffer.h>
#include <loop/flow/copy_end.h>
#include <loop/flow/copy_other.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/descriptor/send_file.h>
#include <loop/flow/own/join.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/own/pin.h>
#include <loop/flow/own/read.h>
#include <loop/flow/own/write.h>
#include <loop/flow/range.h>
#include <loop/ground/list.h>
#include <loop/kernel/file.h>

#include <errno.h>

/* The state of such a copy, in front of the bytes in its buffer, u.args.copy.block. */
struct other_copy {
    struct loop_source *source;
    struct loop_sink *sink;
    struct iovec rest;       /* what has been read and not written */
    size_t size;             /* LOOP_COPY_BYTES, or LOOP_COPY_BULK_BYTES */
    int64_t position;        /* a regular file's, when the copy began; or -1 */
    struct loop_fd *file;    /* whose bytes the kernel may send; or NULL */
    bool reads_next;         /* it could not send any: the next step reads */
    bool uses_fd;            /* of loop_own_join_source */
    struct loop_own *record; /* of a source that is not a descriptor's, held: for what the copy keeps; or NULL */
    max_align_t bytes[];
};

static_assert(sizeof(struct other_copy) <= LOOP_COPY_MORE_ROOM, "fits into a buffer, in front of the bytes");

static struct other_copy *other_of(const struct loop_job *job)
{
    return (struct other_copy *)(void *)job->u.args.copy.block->bytes;
}

static void cancel_other(struct loop *loop, struct loop_job *job)
{
    loop_cancel(loop, job->u.args.copy.inner);
}

const struct loop_job_kind loop_copy_other_kind = {.name = "copy",
                                                   .cancel = cancel_other,
                                                   .made_daemon = loop_copy_made_daemon,
                                                   .uses_args = true,
                                                   .size = LOOP_JOB_LARGE};

/* Whether the position of the source, a regular file, is where this copy has left it and may be set back: no other job
 * has read on meanwhile or is about to. A file that is O_DIRECT has no such position, because it needs aligned ones. */
static bool has_position(const struct loop_job *job, const struct other_copy *copy)
{
    const struct loop_fd *from = job->fd;
    int64_t position = copy->position + job->u.args.copy.done + (int64_t)copy->rest.iov_len;
    return copy->position >= 0 && !loop_fd_more(from)->reading && loop_line_is_empty(&from->readers) &&
           loop_kernel_lseek(from->number, 0, SEEK_CUR) == position;
}

/* Sets the position of the source back by what was read and not written. False where that can't be done. */
static bool go_back(const struct loop_job *job, const struct other_copy *copy)
{
    return has_position(job, copy) && loop_kernel_lseek(job->fd->number, -(off_t)copy->rest.iov_len, SEEK_CUR) >= 0;
}

/* Gives what was read and not written back to the source. Returns true when the buffer went with it. */
static bool give_rest_back(struct loop *loop, struct loop_job *job, struct loop_block *block)
{
    struct other_copy *copy = other_of(job);
    size_t len = copy->rest.iov_len;
    if (len == 0 || (job->fd && go_back(job, copy))) {
        return false;
    }
    struct loop_source *source = copy->source;
    block->at = (size_t)((char *)copy->rest.iov_base - (char *)block->bytes);
    block->end = block->at + len;
    if (job->fd) {
        loop_unread_put(loop, job->fd, block);
    } else if (!loop_source_give_back(source, block)) {
        loop_copy_note_lost(job, len);
    }
    return true;
}

/* Keeps the source and the sink, and has their closes cancel the job. False when there is no memory. */
static bool join(struct loop_job *job, struct loop_source *source, struct loop_sink *sink)
{
    loop_source_pin(source);
    loop_sink_pin(sink);
    bool needs_record = !job->fd && !loop_source_is_rest(source);
    other_of(job)->record = needs_record ? loop_own_hold(source) : NULL;
    return (!needs_record || other_of(job)->record) &&
           (job->fd || loop_own_join_source(source, job, &other_of(job)->uses_fd)) &&
           (job->u.args.second || loop_own_join_sink(sink, job));
}

/* Undoes join of what `was` tells. */
static void part(struct loop_job *job, const struct other_copy *was)
{
    struct loop_source *source = was->source;
    struct loop_sink *sink = was->sink;
    if (!job->fd) {
        loop_own_part_source(source, job, was->uses_fd);
    }
    if (!job->u.args.second) {
        loop_own_part_sink(sink, job);
    }
    loop_own_release(was->record);
    loop_source_unpin(source);
    loop_sink_unpin(sink);
}

/* Ends the copy and returns the result for its job. */
static int64_t end_other(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    struct loop_block *block = job->u.args.copy.block;
    const struct other_copy copy = *other_of(job); /* which the source may get with the block */
    if (!give_rest_back(loop, job, block)) {
        loop_copy_give(loop, block, copy.size == LOOP_COPY_BULK_BYTES);
    }
    side = job->is_cancelled ? LOOP_COPY_SOURCE : side;
    if (!job->fd && loop_copy_hides_error(job, why, side)) {
        loop_source_keep_error(copy.source, why);
    }
    part(job, &copy);
    job->u.args.copy.block = NULL;
    return loop_copy_result(loop, job, why, side);
}

static void finish_other(struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    struct loop *loop = job->scope->loop;
    loop_job_finish(loop, job, end_other(loop, job, why, side));
}

static void on_read(void *arg, int64_t result);
static void on_written(void *arg, int64_t result);
static void on_sink_room(void *arg, int64_t result);
static void on_file_sent(void *arg, int64_t result);

/* Has the kernel send the next piece of the file. */
static loop_job send_file(struct loop_job *job, const struct other_copy *copy)
{
    struct loop_fd *to = job->u.args.second;
    if (!job->fd) {
        return loop_range_send(copy->source, to, on_file_sent, job);
    }
    return loop_fd_send_file(to, copy->file, LOOP_CURRENT, INT64_MAX, on_file_sent, job);
}

/* Starts the next step, a job of the source or the sink. False when there is none. */
static bool go_on(struct loop_job *job)
{
    struct other_copy *copy = other_of(job);
    struct loop_source *source = copy->source;
    struct loop_sink *sink = copy->sink;
    loop_job inner;
    bool is_full = loop_sink_is_full(sink), is_empty = !is_full && copy->rest.iov_len == 0;
    bool is_kept_first = is_empty && !job->fd && loop_source_has_kept(source);
    bool is_read = is_empty && (!copy->file || copy->reads_next || is_kept_first);
    if (is_full) {
        inner = loop_sink_wait_drained(sink, on_sink_room, job);
    } else if (is_empty && !is_read) {
        inner = send_file(job, copy);
    } else if (is_read) {
        inner = loop_source_read(source, copy->bytes, copy->size, on_read, job);
    } else {
        inner = loop_sink_write(sink, &copy->rest, 1, on_written, job);
    }
    const struct loop_scope *held = is_read ? job->scope : sink->scope;
    job->u.args.copy.inner = loop_job_inner(held->loop, inner, held);
    if (inner && job->is_cancelled) {
        loop_cancel(held->loop, inner); /* the function of the source or sink has cancelled the copy */
    }
    return inner != 0;
}

static void go_on_or_finish(struct loop_job *job)
{
    if (!go_on(job)) {
        finish_other(job, -ENOMEM, LOOP_COPY_SINK);
    }
}

static void on_sink_room(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    if (result < 0 || job->is_cancelled) {
        finish_other(job, result < 0 ? result : -ECANCELED, LOOP_COPY_SINK);
    } else {
        go_on_or_finish(job);
    }
}

static void on_file_sent(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct other_copy *copy = other_of(job);
    job->u.args.copy.done += result > 0 ? result : 0;
    copy->reads_next = result == 0;
    if (result == LOOP_SEND_REFUSED) {
        copy->file = NULL;
        result = 0;
    }
    if (result < 0 || job->is_cancelled) {
        finish_other(job, result < 0 ? result : -ECANCELED, LOOP_COPY_SINK);
    } else if (!job->fd && loop_range_left(copy->source) == 0) {
        finish_other(job, 0, LOOP_COPY_SOURCE);
    } else {
        go_on_or_finish(job);
    }
}

static void on_read(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct other_copy *copy = other_of(job);
    copy->reads_next = false;
    result = loop_own_checked(job->scope->loop, "read of a source of one's own", result, copy->size);
    copy->rest = (struct iovec){copy->bytes, result > 0 ? (size_t)result : 0};
    if (result <= 0 || job->is_cancelled) {
        finish_other(job, result <= 0 ? result : -ECANCELED, LOOP_COPY_SOURCE);
    } else {
        go_on_or_finish(job);
    }
}

static void on_written(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct other_copy *copy = other_of(job);
    assert(result <=
           (int64_t)copy->rest.iov_len); /* loop_own_write has checked what a sink of the program's own answers */
    size_t n = result > 0 ? (size_t)result : 0;
    job->u.args.copy.done += (int64_t)n;
    copy->rest = (struct iovec){(char *)copy->rest.iov_base + n, copy->rest.iov_len - n};
    int64_t why = loop_copy_end_of_write(job, result, loop_sink_is_full(copy->sink));
    if (why) {
        finish_other(job, why, LOOP_COPY_SINK);
    } else {
        go_on_or_finish(job); /* a write that stopped half-way gave no reason: the next one does */
    }
}

/* Returns the position of the source where it is a regular file that can be set back, else -1. */
static int64_t position_of(const struct loop_fd *from)
{
    return from && from->is_regular && !from->is_direct && !loop_fd_has_unread(from)
               ? loop_kernel_lseek(from->number, 0, SEEK_CUR)
               : -1;
}

/* Returns the file behind the source whose bytes the kernel may send to the sink, or NULL. */
static struct loop_fd *file_to_send(const struct loop_source *source, const struct loop_sink *sink)
{
    struct loop_fd *file = source->ops == &loop_fd_source ? loop_fd_of_source(source) : loop_range_file(source);
    return file && sink->ops == &loop_fd_sink && loop_fd_can_send_file(file, loop_fd_of_sink(sink)) ? file : NULL;
}

void loop_copy_other(struct loop *loop, struct loop_job *job, struct loop_source *source, struct loop_sink *sink)
{
    const struct loop_fd *to = job->u.args.second;
    bool is_bulk = to && to->write_by == LOOP_IO_BLOCKING;
    struct loop_block *block = loop_copy_take(loop, is_bulk);
    job->where = LOOP_AT_OWNER;
    if (!block) {
        loop_job_complete(loop, job, loop_copy_result(loop, job, -ENOMEM, LOOP_COPY_SOURCE));
        return;
    }
    job->u.args.copy.block = block;
    *other_of(job) = (struct other_copy){.source = source,
                                         .sink = sink,
                                         .size = is_bulk ? LOOP_COPY_BULK_BYTES : LOOP_COPY_BYTES,
                                         .position = position_of(job->fd),
                                         .file = file_to_send(source, sink)};
    if (!join(job, source, sink) || !go_on(job)) {
        loop_job_complete(loop, job, end_other(loop, job, -ENOMEM, LOOP_COPY_SOURCE));
    }
}
