/* SPDX-License-Identifier: ISC
 *
 * Checks of the sources, sinks and flows that public functions are given: they are not NULL, not of an object that has
 * been freed, complete, and of a loop of this thread. Where one is not good, a debug build stops.
 */
#ifndef LOOP_FLOW_OWN_CHECK_H
#define LOOP_FLOW_OWN_CHECK_H

#include <loop/core/check.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/ground/poison.h>

/* Check sources and sinks of all kinds. The inline functions below are the fast way for those of descriptors. */
bool loop_other_source_is_good(const struct loop_source *source, const char *function);
bool loop_other_sink_is_good(const struct loop_sink *sink, const char *function);

LOOP_LOOKS_AT_FREED static inline bool loop_source_is_good(const struct loop_source *source, const char *function)
{
    if (source && source->ops == &loop_fd_source && !loop_is_freed(source->self)) {
        loop_check_thread(source->scope->loop, function);
        return true;
    }
    return loop_other_source_is_good(source, function);
}

LOOP_LOOKS_AT_FREED static inline bool loop_sink_is_good(const struct loop_sink *sink, const char *function)
{
    if (sink && sink->ops == &loop_fd_sink && !loop_is_freed(sink->self)) {
        loop_check_thread(sink->scope->loop, function);
        return true;
    }
    return loop_other_sink_is_good(sink, function);
}

/* Checks a flow. Where no descriptor is behind it, that it is not NULL. */
bool loop_flow_is_good(const struct loop_flow *flow, const char *function);

#endif
