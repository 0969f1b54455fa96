/* SPDX-License-Identifier: ISC
 *
 * Groups of jobs.
 */
#include "harness.h"

#include <loop/part.h>
#include <sync/sync.h>

static struct loop_group *group;
static struct once done;
static int64_t results[4];

/* The group is freed when its continuation has returned. */
static void on_done(void *arg, int64_t result)
{
    for (unsigned i = 0; i < 4; i++) {
        results[i] = loop_group_result(group, i);
    }
    once_resumed(arg, result);
}

static struct loop_group *open_group(struct loop_scope *scope, enum loop_group_kind kind, unsigned n)
{
    return group = loop_group_open(scope, kind, n, on_done, &done);
}

static loop_job promises[3];

/* A group of three promises. */
static void open_three(struct loop_scope *scope, enum loop_group_kind kind)
{
    CHECK(open_group(scope, kind, 3) != NULL);
    for (unsigned i = 0; i < 3; i++) {
        promises[i] = START(loop_promise(scope, NULL, NULL, LOOP_MEMBER(group, i)));
        CHECK_IS(loop_group_add(group, i, promises[i]), 0);
    }
}

static const struct {
    enum loop_group_kind kind;
    int64_t given[3]; /* resolved in this order; the result of the group: */
    unsigned n_given;
    int64_t result, members[3];
} outcomes[] = {
    {LOOP_ALL_OF, {5, 0, 7}, 3, 0, {5, 0, 7}},
    {LOOP_ALL_OF, {5, -EIO, 0}, 2, -EIO, {5, -EIO, -ECANCELED}},
    {LOOP_FIRST_OF, {-EIO, 0, 0}, 1, 0, {-EIO, -ECANCELED, -ECANCELED}},
    {LOOP_FIRST_OF, {4, 0, 0}, 1, 0, {4, -ECANCELED, -ECANCELED}},
    {LOOP_ANY_OF, {-EIO, 8, 0}, 2, 1, {-EIO, 8, -ECANCELED}},
    {LOOP_ANY_OF, {-EIO, -EPIPE, -EBADF}, 3, -EIO, {-EIO, -EPIPE, -EBADF}},
};

LOOP_TEST_ROWS(the_kind_of_a_group_decides_its_result, COUNT_OF(outcomes))
{
    static unsigned at;

    BEGIN;
    open_three(env->scope, outcomes[script.row].kind);
    for (at = 0; at < outcomes[script.row].n_given; at++) {
        CHECK_IS(done.count, 0);
        CHECK_IS(loop_resolve(env->loop, promises[at], outcomes[script.row].given[at]), 0);
        AWAIT(turns(env->scope, 2, GO));
    }
    WAIT_UNTIL(done.count);
    ONCE_IS(done, outcomes[script.row].result);
    for (int i = 0; i < 3; i++) {
        CHECK_IS(results[i], outcomes[script.row].members[i]);
    }
    END;
}

LOOP_TEST(one_that_loses_with_a_success_loses_nothing)
{
    BEGIN;
    open_three(env->scope, LOOP_FIRST_OF);
    CHECK_IS(loop_resolve(env->loop, promises[2], 12), 0);
    CHECK_IS(loop_resolve(env->loop, promises[1], 11), 0);
    WAIT_UNTIL(done.count);
    ONCE_IS(done, 2);
    CHECK_IS(results[0], -ECANCELED);
    CHECK_IS(results[1], 11);
    CHECK_IS(results[2], 12);
    END;
}

static struct {
    loop_job job;
} slow;

static void end_late(void *arg, loop_job job)
{
    (void)arg;
    slow.job = job;
}

