/* SPDX-License-Identifier: ISC
 *
 * Waiters: jobs of a part that wait for the same event, in a list of the part.
 */
#include <loop/core/check.h>
#include <loop/core/job.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/part.h>

static const struct loop_job_kind waiter_kind = {.name = "waiter", .cancel = loop_job_cancel_here};

_Static_assert(sizeof(struct loop_waiters) == sizeof(struct loop_list), "the one is the public name of the other");

static struct loop_list *list_of(struct loop_waiters *waiters)
{
    return (struct loop_list *)(void *)waiters;
}

void loop_waiters_init(struct loop_waiters *waiters)
{
    if (loop_check_pointer(waiters, "list of waiters", __func__)) {
        loop_list_init(list_of(waiters));
    }
}

loop_job loop_waiters_add(struct loop_waiters *waiters, struct loop_scope *scope, loop_fn *fn, void *arg)
{
    if (!loop_check_pointer(waiters, "list of waiters", __func__) || !loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    loop_job id;
    struct loop_job *job = loop_job_start(scope, NULL, &waiter_kind, fn, arg, &id);
    if (job) {
        job->where = LOOP_AT_OWNER;
        loop_list_push_back(list_of(waiters), &job->link);
    }
    return id;
}

void loop_waiters_end(struct loop_waiters *waiters, int64_t result)
{
    struct loop_list *node;
    if (!loop_check_pointer(waiters, "list of waiters", __func__)) {
        return;
    }
    while ((node = loop_list_pop_front(list_of(waiters)))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        loop_job_complete(job->scope->loop, job, result);
    }
}
