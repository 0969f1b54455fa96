/* SPDX-License-Identifier: ISC
 *
 * Pools of resources. Here a resource is a number, and making one takes as long as the test wants.
 */
#include "harness.h"

#include <sync/sync.h>

enum { MOST = 8 };

static struct {
    struct loop_scope *scope;
    struct loop_resources *pool;
    int numbers[MOST];
    unsigned n_made, n_begun;
    bool is_slow; /* `pending` end when the test resolves them */
    bool is_bad[MOST];
    loop_job pending[MOST];
    void **places[MOST];
    unsigned disposed[MOST];
    loop_fn *fn;
    void *fn_arg;
} world;

static loop_job make(void *arg, struct loop_scope *scope, void **resource, loop_fn *fn, void *fn_arg)
{
    unsigned at = world.n_begun;

    CHECK(arg == &world);
    CHECK(scope == world.scope);
    CHECK(at < MOST);
    loop_job job = loop_promise(scope, NULL, NULL, fn, fn_arg);
    if (!job) {
        return 0;
    }
    world.n_begun++;
    world.pending[at] = job;
    world.numbers[at] = (int)at;
    *resource = &world.numbers[at];
    if (!world.is_slow) {
        loop_resolve(loop_scope_loop(scope), job, 0);
    }
    return job;
}

static void dispose(void *arg, void *resource)
{
    int *number = resource;

    CHECK(arg == &world);
    world.disposed[*number]++;
}

static bool is_usable(void *arg, void *resource)
{
    int *number = resource;

    CHECK(arg == &world);
    return !world.is_bad[*number];
}

static void create(struct loop_scope *scope, unsigned limit, int64_t idle_timeout_ns)
{
    const struct loop_resources_options options = {.limit = limit,
                                                   .idle_timeout_ns = idle_timeout_ns,
                                                   .make = make,
                                                   .dispose = dispose,
                                                   .check = is_usable,
                                                   .arg = &world};

    world.scope = scope;
    world.pool = loop_resources_create(scope, &options);
    CHECK(world.pool != NULL);
}

static struct loop_resources_stats stats(void)
{
    struct loop_resources_stats stats;

    loop_resources_get_stats(world.pool, &stats);
    return stats;
}

static struct once got[4];
static void *taken[4];

#define ACQUIRE(scope, i) loop_resource_acquire((scope), world.pool, &taken[i], ONCE(&got[i]))

LOOP_TEST(what_is_given_back_is_used_again)
{
    BEGIN;
    create(env->scope, 2, 0);
    AWAIT(loop_resource_acquire(NULL, world.pool, &taken[0], GO));
    CHECK_IS(result, 0);
    AWAIT(loop_resource_acquire(NULL, world.pool, &taken[1], GO));
    CHECK(taken[0] == &world.numbers[0] && taken[1] == &world.numbers[1]);
    CHECK_IS(stats().in_use, 2);
    CHECK_IS(loop_resource_release(world.pool, taken[0]), 0);
    CHECK_IS(loop_resource_release(world.pool, taken[1]), 0);
    CHECK_IS(stats().idle, 2);
    AWAIT(loop_resource_acquire(NULL, world.pool, &taken[2], GO));
    CHECK(taken[2] == taken[1]); /* the last one first */
    CHECK_IS(loop_resource_discard(world.pool, taken[2]), 0);
    CHECK_IS(world.disposed[1], 1);
    CHECK_IS(world.disposed[0], 0);
    CHECK_IS(loop_resource_release(world.pool, taken[2]), -EINVAL);
    CHECK_IS(loop_resource_discard(world.pool, taken[2]), -EINVAL);
    CHECK_IS(stats().made, 2);
    CHECK_IS(stats().reused, 1);
    CHECK_IS(stats().disposed, 1);
    END;
}

