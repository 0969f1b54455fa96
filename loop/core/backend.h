/* SPDX-License-Identifier: ISC
 *
 * The backend: the functions by which the loop starts operations, watches descriptors and waits. Above it nothing knows
 * which backend runs. Below it nothing knows what a source or a connection is.
 */
#ifndef LOOP_CORE_BACKEND_H
#define LOOP_CORE_BACKEND_H

#include <loop/base.h>
#include <sys/uio.h>

struct loop;
struct loop_block;
struct loop_fd;
struct loop_job;

struct loop_buffers;

/* The functions of a backend. All are called on the loop's thread, `forked` in the child. */
struct loop_backend_ops {
    const char *name;
    /* Sets the backend up. Returns 0, or -errno with one line in loop->backend_detail: the likely cause and the
     * cure. */
    int (*init)(struct loop *loop);
    /* Frees the backend. No job is in flight, and nothing is watched. */
    void (*finish)(struct loop *loop);
    /* Starts the job's operation (job->op, job->u.args, job->fd). The job ends with loop_job_backend_done from the
     * dispatch, or with loop_job_backend_complete from anywhere. */
    void (*start)(struct loop *loop, struct loop_job *job);
    /* Asks a job to end that `start` has taken and that has no result yet. It ends with -ECANCELED, or with the result
     * that it had before the request came. */
    void (*cancel)(struct loop *loop, struct loop_job *job);
    /* Watches `events` (POLLIN, POLLOUT, POLLPRI): loop_ready_event is called whenever one of them arises, and once if
     * it is there already. Events that were watched before stay watched. POLLOUT may end with its first event:
     * fd->watched tells. Returns 0, or -errno after loop_ready_fail. */
    int (*watch)(struct loop *loop, struct loop_fd *fd, uint32_t events);
    /* Stops watching `fd`. loop_fd_unwatched is called when the kernel has nothing of it any more, possibly before this
     * returns. */
    void (*unwatch)(struct loop *loop, struct loop_fd *fd);
    /* Sends bytes to `fd` by the end of this turn, without waiting for room, and then calls kind->transferred of the
     * job. There are at most LOOP_GATHER_MAX vectors, which are copied. Returns false where a system call is to send
     * them. NULL: always, and loop->prefers_completions is false. */
    bool (*send)(struct loop *loop, struct loop_job *job, struct loop_fd *fd, const struct iovec *iov, int n_iov);
    /* Takes a block back of which it has kept the memory (loop_block.is_backends). NULL: it has none. */
    void (*release)(struct loop *loop, struct loop_block *block);
    /* Returns whether fewer than half of the blocks of that kind are free. NULL: it has none. */
    bool (*is_scarce)(struct loop *loop, const struct loop_block *block);
    /* Makes turns for as long as loop_turn_begin returns true. A turn submits what has been prepared, waits for at most
     * the time that loop_turn_begin has stored (0: not at all, or LOOP_NEVER), calls loop_turn_woken, and dispatches
     * what the kernel reports. Returns 0, or -errno when the backend cannot be used any more. The backend has this loop
     * so that few functions are on the stack at the system call: the processor mispredicts the return to each of
     * them. */
    int (*run)(struct loop *loop);
    /* Makes the backend's part of one turn, without waiting, and submits what its continuations have prepared. Returns
     * what `run` returns. For loops with a host. */
    int (*turn)(struct loop *loop);
    /* Returns the time after which `turn` has to be called although `number` may not be readable: 0, or LOOP_NEVER. */
    int64_t (*time_to_turn)(struct loop *loop);
    /* Returns the number of a descriptor that is readable when the kernel has something to report. */
    int (*number)(const struct loop *loop);
    /* Replaces this backend when `run` or `turn` has returned an error. Its `run` ends everything the backend has, and
     * makes turns until the loop has ended; so do its turns. */
    const struct loop_backend_ops *broken;
    /* Submits what has been prepared. Returns, without waiting, whether a turn would find something to do. */
    bool (*has_events)(struct loop *loop);
    /* Called in a forked child: detaches its copy of the backend from what the parent and the kernel share. Jobs that
     * are started from now on wait in line. */
    void (*forked)(struct loop *loop);
    /* Returns whether the region is registered with the kernel. NULL: never. */
    bool (*region_is_fixed)(const struct loop *loop);
    /* Returns whether that is done once for all loops that share it. NULL: never. */
    bool (*region_is_shared)(const struct loop *loop);
    /* Prepares for files whose device_polling is LOOP_POLLING: reads and writes of them that `start` gets are then
     * completed by polling the device. Returns 0 or -errno. NULL: not possible. */
    int (*poll_devices)(struct loop *loop);
    /* Sets up a group of provided buffers. Returns 0 or -errno. */
    int (*buffers_init)(struct loop *loop, struct loop_buffers *buffers);
    /* Frees what buffers_init has made. */
    void (*buffers_finish)(struct loop *loop, struct loop_buffers *buffers);
    /* Makes the lent buffer with that number free again. */
    void (*buffers_recycle)(struct loop *loop, struct loop_buffers *buffers, unsigned index);
};

#endif
