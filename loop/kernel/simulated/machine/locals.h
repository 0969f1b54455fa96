/* SPDX-License-Identifier: ISC
 *
 * Static variables of which each thread or process has its own.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_LOCALS_H
#define LOOP_KERNEL_SIMULATED_MACHINE_LOCALS_H

#include <loop/kernel/simulated/machine/state.h>

/* Returns memory for those of a thread or a process, which begin as zeros. */
void *loop_sim_locals_create(bool of_process);

/* Returns a copy of the present ones, or sets them and frees the copy. */
void *loop_sim_locals_save(bool of_process);
void loop_sim_locals_restore(bool of_process, void *saved);

/* Makes those of the fiber and of its node the present ones. */
void loop_sim_locals_switch(struct loop_sim_machine *machine, struct loop_sim_fiber *fiber);

#endif
