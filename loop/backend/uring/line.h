/* SPDX-License-Identifier: ISC
 *
 * How a job gets to the kernel, or to the system calls in its place.
 */
#ifndef LOOP_BACKEND_URING_LINE_H
#define LOOP_BACKEND_URING_LINE_H

#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>

/* loop_backend_ops.start. */
void loop_uring_start(struct loop *loop, struct loop_job *job);

/* loop_backend_ops.cancel. */
void loop_uring_cancel_job(struct loop *loop, struct loop_job *job);

/* Hands a job to the kernel, or puts it in line. */
void loop_uring_place(struct loop_uring *uring, struct loop_job *job);

/* A job that is done by system calls. */
void loop_uring_start_elsewhere(struct loop_uring *uring, struct loop_job *job);

/* Fills in entries for the jobs in line. Returns false when the queue is full. */
bool loop_uring_serve_jobs(struct loop_uring *uring);

#endif
