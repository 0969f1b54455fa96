/* SPDX-License-Identifier: ISC
 *
 * Checks of sources, sinks and flows.
 */
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/log.h>
#include <loop/core/scope.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/check.h>
#include <loop/flow/own/rest.h>
#include <loop/ground/poison.h>
#include <loop/part.h>

/* Checks a source or sink of the program's own: `what` says what is missing where it lacks its scope or a function. */
static bool is_complete(const struct loop_scope *scope, bool has_ops, const char *function, const char *what)
{
    if (!scope || !has_ops) {
        loop_misuse(NULL, function, what, "fill in its struct");
        return false;
    }
    return loop_scope_is_good(scope, function);
}

static bool copied(const char *what, const char *function)
{
    loop_misuse(NULL, function, what, "use the one that loop_fd_flow returns where it is");
    return false;
}

LOOP_LOOKS_AT_FREED bool loop_other_source_is_good(const struct loop_source *source, const char *function)
{
    if (!source) {
        return loop_bad_null(function, "source");
    }
    if (source->ops == &loop_fd_source && loop_is_copy(source->self, loop_fd_of_source(source))) {
        return copied("the source is a copy of a descriptor's", function);
    }
    if (source->ops == &loop_fd_source) {
        return loop_fd_is_good(loop_fd_of_source(source), function);
    }
    if (source->ops == &loop_rest_ops && loop_is_freed(source->self)) {
        return loop_bad_rest(source->self, function);
    }
    return is_complete(source->scope, source->ops && source->ops->read, function,
                       "the source has no scope or no `read`");
}

LOOP_LOOKS_AT_FREED bool loop_other_sink_is_good(const struct loop_sink *sink, const char *function)
{
    if (!sink) {
        return loop_bad_null(function, "sink");
    }
    if (sink->ops == &loop_fd_sink && loop_is_copy(sink->self, loop_fd_of_sink(sink))) {
        return copied("the sink is a copy of a descriptor's", function);
    }
    if (sink->ops == &loop_fd_sink) {
        return loop_fd_is_good(loop_fd_of_sink(sink), function);
    }
    return is_complete(sink->scope, sink->ops && sink->ops->write, function, "the sink has no scope or no `write`");
}

LOOP_LOOKS_AT_FREED bool loop_flow_is_good(const struct loop_flow *flow, const char *function)
{
    if (!flow) {
        return loop_bad_null(function, "flow");
    }
    return !flow->fd || loop_fd_is_good(flow->fd, function);
}

bool loop_check_flow(const struct loop_flow *flow, const char *function)
{
    return loop_flow_is_good(flow, function);
}
