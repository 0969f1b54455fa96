/* SPDX-License-Identifier: ISC
 *
 * The world of this thread, for the files that create worlds.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_CURRENT_H
#define LOOP_KERNEL_SIMULATED_MACHINE_CURRENT_H

#include <loop/kernel/simulated/machine/machine.h>

/* Makes a world that of this thread; NULL: none. */
void loop_sim_world_set_now(struct loop_sim_world *world);

#endif
