/* SPDX-License-Identifier: ISC
 *
 * Calls of the C library on the simulated kernel that take names of files, where the door has no function of the same
 * name and arguments. See simulated_calls.h.
 */
#include "simulated_calls_own.h"

#include <loop/kernel/all.h>
#include <loop/kernel/simulated/disk/disk.h>

#include <stdarg.h>

/* ---- opening ---- */

static bool takes_mode(int flags)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

int simulated_open(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = takes_mode(flags) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return loop_kernel_open(path, flags, mode);
}

int simulated_openat(int dir, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = takes_mode(flags) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return loop_kernel_openat(dir, path, flags, mode);
}

/* ---- attributes ---- */

int simulated_access(const char *path, int mode)
{
    return loop_kernel_faccessat(AT_FDCWD, path, mode, 0);
}

int simulated_chown(const char *path, uid_t user, gid_t group)
{
    return loop_kernel_fchownat(AT_FDCWD, path, user, group, 0);
}

int simulated_setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    int number = loop_kernel_open(path, O_RDONLY | O_CLOEXEC, 0);

    if (number < 0) {
        return -1;
    }
    int result = loop_kernel_fsetxattr(number, name, value, size, flags);
    loop_kernel_close(number);
    return result;
}

int simulated_stat(const char *path, struct stat *status)
{
    return loop_kernel_fstatat(AT_FDCWD, path, status, 0);
}

int simulated_truncate(const char *path, off_t size)
{
    int number = loop_kernel_open(path, O_WRONLY | O_CLOEXEC, 0);

    if (number < 0) {
        return -1;
    }
    int result = loop_kernel_ftruncate(number, size);
    loop_kernel_close(number);
    return result;
}

mode_t simulated_umask(mode_t mask)
{
    return loop_sim_disk_umask(loop_sim_here(), mask);
}

/* ---- names ---- */

int simulated_chdir(const char *path)
{
    return (int)loop_sim_return(loop_sim_disk_chdir(loop_sim_here(), path));
}

int simulated_link(const char *from, const char *to)
{
    return loop_kernel_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int simulated_mkdir(const char *path, mode_t mode)
{
    return loop_kernel_mkdirat(AT_FDCWD, path, mode);
}

char *simulated_mkdtemp(char *pattern)
{
    char *letters = pattern + strlen(pattern) - 6;

    for (unsigned number = 0; number < 1000000; number++) {
        snprintf(letters, 7, "%06u", number);
        if (simulated_mkdir(pattern, 0700) == 0) {
            return pattern;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return NULL;
}

int simulated_mkfifo(const char *path, mode_t mode)
{
    return (int)loop_sim_return(loop_sim_disk_mknod(loop_sim_here(), AT_FDCWD, path, S_IFIFO | mode));
}

ssize_t simulated_readlink(const char *path, char *text, size_t size)
{
    return loop_kernel_readlinkat(AT_FDCWD, path, text, size);
}

int simulated_remove(const char *path)
{
    int result = loop_kernel_unlinkat(AT_FDCWD, path, 0);

    return result < 0 && errno == EISDIR ? simulated_rmdir(path) : result;
}

int simulated_rename(const char *from, const char *to)
{
    return loop_kernel_renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int simulated_rmdir(const char *path)
{
    return loop_kernel_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int simulated_symlink(const char *target, const char *path)
{
    return loop_kernel_symlinkat(target, AT_FDCWD, path);
}

/* ---- directories ---- */

/* What a DIR points to. The kernel's entries have the shape of struct dirent. */
struct directory {
    int number;
    ssize_t length, next;
    _Alignas(struct dirent) char entries[4096];
};

DIR *simulated_opendir(const char *path)
{
    int number = loop_kernel_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    if (number < 0) {
        return NULL;
    }
    struct directory *directory = loop_sim_alloc(sizeof *directory);
    directory->number = number;
    return (DIR *)directory;
}

struct dirent *simulated_readdir(DIR *dir)
{
    struct directory *directory = (struct directory *)dir;

    if (directory->next == directory->length) {
        directory->next = 0;
        directory->length = loop_kernel_getdents64(directory->number, directory->entries, sizeof directory->entries);
        if (directory->length <= 0) {
            directory->length = 0;
            return NULL;
        }
    }
    struct dirent *entry = (struct dirent *)(void *)(directory->entries + directory->next);
    directory->next += entry->d_reclen;
    return entry;
}

int simulated_dirfd(DIR *dir)
{
    return ((struct directory *)dir)->number;
}

int simulated_closedir(DIR *dir)
{
    struct directory *directory = (struct directory *)dir;
    int result = loop_kernel_close(directory->number);

    loop_sim_free(directory);
    return result;
}

static int walk_entries(const char *path, __nftw_func_t fn)
{
    DIR *dir = simulated_opendir(path);
    char name[4096];
    int result = dir ? 0 : -1;

    for (struct dirent *entry; result == 0 && (entry = simulated_readdir(dir));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            result = simulated_nftw(name, fn, 0, FTW_DEPTH | FTW_PHYS);
        }
    }
    if (dir) {
        simulated_closedir(dir);
    }
    return result;
}

/* Always as with FTW_DEPTH and FTW_PHYS. `fn` is given no struct FTW. */
int simulated_nftw(const char *path, __nftw_func_t fn, int most_open, int flags)
{
    struct stat status;

    (void)most_open;
    (void)flags;
    if (loop_kernel_lstat(path, &status) < 0) {
        return -1;
    }
    if (S_ISDIR(status.st_mode)) {
        int result = walk_entries(path, fn);
        return result != 0 ? result : fn(path, &status, FTW_DP, NULL);
    }
    return fn(path, &status, S_ISLNK(status.st_mode) ? FTW_SL : FTW_F, NULL);
}
