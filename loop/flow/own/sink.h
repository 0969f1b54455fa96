/* SPDX-License-Identifier: ISC
 *
 * The queue of a sink of the program's own.
 */
#ifndef LOOP_FLOW_OWN_SINK_H
#define LOOP_FLOW_OWN_SINK_H

#include <loop/flow/own/own.h>

/* Whether the library keeps a queue for the sink: not for a descriptor's, nor for those that take all at once. */
bool loop_sink_is_own(const struct loop_sink *sink);

/* Whether the next write is refused: the queue is at its limit, or a writer doesn't know yet that it was. */
bool loop_own_is_full(const struct loop_own *own);

/* Starts a job that ends when at most half of the limit is queued, or with the error of the last write. */
loop_job loop_own_drained(struct loop_own *own, loop_fn *fn, void *arg);

/* Counts `n` more bytes as gone from the queue. A negative `result` is the error for which they went. Completes the
 * jobs that wait for the queue to drain. */
void loop_own_leave(struct loop_own *own, size_t n, int64_t result);

/* Gives the record back where there is nothing to keep. */
void loop_own_settle(struct loop_own *own);

/* Forgets the sink's limit and its error: it is closed. */
void loop_own_forget(struct loop_own *own);

#endif
