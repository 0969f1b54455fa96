/* SPDX-License-Identifier: ISC
 *
 * The main function of programs that search.
 */
#include <loop/simulation.h>
#include <loop/simulation/run.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SECONDS (INT64_MAX / LOOP_SECOND)

/* What the arguments say. */
struct arguments {
    struct loop_simulation_options options;
    uint32_t *choices; /* allocated; NULL: no replay */
    const char *trace, *svg, *pcap;
};

/* ---- reading ---- */

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == 0 && errno == 0 && *number >= least && *number <= most;
}

static bool read_runs(struct arguments *arguments, const char *value)
{
    return read_number(value, 1, UINT64_MAX, &arguments->options.runs);
}

/* Without a number of runs, the time alone ends the search. */
static bool read_seconds(struct arguments *arguments, const char *value)
{
    struct loop_simulation_options *options = &arguments->options;
    uint64_t seconds;
    bool is_read = read_number(value, 1, MOST_SECONDS, &seconds);
    options->time_limit_ns = is_read ? (int64_t)seconds * LOOP_SECOND : 0;
    options->runs = options->runs ? options->runs : UINT64_MAX;
    return is_read;
}

static bool read_seed(struct arguments *arguments, const char *value)
{
    return read_number(value, 0, UINT64_MAX, &arguments->options.seed);
}

static bool read_replay(struct arguments *arguments, const char *value)
{
    free(arguments->choices); /* the last of several counts */
    arguments->choices = loop_simulation_choices_parse(value, &arguments->options.n_choices);
    arguments->options.choices = arguments->choices;
    return arguments->choices != NULL;
}

static bool read_trace(struct arguments *arguments, const char *value)
{
    arguments->trace = value;
    return true;
}

static bool read_svg(struct arguments *arguments, const char *value)
{
    arguments->svg = value;
    return true;
}

static bool read_pcap(struct arguments *arguments, const char *value)
{
    arguments->pcap = value;
    return true;
}

/* The arguments that have a value: each with what reads it, and what is wrong with a value that it refuses. */
static const struct value {
    const char *name;
    bool (*read)(struct arguments *arguments, const char *value);
    const char *refused;
} values[] = {
    {"--runs", read_runs, ": not a number from 1"},
    {"--seconds", read_seconds, ": not a number from 1 to 9223372036"},
    {"--seed", read_seed, ": not a number"},
    {"--replay", read_replay, ": not a list of choices: numbers with spaces between them, N zeros as Nx0"},
    {"--trace", read_trace, ""},
    {"--svg", read_svg, ""},
    {"--pcap", read_pcap, ""},
};

static const struct value *find_value(const char *name)
{
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (!strcmp(name, values[i].name)) {
            return &values[i];
        }
    }
    return NULL;
}

/* Prints what is wrong, and the usage. Returns false. */
static bool refuse(const char *program, const char *name, const char *value, const char *reason)
{
    (void)fprintf(stderr,
                  "%s: %s%s%.60s%s\n"
                  "usage: %s [--runs N] [--seconds N] [--seed N] [--exhaustive] [--replay \"CHOICES\"]\n"
                  "       [--trace FILE] [--svg FILE] [--pcap FILE]\n",
                  program, name, value[0] ? " " : "", value, reason, program);
    return false;
}

static bool read_arguments(struct arguments *arguments, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const struct value *value = find_value(argv[i]);
        if (value && i + 1 == argc) {
            return refuse(argv[0], argv[i], "", " needs a value");
        }
        if (value && !value->read(arguments, argv[i + 1])) {
            return refuse(argv[0], argv[i], argv[i + 1], value->refused);
        }
        if (!value && strcmp(argv[i], "--exhaustive") != 0) {
            return refuse(argv[0], "there is no argument", argv[i], "");
        }
        arguments->options.is_exhaustive |= !value;
        i += value != NULL;
    }
    return true;
}

/* ---- writing ---- */

static bool cannot_write(const char *program, const char *name, int error)
{
    (void)fprintf(stderr, "%s: cannot write %s: %s\n", program, name, strerror(error));
    return false;
}

