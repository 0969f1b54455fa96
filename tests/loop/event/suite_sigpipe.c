/* SPDX-License-Identifier: ISC
 *
 * SIGPIPE (P19): it never reaches the program because of the loop.
 */
#include "harness.h"

#include <pthread.h>

/* ---- P19: SIGPIPE ---- */

static bool sigpipe_is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static bool sigpipe_is_blocked(void)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGPIPE) == 1;
}

LOOP_TEST(p19_sigpipe_never_kills)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_flow *flows[2];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    loop_source_close(source);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_write(sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    make_flows(env->scope, flows);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_write(&flows[0]->sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_send(NULL, flows[0]->fd, "x", 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_write(NULL, flows[0]->fd, "x", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

static int write_to_nobody(struct loop_env *env, void *unused)
{
    static struct once write;
    int fds[2];

    (void)unused;
    CHECK(sigpipe_is_blocked());
    make_pipe(fds);
    close(fds[0]);
    CHECK(loop_write(&flow_of(env->scope, fds[1])->sink, "x", 1, ONCE(&write)) != 0);
    return 0;
}

TEST(p19_a_sigpipe_of_the_loop_is_taken_back)
{
    struct sigaction action;

    CHECK(!sigpipe_is_blocked());
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK(!sigpipe_is_pending() && !sigpipe_is_blocked());
    CHECK_IS(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
}

TEST(p19_a_sigpipe_that_was_pending_before_stays)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIGPIPE);
    CHECK(sigpipe_is_pending());
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK(sigpipe_is_pending() && sigpipe_is_blocked());
    CHECK_IS(sigtimedwait(&set, NULL, &(struct timespec){0, 0}), SIGPIPE);
}

static volatile sig_atomic_t handled;

static void count_signal(int number)
{
    handled = number;
}

TEST(p19_the_programs_own_handler_stays)
{
    struct sigaction action = {.sa_handler = count_signal}, after;

    CHECK_IS(sigaction(SIGPIPE, &action, NULL), 0);
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK_IS(handled, 0);
    CHECK_IS(sigaction(SIGPIPE, NULL, &after), 0);
    CHECK(after.sa_handler == count_signal);
}
