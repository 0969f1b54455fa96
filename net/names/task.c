/* SPDX-License-Identifier: ISC
 *
 * Tasks: from the call to the one end.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <net/names/task.h>
#include <net/names/text.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

static void on_steps_end(void *arg, int64_t error)
{
    struct loop_names_task *task = arg;

    (void)error;
    task->ops->finish(task);
    loop_kernel_free(task);
}

static void on_cancel(void *arg, loop_job job)
{
    struct loop_names_task *task = arg;

    (void)job;
    loop_scope_cancel(task->steps);
}

static void on_steps_cancelled(void *arg, int64_t reason)
{
    struct loop_names_task *task = arg;

    if (!task->is_over && reason < 0) {
        task->ops->cancel(task, reason);
    }
}

struct loop_names_task *loop_names_task_create(struct loop_scope *scope, const struct loop_names_task_ops *ops,
                                               struct loop_name_error *error, loop_fn *fn, void *arg)
{
    struct loop_names_task *task = loop_kernel_calloc(1, ops->size_bytes);

    assert(ops->size_bytes >= sizeof *task);
    if (!task) {
        return NULL;
    }
    task->ops = ops;
    task->loop = loop_scope_loop(scope);
    task->scope = scope;
    task->error = error ? error : &task->own_error;
    task->error->text[0] = '\0';
    task->steps = loop_scope_open(scope, on_steps_end, task);
    if (!task->steps) {
        loop_kernel_free(task);
        return NULL;
    }
    task->promise = loop_promise(scope, on_cancel, task, fn, arg);
    if (!task->promise) {
        return NULL; /* the scope of the steps is empty: it ends, and frees the task */
    }
    loop_scope_hold(task->steps);
    if (!loop_scope_on_cancel(task->steps, on_steps_cancelled, task)) {
        loop_names_say(task->error, "%s", strerror(ENOMEM));
        loop_names_task_end(task, -ENOMEM);
    }
    return task;
}

loop_job loop_names_task_refuse(struct loop_scope *scope, struct loop_name_error *error, loop_fn *fn, void *arg)
{
    if (error) {
        error->text[0] = '\0';
        loop_names_say(error, "the scope is cancelled");
    }
    return loop_promise(scope, NULL, NULL, fn, arg);
}

int64_t loop_names_from_now(const struct loop *loop, int64_t duration_ns)
{
    int64_t now = loop_now(loop);

    return duration_ns < LOOP_NEVER - now ? now + duration_ns : LOOP_NEVER;
}

int loop_names_task_limit(struct loop_names_task *task, int64_t timeout_ns)
{
    if (timeout_ns < 0) {
        return -EINVAL;
    }
    if (timeout_ns > 0) {
        loop_scope_deadline(task->steps, loop_names_from_now(task->loop, timeout_ns));
    }
    return loop_scope_error(task->steps) == -ENOMEM ? -ENOMEM : 0; /* without memory for the deadline */
}

void loop_names_task_end(struct loop_names_task *task, int64_t result)
{
    assert(!task->is_over && task->promise);
    task->is_over = true;
    if (result >= 0) {
        task->error->text[0] = '\0';
    }
    loop_resolve(task->loop, task->promise, result);
    loop_scope_cancel(task->steps);
    loop_scope_unhold(task->steps);
}
