/* SPDX-License-Identifier: ISC
 *
 * Files that get their name when they are complete. Until then they have a temporary name in the same directory, or
 * none, and are removed when they are never completed.
 */
#include <fs/outcome.h>
#include <fs/temporary.h>
#include <loop/kernel/file.h>
#include <loop/kernel/path.h>
#include <loop/kernel/process.h>
#include <loop/loop.h>

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_TRIES 100

/* Makes a random name. Returns 0 or -EIO. */
static int make_name(char *name, size_t size)
{
    uint64_t number;

    if (loop_kernel_getrandom(&number, sizeof number, 0) != sizeof number) {
        return -EIO;
    }
    snprintf(name, size, ".%016" PRIx64 ".tmp", number);
    return 0;
}

/* Calls `take` with random names until one is free. Returns what `take` does, and keeps the name unless that is an
 * error. */
static int take_free_name(struct loop_fs_temporary *temporary, unsigned mode,
                          int (*take)(const struct loop_fs_temporary *temporary, unsigned mode))
{
    int result = -EEXIST;

    for (int i = 0; result == -EEXIST && i < NAME_TRIES; i++) {
        result = make_name(temporary->name, sizeof temporary->name);
        if (result == 0) {
            result = take(temporary, mode);
        }
    }
    if (result < 0) {
        temporary->name[0] = '\0';
    }
    return result;
}

static int create_at(int dir, const char *name, unsigned mode)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

    return (int)loop_fs_outcome(loop_kernel_openat(dir, name, flags, (mode_t)mode));
}

static int create(const struct loop_fs_temporary *temporary, unsigned mode)
{
    return create_at(temporary->dir, temporary->name, mode);
}

/* Finds the errors that can be known before anything is done, and what the file is to replace. Returns 0 or -errno. */
static int check_leaf(struct loop_fs_temporary *temporary)
{
    struct stat *status = &temporary->replaced;

    if (loop_kernel_fstatat(temporary->dir, temporary->leaf.name, status, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (temporary->is_exclusive) {
        return -EEXIST;
    }
    temporary->replaces = S_ISREG(status->st_mode);
    return S_ISDIR(status->st_mode) ? -EISDIR : 0;
}

/* Opens the current directory, where the path is relative to it: it may be another one by the time the file gets its
 * name. Returns 0 or -errno. */
static int hold_directory(struct loop_fs_temporary *temporary)
{
    temporary->dir = temporary->leaf.dir;
    if (temporary->dir == AT_FDCWD) {
        temporary->dir = (int)loop_fs_outcome(loop_kernel_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
        temporary->is_opened = temporary->dir >= 0;
    }
    return temporary->dir < 0 ? temporary->dir : 0;
}

/* Finds where the file is to be. A name that only a directory can have is refused. Returns 0 or -errno. */
static int begin(struct loop_fs_temporary *temporary, struct loop_fs_place at, const char *path, bool exclusive)
{
    *temporary = (struct loop_fs_temporary){.is_exclusive = exclusive, .dir = -1, .number = -1};
    int error = loop_fs_find_leaf(at, path, &temporary->leaf);
    if (error < 0) {
        return error;
    }
    error = hold_directory(temporary);
    if (error < 0) {
        return error;
    }
    const char *name = temporary->leaf.name;
    assert(*name);
    return name[strlen(name) - 1] == '/' || strcmp(name, ".") == 0 ? -EISDIR : 0;
}

/* Creates the file under a random name. A file that replaces another is private until it gets the other's permissions:
 * a process that opened it before could read what is written afterwards. Returns 0 or -errno. */
static int create_named(struct loop_fs_temporary *temporary, unsigned asked_mode)
{
    int error = check_leaf(temporary);

    if (error == 0) {
        temporary->number = take_free_name(temporary, temporary->replaces ? LOOP_FS_PRIVATE_MODE : asked_mode, create);
        error = temporary->number < 0 ? temporary->number : 0;
    }
    return error;
}

int loop_fs_temporary_make(struct loop_fs_temporary *temporary, struct loop_fs_place at, const char *path,
                           unsigned mode, bool exclusive)
{
    int error = begin(temporary, at, path, exclusive);

    return error < 0 ? error : create_named(temporary, mode);
}

int loop_fs_temporary_make_nameless(struct loop_fs_temporary *temporary, struct loop_fs_place at, const char *path,
                                    unsigned mode, bool exclusive)
{
    int error = begin(temporary, at, path, exclusive);

    if (error < 0) {
        return error;
    }
    temporary->number =
        (int)loop_fs_outcome(loop_kernel_openat(temporary->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)mode));
    temporary->is_nameless = temporary->number >= 0;
    return temporary->is_nameless ? 0 : create_named(temporary, LOOP_FS_PRIVATE_MODE);
}

int loop_fs_temporary_make_in_place(struct loop_fs_temporary *temporary, struct loop_fs_place at, const char *path,
                                    unsigned mode)
{
    int error = begin(temporary, at, path, true);

    if (error < 0) {
        return error;
    }
    temporary->number = create_at(temporary->dir, temporary->leaf.name, mode);
    temporary->is_in_place = temporary->number >= 0;
    return temporary->is_in_place ? 0 : temporary->number;
}

/* Gives a file without a name its first one. Linux before 6.10 finds the file by its descriptor only for privileged
 * processes, all others need /proc. Returns 0 or -errno. */
static int link_number(const struct loop_fs_temporary *temporary, const char *name)
{
    int number = temporary->number, dir = temporary->dir;
    char path[32];
    int result = (int)loop_fs_outcome(loop_kernel_linkat(number, "", dir, name, AT_EMPTY_PATH));

    if (result == -ENOENT) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", number);
        result = (int)loop_fs_outcome(loop_kernel_linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW));
    }
    return result;
}

