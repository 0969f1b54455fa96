/* SPDX-License-Identifier: ISC
 *
 * Cancelling, and the operations that cancel or have to do with time.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_CANCEL_H
#define LOOP_KERNEL_SIMULATED_RING_CANCEL_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

/* What is to be cancelled. */
struct loop_sim_ring_match {
    uint64_t user_data;
    struct loop_sim_file *file; /* of IORING_ASYNC_CANCEL_FD */
    uint32_t flags;
};

/* Cancels what matches. Returns how many with IORING_ASYNC_CANCEL_ALL or _ANY; else 0, -ENOENT, or -EALREADY for what
 * cannot be stopped. */
int loop_sim_ring_cancel(struct loop_sim_ring *ring, const struct loop_sim_ring_match *match);

extern const struct loop_sim_ring_op loop_sim_ring_async_cancel, loop_sim_ring_timeout, loop_sim_ring_timeout_remove;

#endif

#endif
