/* SPDX-License-Identifier: ISC
 *
 * The queues of a ring, for the sources of ring/.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_QUEUE_H
#define LOOP_KERNEL_SIMULATED_RING_QUEUE_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

/* Drops a use of the queues. */
void loop_sim_ring_memory_unref(struct loop_sim_ring_memory *memory);

/* ---- task work ---- */

/* Puts a request in line for task work. */
void loop_sim_request_queue(struct loop_sim_request *request, enum loop_sim_request_state state);

/* Runs up to `most` requests that are in line, and those that get in line meanwhile. */
void loop_sim_ring_run_work(struct loop_sim_ring *ring, unsigned most);

/* ---- completions ---- */

/* Returns how many completions the program has not taken. */
uint32_t loop_sim_ring_ready(const struct loop_sim_ring *ring);

/* Posts a completion; without room in the queue it is kept for the next enter. */
void loop_sim_ring_post(struct loop_sim_ring *ring, uint64_t user_data, int32_t result, uint32_t flags);

/* Posts one of many completions of a request. Returns false without room in the queue: then the request must end. */
bool loop_sim_ring_post_more(struct loop_sim_ring *ring, uint64_t user_data, int32_t result, uint32_t flags);

/* Moves completions that were kept into the queue, as far as there is room. */
void loop_sim_ring_flush(struct loop_sim_ring *ring);

#endif

#endif
