/* SPDX-License-Identifier: ISC
 *
 * A descriptor as a source and a sink. fd_flow.c is for what can be waited for, fd_file.c for what can't.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_DESCRIPTOR_H
#define LOOP_FLOW_DESCRIPTOR_DESCRIPTOR_H

#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/part.h>

/* The tables of every descriptor's source and sink: `self` is the struct loop_fd. */
extern const struct loop_source_ops loop_fd_source;
extern const struct loop_sink_ops loop_fd_sink;

/* Reads once, or (`is_exact`) until all is there: several at a time don't mix their bytes. */
loop_job loop_fd_read(struct loop_fd *fd, struct iovec buffer, bool is_exact, loop_fn *fn, void *arg);

/* Queues a write of what `write` says: iov, single, n_iov, total, chunk. `*took_chunk` tells whether the job looks
 * after the chunk from now on. */
loop_job loop_fd_write(struct loop_fd *fd, const struct loop_write_state *write, loop_fn *fn, void *arg,
                       bool *took_chunk);

/* The queue is at its limit, or a writer has yet to hear that it was. */
bool loop_fd_is_full(const struct loop_fd *fd);

loop_job loop_fd_drained(struct loop_fd *fd, loop_fn *fn, void *arg);

#endif
