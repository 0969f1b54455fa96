/* SPDX-License-Identifier: ISC
 *
 * Operations of a reader: their jobs, and the reads of the source that they need.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_OPERATION_H
#define LOOP_FLOW_BUFFERED_READER_OPERATION_H

#include <loop/core/job.h>
#include <loop/flow/buffered/reader_state.h>

/* Begins an operation. Returns its job for the caller to go on with, or NULL where there is none or it has its result,
 * such as -EBUSY while another operation runs. `*id` is what the public call returns. */
struct loop_job *loop_reader_begin(struct loop_reader *reader, const struct loop_job_kind *kind,
                                   const struct loop_reader_operation *operation, loop_fn *fn, void *arg, loop_job *id);

/* Begins an operation, calls its step, and starts the first read where that is needed. Returns the id for the public
 * call. */
loop_job loop_reader_start(struct loop_reader *reader, const struct loop_reader_operation *operation, loop_fn *fn,
                           void *arg);

/* Starts a job that ends with `error`. */
loop_job loop_reader_refuse(struct loop_reader *reader, int64_t error, loop_fn *fn, void *arg);

/* Starts the read that the operation needs. 0, -ENOMEM or -ECANCELED. The source's function may destroy the reader: the
 * object stays at least until the operation has ended. */
int loop_reader_read_more(struct loop_reader *reader, struct loop_job *job);

#endif
