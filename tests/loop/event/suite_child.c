/* SPDX-License-Identifier: ISC
 *
 * The loop and child processes: the signal mask that a child inherits, signals that arrive during a fork, and a loop
 * that continues in a forked child.
 */
#include "harness.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

/* ---- the mask of children ---- */

/* The blocked signals of a child that is made now: the line of its /proc/self/status. Not of a shell, which may clear
 * its mask when it starts. */
static unsigned long long mask_of_child(void)
{
    static char program[] = "sed", option[] = "-n", script_text[] = "s/^SigBlk:[[:space:]]*//p",
                file[] = "/proc/self/status";
    char *arguments[] = {program, option, script_text, file, NULL}, text[32] = "";
    posix_spawn_file_actions_t actions;
    int ends[2], status;
    pid_t child;

    make_pipe(ends);
    CHECK_IS(posix_spawn_file_actions_init(&actions), 0);
    CHECK_IS(posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO), 0);
    CHECK_IS(posix_spawnp(&child, program, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    CHECK(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    close(ends[1]);
    return strtoull(text, NULL, 16);
}

static bool blocks(unsigned long long mask, int number)
{
    return mask >> (number - 1) & 1;
}

LOOP_TEST(p19_a_child_made_between_begin_and_end_has_the_programs_mask)
{
    static struct once term;
    unsigned long long mask;

    BEGIN;
    START(loop_signal(env->scope, SIGTERM, ONCE(&term)));
    mask = mask_of_child();
    CHECK(blocks(mask, SIGTERM) && blocks(mask, SIGPIPE));
    CHECK_IS(loop_child_begin(env->loop), 0);
    mask = mask_of_child();
    CHECK_IS(loop_child_end(env->loop), 0);
    CHECK(!blocks(mask, SIGTERM) && !blocks(mask, SIGPIPE) && !blocks(mask, SIGINT));
    mask = mask_of_child();
    CHECK(blocks(mask, SIGTERM) && blocks(mask, SIGPIPE));
    raise(SIGTERM);
    WAIT_UNTIL(term.count);
    ONCE_IS(term, SIGTERM);
    END;
}

LOOP_TEST(p19_the_saved_mask_serves_posix_spawn)
{
    static char shell[] = "sh", option[] = "-c", command[] = "kill -TERM $$; exit 3";
    static struct once term;
    char *arguments[] = {shell, option, command, NULL};
    sigset_t mask;
    posix_spawnattr_t attributes;
    pid_t child;
    int status;

    BEGIN;
    START(loop_signal(env->scope, SIGTERM, ONCE(&term)));
    loop_saved_mask(env->loop, &mask);
    CHECK_IS(sigismember(&mask, SIGTERM), 0);
    CHECK_IS(sigismember(&mask, SIGPIPE), 0);
    CHECK_IS(posix_spawnattr_init(&attributes), 0);
    CHECK_IS(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK), 0);
    CHECK_IS(posix_spawnattr_setsigmask(&attributes, &mask), 0);
    CHECK_IS(posix_spawn(&child, "/bin/sh", NULL, &attributes, arguments, environ), 0);
    posix_spawnattr_destroy(&attributes);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    raise(SIGTERM);
    WAIT_UNTIL(term.count);
    ONCE_IS(term, SIGTERM);
    END;
}

/* All signals are blocked on the threads of the pool. */
static int64_t spawn_with_mask(void *saved)
{
    static char shell[] = "sh", option[] = "-c", command[] = "kill -TERM $$; exit 3";
    char *arguments[] = {shell, option, command, NULL};
    posix_spawnattr_t attributes;
    pid_t child;
    int status;

    CHECK_IS(posix_spawnattr_init(&attributes), 0);
    CHECK_IS(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK), 0);
    CHECK_IS(posix_spawnattr_setsigmask(&attributes, saved), 0);
    CHECK_IS(posix_spawn(&child, "/bin/sh", NULL, &attributes, arguments, environ), 0);
    posix_spawnattr_destroy(&attributes);
    CHECK_IS(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

LOOP_TEST(p19_the_saved_mask_serves_a_child_that_work_makes)
{
    static sigset_t mask;

    BEGIN;
    loop_saved_mask(env->loop, &mask);
    AWAIT(loop_work(env->scope, spawn_with_mask, &mask, GO));
    CHECK_IS(result, SIGTERM);
    END;
}

static void never_called(int number)
{
    ck_abort_msg("the program's handler for signal %d was called", number);
}

/* One that was pending before, and one that arrives in between. */
LOOP_TEST(p19_a_signal_that_arrives_while_a_child_is_made_reaches_its_jobs)
{
    static struct once before, between;
    struct sigaction action = {.sa_handler = never_called}, now;

    BEGIN;
    signal(SIGTERM, SIG_DFL);
    CHECK_IS(sigaction(SIGUSR2, &action, NULL), 0);
    START(loop_signal(env->scope, SIGTERM, ONCE(&before)));
    START(loop_signal(env->scope, SIGUSR2, ONCE(&between)));
    raise(SIGTERM);
    CHECK_IS(loop_child_begin(env->loop), 0);
    kill(getpid(), SIGUSR2);
    CHECK_IS(loop_child_end(env->loop), 0);
    CHECK_IS(sigaction(SIGTERM, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_IS(sigaction(SIGUSR2, NULL, &now), 0);
    CHECK(now.sa_handler == never_called);
    WAIT_UNTIL(before.count && between.count);
    ONCE_IS(before, SIGTERM);
    ONCE_IS(between, SIGUSR2);
    END;
}

LOOP_TEST(p19_an_ignored_signal_stays_ignored_in_the_child)
{
    static struct once hup;
    int status;

    BEGIN;
    signal(SIGHUP, SIG_IGN);
    START(loop_signal(env->scope, SIGHUP, ONCE(&hup)));
    CHECK_IS(loop_child_begin(env->loop), 0);
    status = system("kill -HUP $$; exit 3");
    CHECK_IS(loop_child_end(env->loop), 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    raise(SIGHUP);
    WAIT_UNTIL(hup.count);
    ONCE_IS(hup, SIGHUP);
    END;
}

/* A write to a pipe without a reader leaves a SIGPIPE pending. */
LOOP_TEST(p19_a_sigpipe_of_the_loops_own_does_not_end_the_program_that_makes_a_child)
{
    static struct loop_fd *end;
    int ends[2];

    BEGIN;
    make_pipe(ends);
    end = adopt(env->scope, ends[1]);
    close(ends[0]);
    AWAIT(loop_write(&loop_fd_flow(end)->sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    CHECK_IS(loop_child_begin(env->loop), 0);
    CHECK_IS(loop_child_end(env->loop), 0);
    END;
}

/* A child that has not called exec, and gets the signal that its parent's loop waits for. */
LOOP_TEST(p19_a_forked_child_can_be_ended)
{
    static struct once term;
    pid_t child;
    int status;

    BEGIN;
    START(loop_signal(env->scope, SIGTERM, ONCE(&term)));
    CHECK_IS(loop_child_begin(env->loop), 0);
    child = fork();
    if (child == 0) {
        raise(SIGTERM);
        _exit(3);
    }
    CHECK_IS(loop_child_end(env->loop), 0);
    CHECK(child > 0);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    raise(SIGTERM);
    WAIT_UNTIL(term.count);
    ONCE_IS(term, SIGTERM);
    END;
}

static int end_without_begin(struct loop_env *env, void *answer)
{
    *(int *)answer = loop_child_end(env->loop);
    return 0;
}

static int run_end_without_begin(void *unused)
{
    int answer = 0;

    (void)unused;
    CHECK_IS(loop_run(0, 0, 0, NULL, end_without_begin, &answer), 0);
    return answer == -EINVAL ? 0 : 1;
}

TEST(p23_an_end_without_a_begin_is_caught)
{
    expect_stop(run_end_without_begin, NULL, "loop_child_begin", 0);
}

static bool pipe_is_blocked;

static void look_at_mask(void *unused, int64_t result)
{
    sigset_t mask;

    (void)unused;
    (void)result;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    pipe_is_blocked = sigismember(&mask, SIGPIPE) == 1;
}

static void begin_and_return(void *env, int64_t result)
{
    struct loop_env *here = env;

    (void)result;
    CHECK_IS(loop_child_begin(here->loop), 0);
    CHECK(loop_sleep(here->scope, 0, look_at_mask, NULL) != 0);
}

static int begin_without_end(struct loop_env *env, void *in_continuation)
{
    static struct loop_env copy;

    copy = *env;
    if (!in_continuation) {
        begin_and_return(&copy, 0);
    } else {
        CHECK(loop_sleep(env->scope, 0, begin_and_return, &copy) != 0);
    }
    return 0;
}

static int run_begin_without_end(void *in_continuation)
{
    CHECK_IS(loop_run(0, 0, 0, NULL, begin_without_end, in_continuation), 0);
    return pipe_is_blocked ? 0 : 1;
}

TEST(p23_a_begin_whose_caller_returns_without_an_end_is_caught)
{
    expect_stop(run_begin_without_end, NULL, "loop_child_begin: its caller has returned", 0);
    expect_stop(run_begin_without_end, &pipe_is_blocked, "loop_child_begin: its caller has returned", 0);
}

/* ---- a loop that goes on in a forked child ---- */

/* Leaves the child to the loop; the parent's program ends. */
static int fork_and_go_on(struct loop_env *env, void *unused)
{
    struct loop_flow *flows[2];
    pid_t child;
    int status;

    (void)unused;
    make_flows(env->scope, flows);
    child = fork();
    if (child != 0) {
        CHECK_IS(waitpid(child, &status, 0), child);
        _exit(WIFSIGNALED(status) ? WTERMSIG(status) : 99);
    }
#if !NORIA_DEBUG
    loop_op_nop(env->scope, NULL, NULL);
    loop_copy(&flows[0]->source, &flows[0]->sink, NULL, NULL);
    loop_sleep(env->scope, 0, NULL, NULL);
#endif
    return 0;
}

static int run_main(void *main)
{
    return loop_run(0, 0, 0, NULL, *(loop_main_fn **)main, NULL);
}

static void check_stop_in_child(loop_main_fn *main)
{
    int status = in_child(run_main, &main);

    CHECK(WIFEXITED(status));
    CHECK_IS(WEXITSTATUS(status), SIGABRT);
    CHECK(strstr(child_text(), "before loop_run"));
}

TEST(p21_a_loop_that_goes_on_in_a_forked_child_is_stopped_with_the_cure)
{
    check_stop_in_child(fork_and_go_on);
}

static void fork_in_continuation(void *arg, int64_t result)
{
    CHECK_IS(result, 0);
    fork_and_go_on(arg, NULL);
}

static int sleep_and_fork(struct loop_env *env, void *unused)
{
    (void)unused;
    START(loop_op_nop(env->scope, fork_in_continuation, env));
    START(loop_op_nop(env->scope, NULL, NULL));
    return 0;
}

/* On the ring the completions that follow are in memory that the child does not have. */
TEST(p21_a_continuation_that_returns_in_a_forked_child_is_stopped_with_the_cure)
{
    check_stop_in_child(sleep_and_fork);
}

static unsigned n_behind;

static int fork_before_many(struct loop_env *env, void *unused)
{
    (void)unused;
    START(loop_op_nop(env->scope, fork_in_continuation, env));
    for (unsigned i = 0; i < n_behind; i++) {
        START(loop_op_nop(env->scope, NULL, NULL));
    }
    return 0;
}

/* After so many completions a turn looks whether the ring has more, whatever their count has left where it looks. */
TEST(p21_a_continuation_that_returns_in_a_forked_child_is_stopped_in_front_of_many)
{
    for (n_behind = 20; n_behind < 28; n_behind++) {
        check_stop_in_child(fork_before_many);
        CHECK(!strstr(child_text(), "the loop ends"));
    }
}

/* There the copy that begins in the child would make buffers for the ring, which the kernel refuses it. */
TEST(p21_a_continuation_that_returns_in_a_forked_child_is_stopped_also_where_the_ring_receives)
{
    CHECK_IS(setenv("LOOP_WAY", "completions", 1), 0);
    check_stop_in_child(sleep_and_fork);
}

static int become_daemon(struct loop_env *env, void *kept_stderr)
{
    (void)env;
    if (daemon(1, 1) != 0) {
        return 1;
    }
    dup2(*(int *)kept_stderr, STDERR_FILENO);
    return 0;
}

/* The daemon holds the write end of a pipe until it stops. */
TEST(p21_a_program_that_calls_daemon_in_its_first_function_is_stopped)
{
    int ends[2], status;
    char text[4096] = "";
    size_t length = 0;
    ssize_t n;
    pid_t child;

    make_pipe(ends);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(loop_run(0, 0, 0, NULL, become_daemon, &ends[1]));
    }
    close(ends[1]);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    while ((n = read(ends[0], text + length, sizeof text - 1 - length)) > 0) {
        length += (size_t)n;
    }
    close(ends[0]);
    CHECK(strstr(text, "daemon(3)"));
}
