/* SPDX-License-Identifier: ISC
 *
 * Options, clocks, the measured window, and the line of JSON. See local.h.
 */
#include "local.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The default numbers of operations: each takes a few tenths of a second. */
static const struct {
    const char *workload;
    uint64_t count;
    unsigned depth;
    size_t size, file_size;
} defaults[] = {
    {"pingpong", 200000, 1, 1, 0},
    {"pipe", 30000, 1, 65536, 0},
    {"wake-self", 500000, 1, 0, 0},
    {"wake-thread", 2000, 1, 0, 0},
    {"nop", 1000000, 1, 0, 0},
    {"turn", 2000000, 1, 0, 0},
    {"timers-start", 1000000, 1, 0, 0},
    {"timers-cancel", 1000000, 1, 0, 0},
    {"timers-fire", 100000, 1, 0, 0},
    {"read", 300000, 32, 4096, (size_t)256 << 20},
    {"copy", 0, 1, 65536, (size_t)1 << 30},
    {"start-stop", 500, 1, 0, 0},
};

void local_fail(const char *what, int64_t error)
{
    if (error < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror((int)-error));
    } else {
        fprintf(stderr, "%s\n", what);
    }
    exit(1);
}

int64_t local_sys(const char *what, int64_t result)
{
    if (result < 0) {
        local_fail(what, -errno);
    }
    return result;
}

void *local_alloc(size_t n, size_t size)
{
    void *memory = malloc(n * size + 1);
    if (!memory) {
        local_fail("no memory", -ENOMEM);
    }
    memset(memory, 0, n * size + 1);
    return memory;
}

void *local_alloc_new(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (!memory) {
        local_fail("no memory", -ENOMEM);
    }
    return memory;
}

void local_extra(struct local_result *result, const char *name, double value)
{
    local_check(result->n_extras < LOCAL_EXTRAS, "too many figures");
    result->extras[result->n_extras].name = name;
    result->extras[result->n_extras++].value = value;
}

/* ---- time ---- */

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * LOCAL_SECOND + now.tv_nsec;
}

int64_t local_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t local_cpu(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void local_span_begin(struct local_span *span)
{
    span->cpu = local_cpu();
    span->wall = local_now();
}

void local_span_end(const struct local_span *span, struct local_result *result, uint64_t operations)
{
    int64_t wall = local_now(), cpu = local_cpu();
    if (result) {
        result->wall_ns += wall - span->wall;
        result->cpu_ns += cpu - span->cpu;
        result->operations += operations;
    }
}

void local_window_init(struct local_window *window, const struct local_options *options, struct local_result *result)
{
    *window = (struct local_window){.warmup = options->count / 10 + 1, .count = options->count, .result = result};
    window->next = window->warmup;
}

bool local_window_edge(struct local_window *window)
{
    if (window->next == window->warmup) {
        window->next += window->count;
        local_span_begin(&window->span);
        return true;
    }
    if (window->done == window->next) {
        local_span_end(&window->span, window->result, window->count);
    }
    return false;
}

/* ---- timers ---- */

/* Returns pseudo-random points in time: from `lead` ns, over `span` ns. */
static int64_t *new_deadlines(uint64_t count, int64_t lead, int64_t span)
{
    int64_t *deadlines = local_alloc(count, sizeof *deadlines);
    for (uint64_t i = 0; i < count; i++) {
        deadlines[i] = lead + (int64_t)(local_mix(i + 1) % (uint64_t)span);
    }
    return deadlines;
}

void local_run_timers(const struct local_options *options, struct local_result *result,
                      local_timer_rounds_fn *run_rounds)
{
    uint64_t n_rounds = options->count < 1000000 ? 1000000 / options->count : 1;
    int64_t *deadlines = new_deadlines(options->count, 20 * LOCAL_SECOND, 60 * LOCAL_SECOND);
    bool is_start = !strcmp(options->workload, "timers-start");
    struct local_timers timers = {.options = options, .count = options->count, .deadlines = deadlines};

    *(is_start ? &timers.started : &timers.cancelled) = result;
    if (options->how && !strcmp(options->how, "again")) {
        run_rounds(&timers, 1, n_rounds);
    } else {
        for (; n_rounds > 0; n_rounds--) {
            run_rounds(&timers, 0, 1);
        }
    }
    free(deadlines);
}

int64_t *local_fire_deadlines(const struct local_options *options)
{
    int64_t to_keep_up = (int64_t)options->count * 500;
    int64_t *deadlines = new_deadlines(options->count, LOCAL_MILLISECOND + to_keep_up,
                                       to_keep_up > LOCAL_SECOND ? to_keep_up : LOCAL_SECOND);

    if (options->how && !strncmp(options->how, "milliseconds", strlen("milliseconds"))) {
        for (uint64_t i = 0; i < options->count; i++) {
            deadlines[i] -= deadlines[i] % LOCAL_MILLISECOND;
        }
    }
    return deadlines;
}

void local_late(struct local_lateness *lateness, int64_t deadline)
{
    int64_t late = local_now() - deadline;
    lateness->n++;
    lateness->early += late < 0;
    lateness->sum += late;
    lateness->max = late > lateness->max ? late : lateness->max;
}

static void tell_lateness(const struct local_lateness *lateness, struct local_result *result)
{
    local_check(lateness->n > 0, "no timer was looked at");
    local_extra(result, "mean_late_us", (double)lateness->sum / (double)lateness->n / 1000);
    local_extra(result, "max_late_us", (double)lateness->max / 1000);
    local_extra(result, "early", (double)lateness->early);
}

void local_firing_tell(const struct local_firing *firing, struct local_result *result)
{
    local_check(firing->n_left == 0, "not every timer has fired");
    tell_lateness(&firing->lateness, result);
}

/* ---- the program ---- */

static void usage(const char *program)
{
    fprintf(stderr,
            "usage: %s WORKLOAD [--how NAME] [--count N] [--depth N] [--size BYTES] [--file PATH] [--file-size BYTES]"
            " [--to PATH]\n       %s --list\n",
            program, program);
    exit(2);
}

static uint64_t number(const char *text, uint64_t most, const char *program)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value == 0 || value > most) {
        usage(program);
    }
    return value;
}

