/* SPDX-License-Identifier: ISC
 *
 * Daemons (P8): jobs and scopes that do not keep the loop running.
 */
#include "harness.h"

/* ---- P8: the end of the loop ---- */

LOOP_TEST(p08_daemon_jobs_do_not_hold_the_loop)
{
    static struct once daemon;
    static loop_job job;

    BEGIN;
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&daemon)));
    CHECK_IS(loop_daemon(env->loop, job), 0);
    CHECK_IS(loop_daemon(env->loop, job), 0);
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(daemon.count, 0);
    END;
}

LOOP_TEST(p08_a_daemon_without_a_continuation_leaves_no_error)
{
    static struct loop_scope *scope;
    static struct once ended, job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK_IS(loop_daemon(env->loop, START(loop_sleep(scope, LOOP_NEVER, NULL, NULL))), 0);
    START(loop_sleep(scope, 0, ONCE(&job)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, 0);
    ONCE_IS(ended, 0);
    CHECK_IS(loop_daemon(env->loop, START(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL))), 0);
    END;
}

static struct once last_daemon;

static int start_daemons_alone(struct loop_env *env, void *unused)
{
    loop_job job = loop_sleep(env->scope, LOOP_NEVER, ONCE(&last_daemon));

    (void)unused;
    CHECK_IS(loop_daemon(env->loop, job), 0);
    return 0;
}

TEST(p08_a_loop_of_daemons_ends_at_once)
{
    CHECK_IS(run(start_daemons_alone, NULL), 0);
    ONCE_IS(last_daemon, -ECANCELED);
}

static int ticks;

static void tick(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    if (result == 0) {
        ticks++;
        loop_daemon(env->loop, loop_sleep(env->scope, LOOP_MILLISECOND, tick, env));
    }
}

LOOP_TEST(p08_a_ticker_runs_as_long_as_there_is_other_work)
{
    BEGIN;
    loop_daemon(env->loop, START(loop_sleep(env->scope, 0, tick, env)));
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    CHECK(ticks >= 2);
    END;
}

LOOP_TEST(p08_a_daemon_scope_is_cancelled_when_nothing_else_is_left)
{
    static struct loop_scope *parent, *child;
    static struct once ended, child_ended, job;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    child = loop_scope_open(parent, ONCE(&child_ended));
    loop_scope_daemon(child);
    loop_scope_daemon(child);
    START(loop_sleep(child, LOOP_NEVER, ONCE(&job)));
    START(loop_sleep(parent, LOOP_MILLISECOND, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, -ECANCELED);
    ONCE_IS(ended, 0);
    CHECK(child_ended.count == 1 && child_ended.order < ended.order);
    END;
}

/* ---- daemons ---- */

static void ended_in_order(void *name, int64_t result)
{
    trace("%s %lld", (const char *)name, (long long)result);
    script_poke();
}

LOOP_TEST(daemons_end_before_hooks_run)
{
    static struct loop_scope *scope;
    static loop_job daemon;
    static char names[][8] = {"daemon", "end"};

    BEGIN;
    scope = loop_scope_open(env->scope, ended_in_order, names[1]);
    daemon = START(loop_sleep(scope, LOOP_NEVER, ended_in_order, names[0]));
    CHECK_IS(loop_daemon(env->loop, daemon), 0);
    START(loop_sleep(scope, 0, NULL, NULL));
    WAIT_UNTIL(strstr(trace_text(), "end 0"));
    CHECK_TEXT(trace_text(), "daemon -125\nend 0\n");
    END;
}

LOOP_TEST(a_daemon_that_ends_by_itself)
{
    static struct loop_scope *scope;
    static struct once ended, daemon;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK_IS(loop_daemon(env->loop, START(loop_sleep(scope, 0, ONCE(&daemon)))), 0);
    START(loop_sleep(scope, 5 * LOOP_MILLISECOND, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(daemon, 0);
    ONCE_IS(ended, 0);
    END;
}

static struct loop_scope *scope_of_daemon;
static struct once work_of_daemon;

static void start_more(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, -ECANCELED);
    START(loop_sleep(scope_of_daemon, 0, ONCE(&work_of_daemon)));
}

LOOP_TEST(what_a_cancelled_daemon_starts_is_cancelled_too)
{
    static struct once ended;

    BEGIN;
    scope_of_daemon = loop_scope_open(env->scope, ONCE(&ended));
    loop_daemon(env->loop, START(loop_sleep(scope_of_daemon, LOOP_NEVER, start_more, NULL)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(work_of_daemon, -ECANCELED);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(a_scope_of_daemons_in_daemons)
{
    enum { DEEP = 50 };
    static struct loop_scope *scopes[DEEP];
    static struct once ends[DEEP], job;

    BEGIN;
    for (int i = 0; i < DEEP; i++) {
        scopes[i] = loop_scope_open(i ? scopes[i - 1] : env->scope, ONCE(&ends[i]));
        if (i > 0) {
            loop_scope_daemon(scopes[i]);
        }
    }
    loop_scope_hold(scopes[0]);
    START(loop_sleep(scopes[DEEP - 1], LOOP_NEVER, ONCE(&job)));
    loop_daemon(env->loop, START(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ends[0].count, 0);
    loop_scope_unhold(scopes[0]);
    WAIT_UNTIL(ends[0].count);
    CHECK_IS(job.count, 1);
    for (int i = 1; i < DEEP; i++) {
        CHECK(ends[i].count == 1 && ends[i].order < ends[i - 1].order);
    }
    END;
}

static struct loop_scope *late_daemon;

static void become_daemon(void *unused, int64_t error)
{
    (void)unused;
    (void)error;
    loop_scope_daemon(late_daemon);
}

LOOP_TEST(a_scope_that_becomes_a_daemon_as_it_ends)
{
    static struct once ended;
    static struct loop_scope *outer;

    BEGIN;
    outer = loop_scope_open(env->scope, ONCE(&ended));
    late_daemon = loop_scope_open(outer, become_daemon, NULL);
    CHECK(loop_scope_open(outer, NULL, NULL) != NULL);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}
