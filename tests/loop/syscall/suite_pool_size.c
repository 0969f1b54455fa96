/* SPDX-License-Identifier: ISC
 *
 * The number of threads of the pool: it grows while work waits, up to its bound, and declines again (P27).
 */
#include "harness.h"

static int gate[2];
static unsigned begun; /* atomic */

static int64_t pass_gate(void *unused)
{
    char byte;

    (void)unused;
    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    return read(gate[0], &byte, 1);
}

static unsigned n_begun(void)
{
    return __atomic_load_n(&begun, __ATOMIC_SEQ_CST);
}

static void open_gate(unsigned n)
{
    while (n-- > 0) {
        CHECK_IS(write(gate[1], "1", 1), 1);
    }
}

/* Starts work that waits at the gate. */
static void start_gated(struct loop_env *env, unsigned n, struct tally *tally)
{
    for (unsigned i = 0; i < n; i++) {
        START(loop_work(env->scope, pass_gate, NULL, TALLY(tally)));
    }
}

#define WAIT_UNTIL_BEGUN(n)                                                                                            \
    while (n_begun() < (n)) {                                                                                          \
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));                                                           \
    }

static void close_gate(void)
{
    close(gate[0]);
    close(gate[1]);
}

static struct loop_stats stats_of(struct loop *loop)
{
    struct loop_stats stats;

    loop_get_stats(loop, &stats);
    return stats;
}

LOOP_TEST_WITH(p27_the_pool_grows_while_work_waits_and_declines, .pool_threads = 8, .pool_threads_min = 2)
{
    enum { N = 8 };
    static struct tally tally;
    static uint64_t jobs_before;

    BEGIN;
    make_pipe(gate);
    AWAIT(turns(env->scope, 1, GO));
    jobs_before = stats_of(env->loop).jobs_now;
    start_gated(env, N, &tally);
    CHECK_IS(stats_of(env->loop).pool_threads_now, 2);
    CHECK_IS(stats_of(env->loop).pool_waits, N - 2);
    WAIT_UNTIL_BEGUN(N);
    CHECK_IS(stats_of(env->loop).pool_threads_now, N);
    CHECK(stats_of(env->loop).pool_longest_wait_ns >= LOOP_MILLISECOND / 4);
    open_gate(N);
    WAIT_UNTIL(tally.count == N);
    while (stats_of(env->loop).pool_threads_now > 2) {
        AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    }
    AWAIT(loop_sleep(env->scope, 2500 * LOOP_MILLISECOND, GO));
    CHECK_IS(stats_of(env->loop).pool_threads_now, 2);
    CHECK_IS(stats_of(env->loop).pool_threads_most, N);
    CHECK_IS(stats_of(env->loop).pool_waits, N - 2);
    CHECK_IS(stats_of(env->loop).jobs_now, jobs_before); /* no timer of the pool is left: P18 */
    open_gate(1);
    AWAIT(loop_work(env->scope, pass_gate, NULL, GO));
    CHECK_IS(result, 1);
    close_gate();
    END;
}

LOOP_TEST_WITH(p27_the_pool_grows_to_its_bound_only, .pool_threads = 5, .pool_threads_min = 1)
{
    enum { N = 20 };
    static struct tally tally;
    static uint64_t longest;

    BEGIN;
    make_pipe(gate);
    start_gated(env, N, &tally);
    WAIT_UNTIL_BEGUN(5);
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    CHECK_IS(n_begun(), 5);
    CHECK_IS(stats_of(env->loop).pool_threads_now, 5);
    longest = stats_of(env->loop).pool_longest_wait_ns; /* of those that still wait */
    CHECK(longest >= 10 * LOOP_MILLISECOND);
    open_gate(N);
    WAIT_UNTIL(tally.count == N);
    CHECK(stats_of(env->loop).pool_longest_wait_ns >= longest);
    CHECK_IS(stats_of(env->loop).pool_threads_most, 5);
    close_gate();
    END;
}

