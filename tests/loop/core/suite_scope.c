/* SPDX-License-Identifier: ISC
 *
 * Scopes in use: deadlines, errors on their way up, holds against cancels, daemons among daemons, and what happens
 * inside on_end.
 */
#include "harness.h"

/* ---- deadlines ---- */

LOOP_TEST(deadline_ends_everything_with_etimedout)
{
    static struct loop_scope *scope;
    static struct loop_flow *flows[2];
    static struct once ended, sleep, read, late;
    static char byte;
    static int64_t at;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    make_flows(scope, flows);
    at = now_ns() + 5 * LOOP_MILLISECOND;
    loop_scope_deadline(scope, at);
    loop_scope_hold(scope);
    START(loop_sleep(scope, LOOP_NEVER, ONCE(&sleep)));
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    WAIT_UNTIL(sleep.count && read.count);
    CHECK(now_ns() >= at);
    ONCE_IS(sleep, -ETIMEDOUT);
    ONCE_IS(read, -ETIMEDOUT);
    START(loop_sleep(scope, 0, ONCE(&late)));
    WAIT_UNTIL(late.count);
    ONCE_IS(late, -ETIMEDOUT);
    CHECK_IS(loop_scope_error(scope), -ETIMEDOUT);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(deadline_reaches_into_children)
{
    static struct loop_scope *scope, *child;
    static struct once ended, child_ended, job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    child = loop_scope_open(scope, ONCE(&child_ended));
    START(loop_sleep(child, LOOP_NEVER, ONCE(&job)));
    loop_scope_deadline(scope, now_ns() + LOOP_MILLISECOND);
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    CHECK(child_ended.result < 0);
    END;
}

LOOP_TEST(deadline_in_the_past_is_reached_from_the_loop)
{
    static struct loop_scope *scope;
    static struct once ended, job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(scope, LOOP_NEVER, ONCE(&job)));
    loop_scope_deadline(scope, INT64_MIN);
    CHECK(!loop_scope_is_cancelled(scope));
    CHECK_IS(job.count, 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(deadline_moved_and_taken_away)
{
    static struct loop_scope *moved, *freed;
    static struct once moved_end, freed_end, job;
    static int64_t at;

    BEGIN;
    moved = loop_scope_open(env->scope, ONCE(&moved_end));
    freed = loop_scope_open(env->scope, ONCE(&freed_end));
    at = now_ns() + 20 * LOOP_MILLISECOND;
    loop_scope_deadline(moved, now_ns() + LOOP_MILLISECOND);
    loop_scope_deadline(moved, at);
    loop_scope_hold(moved);
    loop_scope_deadline(freed, now_ns() + LOOP_MILLISECOND);
    loop_scope_deadline(freed, LOOP_NEVER);
    loop_scope_deadline(freed, LOOP_NEVER);
    START(loop_sleep(freed, 5 * LOOP_MILLISECOND, ONCE(&job)));
    START(loop_sleep(moved, LOOP_NEVER, NULL, NULL));
    WAIT_UNTIL(freed_end.count);
    ONCE_IS(job, 0);
    ONCE_IS(freed_end, 0);
    while (!loop_scope_is_cancelled(moved)) {
        CHECK_IS(moved_end.count, 0);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    CHECK(now_ns() >= at);
    loop_scope_unhold(moved);
    WAIT_UNTIL(moved_end.count);
    ONCE_IS(moved_end, -ETIMEDOUT);
    END;
}

LOOP_TEST(deadline_does_not_hold_a_scope)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_deadline(scope, now_ns() + 3600 * LOOP_SECOND);
    AWAIT(turns(env->scope, 2, GO));
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(deadline_after_a_failure_changes_nothing)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    loop_scope_deadline(scope, now_ns() + LOOP_MILLISECOND);
    loop_scope_fail(scope, -EPROTO);
    AWAIT(loop_sleep(env->scope, 3 * LOOP_MILLISECOND, GO));
    CHECK_IS(loop_scope_error(scope), -EPROTO);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EPROTO);
    END;
}

LOOP_TEST(many_deadlines_at_once)
{
    enum { N = 500 };
    static struct once ends[N];
    static struct loop_scope *scope;
    static int at;

    BEGIN;
    for (int i = 0; i < N; i++) {
        scope = loop_scope_open(env->scope, ONCE(&ends[i]));
        loop_scope_deadline(scope, now_ns() + (i % 2 ? LOOP_MILLISECOND : 3600 * LOOP_SECOND));
        START(loop_sleep(scope, i % 2 ? LOOP_NEVER : 0, NULL, NULL));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(ends[at].count);
        ONCE_IS(ends[at], at % 2 ? -ETIMEDOUT : 0);
    }
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

/* ---- inside on_end and hooks ---- */

static struct loop_scope *parent_of_next;
static struct once next_job;

static void start_next(void *once, int64_t result)
{
    once_resumed(once, result);
    START(loop_sleep(parent_of_next, 0, ONCE(&next_job)));
}

LOOP_TEST(on_end_may_go_on_in_the_parent)
{
    static struct once ended, parent_ended;
    static struct loop_scope *scope;

    BEGIN;
    parent_of_next = loop_scope_open(env->scope, ONCE(&parent_ended));
    scope = loop_scope_open(parent_of_next, start_next, &ended);
    START(loop_sleep(scope, 0, NULL, NULL));
    WAIT_UNTIL(parent_ended.count);
    ONCE_IS(ended, 0);
    ONCE_IS(next_job, 0);
    CHECK(next_job.order < parent_ended.order);
    END;
}

static unsigned scopes_made;

static void open_another(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    CHECK_IS(result, 0);
    if (++scopes_made < 5000) {
        CHECK(loop_scope_open(env->scope, open_another, env) != NULL);
    }
}

static int open_first(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_scope_open(env->scope, open_another, env) != NULL);
    return 0;
}

TEST(scopes_that_open_scopes_in_on_end)
{
    CHECK_IS(run(open_first, NULL), 0);
    CHECK_IS(scopes_made, 5000);
}

static struct loop_scope *closing_scope;
static struct loop_scope *opened_too_late;
static int64_t late_job = 1;

static void try_everything(void *unused)
{
    (void)unused;
    opened_too_late = loop_scope_open(closing_scope, NULL, NULL);
    late_job = (int64_t)loop_op_nop(closing_scope, NULL, NULL);
    loop_scope_cancel(closing_scope);
    loop_scope_deadline(closing_scope, 0);
}

LOOP_TEST(hooks_cannot_bring_a_scope_back)
{
    static struct once ended;

    BEGIN;
    closing_scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(closing_scope, try_everything, NULL));
    WAIT_UNTIL(ended.count);
    CHECK(!opened_too_late);
    CHECK_IS(late_job, 0);
    ONCE_IS(ended, 0);
    END;
}

