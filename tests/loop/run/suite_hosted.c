/* SPDX-License-Identifier: ISC
 *
 * Loops with a host: loop_open, loop_number, loop_prepare, loop_turn and loop_close (P8, P18, P19, P21, P23, P24).
 */
#include "sockets.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

/* ---- a host ---- */

static struct loop_env *opened_env;

static int keep_env(struct loop_env *env, void *result)
{
    opened_env = env;
    return result ? *(int *)result : 0;
}

static int keep_open(struct loop_env *env, void *unused)
{
    (void)unused;
    opened_env = env;
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) != 0);
    return 0;
}

static struct loop *open_with(loop_main_fn *body, void *arg)
{
    struct loop *loop = NULL;

    CHECK_IS(loop_open(NULL, body, arg, &loop), 0);
    CHECK(loop != NULL);
    return loop;
}

/* Sleeps as a host does. Returns whether the descriptor is readable. */
static bool host_sleeps(struct loop *loop, int64_t timeout_ns)
{
    struct pollfd ready = {.fd = loop_number(loop), .events = POLLIN};
    struct timespec timeout = {.tv_sec = timeout_ns / LOOP_SECOND, .tv_nsec = timeout_ns % LOOP_SECOND};
    int n;

    do {
        n = ppoll(&ready, 1, timeout_ns == LOOP_NEVER ? NULL : &timeout, NULL);
    } while (n < 0 && errno == EINTR);
    CHECK(n >= 0);
    return n > 0;
}

static bool make_turn(struct loop *loop)
{
    int64_t timeout_ns = loop_prepare(loop);

    CHECK(timeout_ns >= 0);
    if (timeout_ns > 0) {
        (void)host_sleeps(loop, timeout_ns);
    }
    return loop_turn(loop) > 0;
}

/* Makes turns until the host would sleep. */
static void come_to_rest(struct loop *loop)
{
    unsigned n = 0;

    while (loop_prepare(loop) == 0) {
        CHECK(++n < 1000);
        CHECK_IS(loop_turn(loop), 1);
    }
}

#define TURNS_UNTIL(loop, condition)                                                                                   \
    while (!(condition)) {                                                                                             \
        CHECK(make_turn(loop));                                                                                        \
    }

/* ---- P8: the end ---- */

TEST(p08_close_returns_what_main_returned)
{
    int numbers[] = {0, 7, -EIO, INT32_MIN};

    for (unsigned i = 0; i < COUNT_OF(numbers); i++) {
        struct loop *loop = open_with(keep_env, &numbers[i]);
        while (make_turn(loop)) {
        }
        CHECK_IS(loop_turn(loop), 0);
        CHECK_IS(loop_prepare(loop), 0);
        CHECK_IS(loop_close(loop), numbers[i]);
    }
}

TEST(p08_close_before_the_first_turn)
{
    int number = 5;

    CHECK_IS(loop_close(open_with(keep_env, &number)), 5);
    CHECK_IS(loop_close(open_with(keep_open, NULL)), 0);
    CHECK_IS(loop_close(NULL), 0);
}

static int64_t sleep_a_little(void *slept)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    *(bool *)slept = true;
    return 0;
}

TEST(p08_close_waits_for_what_is_in_flight)
{
    static struct once read, timer, work;
    static struct loop_flow *flows[2];
    static char buffer[8];
    static bool has_slept;
    struct loop *loop = open_with(keep_open, NULL);
    struct loop_stats stats;

    make_flows(opened_env->scope, flows);
    CHECK(loop_read(&flows[0]->source, buffer, sizeof buffer, ONCE(&read)) != 0);
    CHECK(loop_sleep(opened_env->scope, LOOP_SECOND * 1000, ONCE(&timer)) != 0);
    CHECK(loop_work(opened_env->scope, sleep_a_little, &has_slept, ONCE(&work)) != 0);
    do {
        CHECK_IS(loop_turn(loop), 1);
        loop_get_stats(loop, &stats);
    } while (stats.pool_threads_now == 0);
    CHECK_IS(loop_close(loop), 0);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(timer, -ECANCELED);
    CHECK_IS(work.count, 1);
    CHECK(has_slept || work.result == -ECANCELED);
}

