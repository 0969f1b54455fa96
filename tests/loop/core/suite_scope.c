/* SPDX-License-Identifier: ISC
 *
 * Scopes (P7): what keeps them open, when they end, and what happens inside on_end.
 */
#include "show.h"

#include <loop/part.h>

/* ---- P7: scopes ---- */

LOOP_TEST(p07_an_empty_scope_ends_after_the_continuation_that_opened_it)
{
    static struct once ended;

    BEGIN;
    CHECK(loop_scope_open(env->scope, ONCE(&ended)));
    CHECK_IS(ended.count, 0);
    AWAIT(loop_sleep(env->scope, 0, GO));
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_a_scope_emptied_and_filled_again_goes_on)
{
    static struct loop_scope *scope;
    static struct once ended, one, two;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_sleep(scope, 0, ONCE(&one)));
    WAIT_UNTIL(one.count);
    /* This runs inside the continuation of the scope's only job. */
    CHECK_IS(ended.count, 0);
    START(loop_sleep(scope, 0, ONCE(&two)));
    WAIT_UNTIL(two.count);
    CHECK_IS(ended.count, 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_holds_keep_a_scope_open)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    loop_scope_hold(scope);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ended.count, 0);
    loop_scope_unhold(scope);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ended.count, 0);
    loop_scope_unhold(scope);
    CHECK_IS(ended.count, 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(p07_a_child_keeps_its_parent_open)
{
    static struct loop_scope *parent, *child, *grandchild;
    static struct once ends[3];

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ends[0]));
    child = loop_scope_open(parent, ONCE(&ends[1]));
    grandchild = loop_scope_open(child, ONCE(&ends[2]));
    START(loop_sleep(grandchild, LOOP_MILLISECOND, NULL, NULL));
    WAIT_UNTIL(ends[0].count);
    CHECK(ends[2].order < ends[1].order && ends[1].order < ends[0].order);
    END;
}

LOOP_TEST(p07_a_scope_opened_in_a_cancelled_one_is_cancelled)
{
    static struct loop_scope *parent, *child;
    static struct once ended, job;

    BEGIN;
    parent = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_cancel(parent);
    child = loop_scope_open(parent, NULL, NULL);
    CHECK(child && loop_scope_is_cancelled(child));
    START(loop_sleep(child, LOOP_NEVER, ONCE(&job)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(job, -ECANCELED);
    END;
}

static unsigned char *scope_memory;
static bool memory_was_good[2];

static void look_at_memory(void *unused)
{
    (void)unused;
    memory_was_good[0] = is_pattern(scope_memory, 1000, 3);
}

static void look_at_memory_at_the_end(void *once, int64_t result)
{
    memory_was_good[1] = is_pattern(scope_memory, 1000, 3);
    once_resumed(once, result);
}

LOOP_TEST(p07_memory_outlives_hooks_and_on_end)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, look_at_memory_at_the_end, &ended);
    scope_memory = loop_scope_alloc(scope, 1000);
    for (int i = 0; i < 1000; i++) {
        CHECK_IS(scope_memory[i], 0);
    }
    CHECK_IS((uintptr_t)scope_memory % _Alignof(max_align_t), 0);
    fill_pattern(scope_memory, 1000, 3);
    CHECK(loop_scope_defer(scope, look_at_memory, NULL));
    CHECK(!loop_scope_alloc(scope, SIZE_MAX));
    CHECK(!loop_scope_alloc(scope, SIZE_MAX / 2));
    CHECK(loop_scope_alloc(scope, 0) != scope_memory);
    WAIT_UNTIL(ended.count);
    CHECK(memory_was_good[0] && memory_was_good[1]);
    END;
}

