/* SPDX-License-Identifier: ISC
 *
 * Submission, for the call that enters a ring.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_SUBMIT_H
#define LOOP_KERNEL_SIMULATED_RING_SUBMIT_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

/* Submits up to `count` entries. Returns how many were taken, or -EAGAIN when the kernel is short of memory. */
int loop_sim_ring_submit(struct loop_sim_ring *ring, unsigned count);

#endif

#endif
