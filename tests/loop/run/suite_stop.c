/* SPDX-License-Identifier: ISC
 *
 * loop_stop: ends the program with a status.
 */
#include "harness.h"

static int stop_at_once(struct loop_env *env, void *status)
{
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) != 0);
    CHECK_IS(loop_stop(env->loop, *(int *)status), 0);
    CHECK_IS(loop_stop(env->loop, 1), -EALREADY);
    return 0;
}

TEST(p08_a_stopped_program_ends_with_its_status)
{
    int statuses[] = {0, 7, -EIO};

    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        CHECK_IS(run(stop_at_once, &statuses[i]), statuses[i]);
    }
}

static void stop_soon(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    (void)result;
    CHECK_IS(loop_stop(env->loop, 0), 0);
}

static int stop_later(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_sleep(env->scope, 0, stop_soon, env) != 0);
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) != 0);
    CHECK(loop_scope_open(env->scope, NULL, NULL) != NULL);
    return 0;
}

TEST(p08_a_program_can_be_stopped_from_a_continuation)
{
    CHECK_IS(run(stop_later, NULL), 0);
}

static void fail_scope(void *scope, int64_t result)
{
    CHECK_IS(result, -ECANCELED);
    loop_scope_fail(scope, -EDOM);
}

static int stop_and_fail(struct loop_env *env, void *status)
{
    CHECK(loop_sleep(env->scope, LOOP_NEVER, fail_scope, env->scope) != 0);
    CHECK_IS(loop_stop(env->loop, *(int *)status), 0);
    return 0;
}

TEST(p07_a_stop_hides_no_real_error)
{
    CHECK_IS(run(stop_and_fail, &(int){0}), -EDOM);
    CHECK_IS(run(stop_and_fail, &(int){7}), 7);
}

static int stop_after_error(struct loop_env *env, void *unused)
{
    (void)unused;
    loop_scope_fail(env->scope, -EDOM);
    CHECK_IS(loop_stop(env->loop, 0), 0);
    return 0;
}

TEST(p07_a_stop_after_a_failure_tells_the_failure)
{
    CHECK_IS(run(stop_after_error, NULL), -EDOM);
}

static int stop_and_return(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK_IS(loop_stop(env->loop, 4), 0);
    return 5;
}

TEST(p08_the_first_status_decides)
{
    CHECK_IS(run(stop_and_return, NULL), 4);
}
