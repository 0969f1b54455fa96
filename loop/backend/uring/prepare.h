/* SPDX-License-Identifier: ISC
 *
 * A job as an entry of the submission queue.
 */
#ifndef LOOP_URING_PREPARE_H
#define LOOP_URING_PREPARE_H

#include <loop/backend/uring/ring.h>

/* Fills in the entry that starts the job. */
void loop_uring_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_job *job);

/* The operations, as bits, that a kernel which knows `opcodes` lacks, and those that never go through the ring. */
uint32_t loop_uring_unknown_ops(const struct io_uring_probe *opcodes);
uint32_t loop_uring_foreign_ops(void);

#endif
