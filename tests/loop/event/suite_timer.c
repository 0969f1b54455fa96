/* SPDX-License-Identifier: ISC
 *
 * Timers (P20): they never fire early, fire in order, and can be cancelled.
 */
#include "harness.h"

/* ---- time ---- */

LOOP_TEST(sleep_takes_as_long_as_it_says)
{
    static int64_t began;

    BEGIN;
    began = now_ns();
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    CHECK_IS(result, 0);
    CHECK(now_ns() - began >= 10 * LOOP_MILLISECOND);
    began = now_ns();
    AWAIT(loop_sleep_until(env->scope, began + 5 * LOOP_MILLISECOND, GO));
    CHECK(now_ns() - began >= 5 * LOOP_MILLISECOND);
    AWAIT(loop_sleep_until(env->scope, loop_now(env->loop), GO));
    CHECK_IS(result, 0);
    END;
}

/* One short sleep out of many is enough: where they were rounded up none would be. */
LOOP_TEST(sleep_of_microseconds_is_not_rounded_to_milliseconds)
{
    static int64_t began, took, shortest = LOOP_NEVER;
    static int i;

    BEGIN;
    for (i = 0; i < 100; i++) {
        began = now_ns();
        AWAIT(loop_sleep(env->scope, 50 * LOOP_MICROSECOND, GO));
        took = now_ns() - began;
        CHECK(took >= 50 * LOOP_MICROSECOND);
        shortest = took < shortest ? took : shortest;
    }
    CHECK(shortest < LOOP_MILLISECOND);
    END;
}

LOOP_TEST(cancelled_timers_do_not_fire)
{
    enum { N = 1000 };
    static struct once timers[N];
    static loop_job jobs[N];

    BEGIN;
    for (int i = 0; i < N; i++) {
        jobs[i] = START(loop_sleep(env->scope, LOOP_MILLISECOND, ONCE(&timers[i])));
    }
    for (int i = 0; i < N; i += 2) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
    }
    AWAIT(loop_sleep(env->scope, 4 * LOOP_MILLISECOND, GO));
    AWAIT(turns(env->scope, 10, GO));
    for (int i = 0; i < N; i++) {
        ONCE_IS(timers[i], i % 2 ? 0 : -ECANCELED);
    }
    END;
}

static struct loop_env *timer_env;
static struct once victim;
static loop_job victim_job;
static int victim_answer = 1;

static void cancel_victim(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    victim_answer = loop_cancel(timer_env->loop, victim_job);
}

LOOP_TEST(a_timer_cancels_one_that_is_due_at_the_same_time)
{
    static int64_t at;

    BEGIN;
    timer_env = env;
    at = now_ns() + LOOP_MILLISECOND;
    START(loop_sleep_until(env->scope, at, cancel_victim, NULL));
    victim_job = START(loop_sleep_until(env->scope, at, ONCE(&victim)));
    WAIT_UNTIL(victim.count);
    CHECK(victim.result == (victim_answer == 0 ? -ECANCELED : 0));
    END;
}

LOOP_TEST(all_timers_cancelled_in_one_go)
{
    enum { N = 300 };
    static struct loop_scope *scope;
    static struct tally tally;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    for (int i = 0; i < N; i++) {
        START(loop_sleep(scope, i % 3 ? LOOP_SECOND : LOOP_NEVER, TALLY(&tally)));
    }
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    CHECK_IS(tally.cancelled, N);
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(result, 0);
    END;
}

/* ---- cancels and what else happens in the same continuation ---- */

static char ended_order[300];
static size_t n_ended;

static void on_ended_in_order(void *arg, int64_t result)
{
    CHECK(n_ended < sizeof ended_order - 1);
    ended_order[n_ended++] = *(const char *)arg;
    (void)result;
}

