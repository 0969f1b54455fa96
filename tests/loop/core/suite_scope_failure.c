/* SPDX-License-Identifier: ISC
 *
 * Failures of scopes (P7): which error a scope stores, and which scope or result receives it.
 */
#include "harness.h"

/* ---- P7: scopes ---- */

LOOP_TEST(p07_a_failure_cancels_the_siblings_and_is_heard_first)
{
    static struct loop_scope *scope;
    static struct once ended, siblings[3];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    for (int i = 0; i < 3; i++) {
        START(loop_sleep(scope, LOOP_NEVER, ONCE(&siblings[i])));
    }
    loop_scope_fail(scope, -EPROTO);
    loop_scope_fail(scope, -EIO);
    CHECK_IS(loop_scope_error(scope), -EPROTO);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EPROTO);
    for (int i = 0; i < 3; i++) {
        ONCE_IS(siblings[i], -ECANCELED);
        CHECK(siblings[i].order < ended.order);
    }
    END;
}

LOOP_TEST(p07_the_noise_of_a_cancel_hides_no_real_error)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(scope, LOOP_NEVER, NULL, NULL));
    loop_scope_cancel(scope);
    loop_scope_fail(scope, -EIO);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EIO);
    END;
}

LOOP_TEST(p07_a_failure_that_is_none_counts_as_einval)
{
    static struct once ends[3];
    static struct loop_scope *scope;

    BEGIN;
    for (int i = 0; i < 3; i++) {
        scope = loop_scope_open(env->scope, ONCE(&ends[i]));
        loop_scope_hold(scope);
        loop_scope_fail(scope, i == 0 ? 0 : i == 1 ? 7 : INT64_MAX);
        loop_scope_unhold(scope);
    }
    WAIT_UNTIL(ends[0].count && ends[1].count && ends[2].count);
    for (int i = 0; i < 3; i++) {
        ONCE_IS(ends[i], -EINVAL);
    }
    END;
}

LOOP_TEST(p07_a_failure_without_on_end_goes_to_the_parent)
{
    static struct loop_scope *parent, *child, *grandchild;
    static struct once ended, sibling;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(parent, LOOP_NEVER, ONCE(&sibling)));
    child = loop_scope_open(parent, NULL, NULL);
    grandchild = loop_scope_open(child, NULL, NULL);
    loop_scope_fail(grandchild, -EPROTO);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EPROTO);
    ONCE_IS(sibling, -ECANCELED);
    END;
}

LOOP_TEST(p07_a_failure_that_is_heard_stays_where_it_is)
{
    static struct loop_scope *parent, *child;
    static struct once ended, child_ended, sibling;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(parent, LOOP_MILLISECOND, ONCE(&sibling)));
    child = loop_scope_open(parent, ONCE(&child_ended));
    loop_scope_fail(child, -EPROTO);
    WAIT_UNTIL(ended.count);
    ONCE_IS(child_ended, -EPROTO);
    ONCE_IS(sibling, 0);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_a_cancelled_child_is_no_failure_of_its_parent)
{
    static struct loop_scope *parent, *child;
    static struct once ended, sibling;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    child = loop_scope_open(parent, NULL, NULL);
    START(loop_sleep(parent, LOOP_MILLISECOND, ONCE(&sibling)));
    START(loop_sleep(child, LOOP_NEVER, NULL, NULL));
    loop_scope_cancel(child);
    WAIT_UNTIL(ended.count);
    ONCE_IS(sibling, 0);
    ONCE_IS(ended, 0);
    END;
}

/* ---- errors ---- */

LOOP_TEST(a_failed_scope_tells_its_error_before_it_ends)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK_IS(loop_scope_error(scope), 0);
    CHECK(!loop_scope_is_cancelled(scope));
    CHECK(loop_scope_loop(scope) == env->loop);
    loop_scope_fail(scope, -EDOM);
    CHECK_IS(loop_scope_error(scope), -EDOM);
    CHECK(loop_scope_is_cancelled(scope));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EDOM);
    END;
}
