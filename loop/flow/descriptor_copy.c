/* SPDX-License-Identifier: ISC
 *
 * Copies between two descriptors that can be polled. A copy reads into a spare buffer of the loop and writes it at
 * once, so that one buffer, which stays in the cache, serves all connections. Only where the sink accepts less does the
 * copy keep the buffer, and reads no more until all of it has been written. A copy that ends with bytes in its buffer
 * gives them back to the source, as unread bytes.
 */
#include <loop/core/backend.h>
#include <loop/core/close.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/flow/copy_buffer.h>
#include <loop/flow/copy_end.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/flow/descriptor_copy.h>
#include <loop/ground/list.h>
#include <loop/syscall/io.h>

#include <errno.h>
#include <string.h>

/* An echo, which writes to the descriptor it reads from, may wait on every idle connection: it is a small job, without
 * a second descriptor. */
static_assert(offsetof(struct loop_copy_args, rest) <= sizeof(((struct loop_job *)0)->u.small),
              "an echo is a small job");

static struct loop_fd *sink_of(const struct loop_job *job)
{
    return job->kind == &loop_copy_echo_kind ? job->fd : job->u.args.second;
}

/* Returns the bytes of a buffer that are still to be written. */
static struct iovec rest_of(struct loop_block *block)
{
    return (struct iovec){(char *)block->bytes + block->at, block->end - block->at};
}

/* Gives the bytes that have not been written, with their buffer, back to the source. */
static void give_back(struct loop *loop, struct loop_job *job)
{
    struct loop_copy_args *args = &job->u.args.copy;
    struct loop_block *spare = args->block;
    if (spare) {
        args->block = NULL;
        loop_unread_put(loop, job->fd, spare);
    }
}

/* Returns the result of a copy that is cancelled, maybe because no event will come for one of its two ends. */
static int64_t cancelled_result(struct loop *loop, struct loop_job *job)
{
    bool waits_for_room = job->u.args.copy.block != NULL;
    if (waits_for_room) {
        loop_write_note_cancel(sink_of(job), job);
    }
    give_back(loop, job);
    enum loop_copy_side side = waits_for_room && job->why ? LOOP_COPY_SINK : LOOP_COPY_SOURCE;
    return loop_copy_result(loop, job, loop_job_cancel_error(job), side);
}

static void cancel_copy(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_RING) {
        return; /* the send ends in this turn */
    }
    loop_job_complete(loop, job, cancelled_result(loop, job));
    loop_ready_reader_left(loop, job->fd);
}

/* Ends a copy that waits for room. */
static void lose_copy(struct loop *loop, struct loop_job *job, int64_t error)
{
    give_back(loop, job);
    loop_job_complete(loop, job, loop_copy_result(loop, job, error, LOOP_COPY_SINK));
}

/* Ends the copy from an attempt. */
__attribute__((noinline)) static enum loop_attempt end_copy(struct loop *loop, struct loop_job *job, int64_t why,
                                                            enum loop_copy_side side)
{
    give_back(loop, job);
    job->result = loop_copy_result(loop, job, why, side);
    return LOOP_ATTEMPT_DONE;
}

/* Ends the copy, whose write has failed, and the writes behind it: theirs would follow a gap. From an attempt. */
static enum loop_attempt fail_copy(struct loop *loop, struct loop_job *job, int64_t error)
{
    loop_write_fail(loop, sink_of(job), job, error);
    return job->where == LOOP_AT_RUN_QUEUE ? LOOP_ATTEMPT_MOVED : end_copy(loop, job, error, LOOP_COPY_SINK);
}

/* Whether a write may be tried at once: it would not overtake others. */
static bool has_room(const struct loop_fd *to)
{
    return (to->ready & POLLOUT) && loop_line_is_empty(&to->writers);
}

/* Moves what the copy has not written out of a buffer of the backend, where that has few left: the sink may take long.
 * Without memory it stays there. */
static void make_room(struct loop *loop, struct loop_copy_args *args)
{
    struct loop_block *spare =
        args->block && loop_block_is_scarce(loop, args->block) ? loop_copy_take(loop, false) : NULL;
    if (spare) {
        struct iovec rest = rest_of(args->block);
        assert(rest.iov_len <= LOOP_COPY_BYTES);
        memcpy(spare->bytes, rest.iov_base, rest.iov_len);
        spare->at = 0;
        spare->end = rest.iov_len;
        loop_block_free(loop, args->block);
        args->block = spare;
    }
}

