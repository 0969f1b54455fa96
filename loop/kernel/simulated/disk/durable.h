/* SPDX-License-Identifier: ISC
 *
 * What survives a crash. Written is not durable: an inode has content and attributes on the disk, and pieces that have
 * been written since; a directory has entries on the disk, and the disk a list of changes since.
 *
 * fsync of a file makes its content and attributes durable, but not its name: POSIX promises no more, though ext4 often
 * does more. fsync of a directory makes its entries durable. Changes of one directory become durable in their order, as
 * a journal keeps it, and a rename does so in both its directories at once.
 *
 * A crash decides for each piece whether it is lost, kept or torn, and for each directory which of its last changes are
 * lost. Where much is written without a sync the oldest becomes durable by itself, as by the kernel's writeback.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_DURABLE_H
#define LOOP_KERNEL_SIMULATED_DISK_DURABLE_H

#include <loop/kernel/simulated/disk/inode.h>

/* ---- what has been written ---- */

/* Records that a range has been written, punched or reserved, or the size set. To be called after the content has
 * changed. */
void loop_sim_wrote(struct loop_sim_inode *inode, uint64_t offset, size_t len);
void loop_sim_punched(struct loop_sim_inode *inode, uint64_t offset, uint64_t len);
void loop_sim_reserved(struct loop_sim_inode *inode, uint64_t offset, uint64_t len, bool keeps_size);
void loop_sim_truncated(struct loop_sim_inode *inode, uint64_t size);

/* Makes an inode durable: its content, and unless `data_only` its attributes; of a directory its entries. Returns 0 or
 * -EIO by choice: then what was written counts as clean, but is not durable. */
int loop_sim_inode_sync(struct loop_sim_inode *inode, bool data_only);

/* ---- changes of directories ---- */

/* A change: up to two names get other inodes. NULL: none, the name is removed. */
struct loop_sim_naming {
    struct loop_sim_inode *directory;
    const char *name;
    struct loop_sim_inode *inode;
};

/* Records a change that is made at once, or not at all. */
void loop_sim_renamed(struct loop_sim_disk *disk, const struct loop_sim_naming *namings, size_t count);

/* Gives an inode a name in a directory, and records that. Returns the new entry, counted. */
struct loop_sim_entry *loop_sim_disk_name(struct loop_sim_entry *up, const char *name, struct loop_sim_inode *inode);

/* ---- the whole disk ---- */

/* Makes all of the disk durable. */
void loop_sim_disk_sync_all(struct loop_sim_disk *disk);

/* Removes all entries but that of the root, with `durable_too` also those on the disk and the changes. Inodes live on
 * until loop_sim_disk_remember frees those that no entry names. */
void loop_sim_disk_forget(struct loop_sim_disk *disk, bool durable_too);
void loop_sim_disk_remember(struct loop_sim_disk *disk);

/* The power fails: decides what is kept, and makes that what there is. No file is open any more. */
void loop_sim_disk_crash(struct loop_sim_disk *disk);

#endif
