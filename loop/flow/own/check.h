/* SPDX-License-Identifier: ISC
 *
 * Checks of the sources, sinks and flows that public functions are given. A good one is not NULL, has its functions and
 * its scope, belongs to no object that has been freed, and to a loop of this thread. A debug build stops at others.
 */
#ifndef LOOP_FLOW_OWN_CHECK_H
#define LOOP_FLOW_OWN_CHECK_H

#include <loop/core/check.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/ground/poison.h>

/* Returns whether a source or sink with the functions of descriptors is not the one in its descriptor. Only a debug
 * build can tell. */
static inline bool loop_is_copy(const void *self, const struct loop_fd *fd)
{
    return NORIA_DEBUG && self != fd;
}

/* Checks a source of any kind, without the fast way for descriptors. */
bool loop_other_source_is_good(const struct loop_source *source, const char *function);

/* Checks a sink of any kind, without the fast way for descriptors. */
bool loop_other_sink_is_good(const struct loop_sink *sink, const char *function);

/* Returns whether the source that the public function `function` is given is a good one of a descriptor. */
LOOP_LOOKS_AT_FREED static inline bool loop_source_is_good_fd(const struct loop_source *source, const char *function)
{
    if (source && source->ops == &loop_fd_source && !loop_is_copy(source->self, loop_fd_of_source(source)) &&
        !loop_is_freed(loop_fd_of_source(source))) {
        loop_check_thread(source->scope->loop, function);
        return true;
    }
    return false;
}

/* Checks the source that the public function `function` is given. */
static inline bool loop_source_is_good(const struct loop_source *source, const char *function)
{
    return loop_source_is_good_fd(source, function) || loop_other_source_is_good(source, function);
}

/* Returns whether the sink that the public function `function` is given is a good one of a descriptor. */
LOOP_LOOKS_AT_FREED static inline bool loop_sink_is_good_fd(const struct loop_sink *sink, const char *function)
{
    if (sink && sink->ops == &loop_fd_sink && !loop_is_copy(sink->self, loop_fd_of_sink(sink)) &&
        !loop_is_freed(loop_fd_of_sink(sink))) {
        loop_check_thread(sink->scope->loop, function);
        return true;
    }
    return false;
}

/* Checks the sink that the public function `function` is given. */
static inline bool loop_sink_is_good(const struct loop_sink *sink, const char *function)
{
    return loop_sink_is_good_fd(sink, function) || loop_other_sink_is_good(sink, function);
}

/* Checks the flow that the public function `function` is given: one without a descriptor is good if it is not NULL. */
bool loop_flow_is_good(const struct loop_flow *flow, const char *function);

#endif
