/* SPDX-License-Identifier: ISC
 *
 * The results of one-shot jobs.
 */
#ifndef LOOP_BACKEND_URING_RESULT_H
#define LOOP_BACKEND_URING_RESULT_H

#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>

/* Ends a one-shot job with the result of its completion, or continues it by system calls. From the dispatch only. */
void loop_uring_result(struct loop_uring *uring, struct loop_job *job, int32_t result);

/* Puts the bytes, or the error, that a one-shot job has got behind the unread bytes of its descriptor, which were given
 * back since it was submitted, and reads those in their place. Returns the result of that, or `result` where the job
 * reads something else or has got nothing. From the dispatch only. */
int32_t loop_uring_result_behind(struct loop_uring *uring, struct loop_job *job, int32_t result);

/* Returns the result with -ECANCELED in place of the kernel's own codes for an interrupted call. */
int32_t loop_uring_without_internals(int32_t result);

/* Whether the ring refuses operations that it does not support with that error. The operation may also fail with it. */
bool loop_uring_is_refusal(int32_t error);

#endif