/* Has the job wait for room in the sink. */
__attribute__((noinline)) static enum loop_attempt wait_for_room(struct loop *loop, struct loop_job *job)
{
    loop_line_remove(&job->link);
    make_room(loop, &job->u.args.copy);
    loop_ready_wait_write(loop, sink_of(job), job);
    loop_ready_reader_left(loop, job->fd);
    return LOOP_ATTEMPT_MOVED;
}

/* Has the job, whose send has not taken all, wait for room in the sink: in front of what has come to the line
 * meanwhile. copy_sent sees to the event. */
static void wait_in_front(struct loop *loop, struct loop_job *job)
{
    loop_line_remove(&job->link);
    make_room(loop, &job->u.args.copy);
    loop_line_push_front(&sink_of(job)->writers, &job->link);
    loop_ready_reader_left(loop, job->fd);
}

/* Keeps the first spare buffer, of whose `len` bytes the sink has not accepted all, and waits for room or ends.
 * `written` is the result of the write. */
__attribute__((noinline)) static enum loop_attempt keep_rest(struct loop *loop, struct loop_job *job, size_t len,
                                                             int64_t written)
{
    size_t n = written > 0 ? (size_t)written : 0;
    struct loop_block *spare = loop_copy_take(loop, false);
    assert(n < len && !job->u.args.copy.block);
    job->u.args.copy.done += (int64_t)n;
    job->u.args.copy.block = spare;
    spare->at = n;
    spare->end = len;
    if (written < 0 && written != -EAGAIN) {
        return fail_copy(loop, job, written);
    }
    return wait_for_room(loop, job);
}

/* Counts `n` bytes as written, and frees the buffer after the last one. */
static void advance(struct loop *loop, struct loop_job *job, size_t n)
{
    struct loop_copy_args *args = &job->u.args.copy;
    assert(n <= args->block->end - args->block->at);
    args->done += (int64_t)n;
    args->block->at += n;
    if (args->block->at == args->block->end) {
        loop_copy_give(loop, args->block, false);
        args->block = NULL;
    }
}

/* Writes what the backend has received by a system call. */
__attribute__((noinline)) static enum loop_attempt write_received(struct loop *loop, struct loop_job *job,
                                                                  struct loop_fd *to)
{
    struct loop_copy_args *args = &job->u.args.copy;
    struct iovec rest = rest_of(args->block);
    int64_t n = loop_io_write_one(to, rest.iov_base, rest.iov_len);
    if (n < 0 && n != -EAGAIN) {
        return fail_copy(loop, job, n);
    }
    advance(loop, job, n > 0 ? (size_t)n : 0);
    return args->block ? wait_for_room(loop, job) : job->fd->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
}

/* Writes what the backend has received, from where it is: by the backend, with what others send in this turn, or by a
 * system call. */
static inline enum loop_attempt pass_on(struct loop *loop, struct loop_job *job, struct loop_fd *to,
                                        struct loop_block *block)
{
    struct iovec rest = rest_of(block);
    job->u.args.copy.block = block;
    if (!has_room(to)) {
        return wait_for_room(loop, job);
    }
    bool is_sent = loop->prefers_completions && loop->backend->send(loop, job, to, &rest, 1);
    return is_sent ? LOOP_ATTEMPT_BUSY : write_received(loop, job, to);
}

/* Ends the copy from the dispatch, which has a use of its source. */
static void finish_copy(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_fd *from = job->fd;
    loop_job_finish(loop, job, result);
    loop_ready_reader_left(loop, from);
}

/* Ends the copy, whose send has failed, and the writes behind it, from the dispatch. One of those without a
 * continuation may have failed the scope, which cancels the copy. */
static void fail_sent(struct loop *loop, struct loop_job *job, int64_t error)
{
    loop_write_fail(loop, sink_of(job), job, error);
    if (job->where != LOOP_AT_RUN_QUEUE) {
        give_back(loop, job);
        finish_copy(loop, job, loop_copy_result(loop, job, error, LOOP_COPY_SINK));
    }
}