static int link_temporary(const struct loop_fs_temporary *temporary, unsigned mode)
{
    (void)mode;
    return link_number(temporary, temporary->name);
}

/* Returns whether the reason may be one that holds for files without a name only: a filter, no /proc, the security of
 * links. */
static bool may_be_for_links(int result)
{
    return result == -ENOENT || result == -EPERM || result == -EACCES || result == -ENOSYS || result == -EINVAL ||
           result == -EOPNOTSUPP || result == -ELOOP || result == -EXDEV;
}

/* Gives a file without a name the one that it is for. Where that exists and is to be replaced, the file gets a
 * temporary name, to be renamed. Returns 0, with `is_nameless` when that is still to do, or -errno. */
static int name_nameless(struct loop_fs_temporary *temporary)
{
    int result = link_number(temporary, temporary->leaf.name);

    temporary->is_nameless = result == -EEXIST && !temporary->is_exclusive;
    if (temporary->is_nameless) {
        result = take_free_name(temporary, 0, link_temporary);
    }
    temporary->cannot_be_linked = may_be_for_links(result);
    return result;
}

static int name_plainly(const struct loop_fs_temporary *temporary)
{
    return (int)loop_fs_outcome(
        loop_kernel_renameat(temporary->dir, temporary->name, temporary->dir, temporary->leaf.name));
}

