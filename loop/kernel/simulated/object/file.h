/* SPDX-License-Identifier: ISC
 *
 * Open files and the descriptors that name them.
 *
 * A file is what open(2) calls an open file description: a pipe's end, a socket, an open regular file, an epoll set, a
 * ring. Its kind implements the calls. None of them waits: they return -EAGAIN where the kernel would wait, and whoever
 * may wait does so in the file's queue and calls again. So the same functions serve blocking calls, nonblocking ones
 * and the ring's.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_FILE_H
#define LOOP_KERNEL_SIMULATED_OBJECT_FILE_H

#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

struct loop_sim_file;

/* One read or write. */
struct loop_sim_move {
    const struct iovec *iov;
    size_t n_iov;
    int64_t offset; /* LOOP_SIM_POSITION: that of the file, which moves */
    int flags;      /* RWF_...: a kind that supports none of those it is given returns -EOPNOTSUPP */
    bool has_more;  /* a write to a socket: more follows at once, as MSG_MORE says */
};
#define LOOP_SIM_POSITION INT64_C(-1)

/* What a kind of files does. NULL: the call is refused with the error that the kernel has for it (EINVAL; ESPIPE for
 * seek; ENOTTY for control). */
struct loop_sim_file_kind {
    const char *name; /* "pipe", "socket", "file", "directory", "epoll", "eventfd", "signalfd", "inotify", "ring" */
    ssize_t (*read)(struct loop_sim_file *file, const struct loop_sim_move *move);
    ssize_t (*write)(struct loop_sim_file *file, const struct loop_sim_move *move);
    uint32_t (*poll)(struct loop_sim_file *file); /* EPOLLIN, EPOLLOUT, EPOLLHUP, ... that hold now */
    int (*status)(struct loop_sim_file *file, struct stat *status);
    int (*control)(struct loop_sim_file *file, unsigned long what, void *argument); /* ioctl */
    int64_t (*seek)(struct loop_sim_file *file, int64_t offset, int whence);
    /* Writes what fdinfo of /proc says of this kind. Returns its length, like snprintf(3). NULL: nothing. */
    size_t (*describe)(const struct loop_sim_file *file, char *text, size_t size);
    int (*change_mode)(struct loop_sim_file *file, mode_t mode); /* fchmod of what is on no disk; NULL: ENOSYS */
    void (*release)(struct loop_sim_file *file);                 /* the last reference is gone: frees it */
    bool is_always_ready; /* regular files and directories: no epoll (EPERM), poll says ready */
    bool is_socket;
    bool is_of_disk;  /* the file is a struct loop_sim_open */
    bool has_offsets; /* pread and pwrite are possible, else ESPIPE */
    /* How long a read or write takes before it is made, for callers that may wait. NULL: no time. */
    int64_t (*latency)(struct loop_sim_file *file);
};

/* An open file. The first member of what a kind has of its own. */
struct loop_sim_file {
    const struct loop_sim_file_kind *kind;
    struct loop_sim_node *node; /* whose calls it serves: that which opened it */
    unsigned uses;
    int flags; /* O_ACCMODE, O_NONBLOCK, O_APPEND, O_PATH, O_DIRECT, O_DSYNC, ... */
    int64_t position;
    struct loop_sim_queue queue;  /* who waits for it */
    struct loop_sim_queue closed; /* woken when the last reference goes: epoll sets forget it */
    /* Reads and writes of up to so many bytes are not made shorter by choice. 0 at first; SIZE_MAX for what moves whole
     * messages, and where the kind chooses lengths itself. */
    size_t whole_bytes;
    struct loop_sim_event again; /* wakes the queue after a call that was cut short or refused by choice */
};

/* Begins a file of a kind with one use. */
void loop_sim_file_init(struct loop_sim_file *file, const struct loop_sim_file_kind *kind, struct loop_sim_node *node,
                        int flags);

/* Counts a use. Returns the file. */
struct loop_sim_file *loop_sim_file_ref(struct loop_sim_file *file);

/* Drops a use, and with the last one the file. */
void loop_sim_file_unref(struct loop_sim_file *file); /* NULL does nothing */

/* Tells those who wait that something has changed: EPOLLIN, ... Called at each change that the kernel wakes for, also
 * when the state was the same before: edges are made of it. */
void loop_sim_file_changed(struct loop_sim_file *file, uint32_t events);

/* A use by the running fiber: it is dropped by loop_sim_file_let_go, or when the node stops meanwhile. */
struct loop_sim_hold;
struct loop_sim_hold *loop_sim_file_hold(struct loop_sim_file *file);
void loop_sim_file_let_go(struct loop_sim_hold *hold);

/* ---- descriptors ---- */

