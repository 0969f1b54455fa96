/* SPDX-License-Identifier: ISC
 *
 * inotify: what happens to inodes, told to the instances that watch them, in the order in which Linux does.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_NOTIFY_H
#define LOOP_KERNEL_SIMULATED_DISK_NOTIFY_H

#include <loop/kernel/simulated/disk/inode.h>

#include <sys/inotify.h>

/* Tells what happened to the file of an entry: those who watch its directory with the name, then those who watch the
 * file. */
void loop_sim_notify(const struct loop_sim_entry *entry, uint32_t mask);

/* As loop_sim_notify, of a change that was not made by reading or writing: IN_EXCL_UNLINK does not hold it back. */
void loop_sim_notify_change(const struct loop_sim_entry *entry, uint32_t mask);

/* Tells those who watch an inode. */
void loop_sim_notify_inode(struct loop_sim_inode *inode, uint32_t mask);

/* Tells those who watch a directory that something happened to a name in it. */
void loop_sim_notify_name(struct loop_sim_inode *directory, const char *name, bool is_directory, uint32_t mask,
                          uint32_t cookie);

#endif
