/* SPDX-License-Identifier: ISC
 *
 * A descriptor's own sink. Writes wait in fd->writers, in the order of the calls. All that one continuation writes is
 * sent when it has returned (loop_ready_send): in one system call, and before other continuations run, so that peers
 * don't fall into step. file.c serves files.
 */
#include <loop/core/backend.h>
#include <loop/core/close.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/core/region.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/descriptor/file.h>
#include <loop/flow/descriptor/send_file.h>
#include <loop/flow/descriptor/shutdown.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/syscall/io.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the queue of writes ---- */

bool loop_fd_is_full(const struct loop_fd *fd)
{
    return fd->has_overflowed || (fd->queued_bytes > 0 && fd->queued_bytes >= loop_fd_limit(fd));
}

static enum loop_attempt attempt_drained(struct loop *loop, struct loop_job *job)
{
    (void)loop;
    job->result = job->fd->write_error;
    bool is_drained = job->fd->queued_bytes <= loop_fd_limit(job->fd) / 2;
    return is_drained || job->result < 0 ? LOOP_ATTEMPT_DONE : LOOP_ATTEMPT_AGAIN;
}

static const struct loop_job_kind drained_kind = {
    .name = "drained", .cancel = loop_job_cancel_here, .attempt = attempt_drained};

loop_job loop_fd_drained(struct loop_fd *fd, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(fd->scope, fd, &drained_kind, fn, arg, &id);
    if (job) {
        loop_ready_wait(fd->scope->loop, fd, job, 0);
    }
    return id;
}

/* ---- writing ---- */

static void cancel_write(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    if (job->where != LOOP_AT_WAIT) {
        return; /* the send ends in this turn */
    }
    loop_write_note_cancel(fd, job);
    loop_job_complete(loop, job, loop_write_close(loop, job, &job->u.write, loop_job_cancel_error(job)));
    if (!loop_line_is_empty(&fd->writers) && !fd->is_sending) {
        fd->ready |= POLLOUT; /* a shutdown, say, needs no room: the next job is tried at once */
        loop_ready_activate(loop, fd);
    }
}

static enum loop_attempt attempt_write(struct loop *loop, struct loop_job *job);
static void lose_write(struct loop *loop, struct loop_job *job, int64_t error);
static void write_sent(struct loop *loop, struct loop_job *job, int64_t result);
const struct loop_job_kind loop_fd_write_kind = {.name = "write",
                                                 .cancel = cancel_write,
                                                 .attempt = attempt_write,
                                                 .transferred = write_sent,
                                                 .lose = lose_write,
                                                 .size = LOOP_JOB_LARGE,
                                                 .is_written_whole = true};

/* Gathers the first writes of the queue for one call, and returns the count of vectors. On a packet socket each call
 * sends a packet, which is one write. */
static int gather(const struct loop_fd *fd, struct iovec *iov)
{
    int n = 0;
    if (!fd->is_byte_stream) {
        return loop_write_gather(&LOOP_CONTAINER(loop_line_first(&fd->writers), struct loop_job, link)->u.write, iov,
                                 0);
    }
    for (struct loop_list *node = loop_line_first(&fd->writers); node && n < LOOP_GATHER_MAX;
         node = loop_line_next(node)) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (job->kind != &loop_fd_write_kind) {
            break;
        }
        n = loop_write_gather(&job->u.write, iov, n);
    }
    return n;
}

/* Ends a write: in the call where it has no continuation, otherwise in the run queue. */
static void end_write(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (job->fn) {
        loop_job_complete(loop, job, result);
    } else {
        loop_job_end_unheard(loop, job, result);
    }
}

/* Ends the first write of the queue, of which the last `left` bytes have been sent. Inline, because nearly every write
 * passes here. */
