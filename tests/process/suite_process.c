/* SPDX-License-Identifier: ISC
 *
 * How children end: by themselves, by signals, with their scope, with this process; and who waits for them.
 */
#include "programs.h"

#include <stdio.h>

static const struct loop_spawn_fd output[] = {{.number = 1, .how = LOOP_SPAWN_OUTPUT}};
static char byte;

/* Waits until the program has written its first byte. */
#define AWAIT_OUTPUT AWAIT(loop_read_exact(&loop_process_flow(process, 1)->source, &byte, 1, GO))

/* A program that ignores SIGTERM, says so, and waits. */
#define STUBBORN "trap '' TERM; echo; while :; do sleep 1000; done"

static bool is_running(pid_t pid)
{
    return kill(pid, 0) == 0;
}

LOOP_TEST(a_signal_ends_a_child_and_its_status_tells_that)
{
    BEGIN;
    AWAIT(SHELL("exec sleep 1000", GO));
    CHECK_STARTED(result);
    CHECK_IS(loop_process_signal(process, 0), 0);
    CHECK_IS(loop_process_signal(process, 12345), -EINVAL);
    CHECK_IS(loop_process_signal(process, SIGUSR2), 0);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK(WIFSIGNALED((int)result) && WTERMSIG((int)result) == SIGUSR2);
    END;
}

LOOP_TEST(several_wait_and_one_that_is_cancelled_takes_nothing)
{
    static struct once waits[3];
    loop_job jobs[3];

    BEGIN;
    AWAIT(SHELL("exec sleep 1000", GO));
    CHECK_STARTED(result);
    for (int i = 0; i < 3; i++) {
        jobs[i] = START(loop_process_wait(env->scope, process, ONCE(&waits[i])));
    }
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    WAIT_UNTIL(waits[1].count);
    ONCE_IS(waits[1], -ECANCELED);
    CHECK_IS(waits[0].count + waits[2].count, 0);
    CHECK_IS(loop_process_signal(process, SIGKILL), 0);
    WAIT_UNTIL(waits[0].count && waits[2].count);
    ONCE_IS(waits[0], SIGKILL);
    ONCE_IS(waits[2], SIGKILL);
    END;
}

/* ---- stopping ---- */

LOOP_TEST(a_stop_asks_first)
{
    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1},
                     "trap 'exit 9' TERM; echo; while :; do sleep 0.01; done", GO));
    CHECK_STARTED(result);
    AWAIT_OUTPUT;
    CHECK_IS(loop_process_stop(process, -1), -EINVAL);
    CHECK_IS(loop_process_stop(process, 3600 * LOOP_SECOND), 0);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, EXITED(9));
    END;
}

LOOP_TEST_ROWS(a_stubborn_child_is_killed_after_the_grace, 3)
{
    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1, .flags = LOOP_SPAWN_GROUP},
                     STUBBORN, GO));
    CHECK_STARTED(result);
    AWAIT_OUTPUT;
    if (script.row > 0) {
        CHECK_IS(loop_process_stop(process, script.row == 1 ? LOOP_NEVER : 3600 * LOOP_SECOND), 0);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
        CHECK_IS(loop_process_signal(process, 0), 0);
    }
    CHECK_IS(loop_process_stop(process, LOOP_MILLISECOND), 0); /* shortens the grace */
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, SIGKILL);
    END;
}

/* ---- scopes ---- */

static struct loop_scope *inner;
static struct once ended;
static pid_t pid;

LOOP_TEST_ROWS(p30_a_child_ends_with_its_scope, 2)
{
    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    AWAIT(shell_with(
        inner,
        (struct loop_spawn_options){.fds = output, .n_fds = 1, .grace_ns = LOOP_MILLISECOND, .flags = LOOP_SPAWN_GROUP},
        script.row == 0 ? "echo; exec sleep 1000" : STUBBORN, GO));
    CHECK_STARTED(result);
    pid = (pid_t)result;
    AWAIT_OUTPUT;
    CHECK(is_running(pid));
    loop_scope_cancel(inner);
    WAIT_UNTIL(ended.count);
    CHECK(!is_running(pid)); /* also reaped */
    END;
}

