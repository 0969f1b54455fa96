/* SPDX-License-Identifier: ISC
 *
 * rename(2), with RENAME_NOREPLACE and RENAME_EXCHANGE.
 */
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/disk/durable.h>
#include <loop/kernel/simulated/disk/names.h>
#include <loop/kernel/simulated/disk/notify.h>
#include <loop/kernel/simulated/disk/resolve.h>

#include <loop/kernel/path.h>

#include <assert.h>
#include <string.h>

/* One rename: what is moved, and where to. */
struct renaming {
    struct loop_sim_find from, to;
    unsigned flags;
    bool exchanges;
};

static bool is_directory(const struct loop_sim_entry *entry)
{
    return S_ISDIR(entry->inode->now.mode);
}

/* ---- checks ---- */

/* Returns 0, or why names are not renamed that have been found. */
static int check_names(const struct renaming *renaming)
{
    const struct loop_sim_find *from = &renaming->from, *to = &renaming->to;
    bool is_kept = renaming->flags & RENAME_NOREPLACE;

    if (from->last != LOOP_SIM_LAST_NAME || to->last != LOOP_SIM_LAST_NAME) {
        return from->last == LOOP_SIM_LAST_NAME && is_kept ? -EEXIST : -EBUSY;
    }
    if (from->up->inode->device != to->up->inode->device) {
        return -EXDEV;
    }
    if (!from->entry) {
        return -ENOENT;
    }
    if (is_kept && to->entry) {
        return -EEXIST;
    }
    if (renaming->exchanges && !to->entry) {
        return -ENOENT;
    }
    if (renaming->exchanges && to->has_slash && !is_directory(to->entry)) {
        return -ENOTDIR;
    }
    bool has_slash = from->has_slash || (!renaming->exchanges && to->has_slash);
    return has_slash && !is_directory(from->entry) ? -ENOTDIR : 0;
}

/* Returns 0, or why a directory would come to be below itself. */
static int check_circle(const struct renaming *renaming)
{
    if (loop_sim_entry_is_below(renaming->to.up, renaming->from.entry)) {
        return -EINVAL;
    }
    if (renaming->to.entry && loop_sim_entry_is_below(renaming->from.up, renaming->to.entry)) {
        return renaming->exchanges ? -EINVAL : -ENOTEMPTY;
    }
    return 0;
}

/* Returns 0, or why what is at the new name is not replaced. */
static int check_replaced(const struct renaming *renaming)
{
    const struct loop_sim_entry *from = renaming->from.entry, *to = renaming->to.entry;
    int error = to ? loop_sim_may_remove(to) : loop_sim_may_change(renaming->to.up);

    if (error < 0 || !to || renaming->exchanges) {
        return error;
    }
    if (is_directory(from) != is_directory(to)) {
        return is_directory(from) ? -ENOTDIR : -EISDIR;
    }
    return is_directory(to) && to->inode->table.count > 0 ? -ENOTEMPTY : 0;
}

/* Returns 0, or why a directory does not get another parent. */
static int check_moved(const struct loop_sim_entry *entry, const struct loop_sim_entry *up)
{
    return is_directory(entry) && entry->up != up ? loop_sim_inode_permits(entry->inode, W_OK) : 0;
}

/* Returns 0, or why what has been found is not renamed. */
static int check(const struct renaming *renaming)
{
    int error = loop_sim_may_remove(renaming->from.entry);

    if (error == 0) {
        error = check_replaced(renaming);
    }
    if (error == 0) {
        error = check_moved(renaming->from.entry, renaming->to.up);
    }
    if (error == 0 && renaming->exchanges) {
        error = check_moved(renaming->to.entry, renaming->from.up);
    }
    return error;
}

/* ---- moving ---- */

/* Moves an entry, which is in no table, to a directory. */
static void move(struct loop_sim_entry *entry, struct loop_sim_entry *up, const char *name)
{
    if (is_directory(entry)) {
        entry->up->inode->links--;
        up->inode->links++;
    }
    loop_sim_entry_rename(entry, up, name);
    loop_sim_table_add(&up->inode->table, entry);
    loop_sim_inode_changed(entry->inode);
}