TEST(p08_close_returns_the_error_of_mains_scope)
{
    struct loop *loop = open_with(keep_open, NULL);

    loop_scope_fail(opened_env->scope, -EPROTO);
    CHECK_IS(loop_prepare(loop), 0);
    CHECK_IS(loop_close(loop), -EPROTO);
}

TEST(p08_stop_then_turns_end_the_loop)
{
    struct loop *loop = open_with(keep_open, NULL);

    CHECK_IS(loop_stop(loop, 3), 0);
    while (make_turn(loop)) {
    }
    CHECK_IS(loop_close(loop), 3);
}

static struct loop *inner_loop;

static int64_t answers[4];

static void call_inside(void *loop, int64_t result)
{
    (void)result;
    answers[0] = loop_turn(loop);
    answers[1] = loop_close(loop);
    answers[2] = loop_prepare(loop);
    answers[3] = loop_run(0, 0, 0, NULL, keep_env, NULL);
}

#if !NORIA_DEBUG
TEST(p08_inside_a_continuation_turn_and_close_are_refused)
{
    struct loop *loop = open_with(keep_env, NULL);

    CHECK(loop_sleep(opened_env->scope, 0, call_inside, loop) != 0);
    while (make_turn(loop)) {
    }
    for (unsigned i = 0; i < 4; i++) {
        CHECK_IS(answers[i], -EDEADLK);
    }
    CHECK_IS(loop_close(loop), 0);
}
#endif

static int call_one_inside(void *which)
{
    struct loop *loop = open_with(keep_env, NULL);

    (void)which;
    CHECK(loop_sleep(opened_env->scope, 0, call_inside, loop) != 0);
    while (make_turn(loop)) {
    }
    return loop_close(loop);
}

TEST(p23_a_turn_inside_a_continuation_stops_a_debug_build)
{
    expect_stop(call_one_inside, NULL, "loop_turn: it was called inside a continuation", 0);
}

static int turn_in_main(struct loop_env *env, void *unused)
{
    (void)unused;
    return loop_turn(env->loop);
}

static int open_and_turn(void *unused)
{
    (void)unused;
    return loop_close(open_with(turn_in_main, NULL));
}

TEST(p23_a_turn_inside_main_stops_a_debug_build)
{
    expect_stop(open_and_turn, NULL, "loop_turn: it was called inside a continuation", -EDEADLK);
}

static int run_and_turn(void *unused)
{
    (void)unused;
    return loop_run(0, 0, 0, NULL, turn_in_main, NULL);
}

TEST(p23_a_turn_of_loop_runs_loop_stops_a_debug_build)
{
    expect_stop(run_and_turn, NULL, "the loop is loop_run's", -EINVAL);
}

/* ---- P24: several loops in one thread ---- */

TEST(p24_loops_in_one_thread_do_not_know_each_other)
{
    enum { N = 5 };
    struct loop *loops[N];
    struct loop_env *envs[N];
    static struct once timers[N];

    for (unsigned i = 0; i < N; i++) {
        loops[i] = open_with(keep_open, NULL);
        envs[i] = opened_env;
        CHECK(loop_sleep(envs[i]->scope, i * LOOP_MILLISECOND, ONCE(&timers[i])) != 0);
    }
    for (unsigned i = N; i-- > 0;) {
        TURNS_UNTIL(loops[i], timers[i].count > 0);
    }
    for (unsigned i = 0; i < N; i++) {
        unsigned which = (i * 3 + 1) % N;
        CHECK_IS(loop_close(loops[which]), 0);
    }
}

static void turn_another(void *loop, int64_t result)
{
    CHECK_IS(result, 0);
    answers[0] = loop_turn(loop);
}