static void list(const struct local_workload *workloads)
{
    for (; workloads->name; workloads++) {
        printf("%s %s\n", workloads->name, workloads->how ? workloads->how : "");
    }
    exit(0);
}

static void parse(int argc, char **argv, const struct local_workload *workloads, struct local_options *options)
{
    static const struct option known[] = {{"how", required_argument, NULL, 'w'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"size", required_argument, NULL, 's'},
                                          {"file", required_argument, NULL, 'f'},
                                          {"file-size", required_argument, NULL, 'l'},
                                          {"to", required_argument, NULL, 't'},
                                          {"list", no_argument, NULL, 'L'},
                                          {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'w': options->how = optarg; break;
        case 'n': options->count = number(optarg, UINT64_C(1) << 40, argv[0]); break;
        case 'd': options->depth = (unsigned)number(optarg, 4096, argv[0]); break;
        case 's': options->size = number(optarg, (uint64_t)1 << 30, argv[0]); break;
        case 'f': options->file = optarg; break;
        case 'l': options->file_size = number(optarg, (uint64_t)1 << 40, argv[0]); break;
        case 't': options->to = optarg; break;
        case 'L': list(workloads); break;
        default: usage(argv[0]);
        }
    }
    if (optind != argc - 1) {
        usage(argv[0]);
    }
    options->workload = argv[optind];
}

static void fill_in_defaults(struct local_options *options)
{
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (!strcmp(defaults[i].workload, options->workload)) {
            options->count = options->count ? options->count : defaults[i].count;
            options->depth = options->depth ? options->depth : defaults[i].depth;
            options->size = options->size ? options->size : defaults[i].size;
            options->file_size = options->file_size ? options->file_size : defaults[i].file_size;
        }
    }
}

static const struct local_workload *find(const struct local_workload *workload, const struct local_options *options)
{
    for (; workload->name; workload++) {
        if (!strcmp(workload->name, options->workload) &&
            (!options->how || (workload->how && !strcmp(workload->how, options->how)))) {
            return workload;
        }
    }
    fprintf(stderr, "no workload %s%s%s here\n", options->workload, options->how ? " --how " : "",
            options->how ? options->how : "");
    exit(3);
}

static void print(const struct local_result *result)
{
    double n = (double)result->operations;
    local_check(result->operations > 0, "nothing was measured");
    printf("{\"operations\":%llu,\"wall_ns_per_op\":%.2f,\"cpu_ns_per_op\":%.2f",
           (unsigned long long)result->operations, (double)result->wall_ns / n, (double)result->cpu_ns / n);
    for (unsigned i = 0; i < result->n_extras; i++) {
        printf(",\"%s\":%.2f", result->extras[i].name, result->extras[i].value);
    }
    printf("}\n");
}

int local_main(int argc, char **argv, const struct local_workload *workloads)
{
    struct local_options options = {0};
    struct local_result result = {0};
    const struct local_workload *workload;

    parse(argc, argv, workloads, &options);
    workload = find(workloads, &options);
    options.how = workload->how;
    fill_in_defaults(&options);
    workload->run(&options, &result);
    print(&result);
    return 0;
}