static void record(const struct renaming *renaming)
{
    const struct loop_sim_find *from = &renaming->from, *to = &renaming->to;
    const struct loop_sim_naming namings[2] = {
        {from->up->inode, from->name, renaming->exchanges ? to->entry->inode : NULL},
        {to->up->inode, to->name, from->entry->inode},
    };

    loop_sim_inode_modified(from->up->inode);
    loop_sim_inode_modified(to->up->inode);
    loop_sim_renamed(from->node->disk, namings, 2);
}

/* Tells of an entry that has been moved, and what it has replaced. */
static void tell(const struct loop_sim_find *from, const struct loop_sim_find *to, const struct loop_sim_entry *moved,
                 const struct loop_sim_entry *replaced)
{
    uint32_t cookie = ++from->node->disk->last_cookie;

    loop_sim_notify_name(from->up->inode, from->name, is_directory(moved), IN_MOVED_FROM, cookie);
    loop_sim_notify_name(to->up->inode, to->name, is_directory(moved), IN_MOVED_TO, cookie);
    if (replaced) {
        loop_sim_notify_inode(replaced->inode, IN_ATTRIB);
    }
    loop_sim_notify_inode(moved->inode, IN_MOVE_SELF);
}

static void exchange(const struct renaming *renaming)
{
    const struct loop_sim_find *from = &renaming->from, *to = &renaming->to;

    loop_sim_table_remove(from->entry);
    loop_sim_table_remove(to->entry);
    move(from->entry, to->up, to->name);
    move(to->entry, from->up, from->name);
    record(renaming);
    tell(from, to, from->entry, NULL);
    tell(to, from, to->entry, NULL);
}

static void replace(const struct renaming *renaming)
{
    const struct loop_sim_find *from = &renaming->from, *to = &renaming->to;

    if (to->entry) {
        loop_sim_disk_unname(to->entry);
    }
    loop_sim_table_remove(from->entry);
    move(from->entry, to->up, to->name);
    record(renaming);
    tell(from, to, from->entry, to->entry);
}

static int rename_found(const struct renaming *renaming)
{
    int error = check(renaming);

    if (error == 0 && renaming->exchanges) {
        exchange(renaming);
    } else if (error == 0) {
        replace(renaming);
    }
    return error;
}

/* ---- calls ---- */

int loop_sim_disk_rename(struct loop_sim_node *node, int from, const char *from_path, int to, const char *to_path,
                         unsigned flags)
{
    struct renaming renaming = {
        .from = {.node = node, .dir = from, .path = from_path, .flags = LOOP_SIM_FIND_PARENT},
        .to = {.node = node, .dir = to, .path = to_path, .flags = LOOP_SIM_FIND_PARENT},
        .flags = flags,
        .exchanges = flags & RENAME_EXCHANGE,
    };

    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        flags == (unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        return -EINVAL;
    }
    int error = loop_sim_find(&renaming.from);
    if (error == 0) {
        error = loop_sim_find(&renaming.to);
    }
    if (error == 0) {
        error = check_names(&renaming);
    }
    if (error == 0) {
        error = check_circle(&renaming);
    }
    bool is_same = error == 0 && renaming.to.entry && renaming.from.entry->inode == renaming.to.entry->inode;
    if (error == 0 && !is_same) {
        error = rename_found(&renaming);
    }
    loop_sim_find_end(&renaming.from);
    loop_sim_find_end(&renaming.to);
    return error;
}

int loop_kernel_renameat2(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{
    loop_sim_disk_wait();
    return (int)loop_sim_return(loop_sim_disk_rename(loop_sim_here(), from, from_path, to, to_path, flags));
}

int loop_kernel_renameat(int from, const char *from_path, int to, const char *to_path)
{
    return loop_kernel_renameat2(from, from_path, to, to_path, 0);
}
