/* SPDX-License-Identifier: ISC
 *
 * What is no file of the disk: /dev and /proc.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_SPECIAL_H
#define LOOP_KERNEL_SIMULATED_DISK_SPECIAL_H

#include <loop/kernel/simulated/disk/inode.h>

/* Returns the entry of a name in a directory, new and counted where it is of /proc; NULL: there is none. The result is
 * counted in either case. */
struct loop_sim_entry *loop_sim_lookup(struct loop_sim_node *node, struct loop_sim_entry *directory, const char *name);

/* Returns the text of a link in /proc that leads to an object: its length, or a negative errno. */
int loop_sim_magic_text(const struct loop_sim_node *node, const struct loop_sim_inode *link, char *text, size_t size);

/* Makes the content of a file in /proc what it is now. */
void loop_sim_magic_refresh(struct loop_sim_inode *inode);

/* Makes /dev, /dev/shm and /proc. */
void loop_sim_special_create(struct loop_sim_disk *disk);

/* Gives /proc/self the number of the process that starts. */
void loop_sim_special_start(struct loop_sim_disk *disk);

#endif
