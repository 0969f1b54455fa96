/* SPDX-License-Identifier: ISC
 *
 * The sizes of files.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_SPACE_H
#define LOOP_KERNEL_SIMULATED_DISK_SPACE_H

#include <loop/kernel/simulated/disk/inode.h>

/* Sets the size of a regular file, and tells those who watch it. */
void loop_sim_entry_truncate(struct loop_sim_entry *entry, uint64_t size);

#endif