LOOP_TEST(those_beyond_the_limit_wait_in_their_order)
{
    BEGIN;
    create(env->scope, 1, 0);
    for (int i = 0; i < 3; i++) {
        START(ACQUIRE(env->scope, i));
    }
    WAIT_UNTIL(got[0].count);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(got[1].count, 0);
    CHECK_IS(stats().waiting, 2);
    CHECK_IS(loop_resource_release(world.pool, taken[0]), 0);
    WAIT_UNTIL(got[1].count);
    CHECK(taken[1] == &world.numbers[0]);
    CHECK_IS(got[2].count, 0);
    CHECK_IS(loop_resource_discard(world.pool, taken[1]), 0);
    WAIT_UNTIL(got[2].count);
    CHECK(taken[2] == &world.numbers[1]);
    CHECK_IS(world.n_begun, 2);
    CHECK_IS(stats().reused, 1);
    CHECK_IS(loop_resource_release(world.pool, taken[2]), 0);
    END;
}

LOOP_TEST(a_failure_is_that_of_the_first_who_waits)
{
    BEGIN;
    create(env->scope, 2, 0);
    world.is_slow = true;
    for (int i = 0; i < 3; i++) {
        START(ACQUIRE(env->scope, i));
    }
    CHECK_IS(world.n_begun, 2);
    CHECK_IS(loop_resolve(env->loop, world.pending[0], -ECONNREFUSED), 0);
    WAIT_UNTIL(got[0].count);
    ONCE_IS(got[0], -ECONNREFUSED);
    CHECK_IS(world.n_begun, 3); /* for the third, who had no room */
    CHECK_IS(loop_resolve(env->loop, world.pending[1], 0), 0);
    CHECK_IS(loop_resolve(env->loop, world.pending[2], 0), 0);
    WAIT_UNTIL(got[1].count && got[2].count);
    ONCE_IS(got[1], 0);
    ONCE_IS(got[2], 0);
    CHECK_IS(loop_resource_release(world.pool, taken[1]), 0);
    CHECK_IS(loop_resource_release(world.pool, taken[2]), 0);
    END;
}

LOOP_TEST(what_was_begun_is_disposed_of_when_making_it_fails)
{
    BEGIN;
    create(env->scope, 1, 0);
    world.is_slow = true;
    START(ACQUIRE(env->scope, 0));
    CHECK_IS(loop_resolve(env->loop, world.pending[0], -EIO), 0);
    WAIT_UNTIL(got[0].count);
    ONCE_IS(got[0], -EIO);
    CHECK_IS(world.disposed[0], 1);
    CHECK_IS(stats().made + stats().disposed, 0);
    END;
}

LOOP_TEST(p09_a_cancelled_job_loses_no_resource)
{
    static loop_job job;

    BEGIN;
    create(env->scope, 1, 0);
    world.is_slow = true;
    job = START(ACQUIRE(env->scope, 0));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(got[0].count);
    ONCE_IS(got[0], -ECANCELED);
    CHECK_IS(stats().being_made, 1);
    START(ACQUIRE(env->scope, 1));
    CHECK_IS(world.n_begun, 1);
    CHECK_IS(loop_resolve(env->loop, world.pending[0], 0), 0);
    WAIT_UNTIL(got[1].count);
    ONCE_IS(got[1], 0);
    CHECK(taken[1] == &world.numbers[0]);
    job = START(ACQUIRE(env->scope, 2));
    CHECK_IS(loop_resource_release(world.pool, taken[1]), 0);
    (void)loop_cancel(env->loop, job);
    WAIT_UNTIL(got[2].count);
    ONCE_IS(got[2], 0);
    CHECK_IS(loop_resource_release(world.pool, taken[2]), 0);
    CHECK_IS(stats().idle, 1);
    END;
}

