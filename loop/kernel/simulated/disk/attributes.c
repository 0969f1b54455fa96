/* SPDX-License-Identifier: ISC
 *
 * Status, and attributes that are read: stat(2), statx(2), statfs(2), access(2), readlink(2), getcwd(3).
 */
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/disk/resolve.h>
#include <loop/kernel/simulated/disk/special.h>

#include <loop/kernel/file.h>
#include <loop/kernel/path.h>

#include <linux/magic.h>
#include <string.h>
#include <sys/sysmacros.h>

#define SYNC_FLAGS (AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC)
#define STATUS_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)
#define RESERVED_MASK 0x80000000u
#define RELATIVE_TIMES 0x1020 /* what f_flags of a disk with relatime has */

static unsigned find_flags(int flags)
{
    return (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOP_SIM_FIND_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOP_SIM_FIND_EMPTY : 0);
}

/* ---- status ---- */

static int file_status(struct loop_sim_file *file, struct stat *status)
{
    return file->kind->status ? file->kind->status(file, status) : -ENOSYS;
}

/* The status of what a path names. `btime` may be NULL. */
static int status_of(struct loop_sim_node *node, int dir, const char *path, int flags, struct stat *status,
                     struct timespec *btime)
{
    bool is_itself = !path && flags & AT_EMPTY_PATH;
    struct loop_sim_find find = {.node = node, .dir = dir, .path = is_itself ? "" : path, .flags = find_flags(flags)};
    int error = loop_sim_find(&find);

    if (error == 0 && find.entry) {
        loop_sim_inode_status(find.entry->inode, status);
        if (btime) {
            *btime = find.entry->inode->btime;
        }
    } else if (error == 0) {
        error = file_status(find.file, status);
    }
    loop_sim_find_end(&find);
    return error;
}

static struct statx_timestamp stamp_of(struct timespec time)
{
    return (struct statx_timestamp){.tv_sec = time.tv_sec, .tv_nsec = (unsigned)time.tv_nsec};
}

int loop_sim_disk_statx(struct loop_sim_node *node, int dir, const char *path, int flags, unsigned mask,
                        struct statx *status)
{
    struct stat found = {.st_mode = 0};
    struct timespec btime = {.tv_sec = 0};

    if (flags & ~(STATUS_FLAGS | SYNC_FLAGS) || (flags & SYNC_FLAGS) == SYNC_FLAGS || mask & RESERVED_MASK) {
        return -EINVAL;
    }
    int error = status_of(node, dir, path, flags, &found, &btime);
    if (error < 0) {
        return error;
    }
    *status = (struct statx){
        .stx_mask = STATX_BASIC_STATS | (btime.tv_sec ? STATX_BTIME : 0),
        .stx_blksize = (unsigned)found.st_blksize,
        .stx_nlink = (unsigned)found.st_nlink,
        .stx_uid = found.st_uid,
        .stx_gid = found.st_gid,
        .stx_mode = (uint16_t)found.st_mode,
        .stx_ino = found.st_ino,
        .stx_size = (uint64_t)found.st_size,
        .stx_blocks = (uint64_t)found.st_blocks,
        .stx_atime = stamp_of(found.st_atim),
        .stx_btime = stamp_of(btime),
        .stx_ctime = stamp_of(found.st_ctim),
        .stx_mtime = stamp_of(found.st_mtim),
        .stx_rdev_major = major(found.st_rdev),
        .stx_rdev_minor = minor(found.st_rdev),
        .stx_dev_major = major(found.st_dev),
        .stx_dev_minor = minor(found.st_dev),
    };
    return 0;
}

int loop_kernel_statx(int dir, const char *path, int flags, unsigned mask, struct statx *status)
{
    loop_sim_disk_wait();
    return (int)loop_sim_return(loop_sim_disk_statx(loop_sim_here(), dir, path, flags, mask, status));
}

int loop_kernel_fstatat(int dir, const char *path, struct stat *status, int flags)
{
    loop_sim_disk_wait();
    if (flags & ~STATUS_FLAGS) {
        return (int)loop_sim_return(-EINVAL);
    }
    return (int)loop_sim_return(status_of(loop_sim_here(), dir, path, flags, status, NULL));
}