/* Has what has waited behind a send, on either descriptor, go on. */
static inline void resume(struct loop *loop, struct loop_fd *from, struct loop_fd *to)
{
    loop_ready_resume_readers(loop, from);
    loop_ready_resume_writers(loop, to);
}

/* Goes on after a send of the backend that has not written all, or of a copy that was cancelled. */
__attribute__((noinline)) static void sent_in_part(struct loop *loop, struct loop_job *job, struct loop_fd *from,
                                                   struct loop_fd *to, int64_t result)
{
    from->uses++; /* the copy may be the last use of both */
    to->uses++;
    if (result == -ECANCELED && !job->is_cancelled) {
        result = loop->broken.error; /* no send is cancelled: a broken ring has lost it */
    }
    if (result < 0 && result != -EAGAIN && result != -ECANCELED) {
        fail_sent(loop, job, result);
    } else if (job->is_cancelled) {
        finish_copy(loop, job, cancelled_result(loop, job));
    } else {
        wait_in_front(loop, job);
    }
    resume(loop, from, to);
    loop_fd_drop_use(to);
    loop_fd_drop_use(from);
}

/* Goes on after a send of the backend. */
static void copy_sent(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_fd *from = job->fd, *to = sink_of(job);
    job->where = LOOP_AT_WAIT;
    loop_ready_end_send(to, result);
    advance(loop, job, result > 0 ? (size_t)result : 0);
    if (job->u.args.copy.block || job->is_cancelled) {
        sent_in_part(loop, job, from, to, result);
    } else {
        resume(loop, from, to);
    }
}

/* Goes on after a write of the `len` bytes in the first spare buffer with that result. */
static enum loop_attempt wrote_read(struct loop *loop, struct loop_job *job, size_t len, int64_t written)
{
    if (written != (int64_t)len) {
        return keep_rest(loop, job, len, written);
    }
    job->u.args.copy.done += written;
    return job->fd->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
}

/* Goes on after a read into the first spare buffer that has returned `n`: writes it at once. */
static enum loop_attempt write_read(struct loop *loop, struct loop_job *job, int64_t n)
{
    struct loop_fd *to = sink_of(job);
    if (n <= 0) {
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : end_copy(loop, job, loop_unread_end(job->fd, n), LOOP_COPY_SOURCE);
    }
    int64_t written = has_room(to) ? loop_io_write_one(to, loop->spares.first->bytes, (size_t)n) : -EAGAIN;
    return wrote_read(loop, job, (size_t)n, written);
}

/* Reads into a spare buffer and writes it at once. The buffer stays with the loop unless the copy has to keep it. */
__attribute__((noinline)) static enum loop_attempt move_some(struct loop *loop, struct loop_job *job)
{
    struct loop_block *spare = loop_copy_first(loop, false);
    return spare ? write_read(loop, job, loop_io_read_one(loop, job->fd, spare->bytes, LOOP_COPY_BYTES))
                 : end_copy(loop, job, -ENOMEM, LOOP_COPY_SOURCE);
}

/* Goes on after a call for a socket that has returned `n`, where bytes were not read, or are not to be written at
 * once. */
__attribute__((noinline)) static enum loop_attempt received_rarely(struct loop *loop, struct loop_job *job, ssize_t n)
{
    struct loop_block *spare = loop->spares.first;
    int64_t result = n <= 0 || job->fd->doubts ? loop_io_read_ended(job->fd, n, spare->bytes, LOOP_COPY_BYTES)
                                               : loop_io_note_read(job->fd, n, LOOP_COPY_BYTES);
    return write_read(loop, job, result);
}

/* Goes on after a call that has returned `written` and not sent all of the `n` bytes in the first spare buffer. One
 * that a signal has interrupted is repeated, and may send all of them. */
__attribute__((noinline)) static enum loop_attempt sent_less(struct loop *loop, struct loop_job *job, size_t n,
                                                             ssize_t written)
{
    (void)loop_io_note_read(job->fd, (int64_t)n, LOOP_COPY_BYTES);
    int64_t result = written < 0 ? loop_io_write_failed(sink_of(job), loop->spares.first->bytes, n) : written;
    return wrote_read(loop, job, n, result);
}

