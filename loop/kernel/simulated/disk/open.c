/* SPDX-License-Identifier: ISC
 *
 * Opening: open(2), openat2(2).
 */
#include <loop/kernel/simulated/disk/directory.h>
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/disk/durable.h>
#include <loop/kernel/simulated/disk/notify.h>
#include <loop/kernel/simulated/disk/regular.h>
#include <loop/kernel/simulated/disk/resolve.h>
#include <loop/kernel/simulated/disk/space.h>
#include <loop/kernel/simulated/disk/special.h>

#include <loop/kernel/path.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LARGE_FILE 0100000 /* O_LARGEFILE, which the C library has as 0 */
#define ONLY_TMPFILE (O_TMPFILE & ~O_DIRECTORY)

#define KNOWN_FLAGS                                                                                                    \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_ASYNC |          \
     O_DIRECT | LARGE_FILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE)
#define PATH_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define KNOWN_RESOLVE                                                                                                  \
    (RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED)

/* Flags that are only of the opening. */
#define OPENING_FLAGS (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)

/* One opening. */
struct opening {
    struct loop_sim_node *node;
    int flags;
    mode_t mode;
    bool has_created;
    struct loop_sim_find find;
};

/* ---- flags ---- */

static bool creates(int flags)
{
    return flags & (O_CREAT | ONLY_TMPFILE);
}

