/* SPDX-License-Identifier: ISC
 *
 * The list of the parts of the simulated kernel, for the machine: see LOOP_SIM_PARTS.
 */
#ifndef LOOP_SIMULATION_PARTS_H
#define LOOP_SIMULATION_PARTS_H

#include <loop/kernel/simulated/machine/machine.h>

enum { LOOP_SIM_N_PARTS = 6 };

extern const struct loop_sim_part *const loop_sim_parts[LOOP_SIM_N_PARTS];

#endif
