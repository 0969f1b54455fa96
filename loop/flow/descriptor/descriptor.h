/* SPDX-License-Identifier: ISC
 *
 * A descriptor as a source and a sink. Where it can be polled descriptor.c serves the reads and writes, otherwise
 * file.c.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_DESCRIPTOR_H
#define LOOP_FLOW_DESCRIPTOR_DESCRIPTOR_H

#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/part.h>

/* The tables of every descriptor's source and sink. */
extern const struct loop_source_ops loop_fd_source;
extern const struct loop_sink_ops loop_fd_sink;

/* The kind of a write, whose state is u.write, to a descriptor that can be polled. */
extern const struct loop_job_kind loop_fd_write_kind;

/* Reads once, or, `is_exact`, until the buffer is full. The bytes of reads that wait at the same time don't mix.
 * Results as loop_read and loop_read_exact. */
loop_job loop_fd_read(struct loop_fd *fd, struct iovec buffer, bool is_exact, loop_fn *fn, void *arg);

/* Reads once into one buffer. Results as loop_read. */
loop_job loop_fd_read_some(struct loop_fd *fd, void *buf, size_t len, loop_fn *fn, void *arg);

/* Queues a write. The caller has filled in `iov` or `single`, `n_iov`, `total` and `chunk` of `write`, which is copied.
 * Sets `*took_chunk`: whether the job gives the chunk back. Results as loop_write. */
loop_job loop_fd_write(struct loop_fd *fd, const struct loop_write_state *write, loop_fn *fn, void *arg,
                       bool *took_chunk);

/* Queues a write of one buffer. Results as loop_write. */
loop_job loop_fd_write_buffer(struct loop_fd *fd, const void *buf, size_t len, loop_fn *fn, void *arg);

/* Goes on after a system call for the first writes of the queue, which are of loop_fd_write_kind, and which has
 * returned `n`: the count, -EAGAIN or -errno. Returns the outcome of the try. */
enum loop_attempt loop_fd_written(struct loop *loop, struct loop_fd *fd, int64_t n);

/* Queues a write of one vector, and of the chunk that it is in or NULL. Sets `*took_chunk` as loop_fd_write does. */
loop_job loop_fd_write_one(struct loop_fd *fd, struct iovec iov, struct loop_chunk *chunk, loop_fn *fn, void *arg,
                           bool *took_chunk);

/* Whether the next write is refused: the queue is at its limit, or a refused write has not been resumed yet. */
bool loop_fd_is_full(const struct loop_fd *fd);

/* Starts a job that ends with 0 when at most half of the limit is queued, or with the error of the last write. */
loop_job loop_fd_drained(struct loop_fd *fd, loop_fn *fn, void *arg);

#endif
