/* SPDX-License-Identifier: ISC
 *
 * The operations by opcode.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_OPERATION_H
#define LOOP_KERNEL_SIMULATED_RING_OPERATION_H

#include <loop/kernel/simulated/ring/ring.h>

#if NORIA_URING

/* Returns the operation of an opcode that the node knows, or NULL. */
const struct loop_sim_ring_op *loop_sim_ring_op_of(const struct loop_sim_node *node, unsigned opcode);

#endif

#endif