__attribute__((always_inline)) static inline void end_whole(struct loop *loop, struct loop_fd *fd, struct loop_job *job,
                                                            size_t left)
{
    struct loop_write_state *write = &job->u.write;
    fd->write_error = 0;
    loop_write_leave_queue(loop, fd, left, 0);
    if (write->memory) {
        loop_write_free(loop, write);
    }
    if (job->fn) {
        write->done = write->total;
        loop_job_complete(loop, job, (int64_t)write->total);
    } else if (job->is_daemon) {
        loop_job_end_unheard(loop, job, (int64_t)write->total);
    } else {
        loop_job_end_first(loop, fd, &fd->writers, job);
    }
}

/* Counts `n` bytes as sent, for the first writes of the queue. Those that are complete end, in order. */
static void distribute(struct loop *loop, struct loop_fd *fd, size_t n)
{
    struct loop_list *node;
    while ((node = loop_line_first(&fd->writers))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (job->kind != &loop_fd_write_kind) {
            break;
        }
        size_t left = job->u.write.total - job->u.write.done;
        if (n < left) {
            loop_write_advance(loop, fd, &job->u.write, n);
            return;
        }
        n -= left;
        end_whole(loop, fd, job, left);
    }
    assert(n == 0); /* no more was gathered than the writes had */
}

/* Moves the writes of the queue out of their chunks, as long as the region has few left. */
static void make_room_behind(struct loop *loop, struct loop_fd *fd)
{
    for (struct loop_list *node = loop_line_first(&fd->writers); node && loop_region_is_scarce(&loop->region);
         node = loop_line_next(node)) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (job->kind == &loop_fd_write_kind) {
            loop_write_make_room(loop, &job->u.write);
        }
    }
}

/* Whether the queue, in which the job is the first, is one write of one buffer, which is by far the most frequent case.
 * A write without bytes is none: the system call would send an empty packet, and gather leaves it out. */
static bool is_single(const struct loop_job *job)
{
    return loop_line_is_last(&job->link) && !job->u.write.iov && job->u.write.total > 0;
}

/* Returns where the bytes begin that are left of a write of one buffer. */
static inline const char *next_byte(const struct loop_write_state *write)
{
    assert(!write->iov && write->total == write->single.iov_len);
    return (const char *)write->single.iov_base + write->done;
}

/* Whether a piece of a file follows the writes of the queue at once, as it follows the head of an answer. Otherwise the
 * kernel would keep back what it was told that more follows. */
static bool precede_file(const struct loop_fd *fd)
{
    const struct loop_job *last = LOOP_CONTAINER(loop_line_last(&fd->writers), struct loop_job, link);
    return last->kind == &loop_send_file_kind && loop_send_file_has_bytes(last);
}

static int64_t write_queue(struct loop_fd *fd, bool has_more)
{
    struct iovec iov[LOOP_GATHER_MAX];
    int n = gather(fd, iov);
    if (n == 0) {
        return 0;
    }
    return has_more ? loop_io_write_more(fd, iov, n) : loop_io_write(fd, iov, n);
}

static void lose_write(struct loop *loop, struct loop_job *job, int64_t error)
{
    end_write(loop, job, loop_write_close(loop, job, &job->u.write, error));
}

/* Ends the first write of the queue, which has failed, and those behind it: without its bytes theirs would follow a
 * gap. Where each write is a message the others go on. */
static void fail_first(struct loop *loop, struct loop_fd *fd, int64_t error)
{
    struct loop_job *job = LOOP_CONTAINER(loop_line_first(&fd->writers), struct loop_job, link);
    if (!fd->is_byte_stream) {
        lose_write(loop, job, error);
        return;
    }
    loop_write_note_failure(fd, job);
    loop_write_end_line(loop, fd, error);
}

/* Has the backend send the writes of the queue, with what others send in this turn. Returns whether it does: not where
 * one call does not take all, which are to leave together. */
static bool send_by_backend(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    struct iovec iov[LOOP_GATHER_MAX];
    int n = gather(fd, iov);
    bool was_long = fd->has_long_queue;
    fd->has_long_queue = n == LOOP_GATHER_MAX;
    if (n == 0 || was_long || fd->has_long_queue || !loop->backend->send(loop, job, fd, iov, n)) {
        return false;
    }
    for (struct loop_list *node = loop_line_next(&job->link); node; node = loop_line_next(node)) {
        struct loop_job *other = LOOP_CONTAINER(node, struct loop_job, link);
        if (other->kind != &loop_fd_write_kind) {
            break;
        }
        other->where = LOOP_AT_OWNER; /* some may not be in the send, but none is cancelled meanwhile */
    }
    return true;
}

