/* SPDX-License-Identifier: ISC
 *
 * What a file takes over from the one that it replaces: permissions, access control list, owner and group. The new file
 * is private until all of that is in place, and never allows more than the old one did.
 */
#include <fs/inherit.h>
#include <fs/outcome.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>

#include <assert.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>

static const char acl_name[] = "system.posix_acl_access";

#define SET_ID ((mode_t)(S_ISUID | S_ISGID))

/* Returns the permissions with those of others for the group, where it is not the group that they were given to. */
static mode_t without_group(mode_t mode)
{
    return mode & (~(mode_t)S_IRWXG | (mode & S_IRWXO) << 3);
}

/* Gives the new file the owner and group, where that is allowed. Returns the permissions that it may have: the group's
 * are for that group alone, and the set-user-ID and set-group-ID bits for that owner and group. */
static mode_t pass_owner(const struct stat *from, int to)
{
    struct stat own;

    if (loop_kernel_fstat(to, &own) == 0 && own.st_uid == from->st_uid && own.st_gid == from->st_gid) {
        return from->st_mode;
    }
    if (loop_kernel_fchown(to, from->st_uid, from->st_gid) == 0) {
        return from->st_mode;
    }
    mode_t mode = from->st_mode & ~SET_ID;
    return loop_kernel_fchown(to, (uid_t)-1, from->st_gid) == 0 ? mode : without_group(mode);
}

/* Asks for the access control list by a path, or by a number where the path is NULL. Returns its length or -errno. */
static int64_t get_acl(const char *path, int number, void *acl, size_t size)
{
    return loop_fs_outcome(path ? loop_kernel_getxattr(path, acl_name, acl, size)
                                : loop_kernel_fgetxattr(number, acl_name, acl, size));
}

/* Reads the access control list into memory that the caller frees. Returns its length or -errno. Another process may
 * make it longer meanwhile, so there is room for the longest. */
static int64_t read_acl_of(const char *path, int number, void **acl)
{
    int64_t len = get_acl(path, number, NULL, 0);

    if (len <= 0) {
        return len;
    }
    *acl = loop_kernel_malloc(XATTR_SIZE_MAX);
    return *acl ? get_acl(path, number, *acl, XATTR_SIZE_MAX) : -ENOMEM;
}

/* Opens the file at `from`, which may be open with O_PATH, for reading by its name. Returns -errno where the name is
 * another's by now. */
static int open_again(const struct loop_fs_temporary *temporary, int from)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int number = (int)loop_fs_outcome(loop_kernel_openat(temporary->dir, temporary->leaf.name, flags, 0));
    struct stat one, other;

    if (number >= 0 && (loop_kernel_fstat(number, &one) < 0 || loop_kernel_fstat(from, &other) < 0 ||
                        one.st_dev != other.st_dev || one.st_ino != other.st_ino)) {
        loop_kernel_close(number);
        return -ESTALE;
    }
    return number;
}

/* Reads the access control list of the file at `from`: by its link in /proc, and without /proc by opening it again.
 * Returns its length, 0 when there is none, or -errno. The caller frees it. */
static int64_t read_acl(const struct loop_fs_temporary *temporary, int from, void **acl)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", from);
    *acl = NULL;
    int64_t len = read_acl_of(path, -1, acl);
    int number = len == -ENOENT ? open_again(temporary, from) : -1;
    if (number >= 0) {
        len = read_acl_of(NULL, number, acl);
        loop_kernel_close(number);
    }
    return len == -ENODATA || len == -EOPNOTSUPP || len == -ENOSYS ? 0 : len;
}

/* Gives the new file the access control list. Where there is one, the permissions of the group are the most that it
 * grants anyone: without it the group can not have them, nor where it is not known whether there is one. A list that
 * the new file got from its directory is removed when the old one had none. Returns the permissions that the new file
 * may have. */
static mode_t pass_acl(const struct loop_fs_temporary *temporary, int from, mode_t mode)
{
    int to = temporary->number;
    void *acl;

    assert(from >= 0 && to >= 0 && from != to);
    int64_t len = read_acl(temporary, from, &acl);
    if (len <= 0) {
        (void)loop_kernel_fremovexattr(to, acl_name);
    }
    if (len < 0 || (len > 0 && loop_kernel_fsetxattr(to, acl_name, acl, (size_t)len, 0) < 0)) {
        mode = without_group(mode);
    }
    loop_kernel_free(acl);
    return mode;
}

/* Passes on what the file at `from` has. Returns whether it is a regular file, and stores the permissions that the new
 * one may have. */
static bool pass_on(const struct loop_fs_temporary *temporary, int from, mode_t *mode)
{
    struct stat status;
    bool is_file = loop_kernel_fstat(from, &status) == 0 && S_ISREG(status.st_mode);

    if (is_file) {
        *mode = pass_acl(temporary, from, pass_owner(&status, temporary->number));
    }
    return is_file;
}

/* Passes on what the file to be replaced had, if it was one and is gone by now. Its access control list is not known:
 * the permissions of the group may be those of the list. Stores the permissions that the new one may have. */
static void pass_on_gone(const struct loop_fs_temporary *temporary, mode_t *mode)
{
    if (temporary->replaces) {
        *mode = without_group(pass_owner(&temporary->replaced, temporary->number) & ~SET_ID);
    }
}

int64_t loop_fs_inherit(const struct loop_fs_temporary *temporary)
{
    bool is_there = false;
    mode_t mode = 0;

    assert(temporary->number >= 0 && temporary->dir >= 0);
    assert(!temporary->is_exclusive || !temporary->replaces);
    if (temporary->is_exclusive) {
        return 0;
    }
    int from = (int)loop_fs_outcome(
        loop_kernel_openat(temporary->dir, temporary->leaf.name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0));
    if (from < 0 && from != -ENOENT) {
        return from;
    }
    if (from >= 0) {
        is_there = pass_on(temporary, from, &mode);
        loop_kernel_close(from);
    }
    if (!is_there) {
        pass_on_gone(temporary, &mode);
    }
    bool inherits = is_there || temporary->replaces;
    return inherits ? loop_fs_outcome(loop_kernel_fchmod(temporary->number, mode & (SET_ID | 0777))) : 0;
}
