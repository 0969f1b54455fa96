/* SPDX-License-Identifier: ISC
 *
 * Interrupts of system calls of the pool's threads (P27), the signal for them, and how far cancelled work has come.
 */
#include "harness.h"

#include <loop/kernel/door.h>
#include <loop/kernel/fail.h>
#include <stdio.h>
#include <sys/stat.h>

/* A continuation that also asks how far the work has come. */
struct heard {
    struct once once;
    enum loop_outcome outcome;
};
#define HEAR(record) hear, (record)

static void hear(void *record, int64_t result)
{
    struct heard *heard = record;

    heard->outcome = loop_work_outcome(script.env->loop, result);
    once_resumed(&heard->once, result);
}

#define HEARD_IS(record, expected, how)                                                                                \
    do {                                                                                                               \
        ONCE_IS((record).once, expected);                                                                              \
        CHECK_IS((record).outcome, how);                                                                               \
    } while (0)

/* Work that reads a byte, from `number` or from a file that it opens. */
struct reading {
    int number, next; /* `next` is read after `number`, or -1 */
    const char *path;
    unsigned ignored;            /* how often it starts an interrupted call again */
    bool asks;                   /* it asks whether it is cancelled */
    unsigned begun, interrupted; /* atomic */
};

static int64_t read_byte(struct reading *reading, int number)
{
    char byte;
    ssize_t n;

    do {
        n = read(number, &byte, 1);
        if (n < 0 && errno == EINTR) {
            __atomic_add_fetch(&reading->interrupted, 1, __ATOMIC_SEQ_CST);
        }
    } while (n < 0 && errno == EINTR && __atomic_load_n(&reading->interrupted, __ATOMIC_SEQ_CST) <= reading->ignored);
    return n < 0 ? -errno : n;
}

static int64_t read_in_thread(void *arg)
{
    struct reading *reading = arg;
    int number = reading->number;

    __atomic_add_fetch(&reading->begun, 1, __ATOMIC_SEQ_CST);
    if (reading->path) {
        number = open(reading->path, O_RDONLY | O_CLOEXEC);
        return number < 0 ? -errno : number;
    }
    int64_t result = read_byte(reading, number);
    if (reading->asks) {
        CHECK(loop_work_is_cancelled());
    }
    return result < 0 && reading->next > 0 ? read_byte(reading, reading->next) : result;
}

static void await_begin(struct reading *reading, unsigned n)
{
    while (__atomic_load_n(&reading->begun, __ATOMIC_SEQ_CST) < n) {
        usleep(100);
    }
}

static int64_t do_nothing(void *unused)
{
    (void)unused;
    return 1;
}

static int64_t do_fail(void *unused)
{
    (void)unused;
    return -EXDEV;
}

static uint64_t interrupts(struct loop *loop)
{
    struct loop_stats stats;

    loop_get_stats(loop, &stats);
    return stats.pool_interrupts;
}

static int gate[2], second[2];

static void close_pipes(void)
{
    for (int i = 0; i < 2; i++) {
        close(gate[i]);
        if (second[i] > 0) {
            close(second[i]);
        }
    }
}

/* ---- stuck in a call ---- */

