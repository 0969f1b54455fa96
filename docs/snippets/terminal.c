/* SPDX-License-Identifier: ISC
 *
 * Runs a program in a terminal of its own, and prints what that shows.
 */
#include <loop/loop.h>
#include <process/process.h>

#include <stdio.h>
#include <stdlib.h>

struct session {
    struct loop_process *process;
    struct loop_spawn_error error;
    struct loop_sink *out;
};

/* The copy ends when the program has ended. */
static void on_copied(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

static void on_started(void *arg, int64_t pid)
{
    struct session *session = arg;

    if (pid > 0) {
        struct loop_flow *terminal = loop_process_flow(session->process, 0);
        loop_copy(&terminal->source, session->out, on_copied, session);
    } else {
        fprintf(stderr, "%s\n", session->error.text);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct session *session = arg;
    const char *arguments[] = {"stty", "size", NULL};
    const struct loop_spawn_fd fds[] = {{.number = 0, .how = LOOP_SPAWN_TERMINAL},
                                        {.number = 1, .how = LOOP_SPAWN_TERMINAL},
                                        {.number = 2, .how = LOOP_SPAWN_TERMINAL}};
    const struct loop_spawn_options options = {
        .arguments = arguments, .fds = fds, .n_fds = 3, .rows = 25, .columns = 80};

    session->out = env->out;
    loop_spawn(env->scope, "stty", &options, &session->process, &session->error, on_started, session);
    return 0;
}

int main(void)
{
    static struct session session;

    return loop_run(0, 0, 0, NULL, start, &session) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
