/* SPDX-License-Identifier: ISC
 *
 * Resolving paths beneath a directory: by the kernel (openat2 with RESOLVE_BENEATH), or component by component where
 * the kernel can not, or a filter does not allow it.
 */
#include <fs/outcome.h>
#include <fs/resolve.h>
#include <fs/walk.h>
#include <loop/kernel/file.h>
#include <loop/kernel/path.h>
#include <loop/kernel/thread.h>

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* How often an openat2 is retried that a rename somewhere has disturbed, before the path is walked; and how often a
 * walk is. */
#define KERNEL_TRIES 100
#define WALK_TRIES 1000

/* ---- file systems ---- */

/* Returns whether the file system can open and examine a cached file without waiting: not one on a network, nor one
 * that a program serves. On a network this may wait as well. */
static bool is_local(int number)
{
    struct statfs fs;

    if (loop_kernel_fstatfs(number, &fs) < 0) {
        return false;
    }
    switch ((unsigned long)fs.f_type) {
    case EXT4_SUPER_MAGIC: /* and those before it */
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
    case SQUASHFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC: return true;
    default: return false;
    }
}

/* AT_STATX_DONT_SYNC: no server is asked. */
uint64_t loop_fs_device(int number)
{
    struct statx status;

    if (loop_kernel_statx(number, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &status) < 0) {
        return 0;
    }
    return (uint64_t)status.stx_dev_major << 32 | status.stx_dev_minor;
}

void loop_fs_find_system(int number, struct loop_fs_system *system)
{
    uint64_t device = loop_fs_device(number);

    if (device != system->device) {
        *system = (struct loop_fs_system){.device = device, .is_local = device && is_local(number)};
    }
}

