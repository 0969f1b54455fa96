/* SPDX-License-Identifier: ISC
 *
 * Pools of resources. A resource is idle, in use, or being made. Jobs wait in a line; whatever becomes free goes to the
 * first of them. Resources are made for the line, not for a job: as many as there are jobs in it and room for.
 *
 * A job that waits holds the scope of the pool, which is not always its own, and a resource in use holds it on. The
 * jobs that make resources belong to that scope.
 */
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <sync/sync.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { LIMIT = 8, LIMIT_MAX = 65536 };

struct idle {
    void *resource;
    int64_t until_ns; /* LOOP_NEVER: as long as the pool */
};

/* In the memory of its scope. */
struct loop_resources {
    struct loop_scope *scope;
    struct loop *loop;
    struct loop_resources_options options;
    struct loop_resources_stats stats;
    unsigned checking;     /* neither idle nor in use: `check` has them */
    struct loop_list line; /* struct taker */
    loop_job timer;        /* waits until the first of `idle` has been idle for too long; or 0 */
    struct idle idle[];    /* stats.idle of them; the last was given back last */
};

/* A job that waits for a resource. */
struct taker {
    struct loop_list link;
    struct loop_resources *pool;
    loop_job job;
    void **resource;
};

/* A resource that is being made. */
struct making {
    struct loop_resources *pool;
    void *resource;
};

/* ---- the line ---- */

/* Ends a taker that is in the line no more. */
static void end_taker(struct taker *taker, int64_t result)
{
    struct loop_resources *pool = taker->pool;

    pool->stats.waiting--;
    loop_resolve(pool->loop, taker->job, result);
    loop_kernel_free(taker);
    if (result != 0) { /* else the resource in use holds it on */
        loop_scope_unhold(pool->scope);
    }
}

/* Takes the first out of the line. Returns NULL when there is none. */
static struct taker *next_taker(struct loop_resources *pool)
{
    struct loop_list *link = loop_list_pop_front(&pool->line);

    return link ? LOOP_CONTAINER(link, struct taker, link) : NULL;
}

static void on_taker_cancel(void *arg, loop_job job)
{
    struct taker *taker = arg;

    (void)job;
    loop_list_remove(&taker->link);
    end_taker(taker, -ECANCELED);
}

static void on_scope_cancel(void *arg, int64_t result)
{
    struct loop_resources *pool = arg;
    struct loop_list all, *next;

    if (result >= 0) { /* the scope ends, and nobody waits */
        return;
    }
    loop_list_take_all(&all, &pool->line);
    for (struct loop_list *link = all.next; link != &all; link = next) {
        next = link->next;
        end_taker(LOOP_CONTAINER(link, struct taker, link), -ECANCELED);
    }
}

/* ---- idle ones ---- */

static void dispose(struct loop_resources *pool, void *resource)
{
    pool->stats.disposed++;
    pool->options.dispose(pool->options.arg, resource);
}

/* Disposes of the idle one that was given back first. */
static void dispose_oldest(struct loop_resources *pool)
{
    void *resource = pool->idle[0].resource;

    pool->stats.idle--;
    memmove(pool->idle, pool->idle + 1, pool->stats.idle * sizeof *pool->idle);
    dispose(pool, resource);
}

static void watch_idle(struct loop_resources *pool);

static void on_timer(void *arg, int64_t result)
{
    struct loop_resources *pool = arg;

    pool->timer = 0;
    if (result < 0) {
        return;
    }
    int64_t now_ns = loop_now(pool->loop);
    while (pool->stats.idle > 0 && pool->idle[0].until_ns <= now_ns) {
        dispose_oldest(pool);
    }
    watch_idle(pool);
}

/* Waits until the first idle one has been idle for too long. Without memory, the next to become idle tries it again. */
static void watch_idle(struct loop_resources *pool)
{
    bool is_needed = pool->stats.idle > 0 && pool->idle[0].until_ns != LOOP_NEVER;

    if (is_needed && pool->timer == 0 && !loop_scope_is_cancelled(pool->scope)) {
        pool->timer = loop_sleep_until(pool->scope, pool->idle[0].until_ns, on_timer, pool);
        if (pool->timer) {
            loop_daemon(pool->loop, pool->timer);
        }
    }
}

static int64_t idle_until(const struct loop_resources *pool)
{
    int64_t timeout_ns = pool->options.idle_timeout_ns, now_ns = loop_now(pool->loop);

    return timeout_ns > 0 && timeout_ns < LOOP_NEVER - now_ns ? now_ns + timeout_ns : LOOP_NEVER;
}