LOOP_TEST(an_idle_one_that_is_no_longer_good_is_replaced)
{
    BEGIN;
    create(env->scope, 1, 0);
    AWAIT(loop_resource_acquire(NULL, world.pool, &taken[0], GO));
    CHECK_IS(loop_resource_release(world.pool, taken[0]), 0);
    world.is_bad[0] = true;
    AWAIT(loop_resource_acquire(NULL, world.pool, &taken[0], GO));
    CHECK_IS(world.disposed[0], 1);
    CHECK(taken[0] == &world.numbers[1]);
    CHECK_IS(loop_resource_release(world.pool, taken[0]), 0);
    END;
}

static struct {
    bool is_on;
    struct once acquired;
    void *resource;
} inside;

/* Another one is taken while one is checked. */
static bool take_another(void *arg, void *resource)
{
    if (inside.is_on) {
        inside.is_on = false;
        START(loop_resource_acquire(NULL, world.pool, &inside.resource, ONCE(&inside.acquired)));
    }
    return is_usable(arg, resource);
}

/* While one is checked it counts. What waits then gets what is given back, or another one where it was no longer
 * good. */
LOOP_TEST_ROWS(a_check_that_takes_another_keeps_to_the_limit, 2)
{
    static struct once outer;
    static void *resource;

    BEGIN;
    world.scope = env->scope;
    world.pool = loop_resources_create(
        env->scope, &(struct loop_resources_options){
                        .limit = 1, .make = make, .dispose = dispose, .check = take_another, .arg = &world});
    CHECK(world.pool != NULL);
    AWAIT(loop_resource_acquire(NULL, world.pool, &resource, GO));
    CHECK_IS(loop_resource_release(world.pool, resource), 0);
    inside.is_on = true;
    world.is_bad[0] = script.row == 1;
    START(loop_resource_acquire(NULL, world.pool, &resource, ONCE(&outer)));
    CHECK(stats().in_use + stats().idle + stats().being_made <= 1);
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(stats().in_use, 1);
    CHECK_IS(stats().waiting, 1);
    CHECK_IS(stats().made, script.row == 1 ? 2 : 1);
    CHECK_IS(loop_resource_release(world.pool, inside.acquired.count ? inside.resource : resource), 0);
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(stats().in_use, 1);
    CHECK_IS(stats().waiting, 0);
    ONCE_IS(inside.acquired, 0);
    ONCE_IS(outer, 0);
    CHECK_IS(loop_resource_release(world.pool, resource), 0);
    END;
}

static struct loop_scope *doomed;

/* The program gives up when it finds that an idle one is no longer good. */
static bool cancel_all(void *arg, void *resource)
{
    (void)arg;
    (void)resource;
    loop_scope_cancel(doomed);
    return false;
}

LOOP_TEST_ROWS(p09_a_check_that_cancels_leaves_nobody_waiting, 2)
{
    static struct loop_scope *pools, *other;
    static struct once ended, acquired;

    BEGIN;
    pools = loop_scope_open(env->scope, ONCE(&ended));
    other = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_hold(other);
    world.scope = pools;
    world.pool = loop_resources_create(
        pools, &(struct loop_resources_options){.make = make, .dispose = dispose, .check = cancel_all, .arg = &world});
    CHECK(world.pool != NULL);
    AWAIT(loop_resource_acquire(pools, world.pool, &taken[0], GO));
    START(loop_resource_acquire(other, world.pool, &taken[1], ONCE(&acquired)));
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(acquired, 0);
    CHECK_IS(loop_resource_release(world.pool, taken[1]), 0);
    doomed = script.row == 0 ? pools : other;
    acquired = (struct once){.count = 0};
    START(loop_resource_acquire(other, world.pool, &taken[1], ONCE(&acquired)));
    AWAIT(turns(env->scope, 5, GO));
    ONCE_IS(acquired, -ECANCELED);
    CHECK_IS(stats().waiting, 0);
    CHECK_IS(stats().in_use, 1);
    CHECK_IS(stats().made, 2);
    CHECK_IS(loop_resource_release(world.pool, taken[0]), 0);
    loop_scope_unhold(other);
    WAIT_UNTIL(ended.count);
    CHECK_IS(world.disposed[0] + world.disposed[1], 2);
    END;
}