void loop_fs_find_current_system(struct loop_fs_system *system)
{
    if (loop_fs_device(AT_FDCWD) == system->device) {
        return;
    }
    int number = (int)loop_fs_outcome(loop_kernel_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
    if (number >= 0) {
        loop_fs_find_system(number, system);
        loop_kernel_close(number);
    }
}

/* ---- opening ---- */

static int open_once(int number, const char *path, const struct open_how *how)
{
    return (int)loop_fs_outcome(loop_kernel_openat2(number, path, how));
}

/* Returns whether the walk supports the resolve flags. */
static bool can_walk(const struct open_how *how)
{
    return !(how->resolve & ~(uint64_t)(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS));
}

/* An open that resolves a path: by the kernel, or by the walk. */
typedef int opener(int number, const char *path, const struct open_how *how);

/* Opens a regular file, whose path has been resolved, by its link in /proc. Returns a descriptor or -errno. */
static int open_by_link(int found, const struct open_how *how)
{
    char path[32];
    struct stat status;
    int error = loop_fs_check_regular(found, &status);

    if (error) {
        return error;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", found);
    int flags = (int)how->flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW);
    return (int)loop_fs_outcome(loop_kernel_openat(AT_FDCWD, path, flags, 0));
}

/* Finds out why an open has ended with -EAGAIN: resolves the path, and opens what it has found, which no rename
 * disturbs. Returns -EAGAIN when another process has a lease on the file; a descriptor when there is none any more; or
 * another -errno, where the open has to be tried again. The descriptor is the result where nothing would be created or
 * cut: to close it would release the record locks that this process has on the file. */
static int open_disturbed(opener *resolve, int number, const char *path, const struct open_how *how)
{
    struct open_how find = {.flags = O_PATH | O_CLOEXEC | (how->flags & O_NOFOLLOW), .resolve = how->resolve};
    int found = how->flags & O_NONBLOCK ? resolve(number, path, &find) : -EBUSY;

    if (found < 0) {
        return -EBUSY;
    }
    int result = open_by_link(found, how);
    loop_kernel_close(found);
    if (result >= 0 && how->flags & (O_CREAT | O_TRUNC)) {
        loop_kernel_close(result);
        return -EBUSY;
    }
    return result;
}

/* Opens again for as long as renames disturb it, at most so many times. A lease may come between them. */
static int open_undisturbed(opener *resolve, int number, const char *path, const struct open_how *how, int tries)
{
    int result = resolve(number, path, how);

    for (int i = 0; result == -EAGAIN && i < tries; i++) {
        int found = open_disturbed(resolve, number, path, how);
        if (found >= 0 || found == -EAGAIN) {
            return found;
        }
        loop_kernel_sched_yield();
        result = resolve(number, path, how);
    }
    return result;
}

/* Returns whether a filter may have refused the call. The file may have refused it too: then the walk gets the same
 * error. */
static bool is_refusal(int result)
{
    return result == -ENOSYS || result == -EPERM || result == -EACCES;
}

static int open_confined(int number, const char *path, const struct open_how *how)
{
    bool is_for_cache = how->resolve & RESOLVE_CACHED;
    int result =
        is_for_cache ? open_once(number, path, how) : open_undisturbed(open_once, number, path, how, KERNEL_TRIES);

    if (can_walk(how) && (is_refusal(result) || result == -EAGAIN)) {
        return open_undisturbed(loop_fs_walk, number, path, how, WALK_TRIES);
    }
    return result;
}

/* Opens the directory itself, by its descriptor's link in /proc. A lookup of "." needs the permission to search, which
 * a directory that may only be read does not give. Without /proc it stays -EACCES. */
static int open_itself(int number, const struct open_how *how)
{
    char path[32];

    assert(number >= 0);
    if (how->flags & O_PATH) {
        return (int)loop_fs_outcome(loop_kernel_dup(number, 0));
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    int flags = (int)how->flags & ~O_NOFOLLOW;
    int result = (int)loop_fs_outcome(loop_kernel_openat(AT_FDCWD, path, flags, (mode_t)how->mode));
    return result == -ENOENT ? -EACCES : result;
}

/* Opens out of the kernel's cache, without leaving the file system. Returns -EAGAIN where that is not possible. */
static int open_cached(struct loop_fs_place at, const char *path, const struct open_how *asked)
{
    struct open_how how = *asked;

    assert(at.only_cached && at.is_confined);
    if (how.flags & (O_CREAT | O_TRUNC) || (how.flags & O_TMPFILE) == O_TMPFILE || how.resolve & RESOLVE_IN_ROOT) {
        return -EAGAIN;
    }
    how.flags |= O_CLOEXEC;
    how.resolve |= RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | RESOLVE_CACHED;
    int result = open_once(at.number, path, &how);
    return result >= 0 || result == -ENOENT || result == -ENOTDIR ? result : -EAGAIN;
}

int loop_fs_open_at(struct loop_fs_place at, const char *path, const struct open_how *asked)
{
    struct open_how how = *asked;

    if (at.only_cached) {
        return open_cached(at, path, asked);
    }

    how.flags |= O_CLOEXEC;
    if (at.is_confined) {
        how.resolve |= how.resolve & RESOLVE_IN_ROOT ? RESOLVE_NO_MAGICLINKS : RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
        int result = open_confined(at.number, path, &how);
        bool is_refused = result == -EACCES && at.number >= 0 && loop_fs_is_itself(path);
        return is_refused ? open_itself(at.number, &how) : result;
    }
    if (how.resolve == 0) {
        return (int)loop_fs_outcome(loop_kernel_openat(at.number, path, (int)how.flags, (mode_t)how.mode));
    }
    return open_once(at.number, path, &how);
}

int loop_fs_find(struct loop_fs_place at, const char *path, bool follow)
{
    struct open_how how = {.flags = O_PATH | (follow ? 0 : O_NOFOLLOW)};

    return loop_fs_open_at(at, path, &how);
}

/* Returns whether a path is the name of an entry in its directory: what has the name is beneath that, unless it is a
 * link. */
static bool is_one_name(const char *path)
{
    return *path && !strchr(path, '/') && strcmp(path, "..") != 0 && strcmp(path, ".") != 0;
}

/* With O_NONBLOCK the open of a file on which another process has a lease is -EAGAIN. */
int loop_fs_open_promptly(struct loop_fs_place at, const char *path, const struct open_how *asked)
{
    struct open_how how = *asked;

    how.flags |= O_NONBLOCK;
    int result = loop_fs_open_at(at, path, &how);
    bool is_leased = result == -EAGAIN && !at.only_cached && !(how.resolve & RESOLVE_CACHED);
    return is_leased ? loop_fs_open_at(at, path, asked) : result;
}

/* A name that is not followed needs nothing to keep it beneath its directory. openat2(2) takes a lock of the whole
 * machine for that. */
int loop_fs_open_plainly(struct loop_fs_place at, const char *path, int flags, unsigned mode)
{
    flags |= O_NOCTTY;
    struct open_how how = {.flags = (uint64_t)flags, .mode = mode};

    if (at.is_confined && !at.only_cached && is_one_name(path)) {
        int unfollowed = flags | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
        int result = (int)loop_fs_outcome(loop_kernel_openat(at.number, path, unfollowed, (mode_t)mode));
        if (result != -ELOOP && result != -ENOTDIR && result != -EAGAIN) {
            return result;
        }
    }
    return loop_fs_open_promptly(at, path, &how);
}

int loop_fs_check_regular(int number, struct stat *status)
{
    if (loop_kernel_fstat(number, status) < 0) {
        return -errno;
    }
    if (S_ISDIR(status->st_mode)) {
        return -EISDIR;
    }
    return S_ISREG(status->st_mode) ? 0 : -EINVAL;
}

/* ---- the last component ---- */

/* Returns the last component, and stores its length without the slashes behind it. */
static const char *find_last(const char *path, size_t *len)
{
    const char *end = path + strlen(path);

    while (end > path && end[-1] == '/') {
        end--;
    }
    const char *start = end;
    while (start > path && start[-1] != '/') {
        start--;
    }
    *len = (size_t)(end - start);
    return start;
}

/* ".." and "/" name a directory by the way to it: they are resolved as a whole, and the leaf is "." in it. */
int loop_fs_find_leaf(struct loop_fs_place at, const char *path, struct loop_fs_leaf *leaf)
{
    char parent[PATH_MAX];
    size_t len;
    const char *last = find_last(path, &len);
    bool is_whole = len == 0 || (len == 2 && memcmp(last, "..", 2) == 0);
    size_t parent_len = is_whole ? strlen(path) : (size_t)(last - path);

    *leaf = (struct loop_fs_leaf){.dir = at.number, .name = is_whole ? "." : last};
    if (*path == '\0') {
        return -ENOENT;
    }
    if (parent_len == 0) {
        return 0;
    }
    assert(parent_len < sizeof parent);
    memcpy(parent, path, parent_len);
    parent[parent_len] = '\0';
    struct open_how how = {.flags = O_PATH | O_DIRECTORY};
    leaf->dir = loop_fs_open_at(at, parent, &how);
    leaf->is_opened = leaf->dir >= 0;
    return leaf->is_opened ? 0 : leaf->dir;
}

void loop_fs_leave(const struct loop_fs_leaf *leaf)
{
    assert(!leaf->is_opened || leaf->dir >= 0);
    if (leaf->is_opened) {
        loop_kernel_close(leaf->dir);
    }
}
