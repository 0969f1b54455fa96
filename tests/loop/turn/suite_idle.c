/* SPDX-License-Identifier: ISC
 *
 * An idle loop does not wake up and consumes no CPU time (P18).
 */
#include "sockets.h"

#include <stdio.h>

/* ---- P18: waiting costs nothing ---- */

static void ignore_stream(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    (void)result;
    (void)chunk;
}

static void wait_for_everything(struct loop_env *env)
{
    static struct loop_listener *listener;
    static struct loop_flow *accepted;
    static char buffers[2][16];
    struct loop_address address;
    struct loop_flow *flows[2];
    struct loop_source *source;
    struct loop_sink *sink;
    struct loop_scope *scope = loop_scope_open(env->scope, NULL, NULL);

    loop_scope_daemon(scope);
    make_flows(scope, flows);
    CHECK_IS(loop_pipe(scope, &source, &sink), 0);
    CHECK_IS(loop_address_parse(&address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(scope, &address, NULL, &listener), 0);
    CHECK(loop_accept(scope, listener, &accepted, NULL, NULL) != 0);
    CHECK(loop_read(source, buffers[0], 16, NULL, NULL) != 0);
    CHECK(loop_read(&flows[0]->source, buffers[1], 16, NULL, NULL) != 0);
    CHECK(loop_stream(&flows[1]->source, ignore_stream, NULL) != 0);
    CHECK(loop_signal(scope, SIGUSR1, NULL, NULL) != 0);
    CHECK(loop_sleep(scope, 3600 * LOOP_SECOND, NULL, NULL) != 0);
}

LOOP_TEST(p18_an_idle_loop_makes_no_wakeups)
{
    static struct loop_stats before, after;
    static long switches;
    static int64_t cpu_ns;
    static struct loop_flow *flows[2];

    BEGIN;
    wait_for_everything(env);
    make_flows(env->scope, flows);
    loop_daemon(env->loop, START(loop_stream(&flows[0]->source, ignore_stream, NULL)));
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &before);
    switches = voluntary_switches();
    cpu_ns = cpu_time_ns();
    AWAIT(loop_sleep(env->scope, 300 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(voluntary_switches() - switches <= 3);
    CHECK(after.turns - before.turns <= 4);
    CHECK(after.enters - before.enters <= 4);
    CHECK(cpu_time_ns() - cpu_ns < 20 * LOOP_MILLISECOND);
    END;
}

/* Hundredths of a second that processors have waited for devices, machine-wide. */
static long read_iowait(void)
{
    long user, nice, system, idle, iowait = -1;
    FILE *file = fopen("/proc/stat", "re");

    CHECK(file != NULL);
    if (fscanf(file, "cpu %ld %ld %ld %ld %ld", &user, &nice, &system, &idle, &iowait) != 5) {
        iowait = -1;
    }
    fclose(file);
    return iowait;
}

/* Others on the machine may do input and output at the same time, so that one quiet window out of many is enough: a
 * loop that waits as for a device spoils every one of them. Kernels before 6.15 can't help it. */
LOOP_TEST(p18_an_idle_loop_shows_no_iowait)
{
    enum { NO_IOWAIT = 1 << 17, WINDOWS = 12 };
    static int window, quiet;
    static long before;

    BEGIN;
    wait_for_everything(env);
    for (window = 0; window < WINDOWS && !quiet; window++) {
        before = read_iowait();
        AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
        quiet += read_iowait() - before < 10;
    }
    CHECK(quiet > 0 || (probe_uring() >= 0 && !(probe_uring() & NO_IOWAIT)));
    END;
}

/* ---- churn ---- */

LOOP_TEST(idle_server_makes_no_wakeups)
{
    enum { N = 50 };
    static struct loop_stats before, after;
    static int fds[N];
    static long switches;
    static int64_t cpu;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (int i = 0; i < N; i++) {
        fds[i] = connect_to(&serving.address.u.ipv4);
    }
    while (served().connections_now < N) {
        AWAIT(turns(env->scope, 1, GO));
    }
    AWAIT(turns(env->scope, 10, GO));
    loop_get_stats(env->loop, &before);
    switches = voluntary_switches();
    cpu = cpu_time_ns();
    AWAIT(loop_sleep(env->scope, 300 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 3);
    CHECK(after.enters - before.enters <= 4);
    CHECK(voluntary_switches() - switches <= 4);
    CHECK(cpu_time_ns() - cpu < 10 * LOOP_MILLISECOND);
    CHECK_IS(after.wakeups, before.wakeups);
    for (int i = 0; i < N; i++) {
        close(fds[i]);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

/* ---- with a host ---- */

static int wait_for_ever(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) != 0);
    return 0;
}

/* A kernel thread that submits falls asleep by itself. Only an entry is a reason to wake it. */
TEST(p18_a_kernel_thread_that_sleeps_needs_no_turn)
{
    const struct loop_options options = {.polling_timeout_ms = 1};
    struct loop *loop = NULL;

    CHECK_IS(loop_open(&options, wait_for_ever, NULL, &loop), 0);
    while (loop_prepare(loop) == 0) {
        CHECK_IS(loop_turn(loop), 1);
    }
    for (unsigned i = 0; i < 10; i++) {
        CHECK_IS(poll(&(struct pollfd){.fd = loop_number(loop), .events = POLLIN}, 1, 3), 0);
        CHECK_IS(loop_prepare(loop), LOOP_NEVER);
    }
    CHECK_IS(loop_close(loop), 0);
}

static struct once slept;
static loop_job sleeping;

static int sleep_an_hour(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) != 0);
    sleeping = loop_sleep(env->scope, 3600 * LOOP_SECOND, ONCE(&slept));
    return 0;
}

TEST(p18_a_timer_that_the_host_cancels_between_two_turns_needs_a_turn)
{
    struct loop *loop = NULL;

    CHECK_IS(loop_open(NULL, sleep_an_hour, NULL, &loop), 0);
    while (loop_prepare(loop) == 0) {
        CHECK_IS(loop_turn(loop), 1);
    }
    CHECK_IS(loop_cancel(loop, sleeping), 0);
    CHECK_IS(slept.count, 0);
    CHECK_IS(loop_prepare(loop), 0);
    CHECK_IS(loop_turn(loop), 1);
    ONCE_IS(slept, -ECANCELED);
    CHECK_IS(loop_prepare(loop), LOOP_NEVER);
    CHECK_IS(loop_close(loop), 0);
}
