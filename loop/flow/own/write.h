/* SPDX-License-Identifier: ISC
 *
 * Writes to sinks of all kinds but descriptors, and the shutdown of those of the program's own.
 */
#include <loop/core/region.h>

#ifndef LOOP_FLOW_OWN_WRITE_H
#define LOOP_FLOW_OWN_WRITE_H

/* What is to be written: `single` where `n_iov` is 0. */
struct loop_own_bytes {
    const struct iovec *iov;
    size_t n_iov;
    struct iovec single;
    size_t total;
    struct loop_chunk *chunk; /* to be given back at the end, or NULL */
};

/* Queues a write to an own sink, whose scope takes work. `*took_chunk` tells whether the job looks after the chunk from
 * now on. */
loop_job loop_own_write(struct loop_sink *sink, const struct loop_own_bytes *bytes, loop_fn *fn, void *arg,
                        bool *took_chunk);

/* Queues the shutdown of an own sink, whose scope takes work. */
loop_job loop_own_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

/* Whether nothing is given to the sink, because its scope is cancelled or has ended. A descriptor's finds that out by
 * itself. */
bool loop_sink_is_over(const struct loop_sink *sink);

/* loop_writev of vectors whose lengths are good, to a sink of any kind. Ends with -ECANCELED when the sink's scope is
 * cancelled or has ended. */
loop_job loop_sink_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg);

#endif
