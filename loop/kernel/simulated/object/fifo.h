/* SPDX-License-Identifier: ISC
 *
 * Pipes without a name.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_FIFO_H
#define LOOP_KERNEL_SIMULATED_OBJECT_FIFO_H

#include <loop/kernel/simulated/object/object.h>

/* Makes a pipe. Each of its files, for reading and writing, has one use. `flags`: O_NONBLOCK, O_DIRECT. */
void loop_sim_pipe_create(struct loop_sim_node *node, int flags, struct loop_sim_file *files[2]);

#endif