LOOP_TEST(cancelled_timers_and_promises_end_in_the_order_of_the_calls)
{
    static char names[] = "abcde";
    static loop_job a, b, c, d, e;

    BEGIN;
    memset(ended_order, 0, sizeof ended_order);
    n_ended = 0;
    a = START(loop_sleep(env->scope, LOOP_SECOND, on_ended_in_order, &names[0]));
    b = START(loop_promise(env->scope, NULL, NULL, on_ended_in_order, &names[1]));
    c = START(loop_sleep(env->scope, LOOP_NEVER, on_ended_in_order, &names[2]));
    d = START(loop_sleep(env->scope, 2 * LOOP_SECOND, on_ended_in_order, &names[3]));
    e = START(loop_promise(env->scope, NULL, NULL, on_ended_in_order, &names[4]));
    CHECK_IS(loop_cancel(env->loop, d), 0);
    CHECK_IS(loop_resolve(env->loop, e, 0), 0);
    CHECK_IS(loop_cancel(env->loop, a), 0);
    CHECK_IS(loop_cancel(env->loop, c), 0);
    CHECK_IS(loop_resolve(env->loop, b, 0), 0);
    CHECK_IS(n_ended, 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(n_ended, 5);
    CHECK_TEXT(ended_order, "deacb");
    END;
}

LOOP_TEST(two_hundred_timers_cancelled_in_any_order_end_in_that_order)
{
    enum { N = 200 };
    static loop_job jobs[N];
    static char letters[N];

    BEGIN;
    memset(ended_order, 0, sizeof ended_order);
    n_ended = 0;
    for (int i = 0; i < N; i++) {
        letters[i] = (char)('!' + i % 90);
        jobs[i] = START(loop_sleep(env->scope, (i * 7 % 50 + 1) * LOOP_SECOND, on_ended_in_order, &letters[i]));
    }
    for (int i = 0; i < N; i++) {
        CHECK_IS(loop_cancel(env->loop, jobs[i * 67 % N]), 0);
        CHECK_IS(loop_cancel(env->loop, jobs[i * 67 % N]), -ENOENT);
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(n_ended, N);
    for (int i = 0; i < N; i++) {
        CHECK_IS(ended_order[i], letters[i * 67 % N]);
    }
    END;
}

LOOP_TEST(p04_a_timer_that_was_cancelled_is_no_longer_there)
{
    static struct once ended;
    static loop_job job;

    BEGIN;
    job = START(loop_sleep(env->scope, LOOP_SECOND, ONCE(&ended)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    CHECK_IS(loop_pause(env->loop, job), -ENOENT);
    CHECK_IS(loop_resume(env->loop, job), -ENOENT);
    CHECK(loop_job_is_alive(env->loop, job));
    WAIT_UNTIL(ended.count);
    CHECK_IS(ended.result, -ECANCELED);
    CHECK(!loop_job_is_alive(env->loop, job));
    END;
}

/* ---- P1: exactly once, on the loop's thread, never from inside the call ---- */

LOOP_TEST(p01_timer_ends_once)
{
    BEGIN;
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(result, 0);
    AWAIT(turns(env->scope, 5, GO));
    END;
}

/* ---- P4: cancel ---- */

LOOP_TEST(p04_cancel_ends_a_timer)
{
    static struct once timer;
    static loop_job job;

    BEGIN;
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&timer)));
    CHECK(loop_job_is_alive(env->loop, job));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(timer.count, 0);
    WAIT_UNTIL(timer.count);
    ONCE_IS(timer, -ECANCELED);
    CHECK(!loop_job_is_alive(env->loop, job));
    END;
}

/* ---- P20: time ---- */

struct timed {
    int64_t at_ns;
    bool was_early;
    unsigned order;
};

static unsigned timed_count, out_of_order, early;
static int64_t last_timed, latest;

static void timed_fired(void *arg, int64_t result)
{
    struct timed *timed = arg;
    int64_t late = now_ns() - timed->at_ns;

    CHECK_IS(result, 0);
    early += late < 0;
    latest = late > latest ? late : latest;
    out_of_order += timed->at_ns < last_timed;
    last_timed = timed->at_ns;
    timed->order = ++timed_count;
    script_poke();
}

LOOP_TEST(p20_timers_are_never_early)
{
    enum { N = 300 };
    static struct timed timers[N];

    BEGIN;
    srand(1);
    for (int i = 0; i < N; i++) {
        int64_t duration = rand() % (20 * (int)LOOP_MILLISECOND);
        timers[i].at_ns = now_ns() + duration;
        START(loop_sleep(env->scope, duration, timed_fired, &timers[i]));
    }
    WAIT_UNTIL(timed_count == N);
    CHECK_IS(early, 0);
    END;
}

LOOP_TEST(p20_timers_fire_in_order_and_on_time)
{
    enum { N = 1000 };
    static struct timed timers[N];
    static int64_t start;

    BEGIN;
    start = now_ns() + (HAS_SANITIZER ? 200 : 20) * LOOP_MILLISECOND; /* all are started before the first is due */
    for (int i = 0; i < N; i++) {
        timers[i].at_ns = start + (int64_t)(i * 7919 % N) * 10 * LOOP_MICROSECOND;
        START(loop_sleep_until(env->scope, timers[i].at_ns, timed_fired, &timers[i]));
    }
    WAIT_UNTIL(timed_count == N);
    CHECK_IS(early, 0);
    CHECK_IS(out_of_order, 0);
#if defined(NORIA_SIMULATED)
    CHECK(latest < LOOP_MILLISECOND); /* its clock stands still while the program runs */
#endif
    END;
}

static struct loop_scope *chain_parent;
static int64_t chain_due;
static struct once chain_timer;
static int chain_left;

/* The last of many scopes, each of which ends in the on_end of the one before, takes long and starts a timer. */
static void chain_ended(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    if (--chain_left > 0) {
        CHECK(loop_scope_open(chain_parent, chain_ended, NULL));
        return;
    }
    nanosleep(&(struct timespec){.tv_nsec = 10 * LOOP_MILLISECOND}, NULL);
    chain_due = now_ns() + LOOP_MILLISECOND;
    CHECK(loop_sleep_until(chain_parent, chain_due, ONCE(&chain_timer)));
}

/* Wherever in the turn the rest of the settling takes place. */
LOOP_TEST(p20_a_timer_that_a_long_on_end_starts_is_on_time)
{
    static int64_t late;
    static int length;

    BEGIN;
    chain_parent = env->scope;
    loop_daemon(env->loop, START(loop_sleep(env->scope, 3600 * LOOP_SECOND, NULL, NULL)));
    for (length = 1; length < 2000; length += 128) {
        chain_timer = (struct once){0};
        chain_left = length;
        CHECK(loop_scope_open(env->scope, chain_ended, NULL));
        WAIT_UNTIL(chain_timer.count);
        late = now_ns() - chain_due;
        CHECK(late >= 0);
#if defined(NORIA_SIMULATED)
        CHECK(late < 5 * LOOP_MILLISECOND); /* its clock stands still while the program runs */
#endif
    }
    END;
}

LOOP_TEST(p20_equal_times_fire_in_the_order_of_the_calls)
{
    enum { N = 500 };
    static struct timed timers[N];
    static int64_t at;

    BEGIN;
    at = now_ns() + 2 * LOOP_MILLISECOND;
    for (int i = 0; i < N; i++) {
        timers[i].at_ns = at;
        START(loop_sleep_until(env->scope, at, timed_fired, &timers[i]));
    }
    WAIT_UNTIL(timed_count == N);
    for (unsigned i = 0; i < N; i++) {
        CHECK_IS(timers[i].order, i + 1);
    }
    END;
}

/* Timers of which each cancels one that comes after all of them. */
enum { HUNTERS = 450 };

static struct hunter {
    struct loop *loop;
    struct once once, victim;
    loop_job victim_job;
} hunters[HUNTERS];

static unsigned hunts;

static void hunter_fired(void *arg, int64_t result)
{
    struct hunter *hunter = arg;

    once_resumed(&hunter->once, result);
    CHECK_IS(loop_cancel(hunter->loop, hunter->victim_job), 0);
    hunts++;
    script_poke();
}

/* Some victims are due in the turn in which they are cancelled, some in a later one, some later. */
LOOP_TEST(p20_timers_that_cancel_timers_of_their_own_turn)
{
    static int64_t at;

    BEGIN;
    at = now_ns() + LOOP_MILLISECOND;
    for (int i = 0; i < HUNTERS; i++) {
        struct hunter *hunter = &hunters[i];
        int64_t victim_at = at + i % 3 * i * LOOP_MICROSECOND;
        hunter->loop = env->loop;
        START(loop_sleep_until(env->scope, at - 1, hunter_fired, hunter));
        hunters[i * 7 % HUNTERS].victim_job = START(loop_sleep_until(env->scope, victim_at, ONCE(&hunter->victim)));
    }
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    WAIT_UNTIL(hunts == HUNTERS);
    AWAIT(turns(env->scope, 10, GO));
    for (int i = 0; i < HUNTERS; i++) {
        ONCE_IS(hunters[i].once, 0);
        ONCE_IS(hunters[i].victim, -ECANCELED);
    }
    END;
}

LOOP_TEST(p20_cancelled_timers_leave_no_wakeups)
{
    static struct loop_stats before, after;
    static struct tally tally;

    BEGIN;
    for (int i = 1; i <= 10; i++) {
        loop_cancel(env->loop, START(loop_sleep(env->scope, i * 10 * LOOP_MILLISECOND, TALLY(&tally))));
    }
    loop_daemon(env->loop, START(loop_sleep(env->scope, 3600 * LOOP_SECOND, TALLY(&tally))));
    WAIT_UNTIL(tally.cancelled == 10);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 120 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 3);
    END;
}

