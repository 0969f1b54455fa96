/* SPDX-License-Identifier: ISC
 *
 * loop_scope_on_cancel: who holds a scope is told that it is cancelled; and a debug build names scopes that only holds
 * keep open.
 */
#include "harness.h"

LOOP_TEST(p07_a_holder_is_told_that_its_scope_is_cancelled)
{
    static struct loop_scope *scope;
    static struct once told, ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    START(loop_scope_on_cancel(scope, ONCE(&told)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(told.count, 0);
    loop_scope_cancel(scope);
    WAIT_UNTIL(told.count);
    ONCE_IS(told, -ECANCELED);
    CHECK_IS(ended.count, 0);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    END;
}

LOOP_TEST(p07_a_holder_is_told_that_a_deadline_was_reached)
{
    static struct loop_scope *outer, *scope;
    static struct once told, ended;

    BEGIN;
    outer = loop_scope_open(env->scope, ONCE(&ended));
    scope = loop_scope_open(outer, NULL, NULL);
    loop_scope_hold(scope);
    START(loop_scope_on_cancel(scope, ONCE(&told)));
    loop_scope_deadline(outer, now_ns() + LOOP_MILLISECOND);
    WAIT_UNTIL(told.count);
    ONCE_IS(told, -ETIMEDOUT);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(p07_a_holder_is_told_of_a_failure_and_of_a_cancel_that_came_before)
{
    static struct loop_scope *scope;
    static struct once told, late, ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    START(loop_scope_on_cancel(scope, ONCE(&told)));
    loop_scope_fail(scope, -EDOM);
    WAIT_UNTIL(told.count);
    ONCE_IS(told, -ECANCELED);
    START(loop_scope_on_cancel(scope, ONCE(&late)));
    WAIT_UNTIL(late.count);
    ONCE_IS(late, -ECANCELED);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EDOM);
    END;
}

LOOP_TEST(p08_asking_for_the_cancel_holds_no_scope_open)
{
    static struct loop_scope *scope;
    static struct once told, ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_scope_on_cancel(scope, ONCE(&told)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(told, 0);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p04_asking_for_the_cancel_can_be_cancelled)
{
    static struct loop_scope *scope;
    static struct once told, ended;
    static loop_job job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    job = START(loop_scope_on_cancel(scope, ONCE(&told)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(told.count);
    ONCE_IS(told, -ECANCELED);
    CHECK_IS(loop_scope_error(scope), 0);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

/* ---- scopes that nobody lets go ---- */

static struct loop_scope *held;

static void let_go(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    loop_scope_unhold(held);
}

static int hold_and_expire(struct loop_env *env, void *unused)
{
    (void)unused;
    held = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_hold(held);
    loop_scope_deadline(held, now_ns());
    START(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, let_go, NULL));
    return 0;
}

static struct once asked;

static int hold_and_ask(struct loop_env *env, void *unused)
{
    hold_and_expire(env, unused);
    START(loop_scope_on_cancel(held, ONCE(&asked)));
    return 0;
}

TEST(p08_a_debug_build_names_a_cancelled_scope_that_only_a_hold_keeps_open)
{
    CHECK_IS(run(hold_and_expire, NULL), -ETIMEDOUT);
#if NORIA_DEBUG
    CHECK(strstr(log_text(), "loop_scope_hold") && strstr(log_text(), "timed out"));
#endif
}

TEST(p08_a_scope_whose_holder_asked_is_not_named)
{
    CHECK_IS(run(hold_and_ask, NULL), -ETIMEDOUT);
    CHECK(!strstr(log_text(), "loop_scope_hold"));
}
