/* SPDX-License-Identifier: ISC
 *
 * Numbers the lines of standard input. Pauses while the reader of the output is slow.
 */
#include <loop/loop.h>
#include <loop/reader.h>
#include <loop/writer.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct numbering {
    struct loop_reader *reader;
    struct loop_writer *writer;
    struct loop *loop;
    loop_job lines;
    unsigned count;
};

static void on_drained(void *arg, int64_t result)
{
    struct numbering *numbering = arg;

    if (result == 0) {
        loop_resume(numbering->loop, numbering->lines);
    }
}

static void on_line(void *arg, int64_t result)
{
    struct numbering *numbering = arg;

    if (result <= 0) {
        fprintf(stderr, "%s after %u lines\n", result == 0 ? "the end" : strerror((int)-result), numbering->count);
        return;
    }
    loop_writer_print(numbering->writer, "%6u  %s\n", ++numbering->count, loop_reader_data(numbering->reader, NULL));
    if (loop_writer_is_full(numbering->writer)) {
        loop_pause(numbering->loop, numbering->lines);
        loop_writer_wait_drained(numbering->writer, on_drained, numbering);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct numbering *numbering = arg;

    numbering->reader = loop_reader_create(env->in, 0);
    numbering->writer = loop_writer_create(env->out, 0);
    if (!numbering->reader || !numbering->writer) {
        return -ENOMEM;
    }
    numbering->loop = env->loop;
    numbering->lines = loop_reader_lines(numbering->reader, on_line, numbering);
    return 0;
}

int main(void)
{
    struct numbering numbering = {.count = 0};

    return loop_run(0, 0, 0, NULL, start, &numbering) == 0 ? 0 : 1;
}
