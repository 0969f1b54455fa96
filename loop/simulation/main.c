/* SPDX-License-Identifier: ISC
 *
 * The main function of programs that search.
 */
#include <loop/simulation.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the arguments say. */
struct arguments {
    struct loop_simulation_options options;
    uint32_t *choices; /* allocated; NULL: no replay */
    const char *trace, *svg, *pcap;
};

/* ---- reading ---- */

static bool read_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == 0 && errno == 0;
}

/* Reads the value of an argument. Returns false for one that is not known or wrong. */
static bool read_value(struct arguments *arguments, const char *name, const char *value)
{
    struct loop_simulation_options *options = &arguments->options;
    uint64_t seconds;
    if (!strcmp(name, "--runs")) {
        return read_number(value, &options->runs);
    }
    if (!strcmp(name, "--seed")) {
        return read_number(value, &options->seed);
    }
    if (!strcmp(name, "--seconds") && read_number(value, &seconds) && seconds < INT64_MAX / LOOP_SECOND) {
        options->time_limit_ns = (int64_t)seconds * LOOP_SECOND;
        options->runs = options->runs ? options->runs : UINT64_MAX;
        return true;
    }
    if (!strcmp(name, "--replay") && !arguments->choices) {
        arguments->choices = loop_simulation_choices_parse(value, &options->n_choices);
        options->choices = arguments->choices;
        return options->choices != NULL;
    }
    const char **file = !strcmp(name, "--trace")  ? &arguments->trace
                        : !strcmp(name, "--svg")  ? &arguments->svg
                        : !strcmp(name, "--pcap") ? &arguments->pcap
                                                  : NULL;
    if (file) {
        *file = value;
    }
    return file != NULL;
}

static bool read_arguments(struct arguments *arguments, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--exhaustive")) {
            arguments->options.is_exhaustive = true;
        } else if (i + 1 < argc && read_value(arguments, argv[i], argv[i + 1])) {
            i++;
        } else {
            (void)fprintf(stderr,
                          "usage: %s [--runs N] [--seconds N] [--seed N] [--exhaustive] [--replay \"CHOICES\"]\n"
                          "       [--trace FILE] [--svg FILE] [--pcap FILE]\n",
                          argv[0]);
            return false;
        }
    }
    return true;
}

/* ---- writing ---- */

/* Writes a file. `data` is freed. Returns false after an error. */
static bool write_file(const char *name, void *data, size_t size)
{
    FILE *file = data ? fopen(name, "wb") : NULL;
    bool is_written = file && fwrite(data, 1, size, file) == size;
    is_written = file && fclose(file) == 0 && is_written;
    free(data);
    if (!is_written) {
        (void)fprintf(stderr, "%s: %s\n", name, strerror(errno));
    }
    return is_written;
}

static bool write_text(const char *name, char *text)
{
    return write_file(name, text, text ? strlen(text) : 0);
}

static bool write_files(const struct arguments *arguments, const struct loop_simulation_trace *trace)
{
    bool are_written = true;
    if (trace && arguments->trace) {
        are_written &= write_text(arguments->trace, loop_simulation_trace_text(trace));
    }
    if (trace && arguments->svg) {
        are_written &= write_text(arguments->svg, loop_simulation_trace_svg(trace));
    }
    if (trace && arguments->pcap) {
        size_t size;
        void *data = loop_simulation_trace_pcap(trace, &size);
        are_written &= write_file(arguments->pcap, data, size);
    }
    return are_written;
}

int loop_simulation_main(int argc, char **argv, loop_world_fn *build, void *arg,
                         const struct loop_simulation_options *options)
{
    struct arguments arguments = {.options = options ? *options : (struct loop_simulation_options){0}};
    struct loop_simulation_result result = {0};
    if (!read_arguments(&arguments, argc, argv)) {
        free(arguments.choices);
        return 2;
    }
    arguments.options.is_traced = true;
    int status = arguments.options.choices || arguments.options.bytes
                     ? loop_simulation_run(build, arg, &arguments.options, &result)
                     : loop_simulation_explore(build, arg, &arguments.options, &result);
    if (status < 0) {
        (void)fprintf(stderr, "%s: the options of the simulation: %s\n", argv[0], strerror(-status));
    } else {
        char *text = loop_simulation_result_text(&result);
        (void)fputs(text ? text : "no memory for the result\n", stdout);
        free(text);
        status = write_files(&arguments, result.trace) ? status : 2;
    }
    loop_simulation_result_finish(&result);
    free(arguments.choices);
    return status < 0 ? 2 : status;
}
