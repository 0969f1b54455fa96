/* SPDX-License-Identifier: ISC
 *
 * Reading and writing, for the sources of object/.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_IO_H
#define LOOP_KERNEL_SIMULATED_OBJECT_IO_H

#include <loop/kernel/simulated/object/object.h>

/* Wakes the queue of a file soon, with what holds then: after a call that was cut short by choice. */
void loop_sim_file_wake_later(struct loop_sim_file *file);

#endif
