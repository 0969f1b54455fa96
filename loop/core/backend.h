/* SPDX-License-Identifier: ISC
 *
 * What a backend does for the loop. Above it nothing knows which one runs; below it nothing knows what a source or a
 * connection is.
 */
#ifndef LOOP_CORE_BACKEND_H
#define LOOP_CORE_BACKEND_H

#include <loop/base.h>

struct loop;
struct loop_fd;
struct loop_job;

struct loop_buffers;

struct loop_backend_ops {
    const char *name;
    /* 0, or -errno with one line in loop->backend_detail that names the likely cause and the cure. */
    int (*init)(struct loop *loop);
    /* No job is in flight and nothing is watched any more. */
    void (*finish)(struct loop *loop);
    /* Takes the job (job->op, job->u.args, job->fd). It ends in loop_job_backend_done from the dispatch, or
     * loop_job_complete. */
    void (*start)(struct loop *loop, struct loop_job *job);
    /* The job is one that start took and that has no result yet: LOOP_AT_RING_LINE, RING, or the direct way's
     * places. */
    void (*cancel)(struct loop *loop, struct loop_job *job);
    /* From now on loop_ready_event is called whenever one of `events` (POLLIN, POLLOUT, POLLPRI) comes to be, and once
     * if it is there already. Events already watched stay watched. POLLOUT may be one-shot: fd->watched tells. 0, or
     * -errno after loop_ready_fail. */
    int (*watch)(struct loop *loop, struct loop_fd *fd, uint32_t events);
    /* Lets go of `fd`; loop_fd_unwatched is called when the kernel holds nothing of it any more, maybe before this
     * returns. */
    void (*unwatch)(struct loop *loop, struct loop_fd *fd);
    /* Turns, as long as loop_turn_begin says: submits what has been prepared, waits at most the time it has told (0:
     * not at all; LOOP_NEVER) for something to happen, says loop_turn_woken, tries what is ready, resumes what ended.
     * 0, or -errno when the backend is broken for good. The turns are the backend's so that few functions are on the
     * stack at the system call: the processor, which forgets there where they return to, guesses wrong for each of
     * them. */
    int (*run)(struct loop *loop);
    /* What takes its place when `run` has returned an error: its `run` lets go of what the backend has, and then makes
     * turns until the loop has ended. */
    const struct loop_backend_ops *broken;
    /* Submits what has been prepared and says, without waiting, whether a turn would bring something. */
    bool (*has_events)(struct loop *loop);
    /* This process is a forked child: cuts its copy of the backend off from what the parent and the kernel share. What
     * is started from now on waits in line. */
    void (*forked)(struct loop *loop);
    /* Whether the kernel has the region registered. NULL: never. */
    bool (*region_is_fixed)(const struct loop *loop);
    /* Groups of provided buffers: 0 or -errno. `recycle` gives entry `index` back to the kernel. */
    int (*buffers_init)(struct loop *loop, struct loop_buffers *buffers);
    void (*buffers_finish)(struct loop *loop, struct loop_buffers *buffers);
    void (*buffers_recycle)(struct loop *loop, struct loop_buffers *buffers, unsigned index);
};

#endif
