/* SPDX-License-Identifier: ISC
 *
 * The queue of a datagram socket.
 */
#ifndef NET_DATAGRAM_QUEUE_H
#define NET_DATAGRAM_QUEUE_H

#include <net/datagram/socket.h>

/* Appends a datagram to the queue, which owns it from then on. */
void loop_outgoing_enqueue(struct loop_datagram_socket *socket, struct loop_outgoing *outgoing);

/* Takes a datagram out of the queue and frees it. Its job, if there is one, is left alone. */
void loop_outgoing_discard(struct loop_outgoing *outgoing);

/* Takes a datagram out of the queue, frees it, and completes its job with `result`, or with what has been sent of a
 * train when that is an error. */
void loop_outgoing_complete(struct loop_outgoing *outgoing, int64_t result);

/* Takes a datagram out of the queue, counts it as failed, and completes its job with `error`. */
void loop_outgoing_fail(struct loop_outgoing *outgoing, int error);

/* Copies what is still queued in the memory of a batch, which is about to be given back. */
void loop_datagram_unlend(struct loop_datagram_batch *batch);

/* Resumes the jobs that wait for room, when there is some or `result` is an error. */
void loop_datagram_tell_drained(struct loop_datagram_socket *socket, int64_t result);

/* Returns a job that completes with `result` from the dispatch, or 0 when there is no memory. */
loop_job loop_datagram_answer(struct loop_scope *scope, int64_t result, loop_fn *fn, void *arg);

#endif
