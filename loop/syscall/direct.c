/* SPDX-License-Identifier: ISC
 *
 * Operations served by system calls: at once if the descriptor is ready, later from its wait lists if it is not, and on
 * the pool if the call could block.
 *
 * A result that is known inside the call that starts or cancels an operation waits in the run queue.
 */
#include <loop/core/backend.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/ground/hard.h>
#include <loop/ground/list.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/buffers.h>
#include <loop/syscall/direct.h>
#include <loop/syscall/io.h>
#include <loop/syscall/pool.h>

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>

/* Limits per turn, so that one busy descriptor does not delay the others. */
#define ACCEPTS_PER_TURN 64
#define RECVS_PER_TURN 32

/* ---- multishot ---- */

static enum loop_attempt done_with(struct loop_job *job, int64_t result)
{
    job->result = result;
    return LOOP_ATTEMPT_DONE;
}

static enum loop_attempt accept_many(struct loop *loop, struct loop_job *job)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        bool is_due = i == 0 || loop_attempt_has_connection(job);
        int64_t result = is_due ? loop_attempt(job, false) : -EAGAIN;
        if (result == -EAGAIN) {
            return LOOP_ATTEMPT_AGAIN;
        }
        if (result < 0) {
            return done_with(job, result);
        }
        loop_job_emit(loop, job, result, NULL);
        if (job->where != LOOP_AT_WAIT) {
            return LOOP_ATTEMPT_MOVED; /* it was cancelled by its continuation */
        }
    }
    return LOOP_ATTEMPT_MORE;
}

