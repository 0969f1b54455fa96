/* SPDX-License-Identifier: ISC
 *
 * The loop's thread: where continuations run, calls from another thread, and loops in several threads (P21, P24).
 */
#include "harness.h"

#include <pthread.h>

/* ---- P1: exactly once, on the loop's thread, never from inside the call ---- */

static pthread_t work_thread, end_thread;

static int64_t note_thread(void *unused)
{
    (void)unused;
    work_thread = pthread_self();
    return 42;
}

static void note_end_thread(void *done, int64_t result)
{
    end_thread = pthread_self();
    once_resumed(done, result);
}

LOOP_TEST(p01_resumed_on_the_loops_thread)
{
    static struct once done;

    BEGIN;
    START(loop_work(env->scope, note_thread, NULL, note_end_thread, &done));
    WAIT_UNTIL(done.count);
    ONCE_IS(done, 42);
    CHECK(!pthread_equal(work_thread, pthread_self()));
    CHECK(pthread_equal(end_thread, pthread_self()));
    END;
}

/* ---- P21: from elsewhere ---- */

static struct loop_env *other_env;

static void *call_from_elsewhere(void *unused)
{
    (void)unused;
    pthread_setname_np(pthread_self(), "stranger");
    loop_sleep(other_env->scope, 0, NULL, NULL);
    return NULL;
}

static int call_from_wrong_thread(struct loop_env *env, void *unused)
{
    pthread_t thread;

    (void)unused;
    other_env = env;
    pthread_setname_np(pthread_self(), "owner");
    pthread_create(&thread, NULL, call_from_elsewhere, NULL);
    pthread_join(thread, NULL);
    return 0;
}

static int run_with_stranger(void *unused)
{
    (void)unused;
    return loop_run_with(&(struct loop_options){.queue_depth = 0}, call_from_wrong_thread, NULL);
}

#if NORIA_DEBUG && !(HAS_SANITIZER && defined(__SANITIZE_THREAD__))
TEST(p21_a_debug_build_stops_a_call_from_the_wrong_thread)
{
    expect_stop(run_with_stranger, NULL, "stranger", 0);
    CHECK(strstr(child_text(), "owner"));
    CHECK(strstr(child_text(), "loop_sleep"));
}
#else
TEST(p21_the_wrong_threads_are_checked_in_debug_builds_only)
{
    CHECK(run_with_stranger != NULL);
}
#endif

/* ---- P24: no global state ---- */

enum { LOOPS = 8, LOOP_TRIPS = HAS_SANITIZER ? 50 : 300 };

struct threaded {
    struct loop_flow *flows[2];
    pthread_t thread;
    unsigned trips;
    char buffer[4];
    int answer;
};

static void threaded_read(void *threaded, int64_t result);

static void threaded_written(void *arg, int64_t result)
{
    struct threaded *threaded = arg;

    CHECK_IS(result, 4);
    CHECK(loop_read_exact(&threaded->flows[1]->source, threaded->buffer, 4, threaded_read, threaded) != 0);
}

static void threaded_read(void *arg, int64_t result)
{
    struct threaded *threaded = arg;

    CHECK_IS(result, 4);
    if (++threaded->trips < LOOP_TRIPS) {
        CHECK(loop_write(&threaded->flows[0]->sink, "trip", 4, threaded_written, threaded) != 0);
    }
}

static int threaded_main(struct loop_env *env, void *arg)
{
    struct threaded *threaded = arg;

    make_flows(env->scope, threaded->flows);
    CHECK(loop_write(&threaded->flows[0]->sink, "trip", 4, threaded_written, threaded) != 0);
    return 0;
}

static void *run_threaded(void *arg)
{
    struct threaded *threaded = arg;

    threaded->answer = loop_run_with(&(struct loop_options){.n_blocks = 4}, threaded_main, threaded);
    return NULL;
}

TEST(p24_many_loops_in_many_threads)
{
    static struct threaded loops[LOOPS];

    for (int i = 0; i < LOOPS; i++) {
        CHECK_IS(pthread_create(&loops[i].thread, NULL, run_threaded, &loops[i]), 0);
    }
    for (int i = 0; i < LOOPS; i++) {
        pthread_join(loops[i].thread, NULL);
        CHECK_IS(loops[i].answer, 0);
        CHECK_IS(loops[i].trips, LOOP_TRIPS);
    }
}