/* Takes the writes of the queue back from the backend. */
static void take_back(struct loop_fd *fd)
{
    for (struct loop_list *node = loop_line_first(&fd->writers); node; node = loop_line_next(node)) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (job->where == LOOP_AT_RING || job->where == LOOP_AT_OWNER) {
            job->where = LOOP_AT_WAIT;
        }
    }
}

/* Ends the writes that were cancelled while the backend had them. */
static void end_cancelled(struct loop *loop, struct loop_fd *fd)
{
    struct loop_list *next;
    for (struct loop_list *node = loop_line_first(&fd->writers); node; node = next) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        next = loop_line_next(node);
        if (job->kind == &loop_fd_write_kind && job->is_cancelled) {
            cancel_write(loop, job);
        }
    }
}

/* Handles the result of a send of several writes, or of less than was asked for. */
__attribute__((noinline)) static void sent_in_part(struct loop *loop, struct loop_fd *fd, struct loop_job *job,
                                                   int64_t result)
{
    bool is_in_queue = job->where == LOOP_AT_RING; /* not when the ring is broken */
    take_back(fd);
    if (!is_in_queue) {
        loop_write_lose_sent(loop, fd, job, result);
    } else if (result < 0 && result != -EAGAIN) {
        fail_first(loop, fd, result);
    } else {
        distribute(loop, fd, result > 0 ? (size_t)result : 0);
    }
    end_cancelled(loop, fd);
    if (result == -EAGAIN) {
        make_room_behind(loop, fd);
    }
}

/* Goes on after a send of the backend. The write is the first of the queue, and nearly always it is the only one and
 * has been sent whole. */
static void write_sent(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_fd *fd = job->fd;
    size_t left = job->u.write.total - job->u.write.done;
    fd->uses++; /* the write may be the last use */
    loop_ready_end_send(fd, result);
    if (job->where == LOOP_AT_RING && result == (int64_t)left && loop_line_is_last(&job->link)) {
        end_whole(loop, fd, job, left);
    } else {
        sent_in_part(loop, fd, job, result);
    }
    loop_ready_resume_writers(loop, fd);
    loop_fd_drop_use(fd);
}

enum loop_attempt loop_fd_written(struct loop *loop, struct loop_fd *fd, int64_t n)
{
    if (n >= 0) {
        distribute(loop, fd, (size_t)n);
        return LOOP_ATTEMPT_MOVED;
    }
    if (n == -EAGAIN) {
        make_room_behind(loop, fd);
        return LOOP_ATTEMPT_AGAIN;
    }
    fail_first(loop, fd, n);
    return LOOP_ATTEMPT_MOVED;
}

/* Makes one system call for the first writes of the queue, or has the backend send them, which may have been tried. */
__attribute__((noinline)) static enum loop_attempt write_several(struct loop *loop, struct loop_job *job, bool is_tried)
{
    struct loop_fd *fd = job->fd;
    struct loop_write_state *write = &job->u.write;
    bool is_one = is_single(job);
    bool is_before_end = !is_one && loop_fd_shutdown_follows(fd, &loop_fd_write_kind);
    bool has_more = (is_before_end || (!is_one && precede_file(fd))) && loop_io_sends_in_the_end(fd);
    if (loop->prefers_completions && !is_tried && !has_more && send_by_backend(loop, job)) {
        return LOOP_ATTEMPT_BUSY;
    }
    int64_t n =
        is_one ? loop_io_write_one(fd, next_byte(write), write->total - write->done) : write_queue(fd, has_more);
    enum loop_attempt attempt = loop_fd_written(loop, fd, n);
    struct loop_list *next = is_before_end ? loop_line_first(&fd->writers) : NULL;
    struct loop_job *end = next ? LOOP_CONTAINER(next, struct loop_job, link) : NULL;
    if (end && end->kind == &loop_fd_shutdown_kind) {
        return end->kind->attempt(loop, end); /* before it can be cancelled */
    }
    return attempt;
}

