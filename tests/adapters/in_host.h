/* SPDX-License-Identifier: ISC
 *
 * The tests of an adapter that runs Noria inside the event loop of another library. Each suite defines the functions of
 * struct host for its library, as `tested`, and includes this header: the tests are the same for all.
 */
#ifndef TESTS_ADAPTERS_IN_HOST_H
#define TESTS_ADAPTERS_IN_HOST_H

#include "sockets.h"

#include <pthread.h>
#include <time.h>

typedef void host_fn(void *arg);

/* An event loop of another library. */
struct host {
    void (*create)(void);
    void (*destroy)(void);
    /* Attaches a loop. Returns what detach takes. */
    void *(*attach)(struct loop *loop, host_fn *ended, void *arg);
    void (*detach)(void *attached);
    /* Makes one turn of the host, which sleeps until something happens. */
    void (*turn)(void);
    /* Calls fn(arg) once, by a timer of the host. */
    void (*call_after)(unsigned ms, host_fn *fn, void *arg);
    /* Calls fn(arg) in every turn of the host from now on, which then does not sleep, until it is called with NULL. */
    void (*call_always)(host_fn *fn, void *arg);
};
static const struct host tested;

/* ---- loops ---- */

static struct loop_env *env;

static int keep_open(struct loop_env *opened, void *unused)
{
    (void)unused;
    env = opened;
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) != 0);
    return 0;
}

struct attached {
    struct loop *loop;
    struct loop_env *env;
    void *by;
    unsigned n_ended;
    int status;
};

/* What a program does when the loop has ended. */
static void on_end(void *arg)
{
    struct attached *attached = arg;

    attached->n_ended++;
    attached->status = loop_close(attached->loop);
}

static void attach_with(struct attached *attached, loop_main_fn *body, void *arg)
{
    *attached = (struct attached){.loop = NULL};
    CHECK_IS(loop_open(NULL, body, arg, &attached->loop), 0);
    attached->env = env;
    attached->by = tested.attach(attached->loop, on_end, attached);
    CHECK(attached->by != NULL);
}

static void attach(struct attached *attached)
{
    attach_with(attached, keep_open, NULL);
}

static int detach_and_close(struct attached *attached)
{
    tested.detach(attached->by);
    return loop_close(attached->loop);
}

static void begin(struct attached *attached)
{
    tested.create();
    attach(attached);
}

static void end(struct attached *attached)
{
    CHECK_IS(detach_and_close(attached), 0);
    CHECK_IS(attached->n_ended, 0);
    tested.destroy();
}

#define TURNS_UNTIL(condition)                                                                                         \
    while (!(condition)) {                                                                                             \
        tested.turn();                                                                                                 \
    }

static void set_true(void *flag)
{
    *(bool *)flag = true;
}

/* ---- P1: what is started completes ---- */

struct echo {
    struct loop_flow *flows[2];
    char sent[64], received[64];
    unsigned n, most;
};

static void on_echoed(void *arg, int64_t result);

static void on_received(void *arg, int64_t result)
{
    struct echo *echo = arg;

    if (result == -ECANCELED) {
        return;
    }
    CHECK_IS(result, sizeof echo->received);
    CHECK(loop_write(&echo->flows[1]->sink, echo->received, sizeof echo->received, NULL, NULL) != 0);
    CHECK(loop_read_exact(&echo->flows[0]->source, echo->sent, sizeof echo->sent, on_echoed, echo) != 0);
}

static void send_one(struct echo *echo)
{
    fill_pattern(echo->sent, sizeof echo->sent, echo->n);
    CHECK(loop_write(&echo->flows[0]->sink, echo->sent, sizeof echo->sent, NULL, NULL) != 0);
    CHECK(loop_read_exact(&echo->flows[1]->source, echo->received, sizeof echo->received, on_received, echo) != 0);
}

static void on_echoed(void *arg, int64_t result)
{
    struct echo *echo = arg;

    if (result == -ECANCELED) {
        return;
    }
    CHECK_IS(result, sizeof echo->sent);
    CHECK(is_pattern(echo->sent, sizeof echo->sent, echo->n));
    if (++echo->n < echo->most) {
        send_one(echo);
    }
}

static void start_echo(struct echo *echo, struct loop_scope *scope, unsigned most)
{
    *echo = (struct echo){.most = most};
    make_flows(scope, echo->flows);
    send_one(echo);
}

TEST(p01_echo_in_a_host)
{
    static struct attached attached;
    static struct echo echo;

    begin(&attached);
    start_echo(&echo, env->scope, 200);
    TURNS_UNTIL(echo.n == 200);
    end(&attached);
}

