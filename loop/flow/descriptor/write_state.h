/* SPDX-License-Identifier: ISC
 *
 * The state of a write to a descriptor: which of its bytes are next, and what the descriptor's queue counts of it.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_WRITE_STATE_H
#define LOOP_FLOW_DESCRIPTOR_WRITE_STATE_H

#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/ready.h>
#include <loop/ground/list.h>

#include <errno.h>

/* Returns the vectors of a write. */
static inline const struct iovec *loop_write_vectors(const struct loop_write_state *write)
{
    return write->iov ? write->iov : &write->single;
}

/* Returns how many vectors are left of a write. */
static inline size_t loop_write_n_left(const struct loop_write_state *write)
{
    return write->iov ? write->n_iov - write->at : 1;
}

/* Adds the vectors of what is left of a write to the `n` in `iov`, which has room for LOOP_GATHER_MAX. Returns the new
 * count. */
int loop_write_gather(const struct loop_write_state *write, struct iovec *iov, int n);

/* Counts `n` bytes as gone from the descriptor's queue. A negative `result` is the error for which they went. A job
 * that waits for the queue to drain is tried in the next dispatch. */
static inline void loop_write_leave_queue(struct loop *loop, struct loop_fd *fd, size_t n, int64_t result)
{
    assert(fd->queued_bytes >= n);
    fd->queued_bytes -= n;
    if (result < 0 && result != -ECANCELED) {
        fd->write_error = (int16_t)result;
        fd->was_reset |= result == -ECONNRESET && fd->is_byte_stream;
    }
    if (loop_fd_has_pollers(fd)) {
        loop_ready_activate(loop, fd);
    }
}

/* Counts `n` more bytes of a write as written. */
void loop_write_advance(struct loop *loop, struct loop_fd *fd, struct loop_write_state *write, size_t n);

/* Gives the chunk of a write that waits back to the region, if that has few left: the bytes are moved to a block of
 * memory. Without memory the write keeps its chunk. */
void loop_write_make_room(struct loop *loop, struct loop_write_state *write);

/* Returns the write where one call can send it as a packet, else a copy of it in `packet`, whose memory is the write's;
 * NULL when there is no memory. */
const struct loop_write_state *loop_write_as_packet(const struct loop_write_state *write,
                                                    struct loop_write_state *packet);

/* Gives the chunk of a write back, and frees the memory that its bytes were moved to. */
void loop_write_free(struct loop *loop, const struct loop_write_state *write);

/* Takes the write of `job` out of the queue of its descriptor and gives its chunk back. Returns the job's result: the
 * count where bytes were written, else `result`. Without a continuation only a complete write has a count: the count of
 * a part would hide the error from the scope. */
int64_t loop_write_close(struct loop *loop, const struct loop_job *job, struct loop_write_state *write, int64_t result);

/* Notes that a write of a byte stream has failed, so that the writes behind it leave no gap: loop_write_end_line ends
 * those in line, and loop_write_error_ahead refuses others. Call it before the job ends. */
void loop_write_note_failure(struct loop_fd *fd, struct loop_job *job);

/* Notes the failure of a write that is cancelled because no event will come for it. Other cancels leave a gap that the
 * program has asked for. */
static inline void loop_write_note_cancel(struct loop_fd *fd, struct loop_job *job)
{
    if (job->why && fd->is_byte_stream) {
        fd->write_error = job->why;
        loop_write_note_failure(fd, job);
    }
}

/* Ends all jobs that wait in line to write bytes, of whatever kind, and the shutdown of the output: one in front of
 * them has failed with `error`. Ends the copies of files as well that come to this line from that of their source. */
void loop_write_end_line(struct loop *loop, struct loop_fd *fd, int64_t error);

/* Ends a write that a broken ring had, and those behind it, which would follow a gap: how much of it has been sent is
 * not known. */
void loop_write_lose_sent(struct loop *loop, struct loop_fd *fd, struct loop_job *job, int64_t result);

/* Keeps the error of a job that has failed to write to `fd` and is not a write. On a stream of bytes it notes the
 * failure and ends what else is in line. Call it before the job ends, which then ends as usual, unless its place tells
 * that it was cancelled meanwhile. */
void loop_write_fail(struct loop *loop, struct loop_fd *fd, struct loop_job *job, int64_t error);

/* Returns the error with which a new write ends, or 0: that of a failed write whose continuation has not been
 * resumed. */
int64_t loop_write_error_ahead(struct loop_fd *fd);

/* Returns the error with which a new job ends that is neither a write nor may follow a gap, such as a shutdown or a
 * copy: loop_write_error_ahead, or -ENOBUFS where a write was refused whose continuation has not been resumed. 0 where
 * there is no gap. */
static inline int64_t loop_write_gap_ahead(struct loop_fd *fd)
{
    int64_t error = fd->has_failed ? loop_write_error_ahead(fd) : 0;
    return error ? error : fd->has_overflowed ? -ENOBUFS : 0;
}

/* Starts a job in the place of a write behind one that has failed. It ends with the same error. */
loop_job loop_write_lose(struct loop_fd *fd, int64_t error, loop_fn *fn, void *arg);

/* Starts a job that ends with -ENOBUFS. Where the queue is full, new writes are refused until its continuation has been
 * resumed. */
loop_job loop_fd_refuse_write(struct loop_fd *fd, loop_fn *fn, void *arg);

#endif
