/* SPDX-License-Identifier: ISC
 *
 * Streams over descriptors that can be polled.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_STREAM_H
#define LOOP_FLOW_DESCRIPTOR_STREAM_H

#include <loop/core/fd.h>
#include <loop/flow.h>

/* Starts a stream of `source` that reads from `fd`, the descriptor behind it. Results and cancel as loop_stream. */
loop_job loop_fd_stream(const struct loop_source *source, struct loop_fd *fd, loop_stream_fn *fn, void *arg);

#endif
