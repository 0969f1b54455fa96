/* SPDX-License-Identifier: ISC
 *
 * Copies from one regular file to another.
 */
#ifndef LOOP_FLOW_FILE_COPY_H
#define LOOP_FLOW_FILE_COPY_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

/* The kind of the job that loop_file_copy is given. */
extern const struct loop_job_kind loop_file_copy_kind;

/* Whether both are regular files, and the source has a size that is not 0. */
bool loop_file_can_copy(const struct loop_fd *from, const struct loop_fd *to);

/* Starts a copy from the job's fd to its second. */
void loop_file_copy(struct loop *loop, struct loop_job *job);

#endif
