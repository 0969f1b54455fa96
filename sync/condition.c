/* SPDX-License-Identifier: ISC
 *
 * Conditions.
 */
#include <loop/kernel/memory.h>
#include <sync/line.h>
#include <sync/sync.h>

#include <assert.h>
#include <limits.h>

struct loop_condition {
    struct loop_shared shared;
    struct loop_list line;
};

static void destroy(struct loop_shared *shared)
{
    struct loop_condition *condition = LOOP_CONTAINER(shared, struct loop_condition, shared);

    assert(loop_list_is_empty(&condition->line));
    loop_shared_finish(shared);
    loop_kernel_free(condition);
}

struct loop_condition *loop_condition_create(void)
{
    struct loop_condition *condition = loop_kernel_malloc(sizeof *condition);

    if (condition) {
        loop_shared_init(&condition->shared, destroy);
        loop_list_init(&condition->line);
    }
    return condition;
}

struct loop_condition *loop_condition_ref(struct loop_condition *condition)
{
    if (loop_check_pointer(condition, "condition", __func__)) {
        loop_shared_ref(&condition->shared);
    }
    return condition;
}

void loop_condition_unref(struct loop_condition *condition)
{
    if (condition) {
        loop_shared_unref(&condition->shared);
    }
}

loop_job loop_condition_wait(struct loop_scope *scope, struct loop_condition *condition, loop_fn *fn, void *arg)
{
    loop_job job;

    if (!loop_check_main_scope(scope, __func__) || !loop_check_pointer(condition, "condition", __func__)) {
        return 0;
    }
    struct loop_waiter *waiter = loop_waiter_create(scope, &condition->shared, 0, fn, arg, &job);
    if (waiter) {
        loop_shared_lock(&condition->shared);
        loop_list_push_back(&condition->line, &waiter->link);
        loop_shared_unlock(&condition->shared);
    }
    return job;
}

/* Resumes the first jobs of the line, at most so many. */
static void resume(struct loop_condition *condition, unsigned most)
{
    struct loop_list granted;
    struct loop_waiter *waiter;

    loop_list_init(&granted);
    loop_shared_lock(&condition->shared);
    while (most-- > 0 && (waiter = loop_waiter_first(&condition->line)) != NULL) {
        loop_waiter_grant(waiter, 0, &granted);
    }
    loop_shared_unlock(&condition->shared);
    loop_waiters_tell(&granted);
}

void loop_condition_signal(struct loop_condition *condition)
{
    if (loop_check_pointer(condition, "condition", __func__)) {
        resume(condition, 1);
    }
}

void loop_condition_broadcast(struct loop_condition *condition)
{
    if (loop_check_pointer(condition, "condition", __func__)) {
        resume(condition, UINT_MAX);
    }
}
