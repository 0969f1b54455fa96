/* SPDX-License-Identifier: ISC
 *
 * Polling before sleeping (loop_options.busy_poll_ns): a polling loop sees every event, sleeps when nothing happens,
 * and fires its timers.
 */
#include "harness.h"

#include <loop/core/loop.h>
#include <pthread.h>
#include <time.h>

static void nap(int64_t duration_ns)
{
    nanosleep(&(struct timespec){duration_ns / LOOP_SECOND, duration_ns % LOOP_SECOND}, NULL);
}

/* ---- how long it looks ---- */

LOOP_TEST(busy_polling_is_off_by_default)
{
    BEGIN;
    AWAIT(loop_sleep(env->scope, 100 * LOOP_MILLISECOND, GO));
    CHECK_IS(env->loop->busy_poll.in_vain, 0); /* it would have looked in vain */
    END;
}

LOOP_TEST_WITH(busy_polling_looks_until_a_timer_is_due, .busy_poll_ns = 10 * LOOP_SECOND)
{
    static long switches;

    BEGIN;
    switches = voluntary_switches();
    AWAIT(loop_sleep(env->scope, 100 * LOOP_MILLISECOND, GO));
    CHECK_IS(voluntary_switches() - switches, 0); /* the processor was never given back */
    END;
}

TEST(p23_a_negative_busy_poll_ns_is_refused)
{
    CHECK_IS(loop_run_with(&(struct loop_options){.busy_poll_ns = -1}, (loop_main_fn *)abort, NULL), -EINVAL);
}

static int do_nothing(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    return 0;
}

TEST(p23_the_longest_busy_poll_ns_does_no_harm)
{
    CHECK_IS(run_with(&(struct loop_options){.busy_poll_ns = INT64_MAX}, do_nothing, NULL), 0);
}

/* ---- when it doesn't ---- */

LOOP_TEST_WITH(p18_a_busy_polling_loop_sleeps_when_it_is_idle, .busy_poll_ns = 2 * LOOP_MILLISECOND)
{
    static struct loop_stats before, after;
    static long switches;

    BEGIN;
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &before);
    switches = voluntary_switches();
    AWAIT(loop_sleep(env->scope, 300 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(voluntary_switches() - switches <= 3);
    CHECK(after.turns - before.turns <= 4); /* in each it looks once, or not */
    END;
}

LOOP_TEST_WITH(p18_busy_polling_is_left_out_where_nothing_comes_soon, .busy_poll_ns = 2 * LOOP_MILLISECOND)
{
    static unsigned left_out;

    BEGIN;
    while (env->loop->busy_poll.left_out < 31) {
        AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    }
    while ((left_out = env->loop->busy_poll.left_out) > 10) {
        AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
        CHECK(env->loop->busy_poll.left_out < left_out);
    }
    END;
}

/* A loop that has looked in vain often enough skips turns, unless its sleeps turn out to be short. A loaded machine may
 * have no short sleep among so many, so there are several attempts. */
LOOP_TEST_WITH(busy_polling_begins_again_where_sleeps_are_short, .busy_poll_ns = 2 * LOOP_MILLISECOND)
{
    static bool has_begun;
    static int attempt, i;

    BEGIN;
    for (attempt = 0; attempt < 20 && !has_begun; attempt++) {
        while (env->loop->busy_poll.left_out < 15) {
            AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
        }
        for (i = 0; i < 10 && !has_begun; i++) {
            AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
            has_begun = env->loop->busy_poll.left_out == 0;
        }
    }
    CHECK(has_begun);
    END;
}

/* ---- events while polling ---- */

/* One exact wait is enough, and a loaded machine may need many: a loop that sleeps wakes too late each time. */
LOOP_TEST_WITH(p20_timers_of_a_busy_polling_loop_are_exact, .busy_poll_ns = 5 * LOOP_MILLISECOND)
{
    static int64_t began, late, least = LOOP_NEVER;
    static int i;

    BEGIN;
    for (i = 0; i < 2000 && least >= 100 * LOOP_MICROSECOND; i++) {
        began = now_ns();
        AWAIT(loop_sleep(env->scope, 300 * LOOP_MICROSECOND, GO));
        late = now_ns() - began - 300 * LOOP_MICROSECOND;
        CHECK(late >= 0);
        least = late < least ? late : least;
    }
    CHECK(least < 100 * LOOP_MICROSECOND);
    END;
}

enum { POSTS = 10 };
static struct once posts[POSTS];
static struct loop_inbox *inbox;

static void *post_now_and_then(void *unused)
{
    (void)unused;
    for (int i = 0; i < POSTS; i++) {
        nap(LOOP_MILLISECOND);
        CHECK_IS(loop_post(inbox, ONCE(&posts[i])), 0);
    }
    loop_inbox_unref(inbox);
    return NULL;
}

LOOP_TEST_WITH(p21_a_busy_polling_loop_sees_posts_without_being_woken, .busy_poll_ns = 10 * LOOP_SECOND)
{
    static struct loop_stats before, after;
    static pthread_t thread;

    BEGIN;
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    inbox = loop_inbox_ref(env->loop);
    loop_get_stats(env->loop, &before);
    CHECK_IS(pthread_create(&thread, NULL, post_now_and_then, NULL), 0);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(posts[POSTS - 1].count);
    loop_scope_unhold(env->scope);
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.wakeups, before.wakeups);
    CHECK(!strcmp(loop_backend_name(env->loop), "epoll") || after.enters - before.enters <= 1);
    pthread_join(thread, NULL);
    for (int i = 0; i < POSTS; i++) {
        ONCE_IS(posts[i], 0);
    }
    END;
}

