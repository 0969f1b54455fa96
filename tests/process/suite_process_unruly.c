/* SPDX-License-Identifier: ISC
 *
 * Children that do not behave: that write for ever, close their pipes first or go on without them; and systems that do
 * not tell how a child has ended, or allow no more processes.
 */
#include "programs.h"

#include <stdio.h>

static const struct loop_spawn_fd output[] = {{.number = 1, .how = LOOP_SPAWN_OUTPUT}},
                                  both[] = {{.number = 0, .how = LOOP_SPAWN_INPUT},
                                            {.number = 1, .how = LOOP_SPAWN_OUTPUT}};
static struct loop_scope *inner;
static struct once ended;
static char text[4096];

/* ---- output without an end ---- */

static uint64_t taken;

static void take(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    (void)chunk;
    taken += result > 0 ? (uint64_t)result : 0;
    script_poke();
}

/* It is read as fast as it comes, or not at all. Either way others have their turns, and the end of the scope ends it.
 */
LOOP_TEST_ROWS(p30_a_child_that_writes_for_ever_ends_with_its_scope, 2)
{
    static const uint64_t much = 4 << 20;
    static pid_t pid;

    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(inner);
    AWAIT(shell_with(inner, (struct loop_spawn_options){.fds = output, .n_fds = 1, .grace_ns = 3600 * LOOP_SECOND},
                     "exec yes 'a line of text'", GO));
    CHECK_STARTED(result);
    pid = (pid_t)result;
    if (script.row == 0) {
        START(loop_stream(&loop_process_flow(process, 1)->source, take, NULL));
        WAIT_UNTIL(taken > much);
        CHECK_IS(loop_process_signal(process, 0), 0);
    } else {
        AWAIT(loop_read(&loop_process_flow(process, 1)->source, text, sizeof text, GO));
        CHECK(result > 0);
    }
    AWAIT(turns(env->scope, 5, GO));
    loop_scope_cancel(inner);
    loop_scope_unhold(inner);
    WAIT_UNTIL(ended.count);
    CHECK(kill(pid, 0) < 0); /* also reaped */
    END;
}

/* ---- pipes that are closed first ---- */

/* The child closes its ends of the pipes, and lives on: the pipes end, and the wait goes on. */
LOOP_TEST(a_child_that_closes_its_pipes_first_is_still_waited_for)
{
    static struct once waited;
    static int i;

    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = both, .n_fds = 2},
                     "echo first; exec <&- >&-; trap 'exit 6' TERM; while :; do sleep 0.01; done", GO));
    CHECK_STARTED(result);
    START(loop_process_wait(NULL, process, ONCE(&waited)));
    AWAIT(loop_read_exact(&loop_process_flow(process, 1)->source, text, sizeof text, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_write(&loop_process_flow(process, 0)->sink, "lost", 4, GO));
    CHECK_IS(result, -EPIPE);
    CHECK_IS(waited.count, 0);
    for (i = 0; !waited.count; i++) { /* until it has its trap */
        CHECK_IS(loop_process_signal(process, i == 0 ? 0 : SIGTERM), 0);
        AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    }
    CHECK(waited.result == EXITED(6) || waited.result == SIGTERM);
    END;
}

/* The child has ended, and one that it has started holds the pipe: the wait ends, and the pipe goes on. */
LOOP_TEST(a_child_that_forks_on_leaves_its_pipe_to_another)
{
    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(inner);
    AWAIT(shell_with(inner, (struct loop_spawn_options){.fds = both, .n_fds = 2},
                     "exec 9<&0; (read line <&9; echo got $line) & exit 3", GO));
    CHECK_STARTED(result);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, EXITED(3));
    START(loop_write(&loop_process_flow(process, 0)->sink, "it\n", 3, NULL, NULL));
    AWAIT(loop_read_exact(&loop_process_flow(process, 1)->source, text, sizeof text, GO));
    CHECK_IS(result, 7);
    CHECK(memcmp(text, "got it\n", 7) == 0);
    loop_scope_unhold(inner);
    WAIT_UNTIL(ended.count);
    END;
}

/* ---- a program that ignores SIGCHLD ---- */

/* The kernel keeps no status then. Nothing else changes: starts that fail name the step, and scopes end. */
LOOP_TEST_ROWS(p30_children_end_with_their_scope_where_sigchld_is_ignored, 3)
{
    static pid_t pid;

    BEGIN;
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    AWAIT(loop_spawn(env->scope, "no-such-program", NULL, &process, &spawn_error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK(strstr(spawn_error.text, ": executing it: "));
    inner = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(inner);
    AWAIT(
        shell_with(inner, (struct loop_spawn_options){.n_fds = 0}, script.row == 2 ? "exit 3" : "exec sleep 1000", GO));
    CHECK_STARTED(result);
    pid = (pid_t)result;
    if (script.row == 1) {
        CHECK_IS(loop_process_stop(process, 3600 * LOOP_SECOND), 0);
    }
    if (script.row > 0) {
        AWAIT(loop_process_wait(NULL, process, GO));
        CHECK_IS(result, -ECHILD);
        CHECK_IS(loop_process_signal(process, SIGTERM), -ESRCH);
    } else {
        loop_scope_cancel(inner);
    }
    loop_scope_unhold(inner);
    WAIT_UNTIL(ended.count);
    CHECK(kill(pid, 0) < 0);
    CHECK(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
    END;
}

/* ---- no more processes ---- */

static int64_t refusal;

static void on_refused(void *unused, int64_t result)
{
    (void)unused;
    refusal = result;
}

static int start_one(struct loop_env *env, void *unused)
{
    (void)unused;
    return SHELL("exit 0", on_refused, NULL) ? 0 : -1;
}

static int start_beyond_the_limit(void *unused)
{
    (void)unused;
    /* The limit holds for users without privileges, and counts their threads too. */
    if (geteuid() == 0 && !drop_privileges()) {
        return 1;
    }
    if (setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0}) != 0) {
        return 2;
    }
    if (loop_run(0, 0, 0, NULL, start_one, NULL) != 0) {
        return 3;
    }
    (void)fprintf(stderr, "%s\n", spawn_error.text);
    return refusal == -EAGAIN && !process && strstr(spawn_error.text, "RLIMIT_NPROC") ? 0 : 4;
}

TEST(p31_a_limit_of_processes_is_told)
{
    CHECK_CHILD(start_beyond_the_limit, NULL);
}