TEST(p20_timers_in_a_host)
{
    static struct attached attached;
    static struct once timers[4];
    static const int64_t times_ns[] = {30 * LOOP_MILLISECOND, 1000, 10 * LOOP_MILLISECOND, 0};
    int64_t start_ns;

    begin(&attached);
    start_ns = now_ns() + 50 * LOOP_MILLISECOND; /* those that are due when they are started have no order */
    for (unsigned i = 0; i < COUNT_OF(timers); i++) {
        CHECK(loop_sleep_until(env->scope, start_ns + times_ns[i], ONCE(&timers[i])) != 0);
    }
    TURNS_UNTIL(timers[0].count);
    CHECK(now_ns() - start_ns >= times_ns[0]);
    CHECK(timers[3].order < timers[1].order && timers[1].order < timers[2].order && timers[2].order < timers[0].order);
    end(&attached);
}

static void count(void *counter, int64_t result)
{
    *(unsigned *)counter += result == 0;
}

static unsigned posts;

static void *post_slowly(void *inbox)
{
    for (unsigned i = 0; i < 20; i++) {
        CHECK_IS(loop_post(inbox, count, &posts), 0);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

TEST(p21_posts_wake_a_host)
{
    static struct attached attached;
    struct loop_inbox *inbox;
    pthread_t thread;

    begin(&attached);
    inbox = loop_inbox_ref(attached.loop);
    CHECK_IS(pthread_create(&thread, NULL, post_slowly, inbox), 0);
    TURNS_UNTIL(posts == 20);
    CHECK_IS(pthread_join(thread, NULL), 0);
    loop_inbox_unref(inbox);
    end(&attached);
}

static int64_t sleep_a_little(void *unused)
{
    (void)unused;
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return 11;
}

TEST(p01_blocking_work_in_a_host)
{
    static struct attached attached;
    static struct once work[8];

    begin(&attached);
    for (unsigned i = 0; i < COUNT_OF(work); i++) {
        CHECK(loop_work(env->scope, sleep_a_little, NULL, ONCE(&work[i])) != 0);
    }
    for (unsigned i = 0; i < COUNT_OF(work); i++) {
        TURNS_UNTIL(work[i].count);
        ONCE_IS(work[i], 11);
    }
    end(&attached);
}

TEST(p03_cancel_in_a_host)
{
    static struct attached attached;
    static struct loop_flow *flows[2];
    static struct once read, timer;
    static char buffer[4];
    loop_job jobs[2];

    begin(&attached);
    make_flows(env->scope, flows);
    jobs[0] = loop_read(&flows[0]->source, buffer, 4, ONCE(&read));
    jobs[1] = loop_sleep(env->scope, LOOP_SECOND * 1000, ONCE(&timer));
    tested.call_after(1, set_true, &(bool){false});
    tested.turn();
    CHECK_IS(read.count + timer.count, 0);
    CHECK_IS(loop_cancel(attached.loop, jobs[0]), 0);
    CHECK_IS(loop_cancel(attached.loop, jobs[1]), 0);
    TURNS_UNTIL(read.count && timer.count);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(timer, -ECANCELED);
    end(&attached);
}

/* ---- P18, P13: the host ---- */

/* The host's own timer comes back 20 times. In between nothing happens in the loop: each may cost a turn, but a host
 * that does not sleep makes thousands. */
static unsigned n_ticks, n_host_turns;

static void tick(void *unused)
{
    n_ticks++;
    if (n_ticks < 20) {
        tested.call_after(2, tick, unused);
    }
}

TEST(p18_the_host_sleeps_while_the_loop_is_idle)
{
    static struct attached attached;
    static struct once timer;
    static struct loop_flow *flows[2];
    static char buffer[4];
    struct loop_stats before, after;

    begin(&attached);
    make_flows(env->scope, flows);
    CHECK(loop_read(&flows[0]->source, buffer, 4, NULL, NULL) != 0);
    CHECK(loop_sleep(env->scope, 0, ONCE(&timer)) != 0);
    TURNS_UNTIL(timer.count);
    loop_get_stats(attached.loop, &before);
    tested.call_after(2, tick, NULL);
    while (n_ticks < 20) {
        tested.turn();
        n_host_turns++;
    }
    loop_get_stats(attached.loop, &after);
    CHECK(after.turns - before.turns <= 10);
    CHECK(n_host_turns <= 200);
    end(&attached);
}

TEST(p18_the_host_sleeps_until_a_timer)
{
    static struct attached attached;
    static struct once timers[2];
    struct loop_stats before, after;

    begin(&attached);
    CHECK(loop_sleep(env->scope, 0, ONCE(&timers[0])) != 0);
    TURNS_UNTIL(timers[0].count);
    loop_get_stats(attached.loop, &before);
    CHECK(loop_sleep(env->scope, 50 * LOOP_MILLISECOND, ONCE(&timers[1])) != 0);
    TURNS_UNTIL(timers[1].count);
    loop_get_stats(attached.loop, &after);
    CHECK(after.turns - before.turns <= 20);
    end(&attached);
}

static void add_one(void *counter)
{
    ++*(unsigned *)counter;
}

TEST(p13_a_busy_host_and_a_busy_loop_share)
{
    static struct attached attached;
    static struct echo echo;
    static unsigned n_calls;

    begin(&attached);
    tested.call_always(add_one, &n_calls);
    start_echo(&echo, env->scope, 1u << 30);
    TURNS_UNTIL(echo.n >= 100 && n_calls >= 100);
    tested.call_always(NULL, NULL);
    end(&attached);
}

static void call_again(void *arg, int64_t result)
{
    struct attached *attached = arg;

    if (result == 0) {
        CHECK(loop_sleep(attached->env->scope, 0, call_again, attached) != 0);
    }
}

TEST(p13_a_loop_that_never_rests_lets_the_host_go_on)
{
    static struct attached attached;
    static bool is_called;

    begin(&attached);
    call_again(&attached, 0);
    tested.call_after(5, set_true, &is_called);
    TURNS_UNTIL(is_called);
    end(&attached);
}

/* ---- P8: the end ---- */

static int run_a_timer(struct loop_env *opened, void *status)
{
    env = opened;
    CHECK(loop_sleep(env->scope, LOOP_MILLISECOND, NULL, NULL) != 0);
    return *(int *)status;
}

TEST(p08_a_loop_that_ends_leaves_the_host)
{
    static struct attached attached[3];
    int statuses[] = {0, 7, -EPROTO};

    tested.create();
    for (unsigned i = 0; i < 3; i++) {
        attach_with(&attached[i], run_a_timer, &statuses[i]);
    }
    TURNS_UNTIL(attached[0].n_ended && attached[1].n_ended && attached[2].n_ended);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_IS(attached[i].n_ended, 1);
        CHECK_IS(attached[i].status, statuses[i]);
    }
    tested.destroy();
}

static void stop_inside(void *loop, int64_t result)
{
    CHECK_IS(result, 0);
    CHECK_IS(loop_stop(loop, 3), 0);
}

TEST(p08_stop_inside_a_continuation)
{
    static struct attached attached;

    begin(&attached);
    CHECK(loop_sleep(env->scope, 0, stop_inside, attached.loop) != 0);
    TURNS_UNTIL(attached.n_ended);
    CHECK_IS(attached.status, 3);
    tested.destroy();
}

TEST(p08_close_while_work_is_in_flight)
{
    static struct attached attached;
    static struct once work, read;
    static struct loop_flow *flows[2];
    static struct echo echo;
    static char buffer[4];

    begin(&attached);
    make_flows(env->scope, flows);
    start_echo(&echo, env->scope, 1u << 30);
    CHECK(loop_read(&flows[0]->source, buffer, 4, ONCE(&read)) != 0);
    CHECK(loop_work(env->scope, sleep_a_little, NULL, ONCE(&work)) != 0);
    TURNS_UNTIL(echo.n >= 3);
    CHECK_IS(detach_and_close(&attached), 0);
    ONCE_IS(read, -ECANCELED);
    CHECK_IS(work.count, 1);
    CHECK_IS(attached.n_ended, 0);
    tested.destroy();
}

static void detach_inside(void *arg, int64_t result)
{
    CHECK_IS(result, 0);
    tested.detach(((struct attached *)arg)->by);
}

TEST(p08_detach_inside_a_continuation)
{
    static struct attached attached;
    static bool is_called;
    struct loop_stats before, after;

    begin(&attached);
    CHECK(loop_sleep(env->scope, 0, detach_inside, &attached) != 0);
    loop_get_stats(attached.loop, &before);
    do {
        tested.call_after(0, set_true, &is_called);
        tested.turn();
        loop_get_stats(attached.loop, &after);
    } while (after.turns < before.turns + 1);
    is_called = false;
    tested.call_after(5, set_true, &is_called);
    TURNS_UNTIL(is_called);
    loop_get_stats(attached.loop, &before);
    CHECK_IS(after.turns, before.turns);
    CHECK_IS(loop_close(attached.loop), 0);
    CHECK_IS(attached.n_ended, 0);
    tested.destroy();
}

TEST(p24_many_loops_in_one_host)
{
    enum { N = 10 };
    static struct attached attached[N];
    static struct echo echoes[N];

    tested.create();
    for (unsigned i = 0; i < N; i++) {
        attach(&attached[i]);
        start_echo(&echoes[i], env->scope, 50);
    }
    for (unsigned i = 0; i < N; i++) {
        TURNS_UNTIL(echoes[i].n == 50);
    }
    for (unsigned i = 0; i < N; i++) {
        CHECK_IS(detach_and_close(&attached[i * 3 % N]), 0);
    }
    tested.destroy();
}

TEST(p23_a_loop_of_loop_run_is_not_attached)
{
#if !NORIA_DEBUG
    tested.create();
    CHECK(tested.attach(NULL, NULL, NULL) == NULL);
    tested.destroy();
#endif
}

#endif
