/* SPDX-License-Identifier: ISC
 *
 * Sources and sinks without a descriptor: the ones that are initialized in memory of the caller's, and what kind they
 * are.
 */
#ifndef LOOP_FLOW_OWN_MEMORY_H
#define LOOP_FLOW_OWN_MEMORY_H

#include <loop/core/scope.h>

/* Initializes a source that is at its end. */
void loop_null_source_init(struct loop_source *source, struct loop_scope *scope);

/* Whether the source is one of memory.c's. */
bool loop_source_is_ready_made(const struct loop_source *source);

/* Whether the sink is one of memory.c's, which accept or refuse a write in the call and need no queue. */
bool loop_sink_takes_all(const struct loop_sink *sink);

/* Initializes a sink whose writes end with -EBADF. */
void loop_closed_sink_init(struct loop_sink *sink, struct loop_scope *scope);

/* Initializes a source of random bytes, as getrandom(2) gives them. */
void loop_random_source_init(struct loop_source *source, struct loop_scope *scope);

#endif