static int64_t receive(const struct loop_job *job, void *data, size_t len, int flags)
{
    ssize_t n;
    do {
        n = loop_kernel_recv(job->fd->number, data, len, flags | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Handles a group without free buffers: ends with -ENOBUFS if there is something to receive. */
static enum loop_attempt starve(struct loop_job *job)
{
    char byte;
    int64_t result = receive(job, &byte, 1, MSG_PEEK);
    if (result == -EAGAIN) {
        return LOOP_ATTEMPT_AGAIN;
    }
    return done_with(job, result > 0 ? -ENOBUFS : result);
}

/* Delivers unread bytes in a borrowed buffer, because the kernel may have the group. */
static enum loop_attempt receive_unread(struct loop *loop, struct loop_job *job)
{
    struct loop_buffers *buffers = job->u.args.receive.buffers;
    int64_t error = loop_unread_take_error(job->fd);
    if (error) {
        return done_with(job, error);
    }
    size_t len = loop_unread_length(job->fd), room = len < buffers->size_bytes ? len : buffers->size_bytes;
    struct iovec iov = {loop_buffers_borrow(buffers, room), room};
    if (!iov.iov_base) {
        return done_with(job, -ENOBUFS);
    }
    int64_t n = loop_unread_read(job->fd, &iov, 1, false);
    loop_job_emit(loop, job, n, iov.iov_base);
    return job->where == LOOP_AT_WAIT ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_MOVED;
}

/* Moves the job to the ring, which has the group, when there are no unread bytes left. */
static enum loop_attempt return_to_ring(struct loop *loop, struct loop_job *job)
{
    loop_line_remove(&job->link);
    job->is_otherwise = false;
    loop->backend->start(loop, job);
    return LOOP_ATTEMPT_MOVED;
}

static enum loop_attempt receive_one(struct loop *loop, struct loop_job *job)
{
    struct loop_buffers *buffers = job->u.args.receive.buffers;
    if (loop_fd_reads_kept(job->fd)) {
        return loop_fd_has_unread(job->fd) ? receive_unread(loop, job) : LOOP_ATTEMPT_AGAIN;
    }
    if (buffers->ring) {
        return return_to_ring(loop, job);
    }
    if (buffers->n_free == 0) {
        return starve(job);
    }
    size_t len = job->fd->is_byte_stream ? loop_hard_length(buffers->size_bytes) : buffers->size_bytes;
    unsigned index = buffers->free_stack[buffers->n_free - 1];
    char *data = buffers->memory + index * buffers->size_bytes;
    int64_t result = loop_io_read_one(loop, job->fd, data, len);
    if (result == -EAGAIN) {
        return LOOP_ATTEMPT_AGAIN;
    }
    if (result <= 0) {
        return done_with(job, result);
    }
    buffers->n_free--;
    buffers->is_lent[index] = true;
    loop_job_emit(loop, job, result, data);
    if (job->where != LOOP_AT_WAIT) {
        return LOOP_ATTEMPT_MOVED;
    }
    return job->fd->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
}

static enum loop_attempt receive_many(struct loop *loop, struct loop_job *job)
{
    enum loop_attempt attempt = LOOP_ATTEMPT_MORE;
    for (unsigned i = 0; attempt == LOOP_ATTEMPT_MORE && i < RECVS_PER_TURN; i++) {
        attempt = receive_one(loop, job);
    }
    return attempt;
}

/* Starts a multishot job. It is not tried here, because only the dispatch may resume its continuation. */
static void start_multishot(struct loop *loop, struct loop_job *job)
{
    if (loop_fd_reads_by(job->fd) != LOOP_IO_SOCKET) {
        loop_job_backend_complete(loop, job, -ENOTSOCK);
    } else {
        loop_ready_wait_read(loop, job->fd, job);
    }
}

/* ---- splice ---- */

/* Returns the end that is not ready. A file is always ready. So is a socket that was shut down: splice(2) returns the
 * error, while poll(2) reports a full Unix socket as not writable. */
static enum loop_splice_side find_blocked(const struct loop_job *job)
{
    const struct loop_fd *from = job->fd, *to = job->u.args.second;
    bool is_ready = !loop_fd_is_stream(from) || loop_unread_is_for(from, job->u.args.splice.from_offset);
    struct pollfd ends[2] = {
        {.fd = is_ready ? -1 : from->number, .events = POLLIN},
        {.fd = to->write_by == LOOP_IO_BLOCKING || to->is_shut ? -1 : to->number, .events = POLLOUT},
    };
    if (!is_ready && from->is_receiving) {
        return LOOP_SPLICE_SOURCE; /* until the backend leaves the bytes to the kernel */
    }
    (void)loop_kernel_poll(ends, 2, 0);
    if (ends[0].fd >= 0 && !ends[0].revents) {
        return LOOP_SPLICE_SOURCE;
    }
    return ends[1].fd >= 0 && !ends[1].revents ? LOOP_SPLICE_DESTINATION : LOOP_SPLICE_NOWHERE;
}

/* Moves the job to the wait list of an end that is not ready. */
static void wait_for_side(struct loop *loop, struct loop_job *job, enum loop_splice_side side)
{
    loop_line_remove(&job->link);
    job->u.args.splice.side = side;
    if (side == LOOP_SPLICE_SOURCE) {
        job->fd->ready &= (uint8_t)~POLLIN;
        loop_ready_wait_read(loop, job->fd, job);
    } else {
        job->u.args.second->ready &= (uint8_t)~POLLOUT;
        loop_ready_wait_write(loop, job->u.args.second, job);
    }
}

/* Writes unread bytes to the destination, because the kernel does not have them. */
static int64_t splice_unread(struct loop_job *job)
{
    const struct loop_block *first = loop_unread_first(job->fd);
    size_t left = first->end - first->at, wanted = job->u.args.splice.len, len = wanted < left ? wanted : left;
    int64_t n = loop_io_write_one(job->u.args.second, (const char *)first->bytes + first->at, len);
    loop_unread_drop(job->fd, n > 0 ? (size_t)n : 0);
    return n;
}

/* Goes on as any splice after a thread has written unread bytes. Those that it has not written become unread again. */
static void unread_spliced(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_block *block = job->u.args.extra;
    job->u.args.extra = NULL;
    block->at += result > 0 ? (size_t)result : 0;
    loop_unread_put(loop, job->fd, block);
    job->kind = &loop_splice_kind;
    job->kind->backend_done(loop, job, result);
}

static const struct loop_job_kind unread_splice_kind = {
    .name = "operation", .cancel = loop_job_cancel_by_backend, .backend_done = unread_spliced, .size = LOOP_JOB_LARGE};

/* Hands a splice with a file to the pool, once its pipe is ready, because the disk may block. */
static enum loop_attempt splice_by_thread(struct loop *loop, struct loop_job *job)
{
    if (!job->u.args.extra && loop_unread_is_for(job->fd, job->u.args.splice.from_offset)) {
        job->u.args.extra = loop_unread_detach(job->fd, job->u.args.splice.len);
        if (!job->u.args.extra) {
            return done_with(job, -ENOMEM);
        }
        job->kind = &unread_splice_kind;
    }
    loop_line_remove(&job->link);
    loop_pool_submit(loop, job);
    return LOOP_ATTEMPT_MOVED;
}

static bool is_at_mark(const struct loop_fd *fd)
{
    int is_at = 0;
    return loop_fd_reads_by(fd) == LOOP_IO_SOCKET && loop_kernel_ioctl(fd->number, SIOCATMARK, &is_at) == 0 && is_at;
}

/* Moves bytes past the mark of urgent data by recv(2), because splice(2) stops there and reports no bytes, or the end.
 * Bytes that do not fit into the pipe become unread. Stores in `*side` the end to wait for if nothing was moved. */
static int64_t pass_mark(struct loop *loop, struct loop_job *job, enum loop_splice_side *side)
{
    struct loop_block *block = loop_kernel_malloc(sizeof *block + PIPE_BUF);
    *side = LOOP_SPLICE_SOURCE; /* there is nothing behind the mark yet */
    if (!block) {
        return -ENOMEM;
    }
    block->is_backends = block->is_received = false;
    size_t len = job->u.args.splice.len < PIPE_BUF ? job->u.args.splice.len : PIPE_BUF;
    int64_t n = receive(job, (char *)block->bytes, len, 0);
    int64_t written = n > 0 ? loop_io_write_one(job->u.args.second, block->bytes, (size_t)n) : n;
    if (written == n) {
        loop_kernel_free(block);
        return n;
    }
    *side = LOOP_SPLICE_DESTINATION;
    block->at = written > 0 ? (size_t)written : 0;
    block->end = (size_t)n;
    loop_unread_put(loop, job->fd, block);
    return written;
}

/* Splices between two ends that are ready. Returns -EAGAIN with the end to wait for in `*side` if nothing was moved. */
static int64_t splice_now(struct loop *loop, struct loop_job *job, bool gets_kept, enum loop_splice_side *side)
{
    int64_t result = gets_kept ? splice_unread(job) : loop_attempt(job, false);
    *side = LOOP_SPLICE_DESTINATION;
    if (gets_kept) {
        return result;
    }
    if ((result == 0 || result == -EAGAIN) && is_at_mark(job->fd)) {
        return pass_mark(loop, job, side);
    }
    if (result == -EAGAIN && find_blocked(job) == LOOP_SPLICE_SOURCE) {
        *side = LOOP_SPLICE_SOURCE; /* another process has read the bytes meanwhile */
    }
    return result;
}

/* Whether a thread does the splice, because the disk may block. Unread bytes of a file are in memory, and need a thread
 * only to stay behind earlier splices. */
static bool needs_thread(const struct loop_job *job, bool gets_kept)
{
    const struct loop_fd *from = job->fd, *to = job->u.args.second;
    bool is_at_once = gets_kept && !loop_fd_is_moving(from) && !loop_fd_is_moving(to);
    return to->write_by == LOOP_IO_BLOCKING || (!loop_fd_is_stream(from) && !is_at_once);
}

/* Tries a splice. Polls both ends first: a fifo that never had a writer looks like one at its end to splice(2), which
 * also does not report which end is not ready. */
static enum loop_attempt attempt_splice(struct loop *loop, struct loop_job *job)
{
    enum loop_splice_side side = find_blocked(job);
    bool gets_kept = side == LOOP_SPLICE_NOWHERE && loop_unread_is_for(job->fd, job->u.args.splice.from_offset);
    int64_t error = gets_kept ? loop_unread_take_error(job->fd) : 0;
    if (error) {
        return done_with(job, error);
    }
    if (side == LOOP_SPLICE_NOWHERE && needs_thread(job, gets_kept)) {
        return splice_by_thread(loop, job);
    }
    if (side == LOOP_SPLICE_NOWHERE) {
        int64_t result = splice_now(loop, job, gets_kept, &side);
        if (result != -EAGAIN) {
            return done_with(job, result);
        }
    }
    if (job->u.args.splice.side == side) {
        return LOOP_ATTEMPT_AGAIN;
    }
    wait_for_side(loop, job, side);
    return LOOP_ATTEMPT_MOVED;
}

/* Starts a splice, behind others that wait for the source. The list of a file belongs to its source. */
static void start_splice(struct loop *loop, struct loop_job *job)
{
    job->u.args.splice.side = LOOP_SPLICE_NOWHERE;
    if (loop_fd_is_stream(job->fd) && loop_ready_has_readers(job->fd)) {
        job->u.args.splice.side = LOOP_SPLICE_SOURCE;
        loop_ready_wait_read(loop, job->fd, job);
    } else if (attempt_splice(loop, job) == LOOP_ATTEMPT_DONE) {
        loop_job_backend_complete(loop, job, job->result);
    }
}

/* Ends a splice that a thread has done. If the pipe was not ready any more, the splice waits for it again. */
static void splice_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (result == -EAGAIN && !job->is_cancelled) {
        start_splice(loop, job);
    } else {
        loop_job_finish(loop, job, result == -EAGAIN ? -ECANCELED : result);
    }
}

const struct loop_job_kind loop_splice_kind = {.name = "operation",
                                               .cancel = loop_job_cancel_by_backend,
                                               .attempt = attempt_splice,
                                               .backend_done = splice_done,
                                               .size = LOOP_JOB_LARGE};

/* ---- operations that wait for one descriptor ---- */

/* Whether the operation has a result without readiness: a socket's operation on something else, or a read of 0
 * bytes. */
static bool is_answered_at_once(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    if (row->op_class != LOOP_CLASS_MOVE) {
        return loop_fd_reads_by(job->fd) != LOOP_IO_SOCKET;
    }
    return !row->is_output && !row->takes_vectors && job->u.args.move.len == 0;
}

/* Whether the operation takes input that is not in the byte stream. It does not wait behind those that read the
 * stream. */
static bool is_other_input(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    return row->is_message && !row->is_output && job->u.args.message.flags & (MSG_OOB | MSG_ERRQUEUE);
}

/* Whether a system call may succeed. Before the first event of a socket only a call can tell. A pipe must not be read
 * before its first event; see attempt_splice. */
static bool may_be_ready(const struct loop_job *job, uint32_t event)
{
    const struct loop_fd *fd = job->fd;
    return (fd->ready & event) || (!(fd->watched & event) && loop_fd_reads_by(fd) == LOOP_IO_SOCKET);
}

static void start_stream(struct loop *loop, struct loop_job *job, uint32_t event)
{
    struct loop_fd *fd = job->fd;
    if (job->is_multishot) {
        start_multishot(loop, job);
        return;
    }
    bool is_first = event == POLLIN ? !loop_ready_has_readers(fd) : !fd->is_sending && loop_line_is_empty(&fd->writers);
    bool may_answer = is_answered_at_once(job) || loop_attempt_is_final(job) || is_other_input(job) ||
                      (is_first && may_be_ready(job, event));
    if (may_answer) {
        int64_t result = loop_attempt(job, false);
        if (job->kind->rest) {
            result = job->kind->rest(job, result);
        }
        if (result == LOOP_GOES_ON) {
            loop_ready_wait(loop, fd, job, event);
            return;
        }
        if (result != -EAGAIN || loop_attempt_is_final(job)) {
            loop_job_backend_complete(loop, job, result);
            return;
        }
        fd->ready &= (uint8_t)~event;
    }
    loop_ready_wait(loop, fd, job, event);
}

/* Whether a read of a file may be tried on the loop's thread. At the file's position it keeps its order: only if no
 * other operation moves the position, or if there are unread bytes, which come first. */
static bool may_try_cache(const struct loop_job *job)
{
    bool moves_position = job->u.args.move.offset == LOOP_CURRENT && !loop_fd_has_unread(job->fd);
    return !loop_op_table[job->op].is_output && (!moves_position || !loop_fd_is_moving(job->fd));
}

/* Whether the ring should do the read after all: the try has found that the file does not support RWF_NOWAIT. */
static bool belongs_to_ring(const struct loop_job *job, bool read_before)
{
    return job->is_otherwise && job->fd->reads_wait && !read_before && !loop_op_table[job->op].is_output &&
           !loop_file_is_for_thread(job->fd);
}

static void start_file(struct loop *loop, struct loop_job *job)
{
    bool read_before = job->fd->reads_wait;
    if (may_try_cache(job)) {
        int64_t result = loop_attempt(job, false);
        if (result != -EAGAIN) {
            loop_job_backend_complete(loop, job, result);
            return;
        }
    }
    if (belongs_to_ring(job, read_before)) {
        job->is_otherwise = false;
        loop->backend->start(loop, job);
    } else {
        loop_pool_submit(loop, job);
    }
}

static void start_move(struct loop *loop, struct loop_job *job)
{
    bool is_output = loop_op_table[job->op].is_output;
    bool is_stream = is_output ? job->fd->write_by != LOOP_IO_BLOCKING : loop_fd_is_stream(job->fd);
    if (!is_stream || job->u.args.move.offset != LOOP_CURRENT) {
        start_file(loop, job);
    } else {
        start_stream(loop, job, is_output ? POLLOUT : POLLIN);
    }
}

/* Starts a poll. It waits in the list of polls, also for a single event: polls and other operations do not wait for
 * each other. */
static void start_poll(struct loop *loop, struct loop_job *job)
{
    loop_ready_wait(loop, job->fd, job, job->u.args.poll.events | POLLERR);
}

void loop_direct_start(struct loop *loop, struct loop_job *job)
{
    switch ((enum loop_op_class)loop_op_table[job->op].op_class) {
    case LOOP_CLASS_AT_ONCE: loop_job_backend_complete(loop, job, loop_attempt(job, false)); return;
    case LOOP_CLASS_READ: start_stream(loop, job, POLLIN); return;
    case LOOP_CLASS_WRITE: start_stream(loop, job, POLLOUT); return;
    case LOOP_CLASS_POLL: start_poll(loop, job); return;
    case LOOP_CLASS_MOVE: start_move(loop, job); return;
    case LOOP_CLASS_SPLICE: start_splice(loop, job); return;
    case LOOP_CLASS_POOL: loop_pool_submit(loop, job); return;
    }
}

/* ---- cancelling ---- */

/* Returns the result of a cancelled job: the bytes moved so far, if any (P5). */
static int64_t cancelled_result(const struct loop_job *job)
{
    bool counts = loop_op_table[job->op].is_message && job->u.args.message.done > 0;
    return counts ? (int64_t)job->u.args.message.done : -ECANCELED;
}

void loop_direct_cancel(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_WAIT) {
        loop_job_backend_complete(loop, job, cancelled_result(job));
    } else if (job->where == LOOP_AT_POOL_LINE && loop_pool_withdraw(loop, job)) {
        loop_job_backend_complete(loop, job, -ECANCELED);
    }
}

/* ---- trying ---- */

enum loop_attempt loop_direct_attempt(struct loop *loop, struct loop_job *job)
{
    if (job->is_multishot) {
        return loop_op_table[job->op].gets_buffers ? receive_many(loop, job) : accept_many(loop, job);
    }
    int64_t result = loop_attempt(job, false);
    return result == -EAGAIN && !loop_attempt_is_final(job) ? LOOP_ATTEMPT_AGAIN : done_with(job, result);
}
