/* SPDX-License-Identifier: ISC
 *
 * The descriptors of a node, for the sources of object/, and what else its process has.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_OBJECT_H
#define LOOP_KERNEL_SIMULATED_OBJECT_OBJECT_H

#include <loop/kernel/simulated/object/file.h>

#include <sys/resource.h>

struct loop_sim_standard;

/* A number of a descriptor table. */
struct loop_sim_descriptor {
    struct loop_sim_file *file; /* NULL: free */
    bool is_cloexec;
};

/* Uses by a fiber that waits, and memory that it needs meanwhile: dropped when the node stops. */
struct loop_sim_hold {
    struct loop_list link; /* in struct loop_sim_files */
    struct loop_sim_file **files;
    struct loop_sim_queue **queues;
    size_t count; /* of either; a file may be NULL */
};

/* Makes a hold of `count` files, to be filled in. Ended by loop_sim_file_let_go. */
struct loop_sim_hold *loop_sim_hold_create(size_t count);

/* What a process has beyond its fibers and signals. */
struct loop_sim_files {
    struct loop_sim_descriptor *table;
    unsigned size;         /* of the table */
    unsigned count;        /* open descriptors */
    unsigned lowest_free;  /* no lower number is free */
    struct loop_list held; /* struct loop_sim_hold: uses by fibers that wait */
    struct rlimit limits[RLIM_NLIMITS];
    uid_t user;
    gid_t group;
    uint64_t random; /* state of getrandom(2) */
    ino_t inodes;    /* counts pipes */
    struct loop_sim_standard *standard;
};

/* Returns the descriptors of a node; makes them when it has none yet. */
struct loop_sim_files *loop_sim_files_of(struct loop_sim_node *node);

/* Returns the file of a descriptor of the calling node that is not open by O_PATH, or NULL: EBADF. */
struct loop_sim_file *loop_sim_file_open_at(int number);

/* Gives the file of a descriptor of the calling node another number, the lowest free one from `least` on. Returns it,
 * or a negative errno. */
int loop_sim_file_duplicate(int number, int least, int flags);

/* The device and inode numbers of what is on no file system: for the `status` of pipes, event descriptors, ... */
int loop_sim_file_anonymous_status(struct stat *status, mode_t mode, ino_t inode);

/* The inode number that all descriptors without a file system share (anon_inode), and that of a new pipe. */
enum { LOOP_SIM_ANONYMOUS_INODE = 12 };
ino_t loop_sim_file_next_inode(struct loop_sim_node *node);

/* The `seek` of files that have no position, but accept lseek(2). */
int64_t loop_sim_file_seek_nowhere(struct loop_sim_file *file, int64_t offset, int whence);

#endif
