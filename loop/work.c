/* SPDX-License-Identifier: ISC
 *
 * Work for the pool: the program's own functions.
 */
#include <loop/operation.h>

#include <errno.h>
#include <string.h>

static loop_job start(struct loop_scope *scope, const struct loop_work_options *options,
                      struct loop_operation *operation, loop_work_fn *work)
{
    operation->scope = scope;
    operation->op = LOOP_OP_WORK;
    operation->fd = options->fd;
    operation->second = options->second;
    operation->args.flags = options->takes_long;
    /* The function is kept as bytes: C doesn't promise that a pointer to data can hold its address. */
    _Static_assert(sizeof work == sizeof operation->args.data, "it is kept where a pointer to data would be");
    memcpy(&operation->args.data, &work, sizeof work);
    return loop_operation_start(operation);
}

loop_job loop_work_with(struct loop_scope *scope, const struct loop_work_options *options, loop_work_fn *work,
                        void *work_arg, loop_fn *fn, void *arg)
{
    static const struct loop_work_options defaults;
    options = options ? options : &defaults;
    struct loop_operation operation = {.fn = fn, .arg = arg, .error = work ? 0 : -EINVAL};
    operation.args.out = work_arg;
    return start(scope, options, &operation, work);
}

loop_job loop_work(struct loop_scope *scope, loop_work_fn *work, void *work_arg, loop_fn *fn, void *arg)
{
    return loop_work_with(scope, NULL, work, work_arg, fn, arg);
}
