/* SPDX-License-Identifier: ISC
 *
 * Finding what a path names, as path_resolution(7) and openat2(2) describe.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_RESOLVE_H
#define LOOP_KERNEL_SIMULATED_DISK_RESOLVE_H

#include <loop/kernel/simulated/disk/inode.h>

#include <linux/openat2.h>

/* How the last component is found. */
enum {
    LOOP_SIM_FIND_FOLLOW = 1 << 0,    /* follows a link at the end */
    LOOP_SIM_FIND_PARENT = 1 << 1,    /* finds the directory, and what the name there is, if anything: for changes */
    LOOP_SIM_FIND_EMPTY = 1 << 2,     /* AT_EMPTY_PATH: "" is what `dir` is */
    LOOP_SIM_FIND_CREATE = 1 << 3,    /* with FOLLOW: a name that is not there is found with entry == NULL */
    LOOP_SIM_FIND_DIRECTORY = 1 << 4, /* has to be a directory */
    LOOP_SIM_FIND_EXCLUSIVE = 1 << 5  /* with CREATE: a link at the end is not followed */
};

/* What the last component is. */
enum loop_sim_last { LOOP_SIM_LAST_NAME, LOOP_SIM_LAST_DOT, LOOP_SIM_LAST_DOTS, LOOP_SIM_LAST_ROOT };

/* What is looked for, and what has been found. */
struct loop_sim_find {
    struct loop_sim_node *node;
    int dir; /* a descriptor, or AT_FDCWD */
    const char *path;
    unsigned flags;
    uint64_t resolve; /* RESOLVE_... */

    struct loop_sim_entry *up;    /* the directory of the last name. Counted */
    struct loop_sim_entry *entry; /* what was found; NULL: nothing of the disk. Counted */
    struct loop_sim_file *file;   /* what a link of /proc/self/fd leads to that is not of the disk; else NULL */
    enum loop_sim_last last;
    bool has_slash; /* a slash follows the last name */
    char name[NAME_MAX + 1];
};

/* Finds what a path names. Returns 0 or a negative errno; loop_sim_find_end ends it in either case. */
int loop_sim_find(struct loop_sim_find *find);
void loop_sim_find_end(struct loop_sim_find *find);

#endif