LOOP_TEST(one_that_is_idle_for_too_long_is_disposed_of)
{
    static int64_t since_ns;

    BEGIN;
    create(env->scope, 2, 20 * LOOP_MILLISECOND);
    AWAIT(loop_resource_acquire(NULL, world.pool, &taken[0], GO));
    AWAIT(loop_resource_acquire(NULL, world.pool, &taken[1], GO));
    since_ns = loop_now(env->loop);
    CHECK_IS(loop_resource_release(world.pool, taken[0]), 0);
    CHECK_IS(loop_resource_release(world.pool, taken[1]), 0);
    while (stats().idle > 0) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    CHECK(loop_now(env->loop) >= since_ns + 20 * LOOP_MILLISECOND);
    CHECK_IS(world.disposed[0], 1);
    CHECK_IS(world.disposed[1], 1);
    END;
}

/* The timer of the pool does not keep its scope. */
LOOP_TEST(a_scope_ends_when_no_resource_is_in_use_and_disposes_of_idle_ones)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    create(scope, 2, 3600 * LOOP_SECOND);
    AWAIT(loop_resource_acquire(env->scope, world.pool, &taken[0], GO));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ended.count, 0);
    CHECK_IS(loop_resource_release(world.pool, taken[0]), 0);
    CHECK_IS(world.disposed[0], 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK_IS(world.disposed[0], 1);
    END;
}

LOOP_TEST(a_cancelled_scope_ends_all_who_wait)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    create(scope, 1, 0);
    AWAIT(loop_resource_acquire(scope, world.pool, &taken[0], GO));
    START(ACQUIRE(env->scope, 1));
    START(ACQUIRE(NULL, 2));
    loop_scope_cancel(scope);
    START(ACQUIRE(env->scope, 3));
    WAIT_UNTIL(got[1].count && got[2].count && got[3].count);
    ONCE_IS(got[1], -ECANCELED);
    ONCE_IS(got[2], -ECANCELED);
    ONCE_IS(got[3], -ECANCELED);
    CHECK_IS(ended.count, 0);
    CHECK_IS(loop_resource_release(world.pool, taken[0]), 0);
    CHECK_IS(world.disposed[0], 1);
    WAIT_UNTIL(ended.count);
    END;
}

LOOP_TEST(wrong_options_are_refused)
{
    struct loop_resources_options options = {.make = make, .dispose = dispose};

    BEGIN;
    options.limit = 65537;
    CHECK(loop_resources_create(env->scope, &options) == NULL);
    options.limit = 0;
    options.idle_timeout_ns = -1;
    CHECK(loop_resources_create(env->scope, &options) == NULL);
    options.idle_timeout_ns = 0;
    options.make = NULL;
    CHECK(loop_resources_create(env->scope, &options) == NULL);
    options.make = make;
    options.dispose = NULL;
    CHECK(loop_resources_create(env->scope, &options) == NULL);
    END;
}

#if !HAS_SANITIZER

/* Each allocation fails in turn: whoever has a job gets one end of it, and nothing is lost. */
LOOP_TEST(without_memory_every_job_ends_once)
{
    static unsigned long n;
    static bool failed;
    static loop_job job;

    BEGIN;
    create(env->scope, 1, LOOP_SECOND);
    for (n = 1, failed = true; failed; n++) {
        got[0] = (struct once){0};
        world.n_begun = 0;
        fail_allocation(n, false);
        job = ACQUIRE(env->scope, 0);
        WAIT_UNTIL(!job || got[0].count);
        if (job && got[0].result == 0) {
            CHECK_IS(loop_resource_discard(world.pool, taken[0]), 0);
        }
        failed = allocation_failed();
        fail_allocation(0, false);
        CHECK(!job || got[0].result == 0 || got[0].result == -ENOMEM);
        CHECK_IS(stats().waiting + stats().in_use + stats().idle + stats().being_made, 0);
    }
    CHECK(n > 2);
    END;
}

#endif
