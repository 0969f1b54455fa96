/* SPDX-License-Identifier: ISC
 *
 * Semaphores. Jobs wait for a permit only while there is none.
 */
#include <loop/kernel/memory.h>
#include <sync/line.h>
#include <sync/sync.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>

struct loop_semaphore {
    struct loop_shared shared;
    unsigned permits;
    struct loop_list line;
};

/* ---- semaphores ---- */

static void destroy(struct loop_shared *shared)
{
    struct loop_semaphore *semaphore = LOOP_CONTAINER(shared, struct loop_semaphore, shared);

    assert(loop_list_is_empty(&semaphore->line));
    loop_shared_finish(shared);
    loop_kernel_free(semaphore);
}

struct loop_semaphore *loop_semaphore_create(unsigned permits)
{
    struct loop_semaphore *semaphore = loop_kernel_malloc(sizeof *semaphore);

    if (semaphore) {
        loop_shared_init(&semaphore->shared, destroy);
        semaphore->permits = permits;
        loop_list_init(&semaphore->line);
    }
    return semaphore;
}

struct loop_semaphore *loop_semaphore_ref(struct loop_semaphore *semaphore)
{
    if (loop_check_pointer(semaphore, "semaphore", __func__)) {
        loop_shared_ref(&semaphore->shared);
    }
    return semaphore;
}

void loop_semaphore_unref(struct loop_semaphore *semaphore)
{
    if (semaphore) {
        loop_shared_unref(&semaphore->shared);
    }
}

/* Takes a permit if there is one. Inside of the mutex. */
static bool take(struct loop_semaphore *semaphore)
{
    assert(semaphore->permits == 0 || loop_list_is_empty(&semaphore->line));
    bool has_one = semaphore->permits > 0;
    semaphore->permits -= has_one;
    return has_one;
}

loop_job loop_semaphore_acquire(struct loop_scope *scope, struct loop_semaphore *semaphore, loop_fn *fn, void *arg)
{
    loop_job job;

    if (!loop_check_main_scope(scope, __func__) || !loop_check_pointer(semaphore, "semaphore", __func__)) {
        return 0;
    }
    struct loop_waiter *waiter = loop_waiter_create(scope, &semaphore->shared, 0, fn, arg, &job);
    if (!waiter) {
        return job;
    }
    loop_shared_lock(&semaphore->shared);
    bool has_one = take(semaphore);
    if (!has_one) {
        loop_list_push_back(&semaphore->line, &waiter->link);
    }
    loop_shared_unlock(&semaphore->shared);
    if (has_one) {
        loop_waiter_end(waiter, 0);
    }
    return job;
}

int loop_semaphore_try_acquire(struct loop_semaphore *semaphore)
{
    if (!loop_check_pointer(semaphore, "semaphore", __func__)) {
        return -EINVAL;
    }
    loop_shared_lock(&semaphore->shared);
    bool has_one = take(semaphore);
    loop_shared_unlock(&semaphore->shared);
    return has_one ? 0 : -EAGAIN;
}

int loop_semaphore_release(struct loop_semaphore *semaphore)
{
    struct loop_list granted;
    int error = 0;

    if (!loop_check_pointer(semaphore, "semaphore", __func__)) {
        return -EINVAL;
    }
    loop_list_init(&granted);
    loop_shared_lock(&semaphore->shared);
    struct loop_waiter *waiter = loop_waiter_first(&semaphore->line);
    if (waiter) {
        loop_waiter_grant(waiter, 0, &granted);
    } else if (semaphore->permits == UINT_MAX) {
        error = -EOVERFLOW;
    } else {
        semaphore->permits++;
    }
    loop_shared_unlock(&semaphore->shared);
    loop_waiters_tell(&granted);
    return error;
}

unsigned loop_semaphore_permits(struct loop_semaphore *semaphore)
{
    if (!loop_check_pointer(semaphore, "semaphore", __func__)) {
        return 0;
    }
    loop_shared_lock(&semaphore->shared);
    unsigned permits = semaphore->permits;
    loop_shared_unlock(&semaphore->shared);
    return permits;
}