LOOP_TEST_WITH(p27_work_stuck_in_a_read_ends_when_it_is_cancelled, .pool_threads = 1, .interrupt_signal = SIGRTMIN)
{
    static struct reading work;
    static struct heard heard;
    static loop_job job;

    BEGIN;
    make_pipe(gate);
    work.number = gate[0];
    job = START(loop_work(env->scope, read_in_thread, &work, HEAR(&heard)));
    await_begin(&work, 1);
    AWAIT(loop_sleep(env->scope, 2 * LOOP_MILLISECOND, GO)); /* by now it most likely reads */
    CHECK_IS(heard.once.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(heard.once.count);
    HEARD_IS(heard, -ECANCELED, LOOP_WORK_PARTLY_DONE);
    CHECK(interrupts(env->loop) >= 1);
    AWAIT(loop_work(env->scope, do_nothing, NULL, GO)); /* its thread is free again: there is no other */
    CHECK_IS(result, 1);
    close_pipes();
    END;
}

LOOP_TEST_WITH(p27_an_open_of_a_fifo_ends_at_its_deadline, .pool_threads = 1, .interrupt_signal = SIGRTMAX)
{
    static struct reading work;
    static struct heard heard;
    static struct once end;
    static struct loop_scope *scope;
    static const char *directory;
    static char path[100];

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/fifo", directory);
    CHECK_IS(mkfifo(path, 0600), 0);
    work.path = path;
    scope = loop_scope_open(env->scope, ONCE(&end));
    START(loop_work(scope, read_in_thread, &work, HEAR(&heard)));
    loop_scope_deadline(scope, loop_now(env->loop) + 5 * LOOP_MILLISECOND);
    WAIT_UNTIL(end.count);
    HEARD_IS(heard, -ETIMEDOUT, work.begun ? LOOP_WORK_PARTLY_DONE : LOOP_WORK_NOT_BEGUN);
    ONCE_IS(end, -ETIMEDOUT);
    remove_directory(directory);
    END;
}

#if NORIA_HARD_MODES && !NORIA_SIMULATED
/* Without memory for a timer the signal is sent again all the same. */
LOOP_TEST_WITH(p27_without_memory_a_call_is_interrupted_again, .interrupt_signal = SIGRTMIN)
{
    static struct reading work = {.ignored = 2};
    static struct heard heard;
    static struct loop_scope *scope;
    static loop_job job;

    BEGIN;
    make_pipe(gate);
    work.number = gate[0];
    job = START(loop_work(env->scope, read_in_thread, &work, HEAR(&heard)));
    await_begin(&work, 1);
    scope = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_hold(scope);
    CHECK(loop_kernel_fail_set("malloc:ENOMEM:1+1,calloc:ENOMEM:1+1,aligned_alloc:ENOMEM:1+1,mmap:ENOMEM:1+1"));
    while (loop_sleep(scope, LOOP_SECOND, NULL, NULL)) {
    }
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(heard.once.count);
    CHECK(loop_kernel_fail_set(NULL));
    HEARD_IS(heard, -ECANCELED, LOOP_WORK_PARTLY_DONE);
    CHECK_IS(work.interrupted, 3);
    loop_scope_cancel(scope);
    loop_scope_unhold(scope);
    close_pipes();
    END;
}
#endif

/* The thread may be signalled when it is about to enter its call, or starts the call again. */
LOOP_TEST_WITH(p27_a_call_that_is_started_again_is_interrupted_again, .interrupt_signal = SIGRTMIN)
{
    static struct reading work = {.ignored = 4};
    static struct heard heard;
    static loop_job job;

    BEGIN;
    make_pipe(gate);
    work.number = gate[0];
    job = START(loop_work(env->scope, read_in_thread, &work, HEAR(&heard)));
    await_begin(&work, 1);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(heard.once.count);
    HEARD_IS(heard, -ECANCELED, LOOP_WORK_PARTLY_DONE);
    CHECK_IS(work.interrupted, 5);
    CHECK(interrupts(env->loop) >= 5);
    close_pipes();
    END;
}

LOOP_TEST_WITH(p27_work_that_knows_is_not_interrupted_any_more, .interrupt_signal = SIGRTMIN)
{
    static struct reading work = {.asks = true};
    static struct heard heard;
    static loop_job job;

    BEGIN;
    make_pipe(gate);
    make_pipe(second);
    work.number = gate[0];
    work.next = second[0];
    job = START(loop_work(env->scope, read_in_thread, &work, HEAR(&heard)));
    await_begin(&work, 1);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    while (__atomic_load_n(&work.interrupted, __ATOMIC_SEQ_CST) == 0) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    CHECK_IS(heard.once.count, 0);
    CHECK_IS(write(second[1], "1", 1), 1);
    WAIT_UNTIL(heard.once.count);
    HEARD_IS(heard, 1, LOOP_WORK_PARTLY_DONE);
    CHECK_IS(work.interrupted, 1);
    close_pipes();
    END;
}

/* The job may return while it is cancelled. The next one on the same thread must not get its signal. */
LOOP_TEST_WITH(p27_a_thread_that_has_left_gets_no_signal, .pool_threads = 1, .interrupt_signal = SIGRTMIN)
{
    enum { N = 300 };
    static struct reading first, next;
    static struct heard heard[2];
    static loop_job job;
    static int at;

    BEGIN;
    make_pipe(gate);
    make_pipe(second);
    first.number = gate[0];
    next.number = second[0];
    for (at = 0; at < N; at++) {
        memset(heard, 0, sizeof heard);
        job = START(loop_work(env->scope, read_in_thread, &first, HEAR(&heard[0])));
        START(loop_work(env->scope, read_in_thread, &next, HEAR(&heard[1])));
        await_begin(&first, (unsigned)at + 1);
        CHECK_IS(write(gate[1], "1", 1), 1);
        loop_cancel(env->loop, job);
        await_begin(&next, (unsigned)at + 1);
        WAIT_UNTIL(heard[0].once.count);
        CHECK_IS(write(second[1], "1", 1), 1);
        WAIT_UNTIL(heard[1].once.count);
        HEARD_IS(heard[1], 1, LOOP_WORK_DONE);
        CHECK_IS(next.interrupted, 0);
        if (heard[0].once.result == -ECANCELED) {
            drain(gate[0]);
        } else {
            HEARD_IS(heard[0], 1, LOOP_WORK_DONE);
        }
    }
    close_pipes();
    END;
}

static void on_released(void *arg)
{
    struct reading *reading = arg;

    reading->ignored = 1000000;
    script_poke();
}

/* A thread that starts its call again and again is overdue, and gets signals until it has left. */
LOOP_TEST_WITH(p27_what_cannot_be_interrupted_is_unknown, .pool_threads = 1, .interrupt_signal = SIGRTMIN)
{
    static struct reading work = {.ignored = 999999};
    static struct heard heard;
    static loop_job job;
    static uint64_t before;

    BEGIN;
    make_pipe(gate);
    work.number = gate[0];
    job = START(loop_work_with(env->scope, &(struct loop_work_options){.release = on_released}, read_in_thread, &work,
                               HEAR(&heard)));
    await_begin(&work, 1);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(heard.once.count);
    HEARD_IS(heard, -ECANCELED, LOOP_WORK_UNKNOWN);
    before = interrupts(env->loop);
    while (interrupts(env->loop) < before + 3) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    CHECK_IS(work.ignored, 999999);
    CHECK_IS(write(gate[1], "1", 1), 1);
    WAIT_UNTIL(work.ignored == 1000000);
    before = interrupts(env->loop);
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    CHECK_IS(interrupts(env->loop), before);
    close_pipes();
    END;
}

LOOP_TEST_WITH(p27_two_hundred_cancels_at_once, .pool_threads = 200, .pool_threads_min = 200,
               .interrupt_signal = SIGRTMIN)
{
    enum { N = 200 };
    static struct reading work;
    static struct heard heard[N];
    static struct once end;
    static struct loop_scope *scope;

    BEGIN;
    make_pipe(gate);
    work.number = gate[0];
    scope = loop_scope_open(env->scope, ONCE(&end));
    for (int i = 0; i < N; i++) {
        START(loop_work(scope, read_in_thread, &work, HEAR(&heard[i])));
    }
    while (__atomic_load_n(&work.begun, __ATOMIC_SEQ_CST) < N) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    loop_scope_cancel(scope);
    WAIT_UNTIL(end.count);
    for (int i = 0; i < N; i++) {
        HEARD_IS(heard[i], -ECANCELED, LOOP_WORK_PARTLY_DONE);
    }
    close_pipes();
    END;
}

/* ---- without a signal, and not cancelled ---- */

LOOP_TEST_WITH(p27_the_outcome_tells_what_was_done, .pool_threads = 1)
{
    static struct reading work;
    static struct heard running, waiting, failing, bad;
    static loop_job jobs[2];

    BEGIN;
    make_pipe(gate);
    work.number = gate[0];
    jobs[0] = START(loop_work(env->scope, read_in_thread, &work, HEAR(&running)));
    jobs[1] = START(loop_work(env->scope, do_nothing, NULL, HEAR(&waiting)));
    START(loop_work(env->scope, do_fail, NULL, HEAR(&failing)));
    START(loop_work(env->scope, NULL, NULL, HEAR(&bad)));
    await_begin(&work, 1);
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    CHECK_IS(write(gate[1], "1", 1), 1);
    WAIT_UNTIL(running.once.count && waiting.once.count && failing.once.count && bad.once.count);
    HEARD_IS(running, 1, LOOP_WORK_DONE);
    HEARD_IS(waiting, -ECANCELED, LOOP_WORK_NOT_BEGUN);
    HEARD_IS(failing, -EXDEV, LOOP_WORK_DONE);
    HEARD_IS(bad, -EINVAL, LOOP_WORK_DONE);
    CHECK_IS(interrupts(env->loop), 0);
    close_pipes();
    END;
}

/* Opening a file on which another process holds a lease blocks until the lease is released. */
LOOP_TEST_WITH(p27_a_cancelled_open_that_waits_for_a_lease_ends_with_its_thread, .pool_threads = 1,
               .interrupt_signal = SIGRTMIN)
{
    static struct heard opened;
    static struct loop_flow *flow;
    static loop_job job;
    static const char *directory;
    static char path[100];
    static int number;

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/leased", directory);
    number = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(number >= 0);
    CHECK(signal(SIGIO, SIG_IGN) != SIG_ERR);
    if (fcntl(number, F_SETLEASE, F_WRLCK) == 0) {
        job = START(
            loop_fs_open(env->scope, env->fs, path,
                         &(struct loop_open_options){.access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_IF_MISSING},
                         &flow, HEAR(&opened)));
        AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
        CHECK_IS(opened.once.count, 0);
        CHECK_IS(loop_cancel(env->loop, job), 0);
        AWAIT(loop_work(env->scope, do_nothing, NULL, GO));
        CHECK_IS(result, 1);
        WAIT_UNTIL(opened.once.count);
        HEARD_IS(opened, -ECANCELED, LOOP_WORK_PARTLY_DONE);
        CHECK_IS(fcntl(number, F_SETLEASE, F_UNLCK), 0);
    }
    close(number);
    remove_directory(directory);
    END;
}

/* ---- the signal ---- */

static int return_seven(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    return 7;
}

static int run_with_signal(int number)
{
    return run_with(&(struct loop_options){.interrupt_signal = number}, return_seven, NULL);
}

static bool has_default(int number)
{
    struct sigaction action;

    CHECK_IS(sigaction(number, NULL, &action), 0);
    return action.sa_handler == SIG_DFL;
}

TEST(p23_only_real_time_signals_interrupt)
{
    const int bad[] = {-1, 1, SIGUSR1, SIGALRM, 32, SIGRTMIN - 1, SIGRTMAX + 1, 1000};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_IS(run_with_signal(bad[i]), -EINVAL);
    }
    CHECK_IS(run_with_signal(SIGRTMIN), 7);
    CHECK_IS(run_with_signal(SIGRTMAX), 7);
}

