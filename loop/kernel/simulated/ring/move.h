/* SPDX-License-Identifier: ISC
 *
 * Operations that read and write.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_MOVE_H
#define LOOP_KERNEL_SIMULATED_RING_MOVE_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

extern const struct loop_sim_ring_op loop_sim_ring_read, loop_sim_ring_readv, loop_sim_ring_read_fixed,
    loop_sim_ring_write, loop_sim_ring_writev, loop_sim_ring_write_fixed;

#endif

#endif
