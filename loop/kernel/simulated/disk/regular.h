/* SPDX-License-Identifier: ISC
 *
 * Open regular files and devices, and what all open files of the disk have in common.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_REGULAR_H
#define LOOP_KERNEL_SIMULATED_DISK_REGULAR_H

#include <loop/kernel/simulated/disk/inode.h>

extern const struct loop_sim_file_kind loop_sim_regular_kind, loop_sim_path_kind;

/* Returns the kind of a device, or NULL when there is none. */
const struct loop_sim_file_kind *loop_sim_device_kind(const struct loop_sim_inode *inode);

/* Parts of the kinds: status, and the end of an open file. */
int loop_sim_open_status(struct loop_sim_file *file, struct stat *status);
void loop_sim_open_release(struct loop_sim_file *file);

/* Takes the set-user-ID and set-group-ID bits from a file that is changed by a user other than root. Returns whether
 * there were any. */
bool loop_sim_inode_drop_privileges(struct loop_sim_inode *inode);

/* Returns how many of `len` bytes at `offset` a file may have, by RLIMIT_FSIZE and by its file system, or -EFBIG when
 * it is none. That limit sends SIGXFSZ. */
int64_t loop_sim_file_room(const struct loop_sim_file *file, int64_t offset, uint64_t len);

#endif
