/* SPDX-License-Identifier: ISC
 *
 * Moves standard input to standard output by hand: chunks go from the stream to the sink without a copy, and a slow
 * sink pauses the stream. loop_copy does all of this.
 */
#include <loop/loop.h>

#include <stdio.h>
#include <string.h>

/* The stream is paused when more than this is queued: half of the sink's limit, where loop_sink_wait_drained
 * resumes. */
#define ENOUGH 65536u

struct mover {
    struct loop_env *env;
    loop_job stream;
};

static void on_drained(void *arg, int64_t result)
{
    struct mover *mover = arg;

    if (result == 0) {
        loop_resume(mover->env->loop, mover->stream);
    }
}

static void on_data(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct mover *mover = arg;

    if (!chunk) {
        if (result < 0) {
            loop_scope_fail(mover->env->scope, result);
        }
        return;
    }
    loop_write_chunk(mover->env->out, chunk, (size_t)result, NULL, NULL);
    if (loop_sink_queued(mover->env->out) > ENOUGH) {
        loop_pause(mover->env->loop, mover->stream);
        loop_sink_wait_drained(mover->env->out, on_drained, mover);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct mover *mover = arg;

    mover->env = env;
    loop_sink_limit(env->out, 2 * ENOUGH);
    mover->stream = loop_stream(env->in, on_data, mover);
    return 0;
}

int main(void)
{
    struct mover mover = {0};
    int result = loop_run(0, 0, 0, NULL, start, &mover);

    if (result < 0) {
        fprintf(stderr, "move: %s\n", strerror(-result));
    }
    return result == 0 ? 0 : 1;
}
