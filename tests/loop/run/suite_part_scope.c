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

/* ---- after a continuation ---- */

static struct {
    struct loop_part_after after;
    unsigned calls, again;
} part;

static void on_after(struct loop_part_after *after)
{
    CHECK(after == &part.after && !after->is_due);
    part.calls++;
    if (part.again > 0) {
        part.again--;
        loop_part_run_after(after->scope, after);
    }
}

/* It is called once, however often it was asked for, and keeps its scope open until then. */
LOOP_TEST(what_a_part_does_after_a_continuation)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    part.after.fn = on_after;
    scope = loop_scope_open(env->scope, once_resumed, &ended);
    loop_part_run_after(scope, &part.after);
    loop_part_run_after(scope, &part.after);
    CHECK_IS(part.calls, 0);
    AWAIT(turns(env->scope, 1, GO));
    CHECK_IS(part.calls, 1);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    part.again = 2;
    loop_part_run_after(env->scope, &part.after);
    AWAIT(turns(env->scope, 1, GO));
    CHECK_IS(part.calls, 4);
    END;
}
