/* SPDX-License-Identifier: ISC
 *
 * Sources and sinks without a descriptor that stand in memory of somebody else's.
 */
#include <loop/core/scope.h>

#ifndef LOOP_FLOW_OWN_MEMORY_H
#define LOOP_FLOW_OWN_MEMORY_H

void loop_null_source_init(struct loop_source *source, struct loop_scope *scope);

/* Whether the source is one of these. */
bool loop_source_is_ready_made(const struct loop_source *source);

/* Whether the sink is one of these, which take or refuse all in the call: memory, nothing, and a closed one. */
bool loop_sink_takes_all(const struct loop_sink *sink);

/* Whatever is written to it ends with -EBADF. */
void loop_closed_sink_init(struct loop_sink *sink, struct loop_scope *scope);

/* getrandom(2). */
void loop_random_source_init(struct loop_source *source, struct loop_scope *scope);

#endif
