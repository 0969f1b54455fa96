/* SPDX-License-Identifier: ISC
 *
 * Events, for the scheduler.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_EVENT_H
#define LOOP_KERNEL_SIMULATED_MACHINE_EVENT_H

#include <loop/kernel/simulated/machine/machine.h>

/* Returns when the next event is due, or LOOP_SIM_NEVER. */
int64_t loop_sim_event_next_ns(const struct loop_sim_world *world);

/* Lets one of the events happen that are due first, and moves time there. There must be one. */
void loop_sim_event_happen(struct loop_sim_world *world);

#endif
