/* SPDX-License-Identifier: ISC
 *
 * Paths resolved beneath a directory: opening what they name, and finding the directory of the last component.
 */
#ifndef FS_RESOLVE_H
#define FS_RESOLVE_H

#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

/* From where a path is resolved: a descriptor's number or AT_FDCWD. */
struct loop_fs_place {
    int number;
    bool is_confined;
    bool only_cached; /* on a local file system: what would have to wait for a disk is -EAGAIN */
};

/* The file system that a directory is on. */
struct loop_fs_system {
    uint64_t device; /* 0: not known */
    bool is_local;   /* opens and examines a cached file without waiting for a network or for another process */
};

/* Finds out which file system a directory is on, where it is not that in `*system`. May wait for a network. */
void loop_fs_find_system(int number, struct loop_fs_system *system);

/* Finds out which file system the current directory is on, as loop_fs_find_system does. Another thread may change the
 * directory meanwhile: the answer is about one of them. */
void loop_fs_find_current_system(struct loop_fs_system *system);

/* Returns the device that a directory, or AT_FDCWD, is on, or 0. Never waits. */
uint64_t loop_fs_device(int number);

/* Calls openat2(2) at a place, with its confinement added. Returns a descriptor (CLOEXEC) or -errno. */
int loop_fs_open_at(struct loop_fs_place at, const char *path, const struct open_how *how);

/* Opens whatever has that name with O_PATH, which opens nothing for reading or writing. Returns a descriptor or
 * -errno. */
int loop_fs_find(struct loop_fs_place at, const char *path, bool follow);

/* Calls openat2(2) at a place as loop_fs_open_at does, without waiting for the other end of a fifo. A file on which
 * another process has a lease is opened when that is given up. Returns a descriptor, which may have O_NONBLOCK, or
 * -errno. */
int loop_fs_open_promptly(struct loop_fs_place at, const char *path, const struct open_how *how);

/* Opens as loop_fs_open_promptly does, and without getting a terminal: for threads of the pool. Returns a descriptor or
 * -errno. */
int loop_fs_open_plainly(struct loop_fs_place at, const char *path, int flags, unsigned mode);

/* Returns 0 and the status for a regular file, which has an end and never waits for another process; otherwise -EISDIR
 * or -EINVAL. */
int loop_fs_check_regular(int number, struct stat *status);

/* The directory that a path's last component is in, and that component. A call that is given both, and does not follow
 * links, can not leave the directory. */
struct loop_fs_leaf {
    int dir;
    bool is_opened;   /* `dir` is to be closed */
    const char *name; /* a part of the path, with its slashes at the end, or "." */
};

/* Finds the leaf of a path. Returns 0 or -errno. A leaf that was found is given back with loop_fs_leave. */
int loop_fs_find_leaf(struct loop_fs_place at, const char *path, struct loop_fs_leaf *leaf);

/* Closes the leaf's directory, where loop_fs_find_leaf has opened it. */
void loop_fs_leave(const struct loop_fs_leaf *leaf);

#endif
