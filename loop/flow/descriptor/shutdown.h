/* SPDX-License-Identifier: ISC
 *
 * The `shutdown` of a descriptor's sink.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_SHUTDOWN_H
#define LOOP_FLOW_DESCRIPTOR_SHUTDOWN_H

#include <loop/core/job.h>
#include <loop/flow.h>

/* The kind of a shutdown of what is no file. */
extern const struct loop_job_kind loop_fd_shutdown_kind;

/* Ends the output of a descriptor's sink after the writes that were started before: shuts a socket down for output,
 * closes a pipe, and does nothing to a file. Results as loop_shutdown. */
loop_job loop_fd_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

#endif
