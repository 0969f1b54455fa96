/* SPDX-License-Identifier: ISC
 *
 * Starts a program, writes its input, reads its output, and waits for its end.
 */
#include <loop/loop.h>
#include <process/process.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

struct sorting {
    struct loop_process *process;
    struct loop_spawn_error error;
    char output[64];
};

static void on_ended(void *arg, int64_t status)
{
    const struct sorting *sorting = arg;

    if (status >= 0 && WIFEXITED((int)status)) {
        printf("%ssort has ended with status %d\n", sorting->output, WEXITSTATUS((int)status));
    }
}

static void on_output(void *arg, int64_t count)
{
    struct sorting *sorting = arg;

    (void)count; /* the output has ended, or fills the array */
    loop_process_wait(NULL, sorting->process, on_ended, sorting);
}

static void on_started(void *arg, int64_t pid)
{
    struct sorting *sorting = arg;

    if (pid < 0) {
        fprintf(stderr, "%s\n", sorting->error.text);
        return;
    }
    struct loop_flow *input = loop_process_flow(sorting->process, 0), *output = loop_process_flow(sorting->process, 1);
    loop_write(&input->sink, "10\n9\n8\n", 7, NULL, NULL);
    loop_shutdown(&input->sink, NULL, NULL); /* the end of its input */
    loop_read_exact(&output->source, sorting->output, sizeof sorting->output - 1, on_output, sorting);
}

static int start(struct loop_env *env, void *arg)
{
    struct sorting *sorting = arg;
    const char *arguments[] = {"sort", "-n", NULL};
    const struct loop_spawn_fd fds[] = {{.number = 0, .how = LOOP_SPAWN_INPUT},
                                        {.number = 1, .how = LOOP_SPAWN_OUTPUT}};
    const struct loop_spawn_options options = {.arguments = arguments, .fds = fds, .n_fds = 2};

    loop_spawn(env->scope, "sort", &options, &sorting->process, &sorting->error, on_started, sorting);
    return 0;
}

int main(void)
{
    static struct sorting sorting;

    return loop_run(0, 0, 0, NULL, start, &sorting) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