static void keep_idle(struct loop_resources *pool, void *resource)
{
    pool->idle[pool->stats.idle++] = (struct idle){resource, idle_until(pool)};
    watch_idle(pool);
}

/* Whether a resource is still good. It is counted meanwhile, because `check` may use the pool. */
static bool is_still_good(struct loop_resources *pool, void *resource)
{
    const struct loop_resources_options *options = &pool->options;

    pool->checking++;
    bool is_still = !options->check || options->check(options->arg, resource);
    pool->checking--;
    return is_still;
}

/* Takes the idle one that was given back last and is still good, which is then in use. Returns false when there is
 * none. */
static bool take_idle(struct loop_resources *pool, void **resource)
{
    while (pool->stats.idle > 0) {
        *resource = pool->idle[--pool->stats.idle].resource;
        if (is_still_good(pool, *resource)) {
            pool->stats.in_use++;
            return true;
        }
        dispose(pool, *resource);
    }
    return false;
}

/* ---- making ---- */

static unsigned count(const struct loop_resources *pool)
{
    return pool->stats.in_use + pool->stats.idle + pool->stats.being_made + pool->checking;
}

/* Gives a resource that nobody uses to the first of the line, or keeps it. Returns whether somebody has waited. */
static bool hand_on(struct loop_resources *pool, void *resource)
{
    struct taker *taker = next_taker(pool);

    if (!taker) {
        keep_idle(pool, resource);
        return false;
    }
    *taker->resource = resource;
    pool->stats.in_use++;
    end_taker(taker, 0);
    return true;
}

/* Ends the first of the line, if there is one, with an error. */
static void end_first(struct loop_resources *pool, int64_t error)
{
    struct taker *taker = next_taker(pool);

    if (taker) {
        end_taker(taker, error);
    }
}

static void make_for_line(struct loop_resources *pool);

/* A failure is that of the first of the line. The others have resources of their own being made, or wait for room. */
static void on_made(void *arg, int64_t result)
{
    struct making *making = arg;
    struct loop_resources *pool = making->pool;
    pool->stats.being_made--;
    if (result >= 0) {
        pool->stats.made++;
        (void)hand_on(pool, making->resource);
    } else {
        if (making->resource) { /* begun, and not finished */
            pool->options.dispose(pool->options.arg, making->resource);
        }
        end_first(pool, result);
    }
    loop_kernel_free(making);
    make_for_line(pool);
}

/* Starts to make one. Returns false without memory. */
static bool make(struct loop_resources *pool)
{
    const struct loop_resources_options *options = &pool->options;
    struct making *making = loop_kernel_calloc(1, sizeof *making);

    if (!making) {
        return false;
    }
    making->pool = pool;
    pool->stats.being_made++;
    if (options->make(options->arg, pool->scope, &making->resource, on_made, making) != 0) {
        return true;
    }
    pool->stats.being_made--;
    if (making->resource) {
        options->dispose(options->arg, making->resource);
    }
    loop_kernel_free(making);
    return false;
}

static void make_for_line(struct loop_resources *pool)
{
    while (pool->stats.being_made < pool->stats.waiting && count(pool) < pool->options.limit) {
        if (!make(pool)) {
            end_first(pool, -ENOMEM);
        }
    }
}

/* ---- the pool ---- */

/* The hook of the scope: its jobs have ended. */
static void on_scope_end(void *arg)
{
    struct loop_resources *pool = arg;

    assert(pool->stats.waiting == 0 && pool->stats.being_made == 0 && pool->stats.in_use == 0);
    while (pool->stats.idle > 0) {
        dispose_oldest(pool);
    }
}

struct loop_resources *loop_resources_create(struct loop_scope *scope, const struct loop_resources_options *options)
{
    if (!loop_check_scope(scope, __func__) || !loop_check_pointer(options, "options", __func__) || !options->make ||
        !options->dispose || options->limit > LIMIT_MAX || options->idle_timeout_ns < 0) {
        return NULL;
    }
    unsigned limit = options->limit ? options->limit : LIMIT;
    struct loop_resources *pool = loop_scope_alloc(scope, sizeof *pool + limit * sizeof *pool->idle);
    if (!pool) {
        return NULL;
    }
    pool->scope = scope;
    pool->loop = loop_scope_loop(scope);
    pool->options = *options;
    pool->options.limit = limit;
    loop_list_init(&pool->line);
    if (!loop_scope_on_cancel(scope, on_scope_cancel, pool) || !loop_scope_defer(scope, on_scope_end, pool)) {
        return NULL;
    }
    return pool;
}

