/* SPDX-License-Identifier: ISC
 *
 * Pins of sources and sinks: they keep a pointer to one good across a return to the loop, where it is a descriptor's
 * (loop_fd_pin) or a reader's rest. One of another kind belongs to its scope.
 */
#ifndef LOOP_FLOW_OWN_PIN_H
#define LOOP_FLOW_OWN_PIN_H

#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/rest.h>

static inline void loop_source_pin(struct loop_source *source)
{
    if (source->ops == &loop_fd_source) {
        loop_fd_pin(source->self);
    } else if (loop_source_is_rest(source)) {
        loop_rest_pin(source->self);
    }
}

static inline void loop_source_unpin(struct loop_source *source)
{
    if (source->ops == &loop_fd_source) {
        loop_fd_unpin(source->self);
    } else if (loop_source_is_rest(source)) {
        loop_rest_unpin(source->self);
    }
}

static inline void loop_sink_pin(struct loop_sink *sink)
{
    if (sink->ops == &loop_fd_sink) {
        loop_fd_pin(sink->self);
    }
}

static inline void loop_sink_unpin(struct loop_sink *sink)
{
    if (sink->ops == &loop_fd_sink) {
        loop_fd_unpin(sink->self);
    }
}

#endif
