/* SPDX-License-Identifier: ISC
 *
 * Operations served by system calls.
 */
#ifndef LOOP_SYSCALL_DIRECT_H
#define LOOP_SYSCALL_DIRECT_H

#include <loop/core/job.h>

/* Tries an operation that waits for its descriptor. The `attempt` of kinds of operations. */
enum loop_attempt loop_direct_attempt(struct loop *loop, struct loop_job *job);

/* The kind of LOOP_OP_SPLICE, which waits for one of its two ends. */
extern const struct loop_job_kind loop_splice_kind;

/* Starts the job's operation by system calls. The epoll backend starts all operations so, the ring's those that the
 * ring does not serve. May be called from anywhere: a result that is known at once waits in the run queue. */
void loop_direct_start(struct loop *loop, struct loop_job *job);

/* Cancels a job that loop_direct_start has taken. */
void loop_direct_cancel(struct loop *loop, struct loop_job *job);

#endif