TEST(p24_a_turn_inside_a_turn_of_another_loop)
{
    static struct once inner;
    struct loop *loops[2] = {open_with(keep_open, NULL)};

    CHECK(loop_sleep(opened_env->scope, 0, ONCE(&inner)) != 0);
    loops[1] = open_with(keep_open, NULL);
    CHECK(loop_sleep(opened_env->scope, 0, turn_another, loops[0]) != 0);
    TURNS_UNTIL(loops[1], inner.count > 0);
    CHECK_IS(answers[0], 1);
    CHECK_IS(loop_close(loops[0]), 0);
    CHECK_IS(loop_close(loops[1]), 0);
}

static int open_inside(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    answers[0] = loop_open(NULL, keep_env, NULL, &inner_loop);
    return 0;
}

TEST(p24_open_inside_run_is_refused)
{
    CHECK_IS(loop_run(0, 0, 0, NULL, open_inside, NULL), 0);
    CHECK_IS(answers[0], -EDEADLK);
}

static int run_a_timer(struct loop_env *env, void *timer)
{
    CHECK(loop_sleep(env->scope, 0, ONCE((struct once *)timer)) != 0);
    return 0;
}

TEST(p24_run_between_turns)
{
    static struct once timer;
    struct loop *loop = open_with(keep_open, NULL);

    CHECK_IS(loop_turn(loop), 1);
    CHECK_IS(loop_run(0, 0, 0, NULL, run_a_timer, &timer), 0);
    ONCE_IS(timer, 0);
    come_to_rest(loop);
    CHECK_IS(loop_close(loop), 0);
}

/* ---- the descriptor and the time ---- */

TEST(p18_an_idle_loop_lets_its_host_sleep)
{
    struct loop *loop = open_with(keep_open, NULL);

    come_to_rest(loop);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_IS(loop_prepare(loop), LOOP_NEVER);
        CHECK(!host_sleeps(loop, LOOP_MILLISECOND));
    }
    CHECK_IS(loop_close(loop), 0);
}

TEST(p20_prepare_returns_the_time_to_the_next_timer)
{
    static struct once timer;
    struct loop *loop = open_with(keep_open, NULL);
    int64_t start_ns = now_ns(), wait_ns = 50 * LOOP_MILLISECOND;

    CHECK(loop_sleep(opened_env->scope, wait_ns, ONCE(&timer)) != 0);
    come_to_rest(loop);
    int64_t timeout_ns = loop_prepare(loop);
    CHECK(timer.count == 1 || (timeout_ns > 0 && timeout_ns <= wait_ns));
    TURNS_UNTIL(loop, timer.count > 0);
    ONCE_IS(timer, 0);
    CHECK(now_ns() - start_ns >= wait_ns);
    CHECK_IS(loop_close(loop), 0);
}

static void count(void *counter, int64_t result)
{
    if (result >= 0) {
        ++*(unsigned *)counter;
    }
}

static void *post_from_thread(void *inbox)
{
    static unsigned posts;

    for (unsigned i = 0; i < 100; i++) {
        CHECK_IS(loop_post(inbox, count, &posts), 0);
    }
    return &posts;
}

TEST(p21_a_post_of_another_thread_wakes_the_host)
{
    struct loop *loop = open_with(keep_open, NULL);
    struct loop_inbox *inbox = loop_inbox_ref(loop);

    for (unsigned round = 1; round <= 20; round++) {
        pthread_t thread;
        void *posts;
        come_to_rest(loop);
        CHECK_IS(pthread_create(&thread, NULL, post_from_thread, inbox), 0);
        CHECK(host_sleeps(loop, loop_prepare(loop) == 0 ? 0 : LOOP_NEVER) || loop_prepare(loop) == 0);
        CHECK_IS(pthread_join(thread, &posts), 0);
        TURNS_UNTIL(loop, *(unsigned *)posts == round * 100);
    }
    loop_inbox_unref(inbox);
    CHECK_IS(loop_close(loop), 0);
}

