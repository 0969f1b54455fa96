/* SPDX-License-Identifier: ISC
 *
 * Programs for the suites of process/, and how they are started.
 */
#ifndef TESTS_PROCESS_PROGRAMS_H
#define TESTS_PROCESS_PROGRAMS_H

#include "harness.h"

#include <process/process.h>
#include <sys/wait.h>

static struct loop_process *process;
static struct loop_spawn_error spawn_error;

/* The status of a program that has exited. */
#define EXITED(code) ((code) << 8)

/* Starts a script of the shell, with these options. */
static inline loop_job shell_with(struct loop_scope *scope, struct loop_spawn_options options, const char *script_text,
                                  loop_fn *fn, void *arg)
{
    const char *arguments[] = {"sh", "-c", script_text, NULL};

    options.arguments = arguments;
    return loop_spawn(scope, "sh", &options, &process, &spawn_error, fn, arg);
}

#define SHELL(...) shell_with(env->scope, (struct loop_spawn_options){.flags = 0}, __VA_ARGS__)

/* Checks what AWAIT(loop_spawn) has brought. */
#define CHECK_STARTED(result)                                                                                          \
    do {                                                                                                               \
        if ((result) <= 0) {                                                                                           \
            ck_abort_msg("result %lld: %s", (long long)(result), spawn_error.text);                                    \
        }                                                                                                              \
        CHECK(process);                                                                                                \
        CHECK_IS(loop_process_pid(process), result);                                                                   \
        CHECK_TEXT(spawn_error.text, "");                                                                              \
    } while (0)

#endif
