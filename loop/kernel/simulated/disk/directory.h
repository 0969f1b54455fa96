/* SPDX-License-Identifier: ISC
 *
 * Open directories.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_DIRECTORY_H
#define LOOP_KERNEL_SIMULATED_DISK_DIRECTORY_H

#include <loop/kernel/simulated/disk/inode.h>

extern const struct loop_sim_file_kind loop_sim_directory_kind;

#endif
