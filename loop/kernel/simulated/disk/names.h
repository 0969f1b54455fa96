/* SPDX-License-Identifier: ISC
 *
 * Names that are removed.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_NAMES_H
#define LOOP_KERNEL_SIMULATED_DISK_NAMES_H

#include <loop/kernel/simulated/disk/inode.h>

/* Takes an entry out of its directory, and counts the links of its inode. */
void loop_sim_disk_unname(struct loop_sim_entry *entry);

/* Whether an entry may be removed, or replaced. Returns 0 or a negative errno. */
int loop_sim_may_remove(const struct loop_sim_entry *entry);

#endif
