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

/* Frees what a node keeps of mutexes, conditions and calls made once. */
void loop_sim_threads_clear(struct loop_sim_node *node);

/* Frees all that a node has allocated through the door; of no node where it is NULL. */
void loop_sim_memory_clear(struct loop_sim_world *world, struct loop_sim_node *node);

/* Frees the table itself. */
void loop_sim_memory_destroy(struct loop_sim_world *world);

#endif
