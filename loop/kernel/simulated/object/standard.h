/* SPDX-License-Identifier: ISC
 *
 * How a process begins and ends.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_STANDARD_H
#define LOOP_KERNEL_SIMULATED_OBJECT_STANDARD_H

#include <loop/kernel/simulated/machine/machine.h>

/* What the descriptors do with nodes and worlds. */
extern const struct loop_sim_part loop_sim_object_part;

#endif
