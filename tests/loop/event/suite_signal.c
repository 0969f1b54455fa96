/* SPDX-License-Identifier: ISC
 *
 * Signals as jobs.
 */
#include "sockets.h"

#include <pthread.h>
#include <sys/time.h>
#include <sys/wait.h>

/* ---- signals ---- */

LOOP_TEST(signal_is_heard)
{
    static struct once heard;

    BEGIN;
    START(loop_signal(env->scope, SIGUSR1, ONCE(&heard)));
    AWAIT(turns(env->scope, 2, GO));
    kill(getpid(), SIGUSR1);
    WAIT_UNTIL(heard.count);
    ONCE_IS(heard, SIGUSR1);
    END;
}

LOOP_TEST(signal_at_the_thread_is_heard)
{
    static struct once heard;

    BEGIN;
    START(loop_signal(env->scope, SIGUSR2, ONCE(&heard)));
    pthread_kill(pthread_self(), SIGUSR2);
    WAIT_UNTIL(heard.count);
    ONCE_IS(heard, SIGUSR2);
    END;
}

LOOP_TEST(several_jobs_hear_one_signal)
{
    static struct once heard[3], other;
    static loop_job job;

    BEGIN;
    for (int i = 0; i < 3; i++) {
        START(loop_signal(env->scope, SIGUSR1, ONCE(&heard[i])));
    }
    job = START(loop_signal(env->scope, SIGUSR2, ONCE(&other)));
    raise(SIGUSR1);
    WAIT_UNTIL(heard[0].count && heard[1].count && heard[2].count);
    for (int i = 0; i < 3; i++) {
        ONCE_IS(heard[i], SIGUSR1);
    }
    CHECK_IS(other.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(other.count);
    ONCE_IS(other, -ECANCELED);
    END;
}

LOOP_TEST(signal_between_two_jobs_is_not_lost)
{
    static struct once again;

    BEGIN;
    raise(SIGCHLD);
    START(loop_signal(env->scope, SIGUSR1, ONCE(&again)));
    raise(SIGUSR1);
    WAIT_UNTIL(again.count);
    memset(&again, 0, sizeof again);
    raise(SIGUSR1); /* no job waits, and the signal would kill the process if it were not blocked */
    AWAIT(turns(env->scope, 3, GO));
    START(loop_signal(env->scope, SIGUSR1, ONCE(&again)));
    WAIT_UNTIL(again.count);
    ONCE_IS(again, SIGUSR1);
    END;
}

static int listen_and_leave(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_signal(env->scope, SIGUSR1, NULL, NULL) != 0);
    raise(SIGUSR1);
    raise(SIGUSR1);
    loop_scope_cancel(env->scope);
    return 0;
}

TEST(signals_nobody_heard_are_dropped_at_the_end)
{
    CHECK_IS(run(listen_and_leave, NULL), -ECANCELED);
    sigset_t pending;
    sigpending(&pending);
    CHECK_IS(sigismember(&pending, SIGUSR1), 0);
}

LOOP_TEST(real_time_signals_are_heard)
{
    static struct once heard[2];

    BEGIN;
    START(loop_signal(env->scope, SIGRTMIN, ONCE(&heard[0])));
    START(loop_signal(env->scope, SIGRTMAX, ONCE(&heard[1])));
    raise(SIGRTMAX);
    raise(SIGRTMIN);
    WAIT_UNTIL(heard[0].count && heard[1].count);
    ONCE_IS(heard[0], SIGRTMIN);
    ONCE_IS(heard[1], SIGRTMAX);
    END;
}

LOOP_TEST(sigchld_tells_of_a_child)
{
    static struct once heard;
    static pid_t child;
    static int status;

    BEGIN;
    START(loop_signal(env->scope, SIGCHLD, ONCE(&heard)));
    child = fork();
    if (child == 0) {
        _exit(7);
    }
    WAIT_UNTIL(heard.count);
    ONCE_IS(heard, SIGCHLD);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(WEXITSTATUS(status), 7);
    END;
}

LOOP_TEST(many_different_signals)
{
    static struct once heard[20];
    static int first, at;

    BEGIN;
    first = SIGRTMIN;
    for (int i = 0; i < 20; i++) {
        START(loop_signal(env->scope, first + i, ONCE(&heard[i])));
    }
    for (int i = 19; i >= 0; i--) {
        raise(first + i);
    }
    for (at = 0; at < 20; at++) {
        WAIT_UNTIL(heard[at].count);
        ONCE_IS(heard[at], first + at);
    }
    END;
}

/* ---- storms of signals ---- */

static volatile sig_atomic_t storms;

static void on_storm(int number)
{
    (void)number;
    storms = storms + 1;
}

static void set_storm(long microseconds)
{
    struct sigaction action = {.sa_handler = on_storm}; /* without SA_RESTART */
    struct itimerval every = {{0, microseconds}, {0, microseconds}};

    CHECK_IS(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_IS(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static int64_t busy_work(void *unused)
{
    (void)unused;
    for (int64_t until = now_ns() + LOOP_MILLISECOND; now_ns() < until;) {
    }
    return 7;
}

LOOP_TEST(storm_of_signals_is_seen_by_nobody)
{
    enum { LENGTH = 200000 };
    static char sent[LENGTH], got[LENGTH];
    static struct loop_flow *client, *file;
    static struct once work, sleep, write;
    static int64_t until;
    static int round;

    BEGIN;
    until = now_ns() + 300 * LOOP_MILLISECOND;
    set_storm(1000);
    serve_well(env->scope, echo_by_copy);
    for (round = 0; now_ns() < until || storms < 20; round++) {
        memset(&work, 0, sizeof work);
        memset(&sleep, 0, sizeof sleep);
        memset(&write, 0, sizeof write);
        AWAIT(loop_connect(env->scope, &serving.address, NULL, &client, GO));
        CHECK_IS(result, 0);
        fill_pattern(sent, LENGTH, (unsigned)round);
        START(loop_work(env->scope, busy_work, NULL, ONCE(&work)));
        START(loop_sleep(env->scope, 2 * LOOP_MILLISECOND, ONCE(&sleep)));
        file = flow_of(env->scope, make_file("", 0));
        START(loop_write(&file->sink, sent, LENGTH, ONCE(&write)));
        START(loop_write(&client->sink, sent, LENGTH, NULL, NULL));
        AWAIT(loop_read_exact(&client->source, got, LENGTH, GO));
        CHECK_IS(result, LENGTH);
        CHECK(memcmp(sent, got, LENGTH) == 0);
        WAIT_UNTIL(work.count && sleep.count && write.count);
        ONCE_IS(work, 7);
        ONCE_IS(sleep, 0);
        ONCE_IS(write, LENGTH);
        loop_fd_destroy(client->fd);
        loop_fd_destroy(file->fd);
    }
    set_storm(0);
    CHECK(storms >= 20);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}
