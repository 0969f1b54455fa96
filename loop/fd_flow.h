/* SPDX-License-Identifier: ISC
 *
 * A descriptor as a source and a sink. fd_flow.c is for what can be waited for, fd_file.c for what can't.
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
