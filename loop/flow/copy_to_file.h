/* SPDX-License-Identifier: ISC
 *
 * Copies from a descriptor that can be polled to a file.
 */
#ifndef LOOP_FLOW_COPY_TO_FILE_H
#define LOOP_FLOW_COPY_TO_FILE_H

#include <loop/core/job.h>

/* A copy from the job's fd to its second. It begins in the list of readers of the fd. */
extern const struct loop_job_kind loop_copy_to_file_kind;

#endif
