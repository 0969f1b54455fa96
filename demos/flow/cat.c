/* SPDX-License-Identifier: ISC
 *
 * cat [FILE]...: copies one file after another to standard output. Each file has a scope of its own, which closes it
 * before the next one is opened. A file that cannot be read is reported and skipped. An error of the output ends the
 * program. It reads and writes with one buffer of its own; loop_copy_report would do the same in one call.
 */
#include "../common/arguments.h"

#include <loop/low_level.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct arguments_program program = {
    .name = "cat",
    .operands = "[FILE]...",
    .about = "Writes the files to standard output, in order; standard input for '-' and where there is none.",
    .most_operands = INT_MAX,
};

struct cat {
    struct loop_env *env;
    char **names;             /* the remaining ones, terminated by NULL */
    const char *name;         /* the current one */
    struct loop_scope *scope; /* that of the current file, held while it is read */
    struct loop_source *source;
    struct stat output;
    size_t begin, end; /* the bytes in the buffer that are not written yet */
    int status;
    bool output_failed;
    char buffer[1 << 16];
};

/* Ends the current file: its scope closes it, and the next file follows. */
static void finish(struct cat *cat, int64_t error)
{
    if (error < 0) {
        cat->status = arguments_fail(cat->name, error);
    }
    loop_scope_unhold(cat->scope);
}

static void finish_all(struct cat *cat, int64_t error)
{
    cat->output_failed = true;
    cat->status = arguments_fail("standard output", error);
    loop_scope_unhold(cat->scope);
}

/* ---- from the file to the output ---- */

static void read_more(struct cat *cat);
static void on_written(void *arg, int64_t result);

static void write_rest(struct cat *cat)
{
    if (!loop_write(cat->env->out, cat->buffer + cat->begin, cat->end - cat->begin, on_written, cat)) {
        finish_all(cat, -ENOMEM);
    }
}

static void on_written(void *arg, int64_t result)
{
    struct cat *cat = arg;

    if (result < 0) {
        finish_all(cat, result);
        return;
    }
    cat->begin += (size_t)result;
    if (cat->begin < cat->end) {
        write_rest(cat); /* an error stopped the write: writing the rest returns it */
    } else {
        read_more(cat);
    }
}

static void on_read(void *arg, int64_t result)
{
    struct cat *cat = arg;

    if (result <= 0) {
        finish(cat, result);
        return;
    }
    cat->begin = 0;
    cat->end = (size_t)result;
    write_rest(cat);
}

static void read_more(struct cat *cat)
{
    if (!loop_read(cat->source, cat->buffer, sizeof cat->buffer, on_read, cat)) {
        finish(cat, -ENOMEM);
    }
}

/* ---- one file after another ---- */

/* Returns true if the file is the output: reading it would append to it for ever. */
static bool is_output(const struct cat *cat, int number)
{
    struct stat input;

    return S_ISREG(cat->output.st_mode) && fstat(number, &input) == 0 && input.st_dev == cat->output.st_dev &&
           input.st_ino == cat->output.st_ino && lseek(number, 0, SEEK_CUR) < input.st_size;
}

static void refuse_output(struct cat *cat)
{
    arguments_complain("%s: input file is output file", cat->name);
    cat->status = 1;
    finish(cat, 0);
}

static void on_readable(void *arg, int64_t result)
{
    if (result < 0) {
        finish(arg, result);
    } else {
        read_more(arg);
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct cat *cat = arg;
    struct loop_fd *fd;

    if (result < 0) {
        finish(cat, result);
        return;
    }
    fd = loop_fd_adopt(cat->scope, (int)result);
    if (!fd) {
        finish(cat, -ENOMEM);
        return;
    }
    if (is_output(cat, (int)result)) {
        refuse_output(cat);
        return;
    }
    cat->source = &loop_fd_flow(fd)->source;
    /* A fifo without a writer reads as if it were at its end: wait for the first writer. */
    if (!loop_poll(fd, POLLIN, on_readable, cat)) {
        finish(cat, -ENOMEM);
    }
}

static void begin(struct cat *cat)
{
    if (strcmp(cat->name, "-") == 0) {
        cat->name = "standard input";
        cat->source = cat->env->in;
        if (is_output(cat, STDIN_FILENO)) {
            refuse_output(cat);
        } else {
            read_more(cat);
        }
    } else if (!loop_op_openat2(cat->scope, cat->name, &(struct loop_open_how){.flags = O_RDONLY}, on_opened, cat)) {
        finish(cat, -ENOMEM);
    }
}

static void next(void *arg, int64_t error)
{
    struct cat *cat = arg;

    (void)error; /* the continuation of every job here handles its error */
    cat->name = *cat->names;
    if (!cat->name || cat->output_failed) {
        return;
    }
    cat->names++;
    cat->scope = loop_scope_open(cat->env->scope, next, cat);
    if (!cat->scope) {
        cat->status = arguments_fail(cat->name, -ENOMEM);
        return;
    }
    loop_scope_hold(cat->scope);
    begin(cat);
}

static int start(struct loop_env *env, void *arg)
{
    struct cat *cat = arg;

    cat->env = env;
    if (fstat(STDOUT_FILENO, &cat->output) < 0) {
        cat->output.st_mode = 0; /* the first write reports the error */
    }
    next(cat, 0);
    return 0;
}

int main(int argc, char **argv)
{
    static char input[] = "-";
    static struct cat cat;
    char *only_input[] = {input, NULL};
    int status;

    cat.names = arguments_parse(&program, argc, argv);
    if (!cat.names[0]) {
        cat.names = only_input;
    }
    status = arguments_run(start, &cat);
    return status != 0 ? status : cat.status;
}