static bool is_good(const struct loop_resources *pool, const char *function)
{
    return loop_check_object(pool, offsetof(struct loop_resources, scope), "pool", function);
}

/* Starts a job that ends at once. */
static loop_job start_ended(struct loop_scope *scope, int64_t result, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(scope, NULL, NULL, fn, arg);

    if (job) {
        loop_resolve(loop_scope_loop(scope), job, result);
    }
    return job;
}

/* Hands on what is not in use any more, or disposes of it. */
static void put_back(struct loop_resources *pool, void *resource)
{
    if (loop_scope_is_cancelled(pool->scope)) {
        dispose(pool, resource);
    } else {
        pool->stats.reused += hand_on(pool, resource);
    }
}

/* Whether a job of `scope` can take nothing of the pool. */
static bool is_over(const struct loop_scope *scope, const struct loop_resources *pool)
{
    return loop_scope_is_cancelled(scope) || loop_scope_is_cancelled(pool->scope);
}

static loop_job acquire_idle(struct loop_scope *scope, struct loop_resources *pool, void **resource, loop_fn *fn,
                             void *arg)
{
    bool is_cancelled = is_over(scope, pool); /* by now, in a check */
    loop_job job = start_ended(scope, is_cancelled ? -ECANCELED : 0, fn, arg);

    if (job && !is_cancelled) {
        pool->stats.reused++;
        loop_scope_hold(pool->scope);
    } else {
        pool->stats.in_use--;
        put_back(pool, *resource);
    }
    make_for_line(pool); /* for what has waited in a check, where others were disposed of */
    return job;
}

static loop_job wait_in_line(struct loop_scope *scope, struct loop_resources *pool, void **resource, loop_fn *fn,
                             void *arg)
{
    struct taker *taker = loop_kernel_malloc(sizeof *taker);

    if (!taker) {
        return 0;
    }
    loop_job job = loop_promise(scope, on_taker_cancel, taker, fn, arg);
    if (job == 0) {
        loop_kernel_free(taker);
        return 0;
    }
    *taker = (struct taker){.pool = pool, .job = job, .resource = resource};
    loop_list_push_back(&pool->line, &taker->link);
    pool->stats.waiting++;
    loop_scope_hold(pool->scope);
    return job;
}

loop_job loop_resource_acquire(struct loop_scope *scope, struct loop_resources *pool, void **resource, loop_fn *fn,
                               void *arg)
{
    if (!is_good(pool, __func__) || (scope && !loop_check_scope(scope, __func__)) ||
        !loop_check_pointer(resource, "resource", __func__)) {
        return 0;
    }
    scope = scope ? scope : pool->scope;
    if (is_over(scope, pool)) {
        return start_ended(scope, -ECANCELED, fn, arg);
    }
    if (loop_list_is_empty(&pool->line) && take_idle(pool, resource)) {
        return acquire_idle(scope, pool, resource, fn, arg);
    }
    loop_job job = is_over(scope, pool) /* by now, in a check */
                       ? start_ended(scope, -ECANCELED, fn, arg)
                       : wait_in_line(scope, pool, resource, fn, arg);
    make_for_line(pool);
    return job;
}

int loop_resource_release(struct loop_resources *pool, void *resource)
{
    if (!is_good(pool, __func__) || pool->stats.in_use == 0) {
        return -EINVAL;
    }
    pool->stats.in_use--;
    put_back(pool, resource);
    loop_scope_unhold(pool->scope);
    return 0;
}

int loop_resource_discard(struct loop_resources *pool, void *resource)
{
    if (!is_good(pool, __func__) || pool->stats.in_use == 0) {
        return -EINVAL;
    }
    pool->stats.in_use--;
    dispose(pool, resource);
    make_for_line(pool);
    loop_scope_unhold(pool->scope);
    return 0;
}

void loop_resources_get_stats(const struct loop_resources *pool, struct loop_resources_stats *stats)
{
    if (!loop_check_pointer(stats, "statistics", __func__)) {
        return;
    }
    *stats = (struct loop_resources_stats){0};
    if (is_good(pool, __func__)) {
        *stats = pool->stats;
    }
}
