/* SPDX-License-Identifier: ISC
 *
 * Writes to sinks of the program's own, and what chooses between those and other sinks.
 */
#ifndef LOOP_FLOW_OWN_WRITE_H
#define LOOP_FLOW_OWN_WRITE_H

#include <loop/core/region.h>

/* What to write: the one vector `single` where `n_iov` is 0. */
struct loop_own_bytes {
    const struct iovec *iov;
    size_t n_iov;
    struct iovec single;
    size_t total;
    struct loop_chunk *chunk; /* given back at the end; or NULL */
};

/* Queues a write to an own sink, whose scope takes work. Sets `*took_chunk`: whether the job gives the chunk back.
 * Results as loop_write. */
loop_job loop_own_write(struct loop_sink *sink, const struct loop_own_bytes *bytes, loop_fn *fn, void *arg,
                        bool *took_chunk);

/* Queues the shutdown of an own sink, whose scope takes work. Results as loop_shutdown. */
loop_job loop_own_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

/* Whether the sink gets no more writes, because its scope is cancelled or has ended. Always false for the sink of a
 * descriptor, which sees to that by itself. */
bool loop_sink_is_over(const struct loop_sink *sink);

/* Writes to a sink of any kind, for the parts of the loop: loop_writev without its checks. Ends with -ECANCELED when
 * the sink's scope is cancelled or has ended. */
loop_job loop_sink_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg);

#endif
