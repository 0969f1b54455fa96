/* SPDX-License-Identifier: ISC
 *
 * The loop's own scope, which parts share (loop_part_scope). It ends after main's.
 */
#include "harness.h"

#include <loop/part.h>

static struct once end;
static unsigned released;
static bool has_begun;

/* Goes on when it is asked to end, so that the loop has nothing to do but to wait for it. */
static int64_t outlast_main(void *unused)
{
    (void)unused;
    __atomic_store_n(&has_begun, true, __ATOMIC_SEQ_CST);
    while (!loop_work_is_cancelled()) {
        usleep(100);
    }
    usleep(20000);
    return -ECANCELED;
}

static void count_release(void *unused)
{
    (void)unused;
    released++;
}

static int begin_work(struct loop_env *env, void *options)
{
    CHECK(loop_work_with(loop_part_scope(env->loop), options, outlast_main, NULL, ONCE(&end)) != 0);
    while (!__atomic_load_n(&has_begun, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    return 0;
}

TEST(work_of_the_loops_own_scope_wakes_the_loop_after_main)
{
    CHECK_IS(run(begin_work, NULL), 0);
    ONCE_IS(end, -ECANCELED);
}

TEST(owned_work_of_the_loops_own_scope_is_released_after_main)
{
    struct loop_work_options options = {.release = count_release};

    CHECK_IS(run(begin_work, &options), 0);
    ONCE_IS(end, -ECANCELED);
    CHECK_IS(released, 1);
}

static int sleep_in_own_scope(struct loop_env *env, void *unused)
{
    (void)unused;
    START(loop_sleep(loop_part_scope(env->loop), 100 * LOOP_SECOND, ONCE(&end)));
    return 0;
}

TEST(jobs_of_the_loops_own_scope_do_not_keep_the_loop_running)
{
    CHECK_IS(run(sleep_in_own_scope, NULL), 0);
    ONCE_IS(end, -ECANCELED);
}