static void never_called(int number)
{
    (void)number;
    _exit(66);
}

TEST(p27_a_signal_of_the_program_is_refused_and_left_alone)
{
    struct sigaction own = {.sa_handler = never_called}, after;

    CHECK_IS(sigaction(SIGRTMIN + 3, &own, NULL), 0);
    CHECK_IS(run_with_signal(SIGRTMIN + 3), -EBUSY);
    CHECK(strstr(log_text(), "SIGRTMIN+3") != NULL);
    CHECK_IS(sigaction(SIGRTMIN + 3, NULL, &after), 0);
    CHECK(after.sa_handler == never_called);
    own.sa_handler = SIG_IGN;
    CHECK_IS(sigaction(SIGRTMIN + 3, &own, NULL), 0);
    CHECK_IS(run_with_signal(SIGRTMIN + 3), -EBUSY);
    CHECK_IS(run_with_signal(SIGRTMIN + 4), 7);
    own.sa_handler = SIG_DFL;
    CHECK_IS(sigaction(SIGRTMIN + 3, &own, NULL), 0);
    CHECK_IS(run_with_signal(SIGRTMIN + 3), 7);
}

/* Two loops share the signal. The last one restores its disposition. */
TEST(p24_the_last_loop_gives_the_signal_back)
{
    struct loop_options options = {.interrupt_signal = SIGRTMIN + 1};
    struct loop *loops[2];

    CHECK(has_default(SIGRTMIN + 1));
    CHECK_IS(loop_open(&options, return_seven, NULL, &loops[0]), 0);
    CHECK(!has_default(SIGRTMIN + 1));
    CHECK_IS(loop_open(&options, return_seven, NULL, &loops[1]), 0);
    CHECK_IS(loop_close(loops[0]), 7);
    CHECK(!has_default(SIGRTMIN + 1));
    CHECK_IS(loop_close(loops[1]), 7);
    CHECK(has_default(SIGRTMIN + 1));
}

LOOP_TEST_WITH(p27_the_signal_cannot_be_waited_for, .interrupt_signal = SIGRTMIN)
{
    BEGIN;
    AWAIT(loop_signal(env->scope, SIGRTMIN, GO));
    CHECK_IS(result, -EINVAL);
    END;
}
