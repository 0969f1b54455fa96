/* SPDX-License-Identifier: ISC
 *
 * Waiting for a file, for requests that would block.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_WAIT_H
#define LOOP_KERNEL_SIMULATED_RING_WAIT_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

/* Has a request wait for `events` of its file. Returns those that hold now: then it does not wait, unless it is to
 * stay for more. */
uint32_t loop_sim_request_arm(struct loop_sim_request *request, uint32_t events, bool stays);

/* Ends waiting for the file. */
void loop_sim_request_disarm(struct loop_sim_request *request);

/* Returns the events of a request's file that hold now, of those that it waits for. */
uint32_t loop_sim_request_look(const struct loop_sim_request *request);

#endif

#endif