static bool is_directory(int dir, const char *name)
{
    struct stat status;

    return loop_kernel_fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

static int exchange(const struct loop_fs_temporary *temporary)
{
    int dir = temporary->dir;

    return (int)loop_fs_outcome(
        loop_kernel_renameat2(dir, temporary->name, dir, temporary->leaf.name, RENAME_EXCHANGE));
}

/* Exchanges the names, so that what is replaced can be restored. A directory is -EISDIR as with rename(2); an exchange
 * would accept it. Returns 0 or -errno. */
static int name_and_keep(struct loop_fs_temporary *temporary)
{
    assert(!temporary->keeps_old && !temporary->replaced_other);
    int result = exchange(temporary);

    if (result < 0) { /* nothing has that name, or the file system does not support it (NFS) */
        temporary->replaced_other = result != -ENOENT;
        return name_plainly(temporary);
    }
    if (is_directory(temporary->dir, temporary->name)) {
        result = exchange(temporary);
        return result < 0 ? result : -EISDIR;
    }
    temporary->keeps_old = true;
    return 0;
}

/* Gives the file its name unless that exists. On a file system that can not rename so (NFS) the file gets a second name
 * and loses the first. Returns 0 or -errno. */
static int name_exclusively(const struct loop_fs_temporary *temporary)
{
    int dir = temporary->dir;
    int result =
        (int)loop_fs_outcome(loop_kernel_renameat2(dir, temporary->name, dir, temporary->leaf.name, RENAME_NOREPLACE));

    if (result == -EINVAL || result == -ENOSYS) {
        result = (int)loop_fs_outcome(loop_kernel_linkat(dir, temporary->name, dir, temporary->leaf.name, 0));
        if (result == 0) {
            loop_kernel_unlinkat(dir, temporary->name, 0);
        }
    }
    return result;
}

/* Synchronises a directory. Not every file system can; those that can not have nothing to lose. Returns 0 or -errno. */
static int sync_directory(int number)
{
    int result = (int)loop_fs_outcome(loop_kernel_fsync(number));

    return result == -EINVAL || result == -EOPNOTSUPP ? 0 : result;
}

static int name_it(struct loop_fs_temporary *temporary, bool keep_old)
{
    assert(temporary->number >= 0 && (temporary->name[0] || temporary->is_nameless || temporary->is_in_place));
    if (loop_work_is_cancelled()) {
        return -ECANCELED;
    }
    if (temporary->is_in_place) {
        temporary->is_in_place = false;
        return 0;
    }
    if (temporary->is_nameless) {
        int result = name_nameless(temporary);
        if (result < 0 || !temporary->is_nameless) {
            return result;
        }
    }
    int result = temporary->is_exclusive ? name_exclusively(temporary)
                 : keep_old              ? name_and_keep(temporary)
                                         : name_plainly(temporary);
    if (result == 0 && !temporary->keeps_old) {
        temporary->name[0] = '\0';
    }
    return result;
}

/* Restores what was there before, because the file is not complete, or its new name is not on the disk; not when
 * another process has replaced it meanwhile. */
static void take_back(struct loop_fs_temporary *temporary)
{
    struct stat there, ours;
    int dir = temporary->dir;

    assert(!temporary->keeps_old || (temporary->name[0] && !temporary->is_exclusive));
    if (loop_kernel_fstatat(dir, temporary->leaf.name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
        loop_kernel_fstat(temporary->number, &ours) < 0 || there.st_ino != ours.st_ino || there.st_dev != ours.st_dev) {
        return;
    }
    if (temporary->keeps_old) {
        (void)exchange(temporary); /* ours is removed with the temporary name */
    } else if (!temporary->replaced_other) {
        (void)loop_kernel_unlinkat(dir, temporary->leaf.name, 0);
    }
}

/* Synchronises the file, gives it its name, and synchronises the directory, which is opened before there is a new name
 * in it. Returns 0 or -errno. */
static int name_and_sync(struct loop_fs_temporary *temporary)
{
    int dir = (int)loop_fs_outcome(loop_kernel_openat(temporary->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));

    if (dir < 0) {
        return dir;
    }
    int result = (int)loop_fs_outcome(loop_kernel_fsync(temporary->number));
    if (result == 0) {
        result = name_it(temporary, true);
    }
    if (result == 0) {
        result = sync_directory(dir);
        if (result < 0) {
            take_back(temporary);
        }
    }
    loop_kernel_close(dir);
    return result;
}

int loop_fs_temporary_publish(struct loop_fs_temporary *temporary, bool sync)
{
    return sync ? name_and_sync(temporary) : name_it(temporary, false);
}

void loop_fs_temporary_end(struct loop_fs_temporary *temporary)
{
    if (temporary->is_in_place) {
        take_back(temporary);
    }
    if (temporary->name[0]) {
        loop_kernel_unlinkat(temporary->dir, temporary->name, 0);
    }
    if (temporary->number >= 0) {
        loop_kernel_close(temporary->number);
    }
    if (temporary->is_opened) {
        loop_kernel_close(temporary->dir);
    }
    loop_fs_leave(&temporary->leaf);
}
