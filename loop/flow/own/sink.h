/* SPDX-License-Identifier: ISC
 *
 * The queue of a sink of the program's own.
 */
#ifndef LOOP_FLOW_OWN_SINK_H
#define LOOP_FLOW_OWN_SINK_H

#include <loop/flow/own/own.h>

/* Whether the library keeps a queue for the sink: neither for one of a descriptor, nor for one of memory.c. */
bool loop_sink_is_own(const struct loop_sink *sink);

/* Whether the next write is refused: the queue is at its limit, or a refused write has not been resumed yet. */
bool loop_own_is_full(const struct loop_own *own);

/* Starts a job that ends when at most half of the limit is queued, or with the error of the last write. */
loop_job loop_own_drained(struct loop_own *own, loop_fn *fn, void *arg);

/* Counts `n` bytes as gone from the queue. A negative `result` is the error for which they went. Completes the jobs
 * that wait for the queue to drain, where it has. */
void loop_own_leave(struct loop_own *own, size_t n, int64_t result);

/* Forgets the limit and the error of a sink that is being closed. */
void loop_own_forget(struct loop_own *own);

#endif
