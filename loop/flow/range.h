/* SPDX-License-Identifier: ISC
 *
 * Sources of a part of a file: loop_range_source.
 */
#ifndef LOOP_FLOW_RANGE_H
#define LOOP_FLOW_RANGE_H

#include <loop/core/fd.h>
#include <loop/flow.h>

/* Returns the file of such a source; NULL for other sources. */
struct loop_fd *loop_range_file(const struct loop_source *source);

/* Has the kernel send the next bytes of such a source to a socket, with the results of loop_fd_send_file. Those that
 * were sent are taken from the source. Returns a job of the scope of `to`. */
loop_job loop_range_send(struct loop_source *source, struct loop_fd *to, loop_fn *fn, void *arg);

#endif