/* Whether the file is opened for writing, or changed by being opened. */
static bool writes(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

struct open_how loop_sim_disk_how(int flags, mode_t mode)
{
    flags &= KNOWN_FLAGS;
    if (flags & O_PATH) {
        flags &= PATH_FLAGS;
    } else {
        flags |= LARGE_FILE;
    }
    return (struct open_how){.flags = (unsigned)flags, .mode = creates(flags) ? mode & 07777 : 0};
}

static int check_how(const struct open_how *how)
{
    int flags = (int)how->flags;
    bool is_wrong = how->flags & ~(uint64_t)KNOWN_FLAGS || how->resolve & ~(uint64_t)KNOWN_RESOLVE ||
                    how->mode & ~(uint64_t)(creates(flags) ? 07777 : 0);

    if (is_wrong || (how->resolve & RESOLVE_BENEATH && how->resolve & RESOLVE_IN_ROOT) ||
        (flags & O_DIRECTORY && flags & O_CREAT) || (flags & O_PATH && flags & ~PATH_FLAGS)) {
        return -EINVAL;
    }
    if (flags & ONLY_TMPFILE && (!(flags & O_DIRECTORY) || (flags & O_ACCMODE) == O_RDONLY)) {
        return -EINVAL;
    }
    return how->resolve & RESOLVE_CACHED && (creates(flags) || flags & O_TRUNC) ? -EAGAIN : 0;
}

/* ---- files that are made ---- */

/* Makes the file that was not there. */
static int create_file(struct opening *opening)
{
    struct loop_sim_find *find = &opening->find;
    int error = loop_sim_may_change(find->up);

    if (error == 0) {
        error = loop_sim_disk_take(find->up->inode, 1);
    }
    if (error < 0) {
        return error;
    }
    mode_t mode = opening->mode & ~opening->node->disk->umask;
    find->entry = loop_sim_disk_name(find->up, find->name, loop_sim_inode_make(find->up, S_IFREG | mode));
    loop_sim_inode_modified(find->up->inode);
    loop_sim_notify_name(find->up->inode, find->name, false, IN_CREATE, 0);
    opening->has_created = true;
    return 0;
}

/* Makes a file without a name in the directory that has been found. */
static int create_nameless(struct opening *opening)
{
    struct loop_sim_find *find = &opening->find;
    struct loop_sim_entry *directory = find->entry;
    char name[32];

    if (directory->inode->device != LOOP_SIM_DEVICE_DISK && directory->inode->device != LOOP_SIM_DEVICE_SHM) {
        return -EOPNOTSUPP;
    }
    int error = loop_sim_may_change(directory);
    if (error < 0) {
        return error;
    }
    struct loop_sim_inode *inode =
        loop_sim_inode_make(directory, S_IFREG | (opening->mode & ~opening->node->disk->umask));
    snprintf(name, sizeof name, "#%llu", (unsigned long long)inode->number);
    inode->can_be_linked = !(opening->flags & O_EXCL);
    find->entry = loop_sim_entry_create(directory, name, inode);
    loop_sim_entry_unref(directory);
    opening->has_created = true;
    return 0;
}

/* ---- files that are there ---- */

/* Returns 0, or why what was found is not opened so. */
static int check_kind(const struct opening *opening, const struct loop_sim_inode *inode)
{
    mode_t mode = inode->now.mode;
    int flags = opening->flags;

    if (S_ISLNK(mode)) {
        return -ELOOP;
    }
    if (S_ISDIR(mode) && (writes(flags) || flags & O_CREAT)) {
        return -EISDIR;
    }
    if (S_ISSOCK(mode)) {
        return -ENXIO;
    }
    bool is_direct = flags & O_DIRECT;
    bool can_be_direct = S_ISREG(mode) && inode->magic == LOOP_SIM_MAGIC_NONE;
    return is_direct && !can_be_direct ? -EINVAL : 0;
}

static int check_permission(const struct opening *opening, const struct loop_sim_inode *inode)
{
    int access = opening->flags & O_ACCMODE;
    int wanted = (access != O_WRONLY ? R_OK : 0) | (writes(opening->flags) ? W_OK : 0);
    int error = loop_sim_inode_permits(inode, wanted);

    return error == 0 && opening->flags & O_NOATIME && !loop_sim_inode_is_own(inode) ? -EPERM : error;
}

static const struct loop_sim_file_kind *kind_of(const struct opening *opening, const struct loop_sim_inode *inode,
                                                int *error)
{
    if (opening->flags & O_PATH) {
        return &loop_sim_path_kind;
    }
    if (S_ISREG(inode->now.mode)) {
        return &loop_sim_regular_kind;
    }
    const struct loop_sim_file_kind *kind =
        S_ISDIR(inode->now.mode) ? &loop_sim_directory_kind : loop_sim_device_kind(inode);
    if (!kind) {
        *error = -ENXIO;
    }
    return kind;
}

static struct loop_sim_inode *inode_of(struct loop_sim_fifo *fifo)
{
    return LOOP_CONTAINER(fifo, struct loop_sim_inode, fifo);
}

static int fifo_status(struct loop_sim_fifo *fifo, struct stat *status)
{
    loop_sim_inode_status(inode_of(fifo), status);
    return 0;
}

static void fifo_closed(struct loop_sim_fifo *fifo)
{
    loop_sim_inode_unref(inode_of(fifo));
}

/* Each of its files keeps the inode. */
static struct loop_sim_file *open_fifo(struct opening *opening, int *error)
{
    struct loop_sim_entry *entry = opening->find.entry;
    struct loop_sim_fifo *fifo = &entry->inode->fifo;

    fifo->status = fifo_status;
    fifo->closed = fifo_closed;
    struct loop_sim_file *file = loop_sim_fifo_open(opening->node, fifo, opening->flags & ~OPENING_FLAGS, error);
    if (file) {
        loop_sim_inode_ref(entry->inode);
        loop_sim_magic_refresh(entry->inode);
        loop_sim_notify(entry, IN_OPEN);
    }
    return file;
}

/* Returns the open file of what has been found. */
static struct loop_sim_file *make_open(struct opening *opening, int *error)
{
    struct loop_sim_entry *entry = opening->find.entry;

    if (S_ISFIFO(entry->inode->now.mode) && !(opening->flags & O_PATH)) {
        return open_fifo(opening, error);
    }
    const struct loop_sim_file_kind *kind = kind_of(opening, entry->inode, error);
    if (!kind) {
        return NULL;
    }
    struct loop_sim_open *open = loop_sim_alloc(sizeof *open);
    loop_sim_file_init(&open->file, kind, opening->node, opening->flags & ~OPENING_FLAGS);
    open->entry = loop_sim_entry_ref(entry);
    loop_list_init(&open->lock);
    if (opening->flags & O_PATH) {
        return &open->file;
    }
    loop_sim_magic_refresh(entry->inode);
    loop_sim_notify(entry, IN_OPEN);
    if (opening->flags & O_TRUNC && !opening->has_created && S_ISREG(entry->inode->now.mode)) {
        loop_sim_entry_truncate(entry, 0);
    }
    return &open->file;
}

/* ---- the whole ---- */

/* Returns 0, or why the last component is not opened so. */
static int check_last(const struct opening *opening)
{
    const struct loop_sim_find *find = &opening->find;

    if (!(opening->flags & O_CREAT)) {
        return 0;
    }
    if (find->entry && opening->flags & O_EXCL) {
        return -EEXIST;
    }
    return find->last == LOOP_SIM_LAST_NAME ? 0 : -EISDIR;
}

static int open_found(struct opening *opening)
{
    struct loop_sim_find *find = &opening->find;
    int error = check_last(opening);

    if (error == 0 && find->file) {
        error = -ENXIO; /* a socket or the like by its link in /proc */
    }
    if (error == 0 && !find->entry) {
        error = create_file(opening);
    } else if (error == 0 && opening->flags & ONLY_TMPFILE) {
        error = create_nameless(opening);
    }
    if (error == 0 && !(opening->flags & O_PATH)) {
        error = check_kind(opening, find->entry->inode);
    }
    if (error == 0 && !(opening->flags & O_PATH) && !opening->has_created) {
        error = check_permission(opening, find->entry->inode);
    }
    return error;
}

static unsigned find_flags(int flags)
{
    return (flags & O_NOFOLLOW ? 0 : LOOP_SIM_FIND_FOLLOW) | (flags & O_CREAT ? LOOP_SIM_FIND_CREATE : 0) |
           (flags & O_CREAT && flags & O_EXCL ? LOOP_SIM_FIND_EXCLUSIVE : 0) |
           (flags & O_DIRECTORY ? LOOP_SIM_FIND_DIRECTORY : 0);
}

struct loop_sim_file *loop_sim_disk_open(struct loop_sim_node *node, int dir, const char *path,
                                         const struct open_how *how, int *error)
{
    struct opening opening = {.node = node, .flags = (int)how->flags, .mode = (mode_t)how->mode};
    struct loop_sim_file *file = NULL;

    *error = check_how(how);
    if (*error < 0) {
        return NULL;
    }
    opening.find = (struct loop_sim_find){
        .node = node, .dir = dir, .path = path, .flags = find_flags(opening.flags), .resolve = how->resolve};
    *error = loop_sim_find(&opening.find);
    if (*error == 0) {
        *error = open_found(&opening);
    }
    if (*error == 0) {
        file = make_open(&opening, error);
    }
    loop_sim_find_end(&opening.find);
    return file;
}

/* ---- the door ---- */

static int open_number(int dir, const char *path, const struct open_how *how)
{
    struct loop_sim_node *node = loop_sim_here();
    int error;

    if (!(how->resolve & RESOLVE_CACHED)) {
        loop_sim_disk_wait();
    }
    int number = loop_sim_file_reserve(node, 0);
    if (number < 0) {
        return (int)loop_sim_return(number);
    }
    struct loop_sim_file *file = loop_sim_disk_open(node, dir, path, how, &error);
    if (!file) {
        return (int)loop_sim_return(error);
    }
    error = loop_sim_fifo_wait(file);
    if (error == 0 && loop_sim_file_at(node, number)) {
        number = error = loop_sim_file_reserve(node, 0); /* it was taken meanwhile */
    }
    if (error < 0) {
        loop_sim_file_unref(file);
        return (int)loop_sim_return(error);
    }
    loop_sim_file_put(node, number, file, (int)how->flags & O_CLOEXEC);
    return number;
}

int loop_kernel_openat2(int dir, const char *path, const struct open_how *how)
{
    return open_number(dir, path, how);
}

int loop_kernel_openat(int dir, const char *path, int flags, mode_t mode)
{
    struct open_how how = loop_sim_disk_how(flags, mode);

    return open_number(dir, path, &how);
}

int loop_kernel_open(const char *path, int flags, mode_t mode)
{
    return loop_kernel_openat(AT_FDCWD, path, flags, mode);
}