LOOP_TEST(a_group_waits_for_members_that_end_late)
{
    BEGIN;
    open_group(env->scope, LOOP_FIRST_OF, 2);
    loop_group_add(group, 0, loop_promise(env->scope, end_late, NULL, LOOP_MEMBER(group, 0)));
    loop_group_add(group, 1, loop_sleep(env->scope, 0, LOOP_MEMBER(group, 1)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(done.count, 0);
    CHECK(slow.job != 0);
    CHECK_IS(loop_resolve(env->loop, slow.job, 3), 0);
    WAIT_UNTIL(done.count);
    ONCE_IS(done, 1);
    CHECK_IS(results[0], 3);
    END;
}

LOOP_TEST(p03_a_group_that_is_cancelled_cancels_its_members)
{
    BEGIN;
    open_three(env->scope, LOOP_ALL_OF);
    CHECK_IS(loop_cancel(env->loop, loop_group_job(group)), 0);
    WAIT_UNTIL(done.count);
    ONCE_IS(done, -ECANCELED);
    for (int i = 0; i < 3; i++) {
        CHECK_IS(results[i], -ECANCELED);
    }
    END;
}

/* A stream resumes its continuation many times. It has ended when it does so for the last time. */
LOOP_TEST_ROWS(a_stream_is_a_member_until_it_ends, 2)
{
    static loop_job polls;
    static struct loop_fd *fd;
    static int ends[2], at;

    BEGIN;
    make_pair(ends);
    fd = loop_fd_adopt(env->scope, ends[0]);
    CHECK(open_group(env->scope, script.row ? LOOP_ALL_OF : LOOP_FIRST_OF, 2) != NULL);
    polls = START(loop_op_poll_multishot(env->scope, fd, LOOP_MEMBER(group, 0)));
    promises[0] = START(loop_promise(env->scope, NULL, NULL, LOOP_MEMBER(group, 1)));
    CHECK_IS(loop_group_add(group, 0, polls), 0);
    CHECK_IS(loop_group_add(group, 1, promises[0]), 0);
    for (at = 0; at < 3; at++) {
        CHECK_IS(write(ends[1], "1", 1), 1);
        AWAIT(turns(env->scope, 4, GO));
    }
    CHECK_IS(done.count, 0);
    CHECK(loop_job_is_alive(env->loop, polls));
    CHECK_IS(loop_resolve(env->loop, promises[0], 7), 0);
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(done.count, script.row ? 0 : 1);
    CHECK_IS(loop_cancel(env->loop, polls), script.row ? 0 : -ENOENT);
    WAIT_UNTIL(done.count);
    ONCE_IS(done, script.row ? -ECANCELED : 1);
    CHECK_IS(results[0], -ECANCELED);
    CHECK_IS(results[1], 7);
    close(ends[1]);
    END;
}

LOOP_TEST(members_may_belong_to_other_scopes_and_descriptors)
{
    static struct loop_flow *flows[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    open_group(loop_scope_open(env->scope, NULL, NULL), LOOP_FIRST_OF, 2);
    loop_group_add(group, 0, loop_read(&flows[0]->source, &byte, 1, LOOP_MEMBER(group, 0)));
    loop_group_add(group, 1, loop_sleep(env->scope, 3600 * LOOP_SECOND, LOOP_MEMBER(group, 1)));
    START(loop_write(&flows[1]->sink, "x", 1, NULL, NULL));
    WAIT_UNTIL(done.count);
    ONCE_IS(done, 0);
    CHECK_IS(byte, 'x');
    CHECK_IS(results[0], 1);
    CHECK_IS(results[1], -ECANCELED);
    END;
}

LOOP_TEST(job_0_counts_as_a_member_without_memory)
{
    BEGIN;
    open_group(env->scope, LOOP_ALL_OF, 2);
    CHECK_IS(loop_group_add(group, 1, 0), 0);
    CHECK_IS(loop_group_add(group, 0, loop_promise(env->scope, NULL, NULL, LOOP_MEMBER(group, 0))), 0);
    WAIT_UNTIL(done.count);
    ONCE_IS(done, -ENOMEM);
    CHECK_IS(results[0], -ECANCELED);
    CHECK_IS(results[1], -ENOMEM);
    END;
}

LOOP_TEST(wrong_members_are_refused)
{
    BEGIN;
    CHECK(loop_group_open(env->scope, LOOP_ALL_OF, 0, NULL, NULL) == NULL);
    CHECK(loop_group_open(env->scope, LOOP_ALL_OF, LOOP_GROUP_MAX + 1, NULL, NULL) == NULL);
    CHECK(loop_group_open(env->scope, (enum loop_group_kind)9, 1, NULL, NULL) == NULL);
    open_group(env->scope, LOOP_ALL_OF, 1);
    CHECK(loop_group_member(group, 1) == NULL);
    CHECK_IS(loop_group_add(group, 1, 0), -EINVAL);
    CHECK_IS(loop_group_result(group, 1), -EINVAL);
    promises[0] = START(loop_promise(env->scope, NULL, NULL, LOOP_MEMBER(group, 0)));
    CHECK_IS(loop_group_add(group, 0, promises[0]), 0);
    CHECK_IS(loop_group_add(group, 0, promises[0]), -EALREADY);
    CHECK_IS(loop_resolve(env->loop, promises[0], 0), 0);
    WAIT_UNTIL(done.count);
    ONCE_IS(done, 0);
    END;
}

static struct once ended;

LOOP_TEST(without_a_continuation_the_error_of_a_group_fails_its_scope)
{
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    group = loop_group_open(scope, LOOP_ALL_OF, 1, NULL, NULL);
    promises[0] = START(loop_promise(scope, NULL, NULL, LOOP_MEMBER(group, 0)));
    CHECK_IS(loop_group_add(group, 0, promises[0]), 0);
    CHECK_IS(loop_resolve(env->loop, promises[0], -EIO), 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EIO);
    END;
}

LOOP_TEST(a_group_opened_in_a_cancelled_scope_ends)
{
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_cancel(scope);
    open_group(scope, LOOP_ALL_OF, 2);
    loop_group_add(group, 0, loop_sleep(scope, LOOP_SECOND, LOOP_MEMBER(group, 0)));
    loop_group_add(group, 1, loop_sleep(scope, LOOP_SECOND, LOOP_MEMBER(group, 1)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(done, -ECANCELED);
    END;
}

LOOP_TEST(a_group_opened_in_a_cancelled_scope_waits_for_its_members)
{
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_cancel(scope);
    open_group(scope, LOOP_ANY_OF, 1);
    loop_group_add(group, 0, loop_promise(env->scope, end_late, NULL, LOOP_MEMBER(group, 0)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(done.count + ended.count, 0);
    CHECK_IS(loop_resolve(env->loop, slow.job, 3), 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(done, -ECANCELED);
    CHECK_IS(results[0], 3);
    CHECK(done.order < ended.order);
    END;
}

/* The job of such a group has ended before its last member is there. */
LOOP_TEST_ROWS(p01_no_continuation_of_a_group_runs_inside_a_call, 2)
{
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_cancel(scope);
    open_group(scope, LOOP_ALL_OF, 1);
    AWAIT(turns(env->scope, 5, GO));
    if (script.row == 0) {
        CHECK_IS(loop_group_add(group, 0, 0), 0);
    } else {
        loop_member_end(loop_group_member(group, 0), 7);
        CHECK_IS(loop_group_add(group, 0, 1), 0);
    }
    CHECK_IS(done.count, 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(done, -ECANCELED);
    CHECK_IS(results[0], script.row == 0 ? -ENOMEM : 7);
    CHECK(done.order < ended.order);
    END;
}

#if !HAS_SANITIZER

LOOP_TEST(without_memory_no_group_is_opened)
{
    BEGIN;
    fail_allocation(1, false);
    CHECK(open_group(env->scope, LOOP_ALL_OF, 1) == NULL);
    fail_allocation(0, false);
    CHECK_IS(done.count, 0);
    END;
}

#endif
