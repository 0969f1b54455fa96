/* SPDX-License-Identifier: ISC
 *
 * Promises: jobs that the program itself completes.
 */
#include "harness.h"

/* ---- promises ---- */

LOOP_TEST(promise_is_kept_once)
{
    static struct once promise;
    static loop_job job;

    BEGIN;
    job = START(loop_promise(env->scope, NULL, NULL, ONCE(&promise)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(promise.count, 0);
    CHECK(loop_job_is_alive(env->loop, job));
    CHECK_IS(loop_resolve(env->loop, job, 12345678901), 0);
    CHECK_IS(promise.count, 0);
    CHECK_IS(loop_resolve(env->loop, job, 2), -ENOENT);
    WAIT_UNTIL(promise.count);
    ONCE_IS(promise, 12345678901);
    CHECK_IS(loop_resolve(env->loop, job, 3), -ENOENT);
    END;
}

static unsigned asked_to_cancel;
static loop_job cancelled_job;

static void note_cancel(void *count, loop_job job)
{
    ++*(unsigned *)count;
    cancelled_job = job;
}

LOOP_TEST(promise_decides_what_a_cancel_means)
{
    static struct once promise;
    static loop_job job;

    BEGIN;
    job = START(loop_promise(env->scope, note_cancel, &asked_to_cancel, ONCE(&promise)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(asked_to_cancel, 1);
    CHECK(cancelled_job == job);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    CHECK_IS(asked_to_cancel, 1);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(promise.count, 0);
    CHECK_IS(loop_resolve(env->loop, job, 99), 0);
    WAIT_UNTIL(promise.count);
    ONCE_IS(promise, 99);
    END;
}

static struct loop *resolving_loop;

static void resolve_at_once(void *unused, loop_job job)
{
    (void)unused;
    CHECK_IS(loop_resolve(resolving_loop, job, -ECANCELED), 0);
}

LOOP_TEST(promise_resolved_from_inside_the_cancel)
{
    static struct loop_scope *scope;
    static struct once promise, ended;

    BEGIN;
    resolving_loop = env->loop;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_promise(scope, resolve_at_once, NULL, ONCE(&promise)));
    loop_scope_deadline(scope, now_ns() + LOOP_MILLISECOND);
    WAIT_UNTIL(ended.count);
    ONCE_IS(promise, -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(promise_of_a_cancelled_scope)
{
    static struct loop_scope *scope;
    static struct once promises[2], ended;
    static loop_job jobs[2];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    jobs[0] = START(loop_promise(scope, NULL, NULL, ONCE(&promises[0])));
    loop_scope_cancel(scope);
    jobs[1] = START(loop_promise(scope, note_cancel, &asked_to_cancel, ONCE(&promises[1])));
    CHECK_IS(loop_resolve(env->loop, jobs[1], 5), -ENOENT);
    WAIT_UNTIL(ended.count);
    ONCE_IS(promises[0], -ECANCELED);
    ONCE_IS(promises[1], -ECANCELED);
    CHECK_IS(asked_to_cancel, 0);
    CHECK_IS(loop_resolve(env->loop, jobs[0], 5), -ENOENT);
    END;
}

static int64_t resolve_answer;

static int resolve_a_timer(struct loop_env *env, void *unused)
{
    (void)unused;
    resolve_answer = loop_resolve(env->loop, loop_sleep(env->scope, 0, NULL, NULL), 7);
    return 0;
}

static int run_resolving(void *unused)
{
    (void)unused;
    loop_run_with(&(struct loop_options){.queue_depth = 0}, resolve_a_timer, NULL);
    return (int)resolve_answer;
}

TEST(resolve_is_for_promises_only)
{
    expect_stop(run_resolving, NULL, "loop_resolve", -EINVAL);
}