/* Goes on after a system call for a single write that has not sent all: it has returned `n`, which is -1 with errno. */
__attribute__((noinline)) static enum loop_attempt sent_less(struct loop *loop, struct loop_job *job, ssize_t n)
{
    if (n < 0 && errno == EINTR) {
        return write_several(loop, job, false);
    }
    return loop_fd_written(loop, job->fd, loop_io_note_write(job->fd, n));
}

/* Has the backend send a single write, or goes on with what the queue is otherwise. */
__attribute__((noinline)) static enum loop_attempt write_by_backend(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    bool is_plain_one = is_single(job) && !fd->has_long_queue;
    if (is_plain_one) {
        struct iovec rest = {(void *)(uintptr_t)next_byte(&job->u.write), job->u.write.total - job->u.write.done};
        if (loop->backend->send(loop, job, fd, &rest, 1)) {
            return LOOP_ATTEMPT_BUSY;
        }
    }
    return write_several(loop, job, is_plain_one);
}

/* Makes one system call for a single write, where that suffices: nearly all writes are sent so. */
static enum loop_attempt attempt_write(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    struct loop_write_state *write = &job->u.write;
    assert(!fd->is_sending && job->where != LOOP_AT_RING);
    if (loop->prefers_completions) {
        return write_by_backend(loop, job);
    }
    if (!loop_io_is_plain(fd->write_by) || !is_single(job)) {
        return write_several(loop, job, false);
    }
    ssize_t n = loop_io_write_once(fd, next_byte(write), write->total - write->done);
    if ((size_t)n != write->total - write->done) {
        return sent_less(loop, job, n);
    }
    end_whole(loop, fd, job, (size_t)n);
    return LOOP_ATTEMPT_MOVED;
}

static void mark_dirty(struct loop *loop, struct loop_fd *fd)
{
    if (!loop_index_is_queued(&fd->dirty)) {
        loop_index_enqueue(&loop->dirty, fd, offsetof(struct loop_fd, dirty));
    }
}

/* Puts a write, which is LOOP_AT_WAIT, at the end of a queue with room. loop_ready_send sends it when the continuation
 * has returned. */
static void join_queue(struct loop *loop, struct loop_fd *fd, struct loop_job *job)
{
    loop_line_push_back(&fd->writers, &job->link);
    mark_dirty(loop, fd);
}

/* Puts a write, whose state is filled in, at the end of the queue. */
static void queue_write(struct loop *loop, struct loop_fd *fd, struct loop_job *job)
{
    fd->queued_bytes += job->u.write.total;
    if (fd->ready & POLLOUT) {
        job->where = LOOP_AT_WAIT;
        join_queue(loop, fd, job);
    } else {
        loop_write_make_room(loop, &job->u.write);
        loop_ready_wait_write(loop, fd, job);
    }
}

loop_job loop_fd_write(struct loop_fd *fd, const struct loop_write_state *write, loop_fn *fn, void *arg,
                       bool *took_chunk)
{
    struct loop *loop = fd->scope->loop;
    loop_job id;
    int64_t error = fd->has_failed ? loop_write_error_ahead(fd) : 0;
    bool is_file = fd->write_by == LOOP_IO_BLOCKING;
    *took_chunk = false;
    if (error) {
        return loop_write_lose(fd, error, fn, arg);
    }
    if (loop_fd_is_full(fd)) {
        return loop_fd_refuse_write(fd, fn, arg);
    }
    struct loop_job *job =
        loop_job_start(fd->scope, fd, is_file ? &loop_file_write_kind : &loop_fd_write_kind, fn, arg, &id);
    *took_chunk = job != NULL;
    if (!job) {
        return id;
    }
    struct loop_write_state packet;
    if (is_file) {
        loop_file_write(loop, job, write);
    } else if (fd->is_byte_stream || (write = loop_write_as_packet(write, &packet))) {
        job->u.write = *write;
        queue_write(loop, fd, job);
    } else {
        loop_job_complete(loop, job, -ENOMEM);
    }
    return id;
}

