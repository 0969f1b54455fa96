/* SPDX-License-Identifier: ISC
 *
 * The loop's log messages, and where they are written (P24).
 */
#include "harness.h"

#include <loop/part.h>

#include <sys/wait.h>

/* ---- P24: no global state ---- */

static unsigned hook_lines;

static void note_line(void *arg, enum loop_log_level level, const char *line)
{
    CHECK(arg == &hook_lines);
    hook_lines += level == LOOP_LOG_WARNING && strcmp(line, "seven is 7") == 0;
}

static int say_something(struct loop_env *env, void *unused)
{
    (void)unused;
    loop_log(env->loop, LOOP_LOG_WARNING, "%s is %d", "seven", 7);
    return 0;
}

TEST(p24_what_is_said_goes_to_the_hook)
{
    struct loop_options options = {.log = note_line, .log_arg = &hook_lines};

    CHECK_IS(run_with(&options, say_something, NULL), 0);
    CHECK_IS(hook_lines, 1);
}

static int warn_by_default(struct loop_env *env, void *unused)
{
    (void)unused;
    loop_log(env->loop, LOOP_LOG_INFO, "not this");
    loop_log(env->loop, LOOP_LOG_WARNING, "but %s", "this");
    loop_trace(env->debug, "and %d", 42);
    return 0;
}

static int run_warning(void *unused)
{
    (void)unused;
    return loop_run_with(&(struct loop_options){.fallback = NULL}, warn_by_default, NULL);
}

TEST(p24_warnings_go_to_standard_error_by_default)
{
    CHECK_CHILD(run_warning, NULL);
    CHECK(strstr(child_text(), "but this"));
    CHECK(strstr(child_text(), "and 42"));
    CHECK(!strstr(child_text(), "not this"));
}

static int dump_a_tree(struct loop_env *env, void *unused)
{
    struct loop_flow *flows[2];
    static char buffer[4];

    (void)unused;
    make_flows(loop_scope_open(env->scope, NULL, NULL), flows);
    CHECK(loop_read(&flows[0]->source, buffer, 4, NULL, NULL) != 0);
    loop_dump(env->debug);
    loop_scope_cancel(env->scope);
    return 3;
}

static int run_dump(void *unused)
{
    (void)unused;
    return loop_run_with(&(struct loop_options){.queue_depth = 0}, dump_a_tree, NULL) == 3 ? 0 : 1;
}

TEST(p24_dump_writes_the_tree)
{
    CHECK_CHILD(run_dump, NULL);
    CHECK(strstr(child_text(), "read"));
    unsigned lines = 0;
    for (const char *at = child_text(); (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    CHECK(lines >= 4);
}

/* ---- closes that would wait ---- */

/* A pipe without a reader. */
static int log_into_full_pipe(struct loop_env *env, void *unused)
{
    int ends[2];

    (void)unused;
    make_pipe(ends);
    stuff(ends[1]);
    CHECK_IS(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    CHECK_IS(fcntl(STDERR_FILENO, F_SETFL, flags & ~O_NONBLOCK), 0);
    loop_log(env->loop, LOOP_LOG_ERROR, "lost");
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static int run_log_into_full_pipe(void *unused)
{
    (void)unused;
    return loop_run(0, 0, 0, NULL, log_into_full_pipe, NULL);
}

TEST(p13_a_full_standard_error_does_not_hold_up_the_loop)
{
    CHECK_CHILD(run_log_into_full_pipe, NULL);
}
