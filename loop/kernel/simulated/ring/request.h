/* SPDX-License-Identifier: ISC
 *
 * What becomes of requests, for the sources of ring/.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_REQUEST_H
#define LOOP_KERNEL_SIMULATED_RING_REQUEST_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

/* Tries a request for the first time, or gives it to a worker. */
void loop_sim_request_start(struct loop_sim_request *request);

/* Completes a request, and frees it. */
void loop_sim_request_complete(struct loop_sim_request *request, int32_t result);

/* Frees a request without a completion. */
void loop_sim_request_drop(struct loop_sim_request *request);

#endif

#endif
