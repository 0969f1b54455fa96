/* SPDX-License-Identifier: ISC
 *
 * Copies from one regular file to another.
 */
#ifndef LOOP_FLOW_FILE_COPY_H
#define LOOP_FLOW_FILE_COPY_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

extern const struct loop_job_kind loop_file_copy_kind;

/* Whether both are regular files, and the source says that there is something in it. */
bool loop_file_can_copy(const struct loop_fd *from, const struct loop_fd *to);

/* Starts a job of that kind; its fd is the source, its second the sink. */
void loop_file_copy(struct loop *loop, struct loop_job *job);

#endif
