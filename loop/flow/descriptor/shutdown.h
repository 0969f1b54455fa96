/* SPDX-License-Identifier: ISC
 *
 * The `shutdown` of a descriptor's sink.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_SHUTDOWN_H
#define LOOP_FLOW_DESCRIPTOR_SHUTDOWN_H

#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/flow.h>

/* The kind of a shutdown of what is no file. */
extern const struct loop_job_kind loop_fd_shutdown_kind;

/* Returns whether the last job in the queue of a socket is a shutdown, and all in front of it are jobs of the kind
 * `write` that one call can send: then the end leaves with the last of the bytes. Otherwise the kernel would keep them
 * back while something else is waited for. The queue is not empty. */
bool loop_fd_shutdown_follows(const struct loop_fd *fd, const struct loop_job_kind *write);

/* Ends the output of a descriptor's sink after the writes that were started before: shuts a socket down for output,
 * closes a pipe, and does nothing to a file. Results as loop_shutdown. */
loop_job loop_fd_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

#endif