/* Returns the lowest free number from `least` on, or -EMFILE or -ENFILE, also by choice: for calls that need a number
 * before they do anything else. */
int loop_sim_file_reserve(struct loop_sim_node *node, int least);

/* Gives a file a number that loop_sim_file_reserve has returned just before. Takes the use. */
void loop_sim_file_put(struct loop_sim_node *node, int number, struct loop_sim_file *file, int flags);

/* Gives a file the lowest free number from `least` on. Takes the use, also when it fails. `flags`: O_CLOEXEC or 0.
 * Returns the number, -EMFILE or -ENFILE. */
int loop_sim_file_install(struct loop_sim_node *node, struct loop_sim_file *file, int least, int flags);

/* Returns the file of a descriptor of the calling node, or NULL: EBADF. The use is not counted: whoever keeps it while
 * waiting refs it. */
struct loop_sim_file *loop_sim_file_of(int number);

/* As loop_sim_file_of, for a node. */
struct loop_sim_file *loop_sim_file_at(const struct loop_sim_node *node, int number);

/* Closes a descriptor. Returns 0 or -EBADF. */
int loop_sim_file_close(struct loop_sim_node *node, int number);

/* Returns the number of open descriptors of a node. */
unsigned loop_sim_files_count(const struct loop_sim_node *node);

/* ---- FIFOs ---- */

struct loop_sim_pipe;

/* A FIFO: a member of the inode that it is the content of. Zeros with these functions are one that is not open. */
struct loop_sim_fifo {
    struct loop_sim_pipe *pipe; /* NULL: not open */
    int (*status)(struct loop_sim_fifo *fifo, struct stat *status);
    void (*closed)(struct loop_sim_fifo *fifo); /* one of the files that loop_sim_fifo_open has returned is gone */
};

/* Opens a FIFO. Returns its file, or NULL with *error: -ENXIO for writing with O_NONBLOCK where nobody reads. */
struct loop_sim_file *loop_sim_fifo_open(struct loop_sim_node *node, struct loop_sim_fifo *fifo, int flags, int *error);

/* Waits as open(2) does without O_NONBLOCK until the other side of a FIFO is open too. The caller has the only use.
 * Returns 0 or -EINTR. Returns 0 at once for other files. */
int loop_sim_fifo_wait(struct loop_sim_file *file);

/* ---- moving bytes ---- */

/* Read and write as a call does, without waiting: checks the access mode and O_PATH, chooses how many bytes are moved
 * and whether it fails for no reason. Returns -EAGAIN where the caller may wait for the file's queue. */
ssize_t loop_sim_file_read(struct loop_sim_file *file, const struct loop_sim_move *move);
ssize_t loop_sim_file_write(struct loop_sim_file *file, const struct loop_sim_move *move);

/* Returns how many of `len` bytes a call moves by choice. Callers wait for an edge after a call that has moved less
 * than they asked for: so where it is less, the file's queue is woken soon, with what holds then. */
size_t loop_sim_file_choose_length(struct loop_sim_file *file, enum loop_sim_point point, size_t len);

/* Whether a call on a file that is ready (EPOLLIN or EPOLLOUT) returns -EAGAIN by choice. Then the file's queue is
 * woken soon. */
bool loop_sim_file_is_falsely_unready(struct loop_sim_file *file, uint32_t event);

/* Calls attempt(file, arg) until it returns something other than -EAGAIN, and waits for the file's queue in between.
 * Once where may_wait is false. Counts the use meanwhile. Returns -EINTR when the wait was interrupted. */
ssize_t loop_sim_file_wait(struct loop_sim_file *file, bool may_wait,
                           ssize_t (*attempt)(struct loop_sim_file *file, void *arg), void *arg);

/* Waits as long as a read or write of the file takes before it is made. */
void loop_sim_file_delay(struct loop_sim_file *file);

/* Returns the events that hold; EPOLLIN | EPOLLOUT for what is always ready. */
uint32_t loop_sim_file_poll(struct loop_sim_file *file);

/* ---- a few bytes from and to vectors ---- */

size_t loop_sim_vectors_length(const struct iovec *iov, size_t n_iov);

/* Returns whether a vector is where a process never has memory, as behind a null pointer: EFAULT. Other addresses are
 * not checked. */
bool loop_sim_vectors_are_bad(const struct iovec *iov, size_t n_iov);

/* Copies up to `len` bytes into vectors, from byte `skip` of them on, or out of them. Returns the bytes copied. */
size_t loop_sim_vectors_fill(const struct iovec *iov, size_t n_iov, size_t skip, const void *data, size_t len);
size_t loop_sim_vectors_take(const struct iovec *iov, size_t n_iov, size_t skip, void *data, size_t len);

#endif
