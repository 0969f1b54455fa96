/* SPDX-License-Identifier: ISC
 *
 * The door: names of files.
 */
#ifndef LOOP_KERNEL_PATH_H
#define LOOP_KERNEL_PATH_H

#include <loop/kernel/door.h>

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What the C library may not know: glibc 2.35 some numbers, musl before 1.2.4 statx(2) and renameat2(2) too. */
#ifndef STATX_TYPE
#include <linux/stat.h>
#endif
#ifndef RENAME_NOREPLACE
#include <linux/fs.h>
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* ---- opening ---- */

/* The mode is that of a file that is created, otherwise 0. */
LOOP_KERNEL_CALL(int, loop_kernel_open, (const char *path, int flags, mode_t mode), open(path, flags, mode))
LOOP_KERNEL_CALL(int, loop_kernel_openat, (int dir, const char *path, int flags, mode_t mode),
                 openat(dir, path, flags, mode))

LOOP_KERNEL_CALL(int, loop_kernel_openat2, (int dir, const char *path, const struct open_how *how),
                 (int)syscall(SYS_openat2, dir, path, how, sizeof *how))

/* ---- attributes ---- */

LOOP_KERNEL_CALL(int, loop_kernel_lstat, (const char *path, struct stat *status), lstat(path, status))
LOOP_KERNEL_CALL(int, loop_kernel_fstatat, (int dir, const char *path, struct stat *status, int flags),
                 fstatat(dir, path, status, flags))
LOOP_KERNEL_CALL(int, loop_kernel_statx, (int dir, const char *path, int flags, unsigned mask, struct statx *status),
                 (int)syscall(SYS_statx, dir, path, flags, mask, status))
LOOP_KERNEL_CALL(int, loop_kernel_statfs, (const char *path, struct statfs *status), statfs(path, status))
LOOP_KERNEL_CALL(int, loop_kernel_faccessat, (int dir, const char *path, int mode, int flags),
                 faccessat(dir, path, mode, flags))
LOOP_KERNEL_CALL(int, loop_kernel_faccessat2, (int dir, const char *path, int mode, int flags),
                 (int)syscall(SYS_faccessat2, dir, path, mode, flags))
LOOP_KERNEL_CALL(int, loop_kernel_chmod, (const char *path, mode_t mode), chmod(path, mode))
LOOP_KERNEL_CALL(int, loop_kernel_fchmodat2, (int dir, const char *path, mode_t mode, int flags),
                 (int)syscall(SYS_fchmodat2, dir, path, mode, flags))
LOOP_KERNEL_CALL(int, loop_kernel_fchownat, (int dir, const char *path, uid_t user, gid_t group, int flags),
                 fchownat(dir, path, user, group, flags))
LOOP_KERNEL_CALL(int, loop_kernel_utimensat, (int dir, const char *path, const struct timespec times[2], int flags),
                 utimensat(dir, path, times, flags))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_getxattr, (const char *path, const char *name, void *value, size_t size),
                 getxattr(path, name, value, size))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_readlinkat, (int dir, const char *path, char *text, size_t size),
                 readlinkat(dir, path, text, size))

/* ---- making, changing and removing names ---- */

LOOP_KERNEL_CALL(int, loop_kernel_mkdirat, (int dir, const char *path, mode_t mode), mkdirat(dir, path, mode))
LOOP_KERNEL_CALL(int, loop_kernel_linkat, (int from, const char *from_path, int to, const char *to_path, int flags),
                 linkat(from, from_path, to, to_path, flags))
LOOP_KERNEL_CALL(int, loop_kernel_symlinkat, (const char *target, int dir, const char *path),
                 symlinkat(target, dir, path))
LOOP_KERNEL_CALL(int, loop_kernel_renameat, (int from, const char *from_path, int to, const char *to_path),
                 renameat(from, from_path, to, to_path))
LOOP_KERNEL_CALL(int, loop_kernel_renameat2,
                 (int from, const char *from_path, int to, const char *to_path, unsigned flags),
                 (int)syscall(SYS_renameat2, from, from_path, to, to_path, flags))
LOOP_KERNEL_CALL(int, loop_kernel_unlink, (const char *path), unlink(path))
LOOP_KERNEL_CALL(int, loop_kernel_unlinkat, (int dir, const char *path, int flags), unlinkat(dir, path, flags))

/* ---- the working directory ---- */

LOOP_KERNEL_CALL_POINTER(char *, loop_kernel_getcwd, (char *path, size_t size), getcwd(path, size))

#endif