static int gate_of_stuck[2];

static int64_t pass_gate_of_stuck(void *unused)
{
    char byte;

    (void)unused;
    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    return read(gate_of_stuck[0], &byte, 1);
}

/* A thread that was overdue has come back, so one thread more is idle than may run. When the pool grows that one runs
 * the work that waits. */
LOOP_TEST_WITH(p27_a_pool_that_grows_calls_a_thread_that_came_back, .pool_threads = 2, .pool_threads_min = 1)
{
    static struct tally tally;
    static struct once stuck;
    static loop_job job;

    BEGIN;
    make_pipe(gate);
    make_pipe(gate_of_stuck);
    job = START(loop_work(env->scope, pass_gate_of_stuck, NULL, ONCE(&stuck)));
    WAIT_UNTIL_BEGUN(1);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    START(loop_work(env->scope, pass_gate, NULL, TALLY(&tally)));
    WAIT_UNTIL_BEGUN(2);
    CHECK_IS(write(gate_of_stuck[1], "1", 1), 1);
    WAIT_UNTIL(stuck.count);
    START(loop_work(env->scope, pass_gate, NULL, TALLY(&tally)));
    WAIT_UNTIL_BEGUN(3);
    CHECK_IS(stats_of(env->loop).pool_threads_most, 2);
    open_gate(2);
    WAIT_UNTIL(tally.count == 2);
    close_gate();
    close(gate_of_stuck[0]);
    close(gate_of_stuck[1]);
    END;
}

/* ---- short work after threads were stuck ---- */

/* Work that is started again when it has ended, as often as there are threads. */
static struct load {
    struct loop_env *env;
    loop_work_fn *work;
    unsigned n_running;
    bool ends;
} load;

static void start_load(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    if (load.ends) {
        load.n_running--;
    } else {
        START(loop_work(load.env->scope, load.work, NULL, start_load, NULL));
    }
}

static int64_t nap(void *unused)
{
    (void)unused;
    return usleep(100);
}

/* Threads that were stuck have made the pool grow to a thread for each job. Short work then wakes one each time, until
 * the pool finds that half of them do as much: then work waits. */
LOOP_TEST_WITH(p27_a_pool_that_was_stuck_finds_that_fewer_threads_do, .pool_threads = 16, .pool_threads_min = 2)
{
    enum { N = 16 };
    static struct tally tally;
    static uint64_t waits;

    BEGIN;
    make_pipe(gate);
    start_gated(env, N, &tally);
    WAIT_UNTIL_BEGUN(N);
    open_gate(N);
    WAIT_UNTIL(tally.count == N);
    waits = stats_of(env->loop).pool_waits;
    load = (struct load){env, nap, N, false};
    for (int i = 0; i < N; i++) {
        start_load(NULL, 0);
    }
    while (stats_of(env->loop).pool_waits < waits + 1000) {
        AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    }
    load.ends = true;
    while (load.n_running > 0) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    close_gate();
    END;
}

/* ---- work that needs a thread for each other ---- */

static struct meeting {
    struct loop_env *env;
    unsigned n_begun; /* atomic */
    bool ends;        /* atomic: when all have begun the next time */
    bool has_ended;   /* atomic */
    unsigned n_over;
} meeting;

