/* SPDX-License-Identifier: ISC
 *
 * The ring that polls devices.
 */
#ifndef LOOP_BACKEND_URING_IOPOLL_IOPOLL_H
#define LOOP_BACKEND_URING_IOPOLL_IOPOLL_H

#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>

/* Makes the ring, if there is none; see loop_backend_ops.poll_devices. */
int loop_uring_poll_devices(struct loop *loop);

/* Frees the ring, which has nothing in flight. Harmless if there is none. */
void loop_uring_iopoll_finish(struct loop_uring *uring);

/* Whether a read or write at an offset is for this ring: its file is polled. */
static inline bool loop_uring_iopoll_takes(const struct loop_uring *uring, const struct loop_job *job)
{
    assert(loop_op_table[job->op].op_class == LOOP_CLASS_MOVE && job->u.args.move.offset != LOOP_CURRENT);
    return uring->iopoll && loop_fd_polls_device(job->fd);
}

/* Fills in an entry for the job, or puts it in this ring's line. */
void loop_uring_iopoll_place(struct loop_uring *iopoll, struct loop_job *job);

/* Whether the loop must not sleep, because something has to be submitted here, or a device has to be polled. */
static inline bool loop_uring_iopoll_is_busy(const struct loop_uring *uring)
{
    return uring->iopoll && (uring->iopoll->in_flight > 0 || !loop_list_is_empty(&uring->iopoll->line));
}

/* Submits what was started, polls the devices once, and handles the completions. Returns 0, or -errno when the ring
 * cannot be entered any more. From the dispatch only. */
int loop_uring_iopoll_turn(struct loop_uring *iopoll);

#endif
