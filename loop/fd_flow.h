/* SPDX-License-Identifier: ISC
 *
 * A descriptor as a source and a sink: what flow.c, fd_flow.c, fd_file.c, copy.c and file_copy.c know of each other.
 * fd_flow.c is for what can be waited for, fd_file.c for what can't.
 */
#ifndef LOOP_FD_FLOW_H
#define LOOP_FD_FLOW_H

#include <loop/core.h>

/* The tables of every descriptor's source and sink. */
extern const struct loop_source_ops loop_fd_source;
extern const struct loop_sink_ops loop_fd_sink;

/* That of every reader's rest. A pin keeps the reader for a stream or a copy of it, though it may be destroyed
 * meanwhile: reader_life.c. */
extern const struct loop_source_ops loop_reader_rest_ops;
struct loop_reader;
void loop_reader_pin(struct loop_reader *reader);
void loop_reader_unpin(struct loop_reader *reader);

/* Keep a pointer to a source or sink good across a return to the loop, where it is a descriptor's (loop_fd_pin), or
 * that of a reader's rest. One of another kind belongs to its scope. */
static inline void loop_source_pin(struct loop_source *source)
{
    if (source->ops == &loop_fd_source) {
        loop_fd_pin(source->self);
    } else if (source->ops == &loop_reader_rest_ops) {
        loop_reader_pin(source->self);
    }
}

static inline void loop_source_unpin(struct loop_source *source)
{
    if (source->ops == &loop_fd_source) {
        loop_fd_unpin(source->self);
    } else if (source->ops == &loop_reader_rest_ops) {
        loop_reader_unpin(source->self);
    }
}

static inline void loop_sink_pin(struct loop_sink *sink)
{
    if (sink->ops == &loop_fd_sink) {
        loop_fd_pin(sink->self);
    }
}

static inline void loop_sink_unpin(struct loop_sink *sink)
{
    if (sink->ops == &loop_fd_sink) {
        loop_fd_unpin(sink->self);
    }
}

/* loop_read for the parts of the loop that read sources: `len` is not 0. An error that is kept comes first, and a
 * source whose scope is cancelled or has ended is asked for nothing. */
loop_job loop_source_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* loop_writev of vectors whose lengths are good. A sink whose scope is cancelled or has ended is asked for nothing. */
loop_job loop_sink_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg);

/* Reads once, or (`is_exact`) until all is there: several at a time don't mix their bytes. */
loop_job loop_fd_read(struct loop_fd *fd, struct iovec buffer, bool is_exact, loop_fn *fn, void *arg);

/* Queues a write of what `write` says: iov, single, n_iov, total, chunk. `*took_chunk` tells whether the job looks
 * after the chunk from now on. */
loop_job loop_fd_write(struct loop_fd *fd, const struct loop_write_state *write, loop_fn *fn, void *arg,
                       bool *took_chunk);

/* The `shutdown` of a descriptor's sink: fd_shutdown.c. */
loop_job loop_fd_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

/* The queue is at its limit, or a writer has yet to hear that it was. */
bool loop_fd_is_full(const struct loop_fd *fd);

loop_job loop_fd_drained(struct loop_fd *fd, loop_fn *fn, void *arg);

/* ---- what both kinds of writes do with their state ---- */

static inline const struct iovec *loop_write_vectors(const struct loop_write_state *write)
{
    return write->iov ? write->iov : &write->single;
}

#define LOOP_GATHER_MAX 64 /* vectors in one call: what is beyond is the next call's */

/* Adds what is left of a write to `iov`, which has room for LOOP_GATHER_MAX; returns the new count. */
int loop_write_gather(const struct loop_write_state *write, struct iovec *iov, int n);

/* `n` bytes more have gone. */
void loop_write_advance(struct loop *loop, struct loop_fd *fd, struct loop_write_state *write, size_t n);

/* Takes the write of `job` out of the queue of its descriptor and gives its chunk back. Returns the job's result: the
 * count where bytes went out, else `result`. Without a continuation only a whole write has a count: a part of one would
 * hide the error, which is for the scope. */
int64_t loop_write_close(struct loop *loop, const struct loop_job *job, struct loop_write_state *write, int64_t result);

/* ---- files (fd_file.c) ---- */

extern const struct loop_job_kind loop_file_read_kind, loop_file_write_kind, loop_file_shutdown_kind;

/* Put a job of one of those kinds into its line. */
void loop_file_read(struct loop *loop, struct loop_job *job, struct iovec buffer, bool is_exact);
void loop_file_write(struct loop *loop, struct loop_job *job, const struct loop_write_state *write);
void loop_file_shutdown(struct loop *loop, struct loop_job *job);

/* Reads at the file's position what needs no disk, if no read is under way or in line; else -EAGAIN. */
int64_t loop_file_try_read(struct loop_fd *fd, void *buf, size_t len);

/* The two lines of a file. What joins one gets its turn by the backend's start, a copy by loop_file_copy_turn; leaving
 * without having the turn does nothing. */
void loop_file_join_readers(struct loop *loop, struct loop_job *job);
void loop_file_join_writers(struct loop *loop, struct loop_job *job, struct loop_fd *fd);
void loop_file_leave_readers(struct loop *loop, struct loop_fd *fd, const struct loop_job *job);
void loop_file_leave_writers(struct loop *loop, struct loop_fd *fd, const struct loop_job *job);

/* ---- copies between files (file_copy.c) ---- */

extern const struct loop_job_kind loop_file_copy_kind;

/* Whether both are regular files, and the source says that there is something in it. */
bool loop_file_can_copy(const struct loop_fd *from, const struct loop_fd *to);

/* Starts a job of that kind; its fd is the source, its second the sink. */
void loop_file_copy(struct loop *loop, struct loop_job *job);

/* The copy has the turn in one of the two lines; somebody has joined a line in which it has the turn. */
void loop_file_copy_turn(struct loop *loop, struct loop_job *job);
void loop_file_copy_yield(struct loop *loop, struct loop_job *job);

#endif
