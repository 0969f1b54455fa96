/* SPDX-License-Identifier: ISC
 *
 * Operations of a reader: their jobs, and the reads of the source that they need.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_OPERATION_H
#define LOOP_FLOW_BUFFERED_READER_OPERATION_H

#include <loop/core/job.h>
#include <loop/flow/buffered/reader_state.h>

/* A job for the caller to go on with, with its id in `*id`. NULL where there is none, or where it has its result. */
struct loop_job *loop_reader_begin(struct loop_reader *reader, const struct loop_job_kind *kind,
                                   const struct loop_reader_operation *operation, loop_fn *fn, void *arg, loop_job *id);

/* The whole call of an operation that has a step. */
loop_job loop_reader_start(struct loop_reader *reader, const struct loop_reader_operation *operation, loop_fn *fn,
                           void *arg);

/* A job that ends with that error. */
loop_job loop_reader_refuse(struct loop_reader *reader, int64_t error, loop_fn *fn, void *arg);

/* Starts the read that the operation needs. 0; -ENOMEM; -ECANCELED. */
int loop_reader_read_more(struct loop_reader *reader, struct loop_job *job);

#endif
