/* SPDX-License-Identifier: ISC
 *
 * Jobs as entries of the submission queue.
 */
#ifndef LOOP_BACKEND_URING_PREPARE_H
#define LOOP_BACKEND_URING_PREPARE_H

#include <loop/backend/uring/ring.h>
#include <loop/core/job.h>

/* Fills in the entry that starts the job. May change the job's arguments. */
void loop_uring_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job);

/* Does what loop_uring_prepare does for LOOP_OP_NOP. */
static inline void loop_uring_prepare_nop(struct io_uring_sqe *entry, const struct loop_job *job)
{
    io_uring_prep_nop(entry);
    entry->user_data = loop_uring_user_data(LOOP_URING_TAG_JOB, job->id);
}

/* Reverts what loop_uring_prepare has changed, once the kernel has completed the job with `result`, and sets the file's
 * position where the kernel did not. */
void loop_uring_undo_prepare(struct loop_job *job, int32_t result);

/* Whether the ring has the job's operation, on kernels that know it. */
bool loop_uring_serves(const struct loop_job *job);

/* Returns the operations, as bits, that the ring does not have, or that are missing from the kernel's `opcodes`. */
uint32_t loop_uring_unserved_ops(const struct io_uring_probe *opcodes);

#endif
