/* SPDX-License-Identifier: ISC
 *
 * The rest of a reader as a source. Its functions call those of the table that the reader begins with.
 */
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/log.h>
#include <loop/core/scope.h>
#include <loop/flow/own/rest.h>
#include <loop/ground/poison.h>

static const struct loop_source_ops *ops_of(const struct loop_source *source)
{
    return &((const struct loop_rest *)source->self)->functions->source;
}

static loop_job read_rest(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    return ops_of(source)->read(source, buf, len, fn, arg);
}

static struct loop_fd *fd_of_rest(struct loop_source *source)
{
    return ops_of(source)->fd(source);
}

static int close_rest(struct loop_source *source)
{
    return ops_of(source)->close(source);
}

static int unread_rest(struct loop_source *source, const void *bytes, size_t len)
{
    return ops_of(source)->unread(source, bytes, len);
}

static bool is_rest_readable(struct loop_source *source)
{
    return ops_of(source)->is_readable(source);
}

const struct loop_source_ops loop_rest_ops = {
    .read = read_rest, .fd = fd_of_rest, .close = close_rest, .unread = unread_rest, .is_readable = is_rest_readable};

void loop_rest_init(struct loop_rest *rest, const struct loop_rest_functions *functions, struct loop_scope *scope)
{
    rest->functions = functions;
    rest->source = (struct loop_source){.ops = &loop_rest_ops, .scope = scope, .self = rest};
}

LOOP_LOOKS_AT_FREED bool loop_bad_rest(const struct loop_rest *rest, const char *function)
{
#if NORIA_DEBUG
    if (rest) {
        struct loop_place destroyed = rest->destroyed;
        loop_stop_destroyed(function, "reader", rest->id, &destroyed);
    }
#endif
    return rest ? false : loop_bad_null(function, "reader");
}
