/* SPDX-License-Identifier: ISC
 *
 * Operations on paths and open files that a worker does.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_PATH_H
#define LOOP_KERNEL_SIMULATED_RING_PATH_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

extern const struct loop_sim_ring_op loop_sim_ring_open, loop_sim_ring_statx, loop_sim_ring_fsync,
    loop_sim_ring_close_file;

#endif

#endif
