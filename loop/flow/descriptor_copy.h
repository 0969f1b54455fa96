/* SPDX-License-Identifier: ISC
 *
 * Copies between two descriptors that can be polled. Both kinds begin in the list of readers of the job's fd.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_COPY_H
#define LOOP_FLOW_DESCRIPTOR_COPY_H

#include <loop/core/job.h>

/* A copy from a descriptor to itself, in a small job. */
extern const struct loop_job_kind loop_copy_echo_kind;

/* A copy from the job's fd to its second. */
extern const struct loop_job_kind loop_copy_pass_kind;

#endif