/* Writes a file. `data` is freed; NULL: there was no memory for it. Returns false after an error. */
static bool write_file(const char *program, const char *name, void *data, size_t size)
{
    errno = ENOMEM;
    FILE *file = data ? fopen(name, "wb") : NULL;
    int error = file && fwrite(data, 1, size, file) == size ? 0 : errno;
    if (file && fclose(file) != 0 && error == 0) {
        error = errno;
    }
    free(data);
    return error == 0 || cannot_write(program, name, error);
}

static bool write_text(const char *program, const char *name, char *text)
{
    return write_file(program, name, text, text ? strlen(text) : 0);
}

/* Writes the files that are asked for. Returns false after an error. */
static bool write_files(const char *program, const struct arguments *arguments,
                        const struct loop_simulation_trace *trace)
{
    bool are_written = true;
    if (arguments->trace) {
        are_written &= write_text(program, arguments->trace, loop_simulation_trace_text(trace));
    }
    if (arguments->svg) {
        are_written &= write_text(program, arguments->svg, loop_simulation_trace_svg(trace));
    }
    if (arguments->pcap) {
        size_t size = 0;
        void *data = loop_simulation_trace_pcap(trace, &size);
        are_written &= write_file(program, arguments->pcap, data, size);
    }
    return are_written;
}

static void tell_of_no_trace(const char *program, const struct arguments *arguments)
{
    const char *const names[] = {arguments->trace, arguments->svg, arguments->pcap};
    for (unsigned i = 0; i < 3; i++) {
        if (names[i]) {
            (void)fprintf(stderr, "%s: no run has failed, so %s is not written\n", program, names[i]);
        }
    }
}

/* Prints a result, and writes its trace to files. Returns false after an error. */
static bool print_result(const char *program, const struct arguments *arguments,
                         const struct loop_simulation_result *result)
{
    char *text = loop_simulation_result_text(result);
    errno = ENOMEM;
    int error = text && fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? 0 : errno;
    free(text);
    bool is_printed = error == 0 || cannot_write(program, "standard output", error);
    if (result->trace) {
        return write_files(program, arguments, result->trace) && is_printed;
    }
    tell_of_no_trace(program, arguments);
    return is_printed;
}

/* Reports a run that has not made a choice of its list: the list is shorter or longer than the run, or has a value that
 * is not possible there. */
static void tell_of_difference(const char *program, const struct loop_simulation_options *options,
                               const struct loop_simulation_result *result)
{
    for (size_t i = 0; i < options->n_choices; i++) {
        uint32_t wanted = options->choices[i], made = i < result->n_choices ? result->choices[i] : 0;
        if (made != wanted) {
            (void)fprintf(stderr,
                          "%s: choice %zu of the list, %lu, was not made: the list is of another program or world, or "
                          "of a run with other faults\n",
                          program, i + 1, (unsigned long)wanted);
            return;
        }
    }
}

/* ---- the program ---- */

/* Returns the exit status. */
static int search(const char *program, struct arguments *arguments, loop_world_fn *build, void *arg)
{
    const struct loop_simulation_options *options = &arguments->options;
    struct loop_simulation_result result = {0};
    arguments->options.is_traced = true;
    int status = options->choices || options->bytes ? loop_simulation_run(build, arg, options, &result)
                                                    : loop_simulation_explore(build, arg, options, &result);
    if (status < 0) {
        const char *mistake = loop_sim_run_mistake(build, options);
        (void)fprintf(stderr, "%s: options of the simulation: %s\n", program, mistake ? mistake : strerror(-status));
    } else {
        tell_of_difference(program, options, &result);
        status = print_result(program, arguments, &result) ? status : 2;
    }
    loop_simulation_result_finish(&result);
    return status < 0 ? 2 : status;
}

int loop_simulation_main(int argc, char **argv, loop_world_fn *build, void *arg,
                         const struct loop_simulation_options *options)
{
    struct arguments arguments = {.options = options ? *options : (struct loop_simulation_options){0}};
    int status = read_arguments(&arguments, argc, argv) ? search(argv[0], &arguments, build, arg) : 2;
    free(arguments.choices);
    return status;
}
