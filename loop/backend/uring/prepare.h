/* SPDX-License-Identifier: ISC
 *
 * A job as an entry of the submission queue.
 */
#ifndef LOOP_BACKEND_URING_PREPARE_H
#define LOOP_BACKEND_URING_PREPARE_H

#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>

/* Fills in the entry that starts the job. */
void loop_uring_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job);

/* Puts right what loop_uring_prepare has changed, and what the kernel leaves to the caller: the job has `result`. */
void loop_uring_undo_prepare(struct loop_job *job, int32_t result);

/* Whether the ring has that operation at all. */
bool loop_uring_serves(const struct loop_job *job);

/* The operations, as bits, that the ring doesn't have, or a kernel that knows `opcodes`. */
uint32_t loop_uring_unserved_ops(const struct io_uring_probe *opcodes);

#endif
