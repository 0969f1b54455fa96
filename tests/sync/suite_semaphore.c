/* SPDX-License-Identifier: ISC
 *
 * Semaphores and conditions in one loop.
 */
#include "harness.h"

#include <limits.h>
#include <sync/sync.h>

static struct once got[4];

LOOP_TEST(permits_go_to_those_who_wait_in_their_order)
{
    static struct loop_semaphore *semaphore;

    BEGIN;
    semaphore = loop_semaphore_create(1);
    for (int i = 0; i < 3; i++) {
        START(loop_semaphore_acquire(env->scope, semaphore, ONCE(&got[i])));
    }
    CHECK_IS(loop_semaphore_try_acquire(semaphore), -EAGAIN);
    AWAIT(turns(env->scope, 2, GO));
    ONCE_IS(got[0], 0);
    CHECK_IS(got[1].count + got[2].count, 0);
    CHECK_IS(loop_semaphore_release(semaphore), 0);
    CHECK_IS(loop_semaphore_permits(semaphore), 0);
    CHECK_IS(loop_semaphore_release(semaphore), 0);
    CHECK_IS(got[1].count, 0);
    WAIT_UNTIL(got[2].count);
    ONCE_IS(got[1], 0);
    ONCE_IS(got[2], 0);
    CHECK(got[1].order < got[2].order);
    CHECK_IS(loop_semaphore_release(semaphore), 0);
    CHECK_IS(loop_semaphore_permits(semaphore), 1);
    CHECK_IS(loop_semaphore_try_acquire(semaphore), 0);
    loop_semaphore_unref(semaphore);
    END;
}

LOOP_TEST(p09_a_cancelled_job_takes_no_permit)
{
    static struct loop_semaphore *semaphore;
    static loop_job first;

    BEGIN;
    semaphore = loop_semaphore_create(0);
    first = START(loop_semaphore_acquire(env->scope, semaphore, ONCE(&got[0])));
    START(loop_semaphore_acquire(env->scope, semaphore, ONCE(&got[1])));
    CHECK_IS(loop_cancel(env->loop, first), 0);
    CHECK_IS(loop_semaphore_release(semaphore), 0);
    WAIT_UNTIL(got[0].count && got[1].count);
    ONCE_IS(got[0], -ECANCELED);
    ONCE_IS(got[1], 0);
    CHECK_IS(loop_semaphore_permits(semaphore), 0);
    loop_semaphore_unref(semaphore);
    END;
}

LOOP_TEST(a_permit_that_was_granted_stays_with_a_cancelled_job)
{
    static struct loop_semaphore *semaphore;
    static loop_job first;

    BEGIN;
    semaphore = loop_semaphore_create(0);
    first = START(loop_semaphore_acquire(env->scope, semaphore, ONCE(&got[0])));
    CHECK_IS(loop_semaphore_release(semaphore), 0);
    (void)loop_cancel(env->loop, first);
    WAIT_UNTIL(got[0].count);
    ONCE_IS(got[0], 0);
    loop_semaphore_unref(semaphore);
    END;
}

LOOP_TEST(a_semaphore_holds_as_many_permits_as_its_type)
{
    static struct loop_semaphore *semaphore;

    BEGIN;
    semaphore = loop_semaphore_create(UINT_MAX);
    CHECK_IS(loop_semaphore_release(semaphore), -EOVERFLOW);
    CHECK_IS(loop_semaphore_try_acquire(semaphore), 0);
    CHECK_IS(loop_semaphore_release(semaphore), 0);
    CHECK(loop_semaphore_ref(semaphore) == semaphore);
    loop_semaphore_unref(semaphore);
    loop_semaphore_unref(semaphore);
    loop_semaphore_unref(NULL);
    END;
}

LOOP_TEST(a_deadline_ends_a_job_that_waits_for_a_permit)
{
    static struct loop_semaphore *semaphore;
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    semaphore = loop_semaphore_create(0);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_semaphore_acquire(scope, semaphore, ONCE(&got[0])));
    loop_scope_deadline(scope, loop_now(env->loop) + LOOP_MILLISECOND);
    loop_semaphore_unref(semaphore);
    WAIT_UNTIL(ended.count);
    ONCE_IS(got[0], -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(a_signal_resumes_one_and_a_broadcast_all)
{
    static struct loop_condition *condition;

    BEGIN;
    condition = loop_condition_create();
    loop_condition_signal(condition); /* for nobody: it is not kept */
    for (int i = 0; i < 4; i++) {
        START(loop_condition_wait(env->scope, condition, ONCE(&got[i])));
    }
    loop_condition_signal(condition);
    AWAIT(turns(env->scope, 2, GO));
    ONCE_IS(got[0], 0);
    CHECK_IS(got[1].count, 0);
    loop_condition_broadcast(condition);
    CHECK_IS(got[1].count, 0);
    WAIT_UNTIL(got[3].count);
    for (int i = 1; i < 4; i++) {
        ONCE_IS(got[i], 0);
    }
    loop_condition_broadcast(condition);
    CHECK(loop_condition_ref(condition) == condition);
    loop_condition_unref(condition);
    loop_condition_unref(condition);
    loop_condition_unref(NULL);
    END;
}

static void wait_again(void *arg, int64_t result)
{
    struct loop_condition *condition = arg;

    CHECK_IS(result, 0);
    CHECK(loop_condition_wait(script.env->scope, condition, ONCE(&got[1])));
    script_poke();
}

LOOP_TEST(who_waits_again_in_a_broadcast_waits_for_the_next)
{
    static struct loop_condition *condition;

    BEGIN;
    condition = loop_condition_create();
    START(loop_condition_wait(env->scope, condition, wait_again, condition));
    loop_condition_broadcast(condition);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(got[1].count, 0);
    loop_condition_broadcast(condition);
    WAIT_UNTIL(got[1].count);
    ONCE_IS(got[1], 0);
    loop_condition_unref(condition);
    END;
}

LOOP_TEST(a_cancelled_wait_takes_no_signal)
{
    static struct loop_condition *condition;
    static loop_job job;

    BEGIN;
    condition = loop_condition_create();
    job = START(loop_condition_wait(env->scope, condition, ONCE(&got[0])));
    START(loop_condition_wait(env->scope, condition, ONCE(&got[1])));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    loop_condition_signal(condition);
    loop_condition_unref(condition);
    WAIT_UNTIL(got[0].count && got[1].count);
    ONCE_IS(got[0], -ECANCELED);
    ONCE_IS(got[1], 0);
    END;
}

#if !HAS_SANITIZER

LOOP_TEST(without_memory_nothing_waits)
{
    static struct loop_semaphore *semaphore;
    static struct loop_condition *condition;

    BEGIN;
    fail_allocation(1, false);
    CHECK(loop_semaphore_create(0) == NULL);
    fail_allocation(1, false);
    CHECK(loop_condition_create() == NULL);
    fail_allocation(0, false);
    semaphore = loop_semaphore_create(0);
    condition = loop_condition_create();
    fail_allocation(1, false);
    CHECK_IS(loop_semaphore_acquire(env->scope, semaphore, ONCE(&got[0])), 0);
    fail_allocation(1, false);
    CHECK_IS(loop_condition_wait(env->scope, condition, ONCE(&got[0])), 0);
    fail_allocation(0, false);
    CHECK_IS(got[0].count, 0);
    loop_semaphore_unref(semaphore);
    loop_condition_unref(condition);
    END;
}

#endif