LOOP_TEST(p20_what_has_passed_fires_in_the_next_turn)
{
    static struct once past[4];
    static loop_job never;
    static struct once cancelled;

    BEGIN;
    START(loop_sleep(env->scope, -1, ONCE(&past[0])));
    START(loop_sleep(env->scope, INT64_MIN, ONCE(&past[1])));
    START(loop_sleep_until(env->scope, 0, ONCE(&past[2])));
    START(loop_sleep_until(env->scope, INT64_MIN, ONCE(&past[3])));
    AWAIT(turns(env->scope, 2, GO));
    for (int i = 0; i < 4; i++) {
        ONCE_IS(past[i], 0);
    }
    never = START(loop_sleep(env->scope, INT64_MAX - 1, ONCE(&cancelled)));
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(cancelled.count, 0);
    CHECK_IS(loop_cancel(env->loop, never), 0);
    WAIT_UNTIL(cancelled.count);
    ONCE_IS(cancelled, -ECANCELED);
    END;
}

LOOP_TEST(p20_now_is_the_monotonic_clock)
{
    static int64_t before, now, after;

    BEGIN;
    before = now_ns();
    now = loop_now(env->loop);
    after = now_ns();
    CHECK(before <= now && now <= after);
    CHECK(loop_clock_wall(env->clock) / LOOP_SECOND - (int64_t)time(NULL) <= 1);
    CHECK(loop_clock_wall(env->clock) / LOOP_SECOND - (int64_t)time(NULL) >= -1);
    END;
}

LOOP_TEST(p20_a_million_timers)
{
    enum { N = HAS_SANITIZER ? 50000 : 1000000 };
    static struct tally tally;
    static loop_job *jobs;
    static unsigned long cancelled;

    BEGIN;
    srand(2);
    jobs = malloc(N * sizeof *jobs);
    for (int i = 0; i < N; i++) {
        int64_t duration = i % 2 ? rand() % (int)(50 * LOOP_MILLISECOND) : 3600 * LOOP_SECOND + rand();
        jobs[i] = START(loop_sleep(env->scope, duration, TALLY(&tally)));
    }
    for (int i = 0; i < N; i += 2) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
        cancelled++;
    }
    WAIT_UNTIL(tally.count == N);
    CHECK_IS(tally.cancelled, cancelled);
    CHECK_IS(tally.ended_well, N - cancelled);
    free(jobs);
    END;
}
