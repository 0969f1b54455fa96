/* SPDX-License-Identifier: ISC
 *
 * Turns: which of several operations on a descriptor the kernel has.
 */
#ifndef LOOP_BACKEND_URING_ORDER_H
#define LOOP_BACKEND_URING_ORDER_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

/* Takes the turn for the job. Returns true when the kernel may have it now. Otherwise the job waits in the descriptor's
 * line (LOOP_AT_RING_LINE) and is started when its turn comes. */
bool loop_uring_take_turn(struct loop_job *job);

/* Ends the turn of a job that the kernel no longer has, and starts the next in line. */
void loop_uring_end_turn(struct loop *loop, struct loop_job *job);

/* loop_uring_end_turn, for a job that may have no turn. */
static inline void loop_uring_drop_turn(struct loop *loop, struct loop_job *job)
{
    if (job->has_turn) {
        loop_uring_end_turn(loop, job);
    }
}

/* Starts the jobs in line for a turn until one has taken it. The descriptor has its rarer part. */
void loop_uring_start_next(struct loop *loop, struct loop_fd *fd, enum loop_turn turn);

/* Ends a turn and has the next in line start. */
static inline void loop_uring_pass_turn(struct loop *loop, struct loop_fd *fd, enum loop_turn turn)
{
    loop_fd_end_turn(fd, turn);
    if (fd->has_more) {
        loop_uring_start_next(loop, fd, turn);
    }
}

/* Continues a job, which the kernel does not have, by system calls. It stays ahead of the jobs that wait for its
 * turn. */
void loop_uring_go_on_elsewhere(struct loop *loop, struct loop_job *job);

/* Whether the ring has an operation that receives from the same socket, and comes first. Then the job waits for its
 * turn also where readiness serves it, for example because bytes were given back since. */
bool loop_uring_waits_for_turn(const struct loop_job *job);

/* Whether an operation that waits for readiness on the same descriptor has to come before this one. */
bool loop_uring_follows_others(const struct loop_job *job);

#endif
