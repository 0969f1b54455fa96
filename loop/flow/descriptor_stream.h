/* SPDX-License-Identifier: ISC
 *
 * Streams over descriptors that can be polled.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_STREAM_H
#define LOOP_FLOW_DESCRIPTOR_STREAM_H

#include <loop/core/fd.h>
#include <loop/core/scope.h>

/* Starts a stream over `fd` in `scope`. Results and cancel as loop_stream. */
loop_job loop_fd_stream(struct loop_scope *scope, struct loop_fd *fd, loop_stream_fn *fn, void *arg);

#endif