int loop_kernel_lstat(const char *path, struct stat *status)
{
    return loop_kernel_fstatat(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}

/* Takes no time: what the descriptor holds is in memory. */
int loop_kernel_fstat(int number, struct stat *status)
{
    struct loop_sim_file *file = loop_sim_file_of(number);

    return (int)loop_sim_return(file ? file_status(file, status) : -EBADF);
}

/* ---- file systems ---- */

static void fill_statfs(const struct loop_sim_disk *disk, enum loop_sim_device device, struct statfs *status)
{
    uint64_t size = disk->size_bytes ? disk->size_bytes : LOOP_SIM_DISK_ROOM;
    uint64_t pages = size / LOOP_SIM_PAGE_SIZE;
    uint64_t left = pages > disk->used_pages ? pages - disk->used_pages : 0;

    *status = (struct statfs){.f_type = device == LOOP_SIM_DEVICE_DISK   ? EXT4_SUPER_MAGIC
                                        : device == LOOP_SIM_DEVICE_PROC ? PROC_SUPER_MAGIC
                                                                         : TMPFS_MAGIC,
                              .f_bsize = LOOP_SIM_PAGE_SIZE,
                              .f_frsize = LOOP_SIM_PAGE_SIZE,
                              .f_namelen = NAME_MAX,
                              .f_flags = RELATIVE_TIMES};
    if (device != LOOP_SIM_DEVICE_PROC) {
        status->f_blocks = pages;
        status->f_bfree = status->f_bavail = left;
        status->f_files = pages;
        status->f_ffree = pages > disk->n_inodes ? pages - disk->n_inodes : 0;
    }
}

int loop_kernel_statfs(const char *path, struct statfs *status)
{
    loop_sim_disk_wait();
    struct loop_sim_find find = {.node = loop_sim_here(), .dir = AT_FDCWD, .path = path, .flags = LOOP_SIM_FIND_FOLLOW};
    int error = loop_sim_find(&find);

    if (error == 0 && find.entry) {
        fill_statfs(find.node->disk, find.entry->inode->device, status);
    } else if (error == 0) {
        error = -ENOSYS;
    }
    loop_sim_find_end(&find);
    return (int)loop_sim_return(error);
}

int loop_kernel_fstatfs(int number, struct statfs *status)
{
    struct loop_sim_file *file = loop_sim_file_of(number);
    const struct loop_sim_open *open = file ? loop_sim_open_of(file) : NULL;

    if (!open) {
        return (int)loop_sim_return(file ? -ENOSYS : -EBADF);
    }
    fill_statfs(file->node->disk, open->entry->inode->device, status);
    return 0;
}

/* ---- access ---- */

int loop_kernel_faccessat2(int dir, const char *path, int mode, int flags)
{
    loop_sim_disk_wait();
    if (mode & ~(R_OK | W_OK | X_OK) || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) {
        return (int)loop_sim_return(-EINVAL);
    }
    struct loop_sim_find find = {.node = loop_sim_here(), .dir = dir, .path = path, .flags = find_flags(flags)};
    int error = loop_sim_find(&find);
    if (error == 0) {
        error = find.entry ? loop_sim_inode_permits(find.entry->inode, mode) : 0;
    }
    loop_sim_find_end(&find);
    return (int)loop_sim_return(error);
}

int loop_kernel_faccessat(int dir, const char *path, int mode, int flags)
{
    return loop_kernel_faccessat2(dir, path, mode, flags);
}

/* ---- links and the working directory ---- */

static ssize_t read_link(struct loop_sim_node *node, int dir, const char *path, char *text, size_t size)
{
    char magic_text[PATH_MAX];
    struct loop_sim_find find = {.node = node, .dir = dir, .path = path, .flags = LOOP_SIM_FIND_EMPTY};
    int error = loop_sim_find(&find);
    struct loop_sim_inode *inode = error == 0 && find.entry ? find.entry->inode : NULL;
    const char *target = NULL;
    ssize_t len = error;

    if (inode && loop_sim_inode_is_magic_link(inode)) {
        target = magic_text;
        len = loop_sim_magic_text(node, inode, magic_text, sizeof magic_text);
    } else if (inode && S_ISLNK(inode->now.mode)) {
        target = inode->target;
        len = (ssize_t)strlen(target);
        loop_sim_inode_accessed(inode);
    } else if (error == 0) {
        len = *path ? -EINVAL : -ENOENT;
    }
    if (target && len > 0) {
        len = (size_t)len < size ? len : (ssize_t)size;
        memcpy(text, target, (size_t)len);
    }
    loop_sim_find_end(&find);
    return len;
}

ssize_t loop_kernel_readlinkat(int dir, const char *path, char *text, size_t size)
{
    loop_sim_disk_wait();
    if (size == 0 || size > INT_MAX) {
        return loop_sim_return(-EINVAL);
    }
    return loop_sim_return(read_link(loop_sim_here(), dir, path, text, size));
}

char *loop_kernel_getcwd(char *path, size_t size)
{
    const struct loop_sim_entry *current = loop_sim_here()->disk->current;
    char text[PATH_MAX];
    int len = current->inode->is_dead ? -ENOENT : loop_sim_entry_path(current, text, sizeof text);

    if (!path || len < 0 || (size_t)len >= size) {
        errno = !path || size == 0 ? EINVAL : len < 0 ? -len : ERANGE;
        return NULL;
    }
    return memcpy(path, text, (size_t)len + 1);
}

int loop_sim_disk_chdir(struct loop_sim_node *node, const char *path)
{
    struct loop_sim_find find = {
        .node = node, .dir = AT_FDCWD, .path = path, .flags = LOOP_SIM_FIND_FOLLOW | LOOP_SIM_FIND_DIRECTORY};
    int error = loop_sim_find(&find);

    if (error == 0) {
        error = loop_sim_inode_permits(find.entry->inode, X_OK);
    }
    if (error == 0) {
        loop_sim_entry_unref(node->disk->current);
        node->disk->current = find.entry;
        find.entry = NULL;
    }
    loop_sim_find_end(&find);
    return error;
}
