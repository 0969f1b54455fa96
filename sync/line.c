/* SPDX-License-Identifier: ISC
 *
 * Jobs that wait in a line.
 */
#include <loop/kernel/memory.h>
#include <sync/line.h>

#include <assert.h>
#include <errno.h>

/* ---- what threads share ---- */

void loop_shared_init(struct loop_shared *shared, void (*destroy)(struct loop_shared *shared))
{
    loop_kernel_pthread_mutex_init(&shared->mutex, NULL);
    atomic_init(&shared->references, 1);
    shared->destroy = destroy;
}

void loop_shared_finish(struct loop_shared *shared)
{
    assert(atomic_load(&shared->references) == 0);
    loop_kernel_pthread_mutex_destroy(&shared->mutex);
}

void loop_shared_ref(struct loop_shared *shared)
{
    unsigned before = atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);

    assert(before > 0);
    (void)before;
}

void loop_shared_unref(struct loop_shared *shared)
{
    unsigned before = atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel);

    assert(before > 0);
    if (before == 1) {
        shared->destroy(shared);
    }
}

void loop_shared_lock(struct loop_shared *shared)
{
    loop_kernel_pthread_mutex_lock(&shared->mutex);
}

void loop_shared_unlock(struct loop_shared *shared)
{
    loop_kernel_pthread_mutex_unlock(&shared->mutex);
}

/* ---- waiters ---- */

static void on_task(void *arg, int64_t result)
{
    struct loop_waiter *waiter = arg;

    (void)result; /* the job is open, and so is its loop */
    loop_waiter_end(waiter, waiter->result);
}

/* A waiter that is granted already ends with its result. */
static void on_cancel(void *arg, loop_job job)
{
    struct loop_waiter *waiter = arg;

    (void)job;
    loop_shared_lock(waiter->shared);
    bool is_granted = waiter->is_granted;
    if (!is_granted) {
        loop_list_remove(&waiter->link);
    }
    loop_shared_unlock(waiter->shared);
    if (!is_granted) {
        loop_waiter_end(waiter, -ECANCELED);
    }
}

struct loop_waiter *loop_waiter_create(struct loop_scope *scope, struct loop_shared *shared, size_t copy_bytes,
                                       loop_fn *fn, void *arg, loop_job *job)
{
    struct loop_waiter *waiter = loop_kernel_malloc(sizeof *waiter + copy_bytes);

    *job = 0;
    if (!waiter) {
        return NULL;
    }
    *job = loop_promise(scope, on_cancel, waiter, fn, arg);
    if (*job == 0 || loop_scope_is_cancelled(scope)) { /* the promise has ended by itself */
        loop_kernel_free(waiter);
        return NULL;
    }
    struct loop *loop = loop_scope_loop(scope);
    *waiter = (struct loop_waiter){.shared = shared,
                                   .loop = loop,
                                   .inbox = loop_inbox_of(loop),
                                   .thread = loop_kernel_pthread_self(),
                                   .job = *job,
                                   .task = {.fn = on_task, .arg = waiter}};
    loop_list_init(&waiter->link);
    loop_inbox_share(waiter->inbox);
    loop_shared_ref(shared);
    return waiter;
}

void loop_waiter_end(struct loop_waiter *waiter, int64_t result)
{
    loop_resolve(waiter->loop, waiter->job, result);
    loop_inbox_unshare(waiter->inbox);
    loop_shared_unref(waiter->shared);
    loop_kernel_free(waiter);
}

void loop_waiter_grant(struct loop_waiter *waiter, int64_t result, struct loop_list *granted)
{
    assert(!waiter->is_granted && loop_list_is_linked(&waiter->link));
    loop_list_remove(&waiter->link);
    waiter->result = result;
    waiter->is_granted = true;
    loop_list_push_back(granted, &waiter->link);
}

struct loop_waiter *loop_waiter_first(const struct loop_list *line)
{
    struct loop_list *link = loop_list_first(line);

    return link ? LOOP_CONTAINER(link, struct loop_waiter, link) : NULL;
}

/* The waiter may be freed before the post has returned, so the inbox has a reference of this thread. A post is refused
 * only in a forked child, which has a copy of the waiter that nothing ends. */
static void tell_by_task(struct loop_waiter *waiter)
{
    struct loop_inbox *inbox = waiter->inbox;

    loop_inbox_share(inbox);
    (void)loop_post_task(inbox, &waiter->task);
    loop_inbox_unshare(inbox);
}

void loop_waiters_tell(struct loop_list *granted)
{
    pthread_t self = loop_kernel_pthread_self();

    while (!loop_list_is_empty(granted)) {
        struct loop_waiter *waiter = LOOP_CONTAINER(loop_list_shift(granted), struct loop_waiter, link);
        loop_list_init(&waiter->link);
        if (pthread_equal(self, waiter->thread)) {
            loop_waiter_end(waiter, waiter->result);
        } else {
            tell_by_task(waiter);
        }
    }
}