LOOP_TEST(p30_a_child_does_not_keep_its_scope_open)
{
    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    AWAIT(shell_with(inner, (struct loop_spawn_options){.n_fds = 0}, "exec sleep 1000", GO));
    CHECK_STARTED(result);
    pid = (pid_t)result;
    WAIT_UNTIL(ended.count); /* nothing else is in it */
    CHECK(!is_running(pid));
    END;
}

LOOP_TEST(a_wait_keeps_the_scope_open)
{
    static struct once waited;

    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    AWAIT(shell_with(inner, (struct loop_spawn_options){.n_fds = 0}, "exit 4", GO));
    CHECK_STARTED(result);
    START(loop_process_wait(NULL, process, ONCE(&waited)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(waited, EXITED(4));
    END;
}

LOOP_TEST(a_wait_outside_of_the_scope_tells_how_a_deadline_has_ended_the_child)
{
    static struct once inside, outside;

    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    AWAIT(shell_with(inner, (struct loop_spawn_options){.n_fds = 0}, "exec sleep 1000", GO));
    CHECK_STARTED(result);
    START(loop_process_wait(NULL, process, ONCE(&inside)));
    START(loop_process_wait(env->scope, process, ONCE(&outside)));
    loop_scope_deadline(inner, loop_now(env->loop));
    WAIT_UNTIL(ended.count && outside.count);
    ONCE_IS(inside, -ETIMEDOUT);
    ONCE_IS(outside, SIGTERM);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(p30_a_cancel_while_it_is_started_leaves_no_process)
{
    static struct once started;

    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    START(shell_with(inner, (struct loop_spawn_options){.n_fds = 0}, "exec sleep 1000", ONCE(&started)));
    loop_scope_cancel(inner);
    WAIT_UNTIL(ended.count && started.count);
    CHECK(started.result > 0 || started.result == -ECANCELED);
    CHECK_IS(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_IS(errno, ECHILD);
    START(shell_with(env->scope, (struct loop_spawn_options){.n_fds = 0}, "exit 1", ONCE(&started)));
    started.count = 0;
    WAIT_UNTIL(started.count);
    CHECK_STARTED(started.result);
    END;
}

LOOP_TEST(p30_a_cancel_of_a_start_that_has_begun_stops_the_child)
{
    static struct once started;
    static int ends[2];

    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(inner);
    make_pipe(ends);
    struct loop_spawn_fd out = {.number = 1, .how = LOOP_SPAWN_NUMBER, .from = ends[1]};
    loop_job job = START(shell_with(inner, (struct loop_spawn_options){.fds = &out, .n_fds = 1},
                                    "echo; exec sleep 1000", ONCE(&started)));
    CHECK_IS(read(ends[0], &byte, 1), 1); /* it runs, and the loop does not know it yet */
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(started.count);
    CHECK_STARTED(started.result);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK(WIFSIGNALED(result) && WTERMSIG(result) == SIGTERM);
    close(ends[0]);
    close(ends[1]);
    loop_scope_unhold(inner);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(a_group_that_is_stopped_leaves_no_process)
{
    static char text[32];

    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1, .flags = LOOP_SPAWN_GROUP},
                     "(trap '' TERM; echo $(exec sh -c 'echo $PPID') ; while :; do sleep 1000; done) & wait", GO));
    CHECK_STARTED(result);
    AWAIT(loop_read(&loop_process_flow(process, 1)->source, text, sizeof text - 1, GO));
    CHECK(result > 0);
    CHECK_IS(loop_process_stop(process, LOOP_NEVER), 0);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, SIGTERM);
    /* the end of its output: the writing ends of all of the group are closed */
    do {
        AWAIT(loop_read(&loop_process_flow(process, 1)->source, text, sizeof text, GO));
    } while (result > 0);
    CHECK_IS(result, 0);
    END;
}

/* ---- the kernel forgets ---- */

LOOP_TEST(a_status_that_somebody_else_has_taken_is_told)
{
    BEGIN;
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    AWAIT(SHELL("exit 1", GO));
    CHECK_STARTED(result);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, -ECHILD);
    CHECK(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
    END;
}

/* ---- this process dies ---- */

static int report;

static void on_orphan_started(void *unused, int64_t result)
{
    int32_t number = (int32_t)result;

    (void)unused;
    if (write(report, &number, sizeof number) == sizeof number) {
        kill(getpid(), SIGKILL);
    }
}

static int start_orphan(struct loop_env *env, void *unused)
{
    (void)unused;
    return SHELL("exec sleep 1000", on_orphan_started, NULL) ? 0 : -1;
}

static int run_and_die(void *unused)
{
    (void)unused;
    return loop_run(0, 0, 0, NULL, start_orphan, NULL);
}

/* Returns whether the kernel has killed a process; init may not have reaped it yet. */
static bool is_dead(pid_t number)
{
    char path[64], state = 'Z';

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)number);
    FILE *file = fopen(path, "re");
    if (file) {
        (void)fscanf(file, "%*d %*s %c", &state);
        fclose(file);
    }
    return state == 'Z';
}