LOOP_TEST(p07_fds_of_a_scope_used_by_another_are_awaited)
{
    static struct loop_scope *owner;
    static struct loop_flow *flow;
    static struct once ended, read;
    static int fds[2];
    static char byte;

    BEGIN;
    make_pair(fds);
    owner = loop_scope_open(env->scope, ONCE(&ended));
    flow = flow_of(owner, fds[0]);
    loop_scope_hold(owner);
    START(loop_op_recv(env->scope, flow->fd, &byte, 1, 0, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_unhold(owner);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    ONCE_IS(read, -ECANCELED);
    CHECK(read.order < ended.order);
    CHECK(!is_open(fds[0]));
    close(fds[1]);
    END;
}

LOOP_TEST(p07_a_thousand_nested_scopes)
{
    enum { DEEP = 1000 };
    static struct loop_scope *scopes[DEEP];
    static struct once ends[DEEP], innermost;

    BEGIN;
    for (int i = 0; i < DEEP; i++) {
        scopes[i] = loop_scope_open(i ? scopes[i - 1] : env->scope, ONCE(&ends[i]));
    }
    START(loop_sleep(scopes[DEEP - 1], LOOP_NEVER, ONCE(&innermost)));
    loop_scope_cancel(scopes[0]);
    WAIT_UNTIL(ends[0].count);
    ONCE_IS(innermost, -ECANCELED);
    for (int i = 1; i < DEEP; i++) {
        CHECK(ends[i].order < ends[i - 1].order);
    }
    END;
}

LOOP_TEST(p07_scopes_come_and_go_without_leaving_anything)
{
    enum { ROUNDS = 2000 };
    static struct loop_stats before, after;
    static struct once ended;
    static struct loop_scope *scope;
    static int round;

    BEGIN;
    loop_get_stats(env->loop, &before);
    for (round = 0; round < ROUNDS; round++) {
        memset(&ended, 0, sizeof ended);
        scope = loop_scope_open(env->scope, ONCE(&ended));
        CHECK(loop_scope_alloc(scope, 100));
        adopt(scope, dup(STDERR_FILENO));
        START(loop_sleep(scope, 0, NULL, NULL));
        WAIT_UNTIL(ended.count);
    }
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.scopes_now, before.scopes_now + 1); /* we are inside its on_end */
    CHECK(after.job_slots <= before.job_slots + 1024);
    CHECK_IS(after.fds_now, before.fds_now + 1); /* and its descriptor's object lives until that has returned */
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

/* ---- errors ---- */

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

/* ---- scopes ---- */

static const char scopes_text[] = "nop of outer: 0\n"
                                  "job 1 of inner: ECANCELED\n"
                                  "job 2 of inner: ECANCELED\n"
                                  "job of outer: ECANCELED\n"
                                  "late nop of inner: ECANCELED\n"
                                  "hook inner 1\n"
                                  "inner: ECANCELED\n"
                                  "hook outer 2\n"
                                  "hook outer 1\n"
                                  "outer: EPROTO\n"
                                  "its sibling: ECANCELED\n"
                                  "failed by a job: EISDIR\n"
                                  "its only job: 0\n"
                                  "the daemon: ECANCELED\n"
                                  "with a daemon: 0\n";

static void show_hook(void *name)
{
    trace("hook %s", (const char *)name);
}

LOOP_TEST(p17_scopes)
{
    static struct loop_scope *outer, *inner;

    BEGIN;
    outer = loop_scope_open(env->scope, NAMED("outer"));
    inner = loop_scope_open(outer, NAMED("inner"));
    loop_scope_defer(outer, show_hook, (void *)(uintptr_t) "outer 1");
    loop_scope_defer(outer, show_hook, (void *)(uintptr_t) "outer 2");
    loop_scope_defer(inner, show_hook, (void *)(uintptr_t) "inner 1");
    START(loop_sleep(inner, LOOP_NEVER, NAMED("job 1 of inner")));
    START(loop_op_nop(outer, NAMED("nop of outer")));
    START(loop_sleep(inner, LOOP_NEVER, NAMED("job 2 of inner")));
    START(loop_sleep(outer, LOOP_NEVER, NAMED("job of outer")));
    WAIT_UNTIL(slots_filled == 1);
    loop_scope_fail(outer, -EPROTO);
    loop_scope_fail(outer, -EIO);
    START(loop_op_nop(inner, NAMED("late nop of inner")));
    WAIT_UNTIL(slots_filled == 7);
    outer = loop_scope_open(env->scope, NAMED("failed by a job"));
    START(loop_read(&flow_of(outer, open("/tmp", O_RDONLY | O_DIRECTORY))->source, shown_bytes, 1, NULL, NULL));
    START(loop_sleep(outer, LOOP_NEVER, NAMED("its sibling")));
    WAIT_UNTIL(slots_filled == 9);
    outer = loop_scope_open(env->scope, NAMED("with a daemon"));
    loop_daemon(env->loop, START(loop_sleep(outer, LOOP_NEVER, NAMED("the daemon"))));
    START(loop_op_nop(outer, NAMED("its only job")));
    WAIT_UNTIL(slots_filled == 12);
    CHECK_TEXT(trace_text(), scopes_text);
    END;
}