static void start_elsewhere(void *once)
{
    START(loop_sleep(parent_of_next, 0, ONCE(once)));
}

LOOP_TEST(hooks_may_start_jobs_in_other_scopes)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    parent_of_next = env->scope;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(scope, start_elsewhere, &next_job));
    WAIT_UNTIL(next_job.count);
    ONCE_IS(ended, 0);
    END;
}

static struct loop_fd *fd_closed_by_hook;

static void close_in_hook(void *unused)
{
    (void)unused;
    CHECK_IS(loop_fd_close(fd_closed_by_hook), 0);
}

LOOP_TEST(hooks_may_close_the_scopes_descriptors)
{
    static struct loop_scope *scope;
    static struct once ended;
    static int number;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    number = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fd_closed_by_hook = adopt(scope, number);
    CHECK(loop_scope_defer(scope, close_in_hook, NULL));
    WAIT_UNTIL(ended.count);
    CHECK(!is_open(number));
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

static int release_too_often(struct loop_env *env, void *unused)
{
    (void)unused;
    loop_scope_unhold(loop_scope_open(env->scope, NULL, NULL));
    return 0;
}

static int run_releasing(void *unused)
{
    (void)unused;
    return loop_run_with(&(struct loop_options){.queue_depth = 0}, release_too_often, NULL);
}

TEST(a_release_too_many_is_caught)
{
    expect_stop(run_releasing, NULL, "loop_scope_unhold", 0);
}
