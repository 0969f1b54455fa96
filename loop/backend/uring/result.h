/* SPDX-License-Identifier: ISC
 *
 * The results of jobs that have one.
 */
#ifndef LOOP_BACKEND_URING_RESULT_H
#define LOOP_BACKEND_URING_RESULT_H

#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>

/* Ends a one-shot job with its result, or has it go on by system calls. */
void loop_uring_result(struct loop_uring *uring, struct loop_job *job, int32_t result);

/* Returns the result with -ECANCELED in place of the kernel's own codes for an interrupted call. */
int32_t loop_uring_without_internals(int32_t result);

/* Whether the ring refuses operations with that error. The operation itself may have it as well. */
bool loop_uring_is_refusal(int32_t error);

#endif
