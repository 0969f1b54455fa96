/* SPDX-License-Identifier: ISC
 *
 * Cancelled scopes (P7), and loop_scope_on_cancel: a holder is notified. A debug build names scopes that only holds
 * keep open.
 */
#include "harness.h"

/* ---- P7: scopes ---- */

static void note_cancelled(void *name, int64_t result)
{
    trace("%s %lld", (const char *)name, (long long)result);
    script_poke();
}

LOOP_TEST(p07_cancel_takes_children_first_then_jobs_in_order)
{
    static struct loop_scope *parent, *child;
    static char names[][8] = {"one", "two", "in one", "in two", "child", "parent"};

    BEGIN;
    parent = loop_scope_open(env->scope, note_cancelled, names[5]);
    START(loop_sleep(parent, LOOP_NEVER, note_cancelled, names[0]));
    START(loop_sleep(parent, LOOP_NEVER, note_cancelled, names[1]));
    child = loop_scope_open(parent, note_cancelled, names[4]);
    START(loop_sleep(child, LOOP_NEVER, note_cancelled, names[2]));
    START(loop_sleep(child, LOOP_NEVER, note_cancelled, names[3]));
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_cancel(parent);
    loop_scope_cancel(parent);
    CHECK_TEXT(trace_text(), "");
    CHECK(loop_scope_is_cancelled(parent) && loop_scope_is_cancelled(child));
    WAIT_UNTIL(strstr(trace_text(), "parent"));
    CHECK_TEXT(trace_text(), "in one -125\nin two -125\nchild -125\none -125\ntwo -125\nparent -125\n");
    END;
}

static struct loop_scope *own_scope;
static struct once own_job_once;

static void cancel_own_scope(void *unused, int64_t result)
{
    (void)unused;
    loop_scope_cancel(own_scope);
    once_resumed(&own_job_once, result);
}

LOOP_TEST(p07_a_continuation_cancels_its_own_scope)
{
    static struct once ended, other;

    BEGIN;
    own_scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(own_scope, 0, cancel_own_scope, NULL));
    START(loop_sleep(own_scope, LOOP_NEVER, ONCE(&other)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(own_job_once, 0);
    ONCE_IS(other, -ECANCELED);
    ONCE_IS(ended, -ECANCELED);
    END;
}

/* ---- cancel against holds ---- */

LOOP_TEST(cancelled_but_held_scope_stays)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    loop_scope_cancel(scope);
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(ended.count, 0);
    CHECK(loop_scope_alloc(scope, 10) != NULL);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    END;
}

LOOP_TEST(children_cancelled_through_the_parent_hear_of_it)
{
    static struct loop_scope *parent, *child;
    static struct once ended, child_ended;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    child = loop_scope_open(parent, ONCE(&child_ended));
    START(loop_sleep(child, LOOP_NEVER, NULL, NULL));
    loop_scope_cancel(parent);
    WAIT_UNTIL(ended.count);
    ONCE_IS(child_ended, -ECANCELED);
    ONCE_IS(ended, -ECANCELED);
    END;
}

LOOP_TEST(cancelling_an_empty_scope)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_cancel(scope);
    CHECK_IS(ended.count, 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    END;
}

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

/* ---- scopes that stay held ---- */

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
