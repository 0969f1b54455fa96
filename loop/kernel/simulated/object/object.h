/* SPDX-License-Identifier: ISC
 *
 * What the sources of object/ share: the descriptors of a node, and what else its process has.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_OBJECT_H
#define LOOP_KERNEL_SIMULATED_OBJECT_OBJECT_H

#include <loop/kernel/simulated/object/file.h>

#include <linux/time_types.h>
#include <signal.h>
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

/* Returns the process id of a node. */
pid_t loop_sim_process_id(const struct loop_sim_node *node);

/* Wakes the queue of a file soon, with what holds then: after a call that was cut short by choice. */
void loop_sim_file_wake_later(struct loop_sim_file *file);

/* Returns the file of a descriptor of the calling node that is not open by O_PATH, or NULL: EBADF. */
struct loop_sim_file *loop_sim_file_open_at(int number);

/* Gives the file of a descriptor of the calling node another number, the lowest free one from `least` on. Returns it,
 * or a negative errno. */
int loop_sim_file_duplicate(int number, int least, int flags);

/* Begins and ends the signals of a node. */
void loop_sim_signals_start(struct loop_sim_node *node);
void loop_sim_signals_stop(struct loop_sim_node *node);

/* Calls the handlers of the signals that are pending for the running fiber, and does what the others do by default.
 * Returns whether a call that they have interrupted goes on: there was a handler, and all have SA_RESTART. */
bool loop_sim_signals_handle(void);

/* The device and inode numbers of what is on no file system: for the `status` of pipes, event descriptors, ... */
int loop_sim_file_anonymous_status(struct stat *status, mode_t mode, ino_t inode);

/* The inode number that all descriptors without a file system share (anon_inode), and that of a new pipe. */
enum { LOOP_SIM_ANONYMOUS_INODE = 12 };
ino_t loop_sim_file_next_inode(struct loop_sim_node *node);

/* The `seek` of files that have no position, but accept lseek(2). */
int64_t loop_sim_file_seek_nowhere(struct loop_sim_file *file, int64_t offset, int whence);

/* Returns the time at which a timeout ends: LOOP_SIM_NEVER without one, -EINVAL of a wrong one. */
int64_t loop_sim_time_until(const struct __kernel_timespec *timeout);
int64_t loop_sim_time_until_ms(int timeout_ms); /* never of a negative one */

/* Another set of blocked signals for the time of a call: NULL changes nothing. A signal that it does not block and that
 * is pending interrupts the call before it begins. */
struct loop_sim_mask_change {
    uint64_t before;
    bool is_interrupted;
};
struct loop_sim_mask_change loop_sim_mask_begin(const sigset_t *mask);
void loop_sim_mask_end(const struct loop_sim_mask_change *change);

/* Returns a set of signals as bits, without SIGKILL and SIGSTOP: bit n - 1 is signal n. */
uint64_t loop_sim_signal_bits(const sigset_t *set);

/* ---- pipes ---- */

extern const struct loop_sim_file_kind loop_sim_pipe_kind;

/* Returns the size of a pipe in bytes (F_GETPIPE_SZ), or sets it (F_SETPIPE_SZ). The file must be a pipe's. */
int loop_sim_pipe_size(struct loop_sim_file *file);
int loop_sim_pipe_resize(struct loop_sim_file *file, int bytes);

/* Returns whether the ends are of one pipe. */
bool loop_sim_pipe_is_same(const struct loop_sim_file *one, const struct loop_sim_file *other);

/* Returns the oldest bytes of a pipe that are in one piece, and their number; 0 and NULL when it is empty. `has_ended`
 * tells whether nothing more can come. */
const void *loop_sim_pipe_peek(struct loop_sim_file *file, size_t *len, bool *has_ended);

/* Removes bytes that loop_sim_pipe_peek has returned. */
void loop_sim_pipe_drop(struct loop_sim_file *file, size_t len);

/* Returns how many bytes loop_sim_pipe_append may append: those of the free pages. */
size_t loop_sim_pipe_room(struct loop_sim_file *file, bool *has_readers);

/* Appends bytes in pages of their own. */
void loop_sim_pipe_append(struct loop_sim_file *file, const void *data, size_t len);

/* The pipe has become one of packets. */
void loop_sim_pipe_make_packets(struct loop_sim_file *file);

/* Makes a pipe. Each of its files, for reading and writing, has one use. `flags`: O_NONBLOCK, O_DIRECT. */
void loop_sim_pipe_create(struct loop_sim_node *node, int flags, struct loop_sim_file *files[2]);

/* What the descriptors do with nodes and worlds. */
extern const struct loop_sim_part loop_sim_object_part;

#endif
