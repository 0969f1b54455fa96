/* SPDX-License-Identifier: ISC
 *
 * Rings as files, for the sources of ring/.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_SETUP_H
#define LOOP_KERNEL_SIMULATED_RING_SETUP_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

/* Returns the ring of a file, or NULL when it is none. */
struct loop_sim_ring *loop_sim_ring_of(struct loop_sim_file *file);

/* Returns whether the ring belongs to another fiber than the running one. */
bool loop_sim_ring_is_foreign(const struct loop_sim_ring *ring);

/* Returns the ring of a struct io_uring of the calling fiber, or NULL with the negative errno in *error: also for a
 * ring that belongs to another thread. */
struct loop_sim_ring *loop_sim_ring_to_register(const struct io_uring *ring, int *error);

#endif

#endif
