/* SPDX-License-Identifier: ISC
 *
 * Starts jobs: by an entry of the ring, or by system calls in its place.
 */
#ifndef LOOP_BACKEND_URING_LINE_H
#define LOOP_BACKEND_URING_LINE_H

#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>

/* Starts the job; see loop_backend_ops.start. */
void loop_uring_start(struct loop *loop, struct loop_job *job);

/* Cancels the job, wherever it is; see loop_backend_ops.cancel. */
void loop_uring_cancel_job(struct loop *loop, struct loop_job *job);

/* Fills in an entry for the job. Puts it in line when the submission queue is full, or when the kernel has another
 * operation that has to end first. */
void loop_uring_place(struct loop_uring *uring, struct loop_job *job);

/* Starts a job that the ring does not serve by system calls, and counts it in the statistics where it could have been
 * the ring's. */
void loop_uring_start_elsewhere(struct loop_uring *uring, struct loop_job *job);

/* Fills in entries for the jobs in line. Returns false when the submission queue is full before the line is empty. */
bool loop_uring_serve_jobs(struct loop_uring *uring);

#endif
