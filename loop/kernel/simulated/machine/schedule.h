/* SPDX-License-Identifier: ISC
 *
 * The scheduler, for the files of this folder.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_SCHEDULE_H
#define LOOP_KERNEL_SIMULATED_MACHINE_SCHEDULE_H

#include <loop/kernel/simulated/machine/state.h>

/* Runs fibers and events. Returns why it has stopped; LOOP_SIM_STOP_REQUESTED also when `until` is to run. */
enum loop_sim_stop loop_sim_schedule(struct loop_sim_world *world, struct loop_sim_fiber *until);

/* Leaves the running fiber. Returns when it runs again; never when it has ended or its node has crashed. */
void loop_sim_leave(struct loop_sim_fiber *fiber);

#endif
