/* SPDX-License-Identifier: ISC
 *
 * Pins of sources and sinks. A job that waits keeps its pointer to one valid by a pin, where it is part of a descriptor
 * (loop_fd_pin) or of a reader. One of another kind is valid until its scope ends, and needs none.
 */
#ifndef LOOP_FLOW_OWN_PIN_H
#define LOOP_FLOW_OWN_PIN_H

#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/rest.h>

/* Keeps the object that the source is part of. */
static inline void loop_source_pin(struct loop_source *source)
{
    if (source->ops == &loop_fd_source) {
        loop_fd_pin(loop_fd_of_source(source));
    } else if (loop_source_is_rest(source)) {
        loop_rest_pin(source->self);
    }
}

/* Drops a pin of loop_source_pin. */
static inline void loop_source_unpin(struct loop_source *source)
{
    if (source->ops == &loop_fd_source) {
        loop_fd_unpin(loop_fd_of_source(source));
    } else if (loop_source_is_rest(source)) {
        loop_rest_unpin(source->self);
    }
}

/* Keeps the object that the sink is part of. */
static inline void loop_sink_pin(struct loop_sink *sink)
{
    if (sink->ops == &loop_fd_sink) {
        loop_fd_pin(loop_fd_of_sink(sink));
    }
}

/* Drops a pin of loop_sink_pin. */
static inline void loop_sink_unpin(struct loop_sink *sink)
{
    if (sink->ops == &loop_fd_sink) {
        loop_fd_unpin(loop_fd_of_sink(sink));
    }
}

#endif
