/* SPDX-License-Identifier: ISC
 *
 * pipe: standard input -> a pipe of the loop -> standard output. Two copies run at the same time. The end of the first
 * one closes the pipe, and that ends the second.
 */
#include "../common/arguments.h"

#include <errno.h>

static const struct arguments_program program = {
    .name = "pipe",
    .operands = "",
    .about = "Moves standard input to standard output through a pipe.",
};

struct moving {
    struct loop *loop;
    struct loop_sink *into_pipe;
    loop_job input;
    struct loop_copy_outcome input_outcome, output_outcome;
    int status;
    bool output_failed;
};

static void on_input_ended(void *arg, int64_t result)
{
    struct moving *moving = arg;

    (void)result;
    if (moving->output_failed) {
        return; /* the other copy has ended: there is no reader for the end */
    }
    if (moving->input_outcome.error < 0) {
        moving->status = arguments_fail("standard input", moving->input_outcome.error);
    }
    /* Also after an error: what was read before it still has to be written. */
    loop_shutdown(moving->into_pipe, NULL, NULL);
}

static void on_output_ended(void *arg, int64_t result)
{
    struct moving *moving = arg;

    (void)result;
    if (moving->output_outcome.error < 0) {
        moving->output_failed = true;
        moving->status = arguments_fail("standard output", moving->output_outcome.error);
        loop_cancel(moving->loop, moving->input);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct moving *moving = arg;
    struct loop_source *out_of_pipe;
    int error = loop_pipe(env->scope, &out_of_pipe, &moving->into_pipe);

    if (error != 0) {
        return arguments_fail("no pipe", error);
    }
    moving->loop = env->loop;
    moving->input = loop_copy_report(env->in, moving->into_pipe, &moving->input_outcome, on_input_ended, moving);
    if (!moving->input || !loop_copy_report(out_of_pipe, env->out, &moving->output_outcome, on_output_ended, moving)) {
        return arguments_fail("can't copy", -ENOMEM);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct moving moving = {0};
    int status;

    arguments_parse(&program, argc, argv);
    status = arguments_run(start, &moving);
    return status != 0 ? status : moving.status;
}
