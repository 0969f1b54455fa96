/* SPDX-License-Identifier: ISC
 *
 * A long line of work: results reach the loop while other work hangs, and threads are found for what is in line.
 */
#include "harness.h"

#include <loop/kernel/door.h>
#include <loop/kernel/fail.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static int gate[2];

static int64_t pass_gate(void *unused)
{
    char byte;

    (void)unused;
    return read(gate[0], &byte, 1);
}

static int64_t nothing(void *unused)
{
    (void)unused;
    return 0;
}

static atomic_uint begun;

static int64_t begin_and_pass_gate(void *unused)
{
    atomic_fetch_add(&begun, 1);
    return pass_gate(unused);
}

/* The threads hang behind the first result, with a line that does not get shorter. */
LOOP_TEST_WITH(p02_a_result_arrives_while_a_long_line_of_work_hangs, .pool_threads = 2)
{
    enum { N = 20 };
    static struct once first, works[N];
    static int at;

    BEGIN;
    make_pipe(gate);
    START(loop_work(env->scope, nothing, NULL, ONCE(&first)));
    for (int i = 0; i < N; i++) {
        START(loop_work(env->scope, pass_gate, NULL, ONCE(&works[i])));
    }
    WAIT_UNTIL(first.count);
    CHECK_IS(works[0].count, 0);
    for (at = 0; at < N; at++) {
        CHECK_IS(write(gate[1], "1", 1), 1);
        WAIT_UNTIL(works[at].count || works[(at + 1) % N].count);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(works[at].count);
        ONCE_IS(works[at], 1);
    }
    close(gate[0]);
    close(gate[1]);
    END;
}

/* Each work finds a thread inside its call: nothing but the program's own code runs until it has begun. */
LOOP_TEST_WITH(work_begins_before_the_turn_is_over, .pool_threads = 3)
{
    enum { N = 3 };
    static struct once works[N];
    static int at;

    BEGIN;
    atomic_store(&begun, 0);
    make_pipe(gate);
    for (int i = 0; i < N; i++) {
        START(loop_work(env->scope, begin_and_pass_gate, NULL, ONCE(&works[i])));
    }
    while (atomic_load(&begun) < N) {
        usleep(100);
    }
    for (at = 0; at < N; at++) {
        CHECK_IS(write(gate[1], "1", 1), 1);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(works[at].count);
    }
    close(gate[0]);
    close(gate[1]);
    END;
}

/* Half of the threads hang in work that takes long. More of it in line does not wake the others. */
LOOP_TEST_WITH(p18_work_that_takes_long_makes_no_more_threads_than_may_run_it, .pool_threads = 4)
{
    static const struct loop_work_options takes_long = {.takes_long = true};
    enum { N = 8 };
    static struct once works[N];
    static struct loop_stats stats;
    static int at;

    BEGIN;
    make_pipe(gate);
    for (int i = 0; i < N; i++) {
        START(loop_work_with(env->scope, &takes_long, pass_gate, NULL, ONCE(&works[i])));
    }
    AWAIT(turns(env->scope, 5, GO));
    loop_get_stats(env->loop, &stats);
    CHECK_IS(stats.pool_threads_now, 2);
    for (at = 0; at < N; at++) {
        CHECK_IS(write(gate[1], "1", 1), 1);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(works[at].count);
        ONCE_IS(works[at], 1);
    }
    close(gate[0]);
    close(gate[1]);
    END;
}

#if NORIA_HARD_MODES && !NORIA_SIMULATED
static struct once stuck, work;
static enum loop_outcome outcome;

static void tell_outcome(void *unused, int64_t result)
{
    (void)unused;
    outcome = loop_work_outcome(script.env->loop, result);
    once_resumed(&work, result);
}

/* Cancels work that hangs on the only thread, so that this is overdue, and starts other work. */
static void hang(struct loop_env *env)
{
    make_pipe(gate);
    atomic_store(&begun, 0);
    loop_job job = START(loop_work(env->scope, begin_and_pass_gate, NULL, ONCE(&stuck)));
    while (atomic_load(&begun) < 1) {
        usleep(100);
    }
    CHECK_IS(loop_cancel(env->loop, job), 0);
    START(loop_work(env->scope, nothing, NULL, tell_outcome, NULL));
}

static void leave(void)
{
    ONCE_IS(stuck, 1);
    close(gate[0]);
    close(gate[1]);
}

static void wait_for_a_thread(struct loop_env *env, int64_t result)
{
    BEGIN;
    hang(env);
    WAIT_UNTIL(work.count);
    ONCE_IS(work, 0);
    CHECK_IS(stuck.count, 0);
    CHECK_IS(write(gate[1], "1", 1), 1);
    WAIT_UNTIL(stuck.count);
    leave();
    END;
}

/* The only thread hangs, and the next cannot be created for a while. */
TEST(p27_work_waits_until_a_thread_can_be_created)
{
    CHECK(loop_kernel_fail_set("pthread_create:EAGAIN:2,pthread_create:EAGAIN:3,pthread_create:EAGAIN:4"));
    script_run(&(struct loop_options){.pool_threads = 1}, wait_for_a_thread);
    CHECK(loop_kernel_fail_failed() >= 1);
    CHECK(loop_kernel_fail_set(NULL));
}

static void wait_for_no_thread(struct loop_env *env, int64_t result)
{
    BEGIN;
    hang(env);
    WAIT_UNTIL(work.count);
    ONCE_IS(work, -ENOMEM);
    CHECK_IS(outcome, LOOP_WORK_NOT_BEGUN);
    CHECK_IS(stuck.count, 0);
    CHECK_IS(write(gate[1], "1", 1), 1);
    WAIT_UNTIL(stuck.count);
    work = (struct once){0};
    AWAIT(loop_work(env->scope, nothing, NULL, GO)); /* the thread is back */
    CHECK_IS(result, 0);
    leave();
    END;
}

/* Nothing but a thread that hangs could run the work: it ends with an error. */
TEST(p27_work_that_finds_only_threads_that_hang_ends)
{
    CHECK(loop_kernel_fail_set("pthread_create:EAGAIN:2+1"));
    script_run(&(struct loop_options){.pool_threads = 1}, wait_for_no_thread);
    CHECK(loop_kernel_fail_set(NULL));
}
#endif

/* The second write has to wait for the first. The thread that was called for it goes back to sleep, and has to be
 * called again when there is work for it. */
LOOP_TEST_WITH(p02_a_thread_that_was_called_in_vain_is_called_again, .pool_threads = 4)
{
    enum { LONG = 64 << 20 };
    static struct once writes[2];
    static struct loop_fd *fd;
    static const char *directory;
    static char path[100], *bytes;
    static int at;

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/file", directory);
    bytes = calloc(1, LONG);
    CHECK(bytes != NULL);
    fd = loop_fd_adopt(env->scope, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    CHECK(fd != NULL);
    START(loop_op_write(env->scope, fd, bytes, LONG, 0, ONCE(&writes[0])));
    START(loop_op_write(env->scope, fd, bytes, 1, 0, ONCE(&writes[1])));
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    for (at = 0; at < 3; at++) {
        AWAIT(loop_work(env->scope, nothing, NULL, GO));
        CHECK_IS(result, 0);
        WAIT_UNTIL(writes[0].count && writes[1].count);
        ONCE_IS(writes[0], is_hard("short") ? LONG / 2 : LONG);
        ONCE_IS(writes[1], 1);
    }
    loop_fd_destroy(fd);
    free(bytes);
    remove_directory(directory);
    END;
}
