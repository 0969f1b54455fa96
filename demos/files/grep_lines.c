/* SPDX-License-Identifier: ISC
 *
 * grep-lines PATTERN [FILE]...: prints the lines that match a regular expression. It exits with grep's status: 0 if a
 * line matched, 1 if none did, 2 after an error; the other files are still read then.
 *
 * One job reads the lines of a file. It is paused while much output is pending.
 */
#include "../common/arguments.h"

#include <fs/fs.h>
#include <loop/reader.h>
#include <loop/writer.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <regex.h>
#include <string.h>

#define LINE_BYTES ((size_t)16 << 20)
#define PENDING_BYTES ((size_t)1 << 18) /* above this the lines are paused */

/* One line with its prefix and end, in addition to the pending bytes: no append is ever refused. */
#define OUTPUT_BYTES (PENDING_BYTES + LINE_BYTES + 2 * PATH_MAX)

enum { STATUS_FOUND, STATUS_NOT_FOUND, STATUS_FAILED };

static bool counts, ignores_case, is_extended, is_inverted, prints_numbers;

static const struct arguments_option options[] = {
    {.name = "count", .letter = 'c', .flag = &counts, .help = "print only how many lines of each file match"},
    {.name = "extended-regexp", .letter = 'E', .flag = &is_extended, .help = "PATTERN is an extended expression"},
    {.name = "ignore-case", .letter = 'i', .flag = &ignores_case, .help = "capitals are as good as small letters"},
    {.name = "invert-match", .letter = 'v', .flag = &is_inverted, .help = "the lines that don't match"},
    {.name = "line-number", .letter = 'n', .flag = &prints_numbers, .help = "print the number of each line"},
};

static const struct arguments_program program = {
    .name = "grep-lines",
    .operands = "PATTERN [FILE]...",
    .about = "Prints the lines that match PATTERN, a regular expression; standard input for '-' and where there is no\n"
             "FILE. Lines end with LF or CRLF, which the pattern doesn't see, and have at most 16 MiB.\n"
             "Status 0: some lines matched; 1: none did; 2: something went wrong.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = INT_MAX,
};

struct grep {
    struct loop_env *env;
    regex_t pattern;
    struct loop_writer *output;
    char **names;             /* the remaining ones, terminated by NULL */
    bool prints_names;        /* there are several files */
    const char *name;         /* the current one */
    struct loop_scope *scope; /* that of the current file, held while it is read; NULL if there is none */
    struct loop_flow *flow;
    struct loop_reader *reader;
    loop_job lines; /* of the reader, which belongs to standard input's scope when that is read: not in `scope` */
    uint64_t n_lines, n_found; /* of the current file */
    bool is_flushing, has_found, has_failed, output_failed;
};

static void fail(struct grep *grep, const char *what, int64_t error)
{
    arguments_fail(what, error);
    grep->has_failed = true;
}

/* ---- output ---- */

static void fail_output(struct grep *grep, int64_t error)
{
    if (!grep->output_failed) {
        grep->output_failed = true;
        fail(grep, "standard output", error);
        if (grep->scope) {
            loop_scope_cancel(grep->scope);
            loop_cancel(grep->env->loop, grep->lines);
        }
    }
}

static void flush(struct grep *grep);

static void on_flushed(void *arg, int64_t result)
{
    struct grep *grep = arg;

    grep->is_flushing = false;
    if (result < 0) {
        fail_output(grep, result);
        return;
    }
    loop_resume(grep->env->loop, grep->lines);
    if (loop_writer_pending(grep->output) > 0) {
        flush(grep);
    }
}

/* A flush is always pending while there is output, so that its error is noticed. */
static void flush(struct grep *grep)
{
    grep->is_flushing = loop_writer_flush(grep->output, on_flushed, grep) != 0;
    if (!grep->is_flushing) {
        fail_output(grep, -ENOMEM);
    }
}

/* Flushes what was appended. Pauses the lines if much is pending. */
static void pass_on(struct grep *grep)
{
    if (!grep->is_flushing) {
        flush(grep);
    }
    if (loop_writer_pending(grep->output) >= PENDING_BYTES) {
        loop_pause(grep->env->loop, grep->lines);
    }
}

static void print_prefix(struct grep *grep)
{
    if (grep->prints_names) {
        loop_writer_print(grep->output, "%s:", grep->name);
    }
    if (prints_numbers && !counts) {
        loop_writer_print(grep->output, "%llu:", (unsigned long long)grep->n_lines);
    }
}

/* ---- lines ---- */

