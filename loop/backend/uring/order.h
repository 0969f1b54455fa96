/* SPDX-License-Identifier: ISC
 *
 * Which of several operations on a descriptor the kernel has.
 */
#include <loop/core/job.h>

#ifndef LOOP_BACKEND_URING_ORDER_H
#define LOOP_BACKEND_URING_ORDER_H

/* Whether the kernel may have the job now. If not it stands in line (LOOP_AT_RING_LINE), and is started when it may. */
bool loop_uring_take_turn(struct loop_job *job);

/* A job that has its turn is no more the kernel's, nor in line for an entry: starts the next. */
void loop_uring_end_turn(struct loop *loop, struct loop_job *job);

static inline void loop_uring_drop_turn(struct loop *loop, struct loop_job *job)
{
    if (job->has_turn) {
        loop_uring_end_turn(loop, job);
    }
}

/* The job, which the kernel hasn't, goes on by system calls, ahead of those that wait for its turn. */
void loop_uring_go_on_elsewhere(struct loop *loop, struct loop_job *job);

/* An operation of the same direction of the socket, or a poll, waits by readiness: this one has to come after it. */
bool loop_uring_follows_others(const struct loop_job *job);

#endif