TEST(p30_a_child_dies_when_this_process_is_killed)
{
    int ends[2];
    int32_t number = 0;

    make_pipe(ends);
    report = ends[1];
    CHECK_IS(in_child(run_and_die, NULL), SIGKILL);
    CHECK_IS(read(ends[0], &number, sizeof number), sizeof number);
    CHECK(number > 0);
    for (int tries = 0; !is_dead(number); tries++) {
        CHECK(tries < 30000);
        (void)poll(NULL, 0, 1);
    }
    close(ends[0]);
    close(ends[1]);
}

/* ---- many ---- */

enum { AT_A_TIME = 64 };

static unsigned many(void)
{
    return repeated(10000, HAS_SANITIZER ? 200 : 1000);
}

struct one {
    struct loop_scope *scope; /* NULL: not in use */
    struct loop_process *process;
};

static unsigned n_started, n_ended, fds_before;
static struct loop_env *many_env;
static struct one ones[AT_A_TIME];

static void start_one(void);

static void on_one_over(void *arg, int64_t error)
{
    struct one *one = arg;

    CHECK_IS(error, 0);
    one->scope = NULL;
    n_ended++;
    start_one();
    script_poke();
}

static void on_one_started(void *arg, int64_t result)
{
    const struct one *one = arg;

    CHECK(result > 0);
    CHECK(loop_process_wait(NULL, one->process, NULL, NULL) != 0);
}

static void start_one(void)
{
    struct one *one = ones;

    if (n_started == many()) {
        return;
    }
    while (one->scope) {
        one++;
    }
    n_started++;
    one->scope = loop_scope_open(many_env->scope, on_one_over, one);
    CHECK(loop_spawn(one->scope, "/bin/true", NULL, &one->process, NULL, on_one_started, one) != 0);
}

LOOP_TEST(many_children_leave_no_zombie_and_no_descriptor)
{
    BEGIN;
    many_env = env;
    AWAIT(SHELL("exit 0", GO)); /* the pool and the like are there now */
    AWAIT(loop_process_wait(NULL, process, GO));
    fds_before = count_fds();
    for (int i = 0; i < AT_A_TIME; i++) {
        start_one();
    }
    WAIT_UNTIL(n_ended == many());
    CHECK_IS(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_IS(errno, ECHILD);
    AWAIT(turns(env->scope, 10, GO));
    CHECK(count_fds() <= fds_before + 1);
    END;
}