TEST(p21_a_post_before_prepare_needs_no_sleep)
{
    static unsigned posts;
    struct loop *loop = open_with(keep_open, NULL);
    struct loop_inbox *inbox = loop_inbox_ref(loop);

    come_to_rest(loop);
    CHECK_IS(loop_post(inbox, count, &posts), 0);
    CHECK(loop_prepare(loop) == 0 || host_sleeps(loop, 0));
    TURNS_UNTIL(loop, posts == 1);
    CHECK_IS(loop_post(inbox, count, &posts), 0);
    CHECK_IS(loop_prepare(loop), 0);
    TURNS_UNTIL(loop, posts == 2);
    loop_inbox_unref(inbox);
    CHECK_IS(loop_close(loop), 0);
}

TEST(p01_input_makes_the_descriptor_readable)
{
    static struct loop_flow *flow;
    static struct once read;
    static char buffer[16];
    struct loop *loop = open_with(keep_open, NULL);
    int fds[2];

    make_pair(fds);
    flow = flow_of(opened_env->scope, fds[0]);
    for (unsigned i = 0; i < 50; i++) {
        read = (struct once){0};
        CHECK(loop_read(&flow->source, buffer, 4, ONCE(&read)) != 0);
        come_to_rest(loop);
        CHECK_IS(read.count, 0);
        CHECK(!host_sleeps(loop, 0));
        CHECK_IS(write(fds[1], "four", 4), 4);
        CHECK(host_sleeps(loop, LOOP_NEVER));
        TURNS_UNTIL(loop, read.count > 0);
        CHECK(read.result > 0);
        while (read.result < 4) { /* NORIA_HARD=short */
            int64_t before = read.result;
            read = (struct once){0};
            CHECK(loop_read(&flow->source, buffer, (size_t)(4 - before), ONCE(&read)) != 0);
            TURNS_UNTIL(loop, read.count > 0);
            read.result += before;
        }
    }
    CHECK_IS(loop_close(loop), 0);
    close(fds[1]);
}

TEST(p01_the_end_of_work_makes_the_descriptor_readable)
{
    static struct once work;
    static bool has_slept;
    struct loop *loop = open_with(keep_open, NULL);

    for (unsigned i = 0; i < 5; i++) {
        work = (struct once){0};
        CHECK(loop_work(opened_env->scope, sleep_a_little, &has_slept, ONCE(&work)) != 0);
        TURNS_UNTIL(loop, work.count > 0);
        ONCE_IS(work, 0);
    }
    come_to_rest(loop);
    CHECK_IS(loop_prepare(loop), LOOP_NEVER);
    CHECK_IS(loop_close(loop), 0);
}

TEST(p01_what_the_host_starts_between_turns_is_submitted)
{
    static struct loop_flow *flows[2];
    static struct once write, read, nop;
    static char buffer[4];
    struct loop *loop = open_with(keep_open, NULL);

    make_flows(opened_env->scope, flows);
    come_to_rest(loop);
    CHECK(loop_read_exact(&flows[1]->source, buffer, 4, ONCE(&read)) != 0);
    CHECK(loop_write(&flows[0]->sink, "four", 4, ONCE(&write)) != 0);
    CHECK(loop_op_nop(opened_env->scope, ONCE(&nop)) != 0);
    TURNS_UNTIL(loop, write.count && read.count && nop.count);
    ONCE_IS(write, 4);
    ONCE_IS(read, 4);
    ONCE_IS(nop, 0);
    CHECK_IS(loop_close(loop), 0);
}

/* ---- P13: a turn's work is bounded ---- */

static struct loop *flooded;

static void post_again(void *inbox, int64_t result)
{
    if (result == 0) {
        (void)loop_post(inbox, post_again, inbox);
    }
}

TEST(p13_a_turn_returns_in_a_flood)
{
    static struct loop_inbox *inbox;

    flooded = open_with(keep_open, NULL);
    inbox = loop_inbox_ref(flooded);
    CHECK_IS(loop_post(inbox, post_again, inbox), 0);
    for (unsigned i = 0; i < 100; i++) {
        CHECK_IS(loop_turn(flooded), 1);
        CHECK_IS(loop_prepare(flooded), 0);
    }
    CHECK_IS(loop_close(flooded), 0);
    loop_inbox_unref(inbox);
}

