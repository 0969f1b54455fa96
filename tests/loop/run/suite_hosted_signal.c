/* SPDX-License-Identifier: ISC
 *
 * Signals of several loops in one thread, with a host or in loop_run (P19).
 */
#include "harness.h"

#include <pthread.h>

static struct loop_env *opened_env;

static int keep_open(struct loop_env *env, void *unused)
{
    (void)unused;
    opened_env = env;
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) != 0);
    return 0;
}

static struct loop *open_loop(void)
{
    struct loop *loop = NULL;

    CHECK_IS(loop_open(NULL, keep_open, NULL, &loop), 0);
    return loop;
}

static void make_turns_until(struct loop *loop, const unsigned *count)
{
    while (*count == 0) {
        CHECK_IS(loop_turn(loop), 1);
    }
}

static bool is_blocked(int number)
{
    sigset_t mask;

    CHECK_IS(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    return sigismember(&mask, number) == 1;
}

TEST(p19_a_signal_that_is_pending_stays_for_the_other_loops)
{
    static struct once signals[2];
    struct loop *loops[2];

    for (unsigned i = 0; i < 2; i++) {
        loops[i] = open_loop();
        CHECK(loop_signal(opened_env->scope, SIGUSR1, ONCE(&signals[i])) != 0);
        CHECK_IS(loop_turn(loops[i]), 1);
    }
    CHECK_IS(pthread_kill(pthread_self(), SIGUSR1), 0);
    CHECK_IS(loop_close(loops[0]), 0);
    ONCE_IS(signals[0], -ECANCELED);
    make_turns_until(loops[1], &signals[1].count);
    ONCE_IS(signals[1], SIGUSR1);
    CHECK_IS(loop_close(loops[1]), 0);
    CHECK(!is_blocked(SIGUSR1));
}

TEST(p19_a_signal_during_a_childs_making_is_for_every_loop_of_the_thread)
{
    static struct once signal;
    struct loop *loops[2] = {open_loop()};

    loops[1] = open_loop();
    CHECK(loop_signal(opened_env->scope, SIGUSR1, ONCE(&signal)) != 0);
    CHECK_IS(loop_child_begin(loops[0]), 0);
    CHECK(!is_blocked(SIGUSR1));
    CHECK_IS(raise(SIGUSR1), 0);
    CHECK_IS(loop_child_end(loops[0]), 0);
    CHECK(is_blocked(SIGUSR1));
    make_turns_until(loops[1], &signal.count);
    ONCE_IS(signal, SIGUSR1);
    CHECK_IS(loop_close(loops[0]), 0);
    CHECK_IS(loop_close(loops[1]), 0);
}

static int wait_for_signal_of_another(struct loop_env *env, void *signal)
{
    (void)env;
    CHECK(loop_signal(opened_env->scope, SIGUSR1, ONCE((struct once *)signal)) != 0);
    return 0;
}

TEST(p19_a_signal_that_was_asked_for_inside_run_stays_blocked)
{
    static struct once signal;
    struct loop *loop = open_loop();

    CHECK_IS(loop_run(0, 0, 0, NULL, wait_for_signal_of_another, &signal), 0);
    CHECK(is_blocked(SIGUSR1));
    CHECK_IS(pthread_kill(pthread_self(), SIGUSR1), 0);
    make_turns_until(loop, &signal.count);
    ONCE_IS(signal, SIGUSR1);
    CHECK_IS(loop_close(loop), 0);
    CHECK(!is_blocked(SIGUSR1));
}

/* In each order of their ends. */
TEST_ROWS(p19_children_of_two_loops_may_be_made_at_the_same_time, 2, row)
{
    static struct once signal;
    struct loop *loops[2] = {open_loop()};

    loops[1] = open_loop();
    CHECK_IS(loop_child_begin(loops[0]), 0);
    CHECK(loop_signal(opened_env->scope, SIGUSR1, ONCE(&signal)) != 0);
    CHECK(is_blocked(SIGUSR1));
    CHECK_IS(loop_child_begin(loops[1]), 0);
    CHECK(!is_blocked(SIGUSR1) && !is_blocked(SIGPIPE));
    CHECK_IS(raise(SIGUSR1), 0);
    CHECK_IS(loop_child_end(loops[row]), 0);
    CHECK(!is_blocked(SIGPIPE));
    CHECK_IS(is_blocked(SIGUSR1), row == 1); /* the first loop does not catch it */
    CHECK_IS(loop_child_end(loops[1 - row]), 0);
    CHECK(is_blocked(SIGUSR1) && is_blocked(SIGPIPE));
    make_turns_until(loops[1], &signal.count);
    ONCE_IS(signal, SIGUSR1);
    CHECK_IS(loop_close(loops[0]), 0);
    CHECK_IS(loop_close(loops[1]), 0);
    CHECK(!is_blocked(SIGUSR1) && !is_blocked(SIGPIPE));
}
