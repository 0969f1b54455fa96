/* SPDX-License-Identifier: ISC
 *
 * What the parts that serve operations by system calls know of each other, beside core.h.
 */
#ifndef LOOP_SYSCALL_DIRECT_H
#define LOOP_SYSCALL_DIRECT_H

#include <loop/core/job.h>
#include <loop/syscall/attempt.h>

/* Tries an operation that waits for its descriptor: the `attempt` of kinds of operations. */
enum loop_attempt loop_direct_attempt(struct loop *loop, struct loop_job *job);

/* The kind of LOOP_OP_SPLICE, which waits for one of its ends or the other. */
extern const struct loop_job_kind loop_splice_kind;

/* Serves a job's operation by system calls. The whole epoll backend, and what the ring refuses. */
void loop_direct_start(struct loop *loop, struct loop_job *job);

void loop_direct_cancel(struct loop *loop, struct loop_job *job);

#endif