/* ---- P19: signals ---- */

static bool is_blocked(int number)
{
    sigset_t mask;

    CHECK_IS(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    return sigismember(&mask, number) == 1;
}

TEST(p19_sigpipe_is_blocked_until_the_last_loop_is_closed)
{
    struct loop *loops[3];

    CHECK(!is_blocked(SIGPIPE));
    for (unsigned i = 0; i < 3; i++) {
        loops[i] = open_with(keep_open, NULL);
    }
    CHECK_IS(loop_close(loops[1]), 0);
    CHECK_IS(loop_close(loops[0]), 0);
    CHECK(is_blocked(SIGPIPE));
    CHECK_IS(loop_run(0, 0, 0, NULL, keep_env, NULL), 0);
    CHECK(is_blocked(SIGPIPE));
    CHECK_IS(loop_close(loops[2]), 0);
    CHECK(!is_blocked(SIGPIPE));
}

TEST(p19_a_broken_pipe_does_not_kill_the_host)
{
    static struct once write;
    static struct loop_flow *flow;
    struct loop *loop = open_with(keep_open, NULL);
    int fds[2];
    sigset_t pending;

    make_pipe(fds);
    close(fds[0]);
    flow = flow_of(opened_env->scope, fds[1]);
    CHECK(loop_write(&flow->sink, "x", 1, ONCE(&write)) != 0);
    TURNS_UNTIL(loop, write.count > 0);
    ONCE_IS(write, -EPIPE);
    CHECK_IS(loop_close(loop), 0);
    CHECK_IS(sigpending(&pending), 0);
    CHECK(!sigismember(&pending, SIGPIPE));
}

TEST(p19_the_hosts_own_changes_of_the_mask_stay)
{
    static struct once signals[2];
    struct loop *loops[2];
    sigset_t set;

    for (unsigned i = 0; i < 2; i++) {
        loops[i] = open_with(keep_open, NULL);
        CHECK(loop_signal(opened_env->scope, SIGUSR1, ONCE(&signals[i])) != 0);
    }
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_IS(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_IS(loop_close(loops[0]), 0);
    CHECK(is_blocked(SIGUSR1) && is_blocked(SIGUSR2) && is_blocked(SIGPIPE));
    CHECK_IS(pthread_kill(pthread_self(), SIGUSR1), 0);
    TURNS_UNTIL(loops[1], signals[1].count > 0);
    ONCE_IS(signals[1], SIGUSR1);
    CHECK_IS(loop_close(loops[1]), 0);
    CHECK(!is_blocked(SIGUSR1) && is_blocked(SIGUSR2) && !is_blocked(SIGPIPE));
}

/* ---- P21, P23: forks, threads, arguments ---- */

#ifndef NORIA_SIMULATED
static int go_on_in_child(void *loop)
{
    return loop_turn(loop);
}

TEST(p21_loops_do_not_go_on_in_a_forked_child)
{
    struct loop *loops[2] = {open_with(keep_open, NULL), open_with(keep_open, NULL)};

    for (unsigned i = 0; i < 2; i++) {
        int status = in_child(go_on_in_child, loops[i]);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(strstr(child_text(), "can't go on in its forked child"));
    }
    come_to_rest(loops[0]);
    CHECK_IS(loop_close(loops[0]), 0);
    CHECK_IS(loop_close(loops[1]), 0);
}
#endif

#if NORIA_DEBUG
static void *turn_on_thread(void *loop)
{
    answers[0] = loop_turn(loop);
    return NULL;
}

static int turn_elsewhere(void *unused)
{
    struct loop *loop = open_with(keep_open, NULL);
    pthread_t thread;

    (void)unused;
    CHECK_IS(pthread_create(&thread, NULL, turn_on_thread, loop), 0);
    CHECK_IS(pthread_join(thread, NULL), 0);
    return 0;
}

TEST(p21_a_turn_on_another_thread_stops_a_debug_build)
{
    expect_stop(turn_elsewhere, NULL, "but the loop belongs to thread", 0);
}
#endif

static int refuse(const char *reason, void *arg)
{
    CHECK(*reason);
    return *(int *)arg;
}

TEST(p23_open_refuses_what_run_refuses)
{
    struct loop *loop = NULL;
    int status = -7;
    struct loop_options options = {.queue_depth = 40000};

    CHECK_IS(loop_open(NULL, NULL, NULL, &loop), -EINVAL);
    CHECK_IS(loop_open(&options, keep_env, NULL, &loop), -EINVAL);
    CHECK_IS(setenv("LOOP_BACKEND", "kqueue", 1), 0);
    CHECK_IS(loop_open(NULL, keep_env, NULL, &loop), -EINVAL);
    CHECK(!loop);
    options = (struct loop_options){.backend = LOOP_BACKEND_EPOLL, .fallback = refuse, .fallback_arg = &status};
    CHECK_IS(loop_open(&options, keep_env, NULL, &loop), 0);
    CHECK_TEXT(loop_backend_name(loop), "epoll");
    CHECK_IS(loop_close(loop), 0);
}

/* ---- bad days ---- */

static struct tally of_poor;
static unsigned long jobs_taken;

static int start_poor(struct loop_env *env, void *unused)
{
    struct loop_flow *flows[2];
    static char buffer[4];
    static bool has_slept;

    (void)unused;
    loop_scope_deadline(env->scope, loop_now(env->loop) + 3 * LOOP_MILLISECOND); /* a write may not have been started */
    if (loop_socketpair(env->scope, &flows[0], &flows[1]) == 0) {
        jobs_taken += loop_read(&flows[0]->source, buffer, 4, TALLY(&of_poor)) != 0;
        jobs_taken += loop_write(&flows[1]->sink, "four", 4, TALLY(&of_poor)) != 0;
    }
    jobs_taken += loop_sleep(env->scope, LOOP_MILLISECOND, TALLY(&of_poor)) != 0;
    jobs_taken += loop_work(env->scope, sleep_a_little, &has_slept, TALLY(&of_poor)) != 0;
    return 0;
}

/* Opens a loop, makes turns until it has ended or `most` of them, and closes it. Returns whether it was opened. */
static bool live_through(unsigned most)
{
    struct loop *loop = NULL;
    int error = loop_open(NULL, start_poor, NULL, &loop);

    if (error) {
        CHECK(error < 0 && !loop);
        return false;
    }
    while (most-- > 0 && make_turn(loop)) {
    }
    (void)loop_close(loop);
    return true;
}

TEST(p08_a_loop_closed_at_every_turn)
{
    for (unsigned most = 0; most < 30; most++) {
        jobs_taken = 0;
        of_poor = (struct tally){0};
        CHECK(live_through(most));
        CHECK_IS(jobs_taken, 4);
        CHECK_IS(of_poor.count, 4);
    }
}

TEST(a_loop_without_descriptors_is_not_opened)
{
    unsigned n_opened = 0;

    for (int n = 0; n < 12; n++) {
        rlim_t before = limit_fds((rlim_t)limit_with_free_fds((unsigned)n));
        jobs_taken = 0;
        of_poor = (struct tally){0};
        n_opened += live_through(100);
        limit_fds(before);
        CHECK_IS(of_poor.count, jobs_taken);
    }
    CHECK(n_opened > 0 && n_opened < 12);
}

#if !HAS_SANITIZER
TEST(without_memory_a_loop_with_a_host_loses_nothing)
{
    unsigned long n = 0;
    bool failed;

    do {
        jobs_taken = 0;
        of_poor = (struct tally){0};
        n++;
        fail_allocation(n / 2, n % 2);
        (void)live_through(1000);
        failed = allocation_failed() || n < 4;
        fail_allocation(0, false);
        CHECK_IS(of_poor.count, jobs_taken);
    } while (failed);
    CHECK(n > 20);
}
#endif
