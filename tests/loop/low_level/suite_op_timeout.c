/* SPDX-License-Identifier: ISC
 *
 * loop_op_timeout and loop_op_nop.
 */
#include "harness.h"

LOOP_TEST(timeout_is_etime_and_never_early)
{
    static struct once never, at_once;
    static int64_t at;
    static loop_job job;

    BEGIN;
    at = loop_now(env->loop) + 20 * LOOP_MILLISECOND;
    AWAIT(loop_op_timeout(env->scope, at, GO));
    CHECK_IS(result, -ETIME);
    CHECK(now_ns() >= at);
    AWAIT(loop_op_timeout(env->scope, at, GO));
    CHECK_IS(result, -ETIME);
    AWAIT(loop_op_timeout(env->scope, 0, GO));
    CHECK_IS(result, -ETIME);
    AWAIT(loop_op_timeout(env->scope, INT64_MIN, GO));
    CHECK_IS(result, -ETIME);
    job = START(loop_op_timeout(env->scope, LOOP_NEVER, ONCE(&at_once)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(at_once.count);
    ONCE_IS(at_once, -ECANCELED);
    job = START(loop_op_timeout(env->scope, LOOP_NEVER, ONCE(&never)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(never.count);
    ONCE_IS(never, -ECANCELED);
    END;
}

LOOP_TEST(nop_is_0_and_turns_the_loop)
{
    static struct loop_stats before, after;

    BEGIN;
    loop_get_stats(env->loop, &before);
    AWAIT(loop_op_nop(env->scope, GO));
    CHECK_IS(result, 0);
    loop_get_stats(env->loop, &after);
    CHECK(after.turns > before.turns);
    END;
}
