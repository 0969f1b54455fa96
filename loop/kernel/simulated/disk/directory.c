/* SPDX-License-Identifier: ISC
 *
 * Open directories: getdents64(2) and their positions.
 */
#include <loop/kernel/simulated/disk/directory.h>
#include <loop/kernel/simulated/disk/notify.h>
#include <loop/kernel/simulated/disk/regular.h>
#include <loop/kernel/simulated/disk/special.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <loop/kernel/file.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* Positions: behind "." is 1, behind ".." 2, and behind an entry its cookie. In /proc/self/fd the cookie of a number is
 * the number + 3. */
enum { BEHIND_DOT = 1, BEHIND_DOTS = 2, FEW_ENTRIES = 4 };

/* ---- filling a buffer ---- */

struct listing {
    char *at;
    size_t room;
    unsigned most, count; /* entries */
    int64_t position;     /* behind the last one */
    uint64_t end;         /* the last cookie that is listed */
};

static bool is_full(const struct listing *listing)
{
    return listing->count == listing->most;
}

/* Adds an entry. Returns false when there is no room for it. */
static bool add(struct listing *listing, const char *name, const struct loop_sim_inode *inode, int64_t position)
{
    size_t len = strlen(name), size = (offsetof(struct dirent64, d_name) + len + 1 + 7) / 8 * 8;
    struct dirent64 head = {.d_ino = inode->number,
                            .d_off = position,
                            .d_reclen = (unsigned short)size,
                            .d_type = (unsigned char)IFTODT(inode->now.mode)};

    if (is_full(listing) || size > listing->room) {
        listing->most = listing->count;
        return false;
    }
    memset(listing->at, 0, size);
    memcpy(listing->at, &head, offsetof(struct dirent64, d_name));
    memcpy(listing->at + offsetof(struct dirent64, d_name), name, len);
    listing->at += size;
    listing->room -= size;
    listing->count++;
    listing->position = position;
    return true;
}

static void list_entries(struct listing *listing, const struct loop_sim_table *table)
{
    for (struct loop_list *link = table->entries.next; link != &table->entries && !is_full(listing);
         link = link->next) {
        const struct loop_sim_entry *entry = LOOP_CONTAINER(link, struct loop_sim_entry, link);
        if (entry->cookie > listing->end) {
            break;
        }
        if ((int64_t)entry->cookie > listing->position) {
            (void)add(listing, entry->name, entry->inode, (int64_t)entry->cookie);
        }
    }
}

static void list_numbers(struct listing *listing, struct loop_sim_node *node, struct loop_sim_entry *directory)
{
    char name[16];
    unsigned left = loop_sim_files_count(node);

    for (int number = 0; left > 0 && !is_full(listing); number++) {
        left -= loop_sim_file_at(node, number) != NULL;
        if (number + BEHIND_DOTS < listing->position) {
            continue;
        }
        snprintf(name, sizeof name, "%d", number);
        struct loop_sim_entry *entry = loop_sim_lookup(node, directory, name);
        if (entry) {
            (void)add(listing, name, entry->inode, number + BEHIND_DOTS + 1);
        }
        loop_sim_entry_unref(entry);
    }
}

static ssize_t list(struct loop_sim_file *file, void *entries, size_t size)
{
    struct loop_sim_open *open = (struct loop_sim_open *)(void *)file;
    struct loop_sim_entry *directory = open->entry;
    struct loop_sim_entry *above = directory->up ? directory->up : directory;
    unsigned few = loop_sim_choose(LOOP_SIM_SHORT_READ, FEW_ENTRIES);
    struct listing listing = {.at = entries, .room = size, .most = few ? few : UINT32_MAX, .position = file->position};

    if (directory->inode->is_dead) {
        return -ENOENT;
    }
    if (file->position == 0 || open->end == 0) {
        open->end = directory->inode->table.last_cookie; /* so a reader that renames what it reads reaches the end */
    }
    listing.end = open->end;
    if (listing.position < BEHIND_DOT) {
        (void)add(&listing, ".", directory->inode, BEHIND_DOT);
    }
    if (listing.position < BEHIND_DOTS && !is_full(&listing)) {
        (void)add(&listing, "..", above->inode, BEHIND_DOTS);
    }
    if (loop_sim_inode_has_numbers(directory->inode)) {
        list_numbers(&listing, file->node, directory);
    } else {
        list_entries(&listing, &directory->inode->table);
    }
    if (listing.count == 0 && listing.most == 0) {
        return -EINVAL;
    }
    file->position = listing.position;
    loop_sim_inode_accessed(directory->inode);
    loop_sim_notify(directory, IN_ACCESS);
    return listing.at - (char *)entries;
}

ssize_t loop_kernel_getdents64(int number, void *entries, size_t size)
{
    loop_sim_disk_wait();
    struct loop_sim_file *file = loop_sim_file_of(number);

    if (!file || file->flags & O_PATH) {
        return loop_sim_return(-EBADF);
    }
    return loop_sim_return(file->kind == &loop_sim_directory_kind ? list(file, entries, size) : -ENOTDIR);
}

/* ---- the kind ---- */

static ssize_t directory_read(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    (void)file;
    (void)move;
    return -EISDIR;
}

static int64_t directory_seek(struct loop_sim_file *file, int64_t offset, int whence)
{
    int64_t to = whence == SEEK_SET   ? offset
                 : whence == SEEK_CUR ? offset > INT64_MAX - file->position ? -1 : file->position + offset
                 : whence == SEEK_END ? INT64_MAX
                                      : -1;

    if (to < 0) {
        return -EINVAL;
    }
    return file->position = to;
}

const struct loop_sim_file_kind loop_sim_directory_kind = {
    .name = "directory",
    .read = directory_read,
    .status = loop_sim_open_status,
    .seek = directory_seek,
    .release = loop_sim_open_release,
    .is_always_ready = true,
    .has_offsets = true,
    .is_of_disk = true,
};
