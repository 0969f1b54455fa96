/* SPDX-License-Identifier: ISC
 *
 * Nodes, for the files of this folder.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_NODE_H
#define LOOP_KERNEL_SIMULATED_MACHINE_NODE_H

#include <loop/kernel/simulated/machine/machine.h>

/* Begins a node, with the caller's stack as its first fiber. */
void loop_sim_node_adopt(struct loop_sim_node *node);

/* Ends a node none of whose fibers runs. */
void loop_sim_node_stop(struct loop_sim_node *node, bool has_crashed);

/* Frees a node, which ends before if it runs. */
void loop_sim_node_destroy(struct loop_sim_node *node);

/* Calls these functions of the parts. */
void loop_sim_parts_world_created(struct loop_sim_world *world);
void loop_sim_parts_world_destroyed(struct loop_sim_world *world);

#endif
