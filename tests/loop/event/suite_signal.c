/* SPDX-License-Identifier: ISC
 *
 * Signals as jobs.
 */
#include "harness.h"

#include <pthread.h>
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
    raise(SIGUSR1); /* nobody listens, and it would kill if it were not blocked */
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
