/* SPDX-License-Identifier: ISC
 *
 * Operations that poll.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_POLL_H
#define LOOP_KERNEL_SIMULATED_RING_POLL_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

extern const struct loop_sim_ring_op loop_sim_ring_poll, loop_sim_ring_poll_remove;

#endif

#endif