/* Does what move_some does between two sockets without peculiarities. Inline in each attempt, because nearly all bytes
 * of copies pass here. */
__attribute__((always_inline)) static inline enum loop_attempt pass_some(struct loop *loop, struct loop_job *job,
                                                                         struct loop_fd *from, struct loop_fd *to)
{
    struct loop_block *spare = loop_copy_first(loop, false);
    if (!spare) {
        return end_copy(loop, job, -ENOMEM, LOOP_COPY_SOURCE);
    }
    ssize_t n = loop_io_receive_once(loop, from, spare->bytes, LOOP_COPY_BYTES);
    if (n <= 0 || from->doubts || !has_room(to)) {
        return received_rarely(loop, job, n);
    }
    ssize_t sent = loop_io_send_once(to, spare->bytes, (size_t)n);
    if (sent != n) {
        return sent_less(loop, job, (size_t)n, sent);
    }
    job->u.args.copy.done += n;
    return n < (ssize_t)LOOP_COPY_BYTES ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_MORE;
}

/* Moves bytes where one is no socket, has doubts, or a write to it has failed, and where bytes are kept for the next
 * reads. */
__attribute__((noinline)) static enum loop_attempt read_rarely(struct loop *loop, struct loop_job *job,
                                                               struct loop_fd *from, struct loop_fd *to)
{
    int64_t error = to->has_failed ? loop_write_error_ahead(to) : 0;
    if (error) {
        return end_copy(loop, job, error, LOOP_COPY_SINK);
    }
    if (loop_fd_reads_kept(from) && loop_unread_is_received(from)) {
        return pass_on(loop, job, to, loop_unread_pop(from));
    }
    return move_some(loop, job);
}

/* Writes what the job has kept, and goes back to reading when that is all. */
__attribute__((noinline)) static enum loop_attempt write_some(struct loop *loop, struct loop_job *job)
{
    struct loop_copy_args *args = &job->u.args.copy;
    if (job->where == LOOP_AT_RING) {
        return LOOP_ATTEMPT_BUSY;
    }
    int64_t error = sink_of(job)->has_failed ? loop_write_error_ahead(sink_of(job)) : 0;
    if (error) {
        return end_copy(loop, job, error, LOOP_COPY_SINK);
    }
    struct iovec rest = rest_of(args->block);
    int64_t n = loop_io_write_one(sink_of(job), rest.iov_base, rest.iov_len);
    if (n < 0) {
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : fail_copy(loop, job, n);
    }
    advance(loop, job, (size_t)n);
    if (!args->block) {
        loop_line_remove(&job->link);
        loop_ready_wait_read(loop, job->fd, job);
    }
    return LOOP_ATTEMPT_MOVED;
}

__attribute__((always_inline)) static inline enum loop_attempt attempt(struct loop *loop, struct loop_job *job,
                                                                       struct loop_fd *to)
{
    if (job->u.args.copy.block) {
        return write_some(loop, job);
    }
    return loop_io_are_plain_sockets(job->fd, to) ? pass_some(loop, job, job->fd, to)
                                                  : read_rarely(loop, job, job->fd, to);
}

static enum loop_attempt attempt_echo(struct loop *loop, struct loop_job *job)
{
    return attempt(loop, job, job->fd);
}

static enum loop_attempt attempt_pass(struct loop *loop, struct loop_job *job)
{
    return attempt(loop, job, job->u.args.second);
}

const struct loop_job_kind loop_copy_echo_kind = {.name = "copy",
                                                  .cancel = cancel_copy,
                                                  .attempt = attempt_echo,
                                                  .transferred = copy_sent,
                                                  .lose = lose_copy,
                                                  .reads_ahead = true};
const struct loop_job_kind loop_copy_pass_kind = {.name = "copy",
                                                  .cancel = cancel_copy,
                                                  .attempt = attempt_pass,
                                                  .transferred = copy_sent,
                                                  .lose = lose_copy,
                                                  .reads_ahead = true,
                                                  .made_daemon = loop_copy_made_daemon,
                                                  .uses_args = true,
                                                  .writes_second = true,
                                                  .size = LOOP_JOB_LARGE};
