/* SPDX-License-Identifier: ISC
 *
 * Public functions of <sync/sync.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <sync/sync.h>

TEST(p23_null_and_what_is_gone_are_named_in_sync)
{
    misuse_check_all();
}

#define FN NULL, NULL
#define ENDED "opened by loop_scope_open (at suite_misuse_sync+0x"

/* They are never used: the check of the scope comes first. */
static int item;
#define CHANNEL ((struct loop_channel *)&item)
#define SEMAPHORE ((struct loop_semaphore *)&item)
#define CONDITION ((struct loop_condition *)&item)

MISUSE(loop_channel_ref, "the channel is NULL", loop_channel_ref(NULL) == NULL)
#define PARTS loop_part_scope(here->loop)
#define OF_PARTS "the scope is the loop's own"

MISUSE(loop_channel_send, OF_PARTS, loop_channel_send(PARTS, CHANNEL, &item, FN) == 0)
MISUSE(loop_channel_receive, OF_PARTS, loop_channel_receive(PARTS, CHANNEL, &item, FN) == 0)
MISUSE(loop_semaphore_acquire, OF_PARTS, loop_semaphore_acquire(PARTS, SEMAPHORE, FN) == 0)
MISUSE(loop_condition_wait, OF_PARTS, loop_condition_wait(PARTS, CONDITION, FN) == 0)
MISUSE(loop_channel_send, "the scope is NULL", loop_channel_send(NULL, CHANNEL, &item, FN) == 0)
MISUSE(loop_channel_send, ENDED, loop_channel_send(gone.scope, CHANNEL, &item, FN) == 0)
MISUSE(loop_channel_send, "the channel is NULL", loop_channel_send(here->scope, NULL, &item, FN) == 0)
MISUSE(loop_channel_send, "the item is NULL", loop_channel_send(here->scope, CHANNEL, NULL, FN) == 0)
MISUSE(loop_channel_receive, ENDED, loop_channel_receive(gone.scope, CHANNEL, &item, FN) == 0)
MISUSE(loop_channel_receive, "the channel is NULL", loop_channel_receive(here->scope, NULL, &item, FN) == 0)
MISUSE(loop_channel_receive, "the item is NULL", loop_channel_receive(here->scope, CHANNEL, NULL, FN) == 0)
MISUSE(loop_channel_try_send, "the channel is NULL", loop_channel_try_send(NULL, &item) == -EINVAL)
MISUSE(loop_channel_try_send, "the item is NULL", loop_channel_try_send(CHANNEL, NULL) == -EINVAL)
MISUSE(loop_channel_try_receive, "the channel is NULL", loop_channel_try_receive(NULL, &item) == -EINVAL)
MISUSE(loop_channel_try_receive, "the item is NULL", loop_channel_try_receive(CHANNEL, NULL) == -EINVAL)
MISUSE_VOID(loop_channel_close, "the channel is NULL", loop_channel_close(NULL))
MISUSE(loop_channel_length, "the channel is NULL", loop_channel_length(NULL) == 0)
MISUSE(loop_semaphore_ref, "the semaphore is NULL", loop_semaphore_ref(NULL) == NULL)
MISUSE(loop_semaphore_acquire, ENDED, loop_semaphore_acquire(gone.scope, SEMAPHORE, FN) == 0)
MISUSE(loop_semaphore_acquire, "the semaphore is NULL", loop_semaphore_acquire(here->scope, NULL, FN) == 0)
MISUSE(loop_semaphore_try_acquire, "the semaphore is NULL", loop_semaphore_try_acquire(NULL) == -EINVAL)
MISUSE(loop_semaphore_release, "the semaphore is NULL", loop_semaphore_release(NULL) == -EINVAL)
MISUSE(loop_semaphore_permits, "the semaphore is NULL", loop_semaphore_permits(NULL) == 0)
MISUSE(loop_condition_ref, "the condition is NULL", loop_condition_ref(NULL) == NULL)
MISUSE(loop_condition_wait, ENDED, loop_condition_wait(gone.scope, CONDITION, FN) == 0)
MISUSE(loop_condition_wait, "the condition is NULL", loop_condition_wait(here->scope, NULL, FN) == 0)
MISUSE_VOID(loop_condition_signal, "the condition is NULL", loop_condition_signal(NULL))
MISUSE_VOID(loop_condition_broadcast, "the condition is NULL", loop_condition_broadcast(NULL))
MISUSE(loop_group_open, ENDED, loop_group_open(gone.scope, LOOP_ALL_OF, 1, FN) == NULL)
MISUSE(loop_group_job, "the group is NULL", loop_group_job(NULL) == 0)
MISUSE(loop_group_member, "the group is NULL", loop_group_member(NULL, 0) == NULL)
MISUSE_VOID(loop_member_end, "the member is NULL", loop_member_end(NULL, 0))
MISUSE(loop_group_add, "the group is NULL", loop_group_add(NULL, 0, 0) == -EINVAL)
MISUSE(loop_group_result, "the group is NULL", loop_group_result(NULL, 0) == -EINVAL)

static loop_job make(void *arg, struct loop_scope *scope, void **resource, loop_fn *fn, void *fn_arg)
{
    (void)arg;
    (void)resource;
    return loop_promise(scope, NULL, NULL, fn, fn_arg);
}

static void dispose(void *arg, void *resource)
{
    (void)arg;
    (void)resource;
}

static const struct loop_resources_options options = {.make = make, .dispose = dispose};
static void *resource;

static loop_job acquire_nowhere(void)
{
    return loop_resource_acquire(here->scope, loop_resources_create(here->scope, &options), NULL, FN);
}

MISUSE(loop_resources_create, ENDED, loop_resources_create(gone.scope, &options) == NULL)
MISUSE(loop_resources_create, "the options is NULL", loop_resources_create(here->scope, NULL) == NULL)
MISUSE(loop_resource_acquire, "the pool is NULL", loop_resource_acquire(here->scope, NULL, &resource, FN) == 0)
MISUSE(loop_resource_acquire, "the resource is NULL", acquire_nowhere() == 0)
MISUSE(loop_resource_release, "the pool is NULL", loop_resource_release(NULL, NULL) == -EINVAL)
MISUSE(loop_resource_discard, "the pool is NULL", loop_resource_discard(NULL, NULL) == -EINVAL)
MISUSE_VOID(loop_resources_get_stats, "the statistics is NULL", loop_resources_get_stats(NULL, NULL))
