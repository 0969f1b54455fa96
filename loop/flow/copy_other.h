/* SPDX-License-Identifier: ISC
 *
 * Copies between sources and sinks of any kind, by their own functions.
 */
#ifndef LOOP_FLOW_COPY_OTHER_H
#define LOOP_FLOW_COPY_OTHER_H

#include <loop/core/job.h>

/* The kind of the job that loop_copy_other is given. */
extern const struct loop_job_kind loop_copy_other_kind;

/* Starts a copy from `source` to `sink`. */
void loop_copy_other(struct loop *loop, struct loop_job *job, struct loop_source *source, struct loop_sink *sink);

#endif