/* Short work, of which each waits until all 8 have begun. */
static int64_t meet(void *unused)
{
    char byte;

    (void)unused;
    usleep(50);
    if (__atomic_add_fetch(&meeting.n_begun, 1, __ATOMIC_SEQ_CST) % 8 > 0) {
        return read(gate[0], &byte, 1) - 1;
    }
    __atomic_store_n(&meeting.has_ended, __atomic_load_n(&meeting.ends, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    return write(gate[1], "1234567", 7) - 7;
}

static void meet_again(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    if (__atomic_load_n(&meeting.has_ended, __ATOMIC_SEQ_CST)) {
        meeting.n_over++;
    } else {
        START(loop_work(meeting.env->scope, meet, NULL, meet_again, NULL));
    }
}

static void start_meeting(struct loop_env *env, bool is_only_one)
{
    meeting = (struct meeting){.env = env, .ends = is_only_one};
    for (int i = 0; i < 8; i++) {
        meet_again(NULL, 0);
    }
}

static void end_meeting(void)
{
    __atomic_store_n(&meeting.ends, true, __ATOMIC_SEQ_CST);
}

/* Where all that are in line have to run before the running ones go on, no new work makes the pool grow. */
LOOP_TEST_WITH(p27_a_pool_that_tries_too_few_threads_goes_back, .pool_threads = 8, .pool_threads_min = 4)
{
    BEGIN;
    make_pipe(gate);
    start_meeting(env, false);
    AWAIT(loop_sleep(env->scope, LOOP_SECOND / 2, GO));
    end_meeting();
    while (meeting.n_over < 8) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    close_gate();
    END;
}

/* Every two seconds the pool ends idle threads, also during a trial, which then begins shortly before. */
LOOP_TEST_WITH(p27_threads_that_end_during_a_trial_come_back, .pool_threads = 8, .pool_threads_min = 2)
{
    BEGIN;
    make_pipe(gate);
    start_meeting(env, true); /* grows the pool */
    while (meeting.n_over < 8) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    AWAIT(loop_sleep(env->scope, 1200 * LOOP_MILLISECOND, GO));
    start_meeting(env, false);
    AWAIT(loop_sleep(env->scope, LOOP_SECOND, GO));
    end_meeting();
    while (meeting.n_over < 8) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    close_gate();
    END;
}

/* Work that takes long gets half of the threads, however many there are. */
LOOP_TEST_WITH(p27_work_that_takes_long_gets_half_of_a_pool_that_grows, .pool_threads = 8, .pool_threads_min = 2)
{
    static const struct loop_work_options takes_long = {.takes_long = true};
    enum { N = 12 };
    static struct tally tally;

    BEGIN;
    make_pipe(gate);
    for (int i = 0; i < N; i++) {
        START(loop_work_with(env->scope, &takes_long, pass_gate, NULL, TALLY(&tally)));
    }
    WAIT_UNTIL_BEGUN(4);
    AWAIT(loop_sleep(env->scope, 2500 * LOOP_MILLISECOND, GO)); /* a pool with jobs in line does not decline */
    CHECK_IS(n_begun(), 4);
    open_gate(1);
    WAIT_UNTIL_BEGUN(5);
    WAIT_UNTIL(tally.count == 1);
    open_gate(N - 1);
    WAIT_UNTIL(tally.count == N);
    close_gate();
    END;
}

static int64_t do_nothing(void *unused)
{
    (void)unused;
    return 1;
}

LOOP_TEST_WITH(p18_work_that_finds_a_thread_waits_for_none, .pool_threads_min = 1)
{
    static int at;

    BEGIN;
    for (at = 0; at < 100; at++) {
        AWAIT(loop_work(env->scope, do_nothing, NULL, GO));
    }
    CHECK_IS(stats_of(env->loop).pool_waits, 0);
    CHECK_IS(stats_of(env->loop).pool_longest_wait_ns, 0);
    CHECK_IS(stats_of(env->loop).pool_threads_most, 1);
    END;
}

static int return_seven(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    return 7;
}

TEST(p23_the_floor_of_the_pool_is_below_its_bound)
{
    CHECK_IS(run_with(&(struct loop_options){.pool_threads = 3, .pool_threads_min = 4}, return_seven, NULL), -EINVAL);
    CHECK_IS(run_with(&(struct loop_options){.pool_threads = 4, .pool_threads_min = 4}, return_seven, NULL), 7);
    CHECK_IS(run_with(&(struct loop_options){.pool_threads_min = 100}, return_seven, NULL), 7);
    CHECK_IS(run_with(&(struct loop_options){.pool_threads = 100000, .pool_threads_min = 2000}, return_seven, NULL), 7);
}