/* Whether a write only has to join the queue, and is sent after the continuation: that of a byte stream that is no
 * file, with room and without an error ahead. */
static inline bool is_plain(const struct loop_fd *fd)
{
    assert(!fd->is_byte_stream || fd->write_by != LOOP_IO_BLOCKING);
    return fd->hindrances == 0 && fd->is_byte_stream && fd->ready & POLLOUT &&
           fd->queued_bytes < fd->scope->loop->options.sink_limit_bytes &&
           loop_job_is_ready(fd->scope, &loop_fd_write_kind);
}

/* Fills in the state of a write of one buffer: all but what only others use. */
static inline void fill_in(struct loop_write_state *write, struct iovec iov, struct loop_chunk *chunk)
{
    write->single = iov;
    write->total = iov.iov_len;
    write->iov = NULL;
    write->memory = chunk;
    write->done = 0;
}

/* Puts a write behind others. Returns the job's id. A function of its own, so that the common path of its caller saves
 * no registers. */
__attribute__((noinline)) static loop_job join_others(struct loop_fd *fd, struct loop_job *job)
{
    join_queue(fd->scope->loop, fd, job);
    return job->id;
}

/* Queues a write of one buffer, and of the chunk that it is in or NULL, where is_plain says so. */
__attribute__((always_inline)) static inline loop_job write_plainly(struct loop_fd *fd, struct iovec iov,
                                                                    struct loop_chunk *chunk, loop_fn *fn, void *arg)
{
    struct loop *loop = fd->scope->loop;
    struct loop_job *job = loop_job_start_ready(fd, &loop_fd_write_kind, fn, arg);
    fill_in(&job->u.write, iov, chunk);
    fd->queued_bytes += iov.iov_len;
    if (!loop_line_is_empty(&fd->writers)) {
        return join_others(fd, job);
    }
    loop_line_begin(&fd->writers, &job->link);
    mark_dirty(loop, fd);
    return job->id;
}

loop_job loop_fd_write_one(struct loop_fd *fd, struct iovec iov, struct loop_chunk *chunk, loop_fn *fn, void *arg,
                           bool *took_chunk)
{
    if (is_plain(fd)) {
        *took_chunk = true;
        return write_plainly(fd, iov, chunk, fn, arg);
    }
    struct loop_write_state write = {.single = iov, .total = iov.iov_len, .memory = chunk};
    return loop_fd_write(fd, &write, fn, arg, took_chunk);
}

/* A function of its own, so that the common path of its caller saves no registers. */
__attribute__((noinline)) static loop_job write_rarely(struct loop_fd *fd, struct iovec iov, loop_fn *fn, void *arg)
{
    bool took_chunk;
    return loop_fd_write_one(fd, iov, NULL, fn, arg, &took_chunk);
}

loop_job loop_fd_write_buffer(struct loop_fd *fd, const void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct iovec iov = {(void *)(uintptr_t)buf, len};
    return is_plain(fd) ? write_plainly(fd, iov, NULL, fn, arg) : write_rarely(fd, iov, fn, arg);
}

static loop_job write_fd(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    bool took_chunk;
    struct loop_write_state write = {.iov = iov, .n_iov = n_iov};
    for (size_t i = 0; i < n_iov; i++) {
        write.total += iov[i].iov_len;
    }
    return loop_fd_write(loop_fd_of_sink(sink), &write, fn, arg, &took_chunk);
}

/* ---- the table ---- */

static struct loop_fd *sink_fd(struct loop_sink *sink)
{
    return loop_fd_of_sink(sink);
}

static int close_sink(struct loop_sink *sink)
{
    return loop_fd_close(loop_fd_of_sink(sink));
}

const struct loop_sink_ops loop_fd_sink = {
    .write = write_fd, .shutdown = loop_fd_shutdown, .fd = sink_fd, .close = close_sink};
