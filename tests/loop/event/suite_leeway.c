/* SPDX-License-Identifier: ISC
 *
 * Timers with a leeway (P20, loop_options.timer_leeway_ns): those that are due close together share one wake-up, none
 * is early, and their order stays that of their times.
 *
 * How late they are is checked in virtual time only: on a real kernel a loaded machine may delay any of them.
 */
#include "harness.h"

#include <time.h>

/* How late a timer may be, beyond what its test allows it. The simulated kernel lets a microsecond pass now and then.
 */
#if defined(NORIA_SIMULATED)
#define TOLERANCE_NS (10 * LOOP_MICROSECOND)
#else
#define TOLERANCE_NS LOOP_NEVER
#endif

#define LEEWAY_NS (20 * LOOP_MILLISECOND)

static uint64_t turns_of(const struct loop_env *env)
{
    struct loop_stats stats;
    loop_get_stats(env->loop, &stats);
    return stats.turns;
}

/* ---- timers ---- */

enum { N = 1000 };

static struct timed {
    int64_t at_ns;
} timers[N];

static unsigned n_fired, n_early, out_of_order;
static int64_t last_at_ns, latest_ns;

static void fired(void *arg, int64_t result)
{
    const struct timed *timed = arg;
    int64_t late_ns = now_ns() - timed->at_ns;

    CHECK_IS(result, 0);
    n_fired++;
    n_early += late_ns < 0;
    latest_ns = late_ns > latest_ns ? late_ns : latest_ns;
    out_of_order += timed->at_ns < last_at_ns;
    last_at_ns = timed->at_ns;
    script_poke();
}

/* Starts timers, not in the order of their times, that are due over `span_ns` from `start_ns` on. */
static void start_spread(struct loop_env *env, int64_t start_ns, int64_t span_ns)
{
    for (int64_t i = 0; i < N; i++) {
        timers[i].at_ns = start_ns + (i * 7919 % N) * span_ns / N;
        START(loop_sleep_until(env->scope, timers[i].at_ns, fired, &timers[i]));
    }
}

LOOP_TEST_WITH(p20_timers_share_a_wakeup_within_the_leeway, .timer_leeway_ns = LEEWAY_NS)
{
    static uint64_t before;

    BEGIN;
    start_spread(env, now_ns() + 50 * LOOP_MILLISECOND, 5 * LEEWAY_NS);
    before = turns_of(env);
    WAIT_UNTIL(n_fired == N);
    CHECK(turns_of(env) - before <= 16); /* without the leeway, one for each of the thousand */
    CHECK_IS(n_early, 0);
    CHECK_IS(out_of_order, 0);
    CHECK(latest_ns - LEEWAY_NS <= TOLERANCE_NS);
    END;
}

LOOP_TEST_WITH(p20_leeway_of_a_nanosecond, .timer_leeway_ns = 1)
{
    BEGIN;
    start_spread(env, now_ns() + 20 * LOOP_MILLISECOND, N);
    WAIT_UNTIL(n_fired == N);
    CHECK_IS(n_early, 0);
    CHECK_IS(out_of_order, 0);
    END;
}

LOOP_TEST_WITH(p20_a_leeway_does_not_delay_a_timer_that_is_alone, .timer_leeway_ns = 3600 * LOOP_SECOND)
{
    static int64_t at_ns, late_ns;
    static int i;

    BEGIN;
    for (i = 0; i < 5; i++) {
        at_ns = now_ns() + 2 * LOOP_MILLISECOND;
        AWAIT(loop_sleep_until(env->scope, at_ns, GO));
        CHECK_IS(result, 0);
        late_ns = now_ns() - at_ns;
        CHECK(late_ns >= 0 && late_ns <= TOLERANCE_NS);
    }
    END;
}

/* The leeway would reach to the other timer, but no sleep begins before these have been resumed. */
LOOP_TEST_WITH(p20_a_leeway_does_not_delay_what_is_due_at_once, .timer_leeway_ns = LOOP_NEVER)
{
    static struct once far;

    BEGIN;
    loop_daemon(env->loop, START(loop_sleep(env->scope, 3600 * LOOP_SECOND, ONCE(&far))));
    AWAIT(loop_sleep(env->scope, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_sleep(env->scope, INT64_MIN, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_sleep_until(env->scope, loop_now(env->loop), GO));
    CHECK_IS(result, 0);
    CHECK_IS(far.count, 0);
    END;
}

/* ---- other events ---- */

static int64_t work_for_10_ms(void *unused)
{
    (void)unused;
    nanosleep(&(struct timespec){.tv_nsec = 10 * LOOP_MILLISECOND}, NULL);
    return 0;
}

LOOP_TEST_WITH(p20_a_loop_that_is_awake_resumes_what_is_due, .timer_leeway_ns = 3600 * LOOP_SECOND)
{
    static struct once near, far;

    BEGIN;
    START(loop_sleep(env->scope, LOOP_MILLISECOND, ONCE(&near)));
    loop_daemon(env->loop, START(loop_sleep(env->scope, 1800 * LOOP_SECOND, ONCE(&far))));
    AWAIT(loop_work(env->scope, work_for_10_ms, NULL, GO));
    AWAIT(turns(env->scope, 2, GO));
    ONCE_IS(near, 0);
    CHECK_IS(far.count, 0);
    END;
}

LOOP_TEST_WITH(p07_deadlines_share_wakeups_with_timers, .timer_leeway_ns = LEEWAY_NS)
{
    enum { SCOPES = 100 };
    static struct once ended[SCOPES], timer;
    static struct tally sleeps;
    static int64_t start_ns;
    static uint64_t before;

    BEGIN;
    start_ns = now_ns() + 30 * LOOP_MILLISECOND;
    for (int i = 0; i < SCOPES; i++) {
        struct loop_scope *scope = loop_scope_open(env->scope, ONCE(&ended[i]));
        START(loop_sleep(scope, LOOP_NEVER, TALLY(&sleeps)));
        loop_scope_deadline(scope, start_ns + i * LEEWAY_NS / SCOPES);
    }
    START(loop_sleep_until(env->scope, start_ns + LEEWAY_NS, ONCE(&timer)));
    before = turns_of(env);
    WAIT_UNTIL(timer.count && ended[SCOPES - 1].count);
    CHECK(turns_of(env) - before <= 4);
    CHECK(now_ns() >= start_ns + LEEWAY_NS);
    for (int i = 0; i < SCOPES; i++) {
        ONCE_IS(ended[i], -ETIMEDOUT);
    }
    END;
}

/* ---- P23: wrong values ---- */

TEST(p23_a_negative_leeway_is_refused)
{
    CHECK_IS(loop_run_with(&(struct loop_options){.timer_leeway_ns = -1}, (loop_main_fn *)abort, NULL), -EINVAL);
}