/* Matches with a length, because a line may contain a NUL. */
static bool is_match(const struct grep *grep, const char *line, size_t len)
{
    regmatch_t all = {.rm_so = 0, .rm_eo = (regoff_t)len};

    return (regexec(&grep->pattern, line, 1, &all, REG_STARTEND) == 0) != is_inverted;
}

static void finish(struct grep *grep, int64_t error)
{
    grep->reader = NULL;
    if (error == -EMSGSIZE) {
        arguments_complain("%s: line %llu is too long", grep->name, (unsigned long long)grep->n_lines + 1);
        grep->has_failed = true;
    } else if (error < 0 && !grep->output_failed) {
        fail(grep, grep->name, error);
    }
    if (counts && error == 0) {
        print_prefix(grep);
        loop_writer_print(grep->output, "%llu\n", (unsigned long long)grep->n_found);
        pass_on(grep);
    }
    loop_scope_unhold(grep->scope);
}

static void on_line(void *arg, int64_t result)
{
    struct grep *grep = arg;
    size_t len;
    const char *line = loop_reader_data(grep->reader, &len);

    if (result <= 0) {
        finish(grep, result);
        return;
    }
    grep->n_lines++;
    if (!is_match(grep, line, len)) {
        return;
    }
    grep->has_found = true;
    grep->n_found++;
    if (!counts) {
        bool had_cr = (size_t)result == len + 2;
        print_prefix(grep);
        loop_writer_append(grep->output, line, len);
        loop_writer_append(grep->output, had_cr ? "\r\n" : "\n", had_cr ? 2 : 1);
        pass_on(grep);
    }
}

/* ---- files ---- */

static void read_lines(struct grep *grep, struct loop_source *source)
{
    grep->reader = loop_reader_create(source, LINE_BYTES);
    grep->lines = grep->reader ? loop_reader_lines(grep->reader, on_line, grep) : 0;
    if (!grep->lines) {
        finish(grep, -ENOMEM);
    }
}

static void on_readable(void *arg, int64_t result)
{
    struct grep *grep = arg;

    if (result < 0) {
        finish(grep, result);
    } else {
        read_lines(grep, &grep->flow->source);
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct grep *grep = arg;

    /* A fifo without a writer reads as if it were at its end: wait for the first writer. */
    if (result < 0) {
        finish(grep, result);
    } else if (!loop_poll(grep->flow->fd, POLLIN, on_readable, grep)) {
        finish(grep, -ENOMEM);
    }
}

static void begin(struct grep *grep)
{
    if (strcmp(grep->name, "-") == 0) {
        grep->name = "(standard input)";
        read_lines(grep, grep->env->in);
    } else if (!loop_fs_open(grep->scope, grep->env->fs, grep->name, NULL, &grep->flow, on_opened, grep)) {
        finish(grep, -ENOMEM);
    }
}

static void next(void *arg, int64_t error)
{
    struct grep *grep = arg;

    (void)error; /* the continuation of every job here handles its error */
    if (grep->output_failed) {
        return;
    }
    grep->name = *grep->names;
    grep->scope = NULL;
    if (!grep->name) {
        return;
    }
    grep->names++;
    grep->n_lines = grep->n_found = 0;
    grep->scope = loop_scope_open(grep->env->scope, next, grep);
    if (!grep->scope) {
        fail(grep, grep->name, -ENOMEM);
        return;
    }
    loop_scope_hold(grep->scope);
    begin(grep);
}

static int start(struct loop_env *env, void *arg)
{
    struct grep *grep = arg;

    grep->env = env;
    grep->output = loop_writer_create(env->out, OUTPUT_BYTES);
    if (!grep->output) {
        return arguments_fail("standard output", -ENOMEM);
    }
    next(grep, 0);
    return 0;
}

static void compile(regex_t *pattern, const char *text)
{
    char message[256];
    int error = regcomp(pattern, text, (is_extended ? REG_EXTENDED : 0) | (ignores_case ? REG_ICASE : 0));

    if (error != 0) {
        regerror(error, pattern, message, sizeof message);
        arguments_refuse("'%s': %s", text, message);
    }
}

int main(int argc, char **argv)
{
    static char input[] = "-";
    static struct grep grep;
    char *only_input[] = {input, NULL};
    char **operands = arguments_parse(&program, argc, argv);

    compile(&grep.pattern, operands[0]);
    grep.names = operands[1] ? operands + 1 : only_input;
    grep.prints_names = operands[1] && operands[2];
    int status = arguments_run(start, &grep);
    regfree(&grep.pattern);
    if (status != 0 || grep.has_failed) {
        return STATUS_FAILED;
    }
    return grep.has_found ? STATUS_FOUND : STATUS_NOT_FOUND;
}
