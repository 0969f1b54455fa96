/* SPDX-License-Identifier: ISC
 *
 * The `shutdown` of a descriptor's sink.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_SHUTDOWN_H
#define LOOP_FLOW_DESCRIPTOR_SHUTDOWN_H

#include <loop/flow.h>

/* Says that nothing more comes, after the writes that were started before: half-closes a socket, closes what knows no
 * half. */
loop_job loop_fd_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

#endif
