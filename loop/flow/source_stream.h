/* SPDX-License-Identifier: ISC
 *
 * Streams over files, and over sources of the program's own.
 */
#ifndef LOOP_FLOW_SOURCE_STREAM_H
#define LOOP_FLOW_SOURCE_STREAM_H

#include <loop/flow.h>

/* Starts a stream over any source, which reads by the source's functions. Results and cancel as loop_stream. */
loop_job loop_source_stream(struct loop_source *source, loop_stream_fn *fn, void *arg);

#endif