static int64_t take_a_while(void *unused)
{
    (void)unused;
    nap(2 * LOOP_MILLISECOND);
    return 7;
}

LOOP_TEST_WITH(a_busy_polling_loop_hears_of_its_threads_and_operations, .busy_poll_ns = 10 * LOOP_SECOND)
{
    static char bytes[64], back[64];
    static struct loop_fd *file;
    static int i;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 1);
    file = adopt(env->scope, make_file(bytes, sizeof bytes));
    for (i = 0; i < 5; i++) {
        AWAIT(loop_work(env->scope, take_a_while, NULL, GO));
        CHECK_IS(result, 7);
        AWAIT(loop_op_read(env->scope, file, back, sizeof back, 0, GO));
        CHECK_MOVED(result, sizeof back);
        AWAIT(loop_op_fsync(env->scope, file, 0, GO));
        CHECK_IS(result, 0);
    }
    END;
}

/* ---- round trips ---- */

enum { ROUND_TRIPS = 300 };

/* Sends what has come back, with naps that are shorter and longer than the loop looks. */
static void *answer(void *number)
{
    int fd = *(int *)number;
    char byte = 0;

    for (int i = 0; i < ROUND_TRIPS; i++) {
        if (i % 30 == 29) {
            nap((i % 60 == 59 ? 3 : 1) * LOOP_MILLISECOND);
        }
        CHECK_IS(write(fd, &byte, 1), 1);
        CHECK_IS(read(fd, &byte, 1), 1);
        CHECK_IS(byte, (char)(i + 1));
    }
    return NULL;
}

LOOP_TEST_WITH(round_trips_of_a_busy_polling_loop, .busy_poll_ns = 2 * LOOP_MILLISECOND)
{
    static struct loop_flow *flow;
    static pthread_t thread;
    static int fds[2], i;
    static char byte;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(pthread_create(&thread, NULL, answer, &fds[1]), 0);
    for (i = 0; i < ROUND_TRIPS; i++) {
        AWAIT(loop_read(&flow->source, &byte, 1, GO));
        CHECK_IS(result, 1);
        byte++;
        AWAIT(loop_write(&flow->sink, &byte, 1, GO));
        CHECK_IS(result, 1);
    }
    pthread_join(thread, NULL);
    close(fds[1]);
    END;
}
