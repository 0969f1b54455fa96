/* SPDX-License-Identifier: ISC
 *
 * Parses options with getopt_long(3), reports errors, and runs the loop.
 */
#include "arguments.h"

#include <loop/writer.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST_OPTIONS 24
#define LONGEST_SECONDS 1e6

enum { STATUS_FAILED = 1, STATUS_BAD_ARGUMENTS = 2 };
enum { OPTION_HELP = 'h', OPTION_FIRST = 256 }; /* a character, or OPTION_FIRST and an index: see getopt_long */

static const char *program_name = "demo";
static atomic_bool loop_has_complained; /* any loop of the program */

static unsigned queue_depth, n_blocks, block_size;

static const struct arguments_option loop_sizes[] = {
    {.name = "queue-depth",
     .placeholder = "N",
     .count = &queue_depth,
     .most = 32768,
     .help = "entries of the loop's submission queue (64)"},
    {.name = "blocks",
     .placeholder = "N",
     .count = &n_blocks,
     .most = 1u << 24,
     .help = "how many chunks the loop's region has (0, the default: as suits the program)"},
    {.name = "block-size",
     .placeholder = "BYTES",
     .count = &block_size,
     .most = 1u << 30,
     .help = "bytes of one chunk (0, the default: as suits the program)"},
};

#define N_LOOP_SIZES (sizeof loop_sizes / sizeof loop_sizes[0])

/* ---- complaints ---- */

/* Writing to a full pipe would block the loop, so the line is dropped then. A writable pipe has room for PIPE_BUF
 * bytes, which is more than a line (pipe(7)). */
static bool is_writable(int number)
{
    struct pollfd entry = {.fd = number, .events = POLLOUT};

    return poll(&entry, 1, 0) > 0 && (entry.revents & POLLOUT);
}

static void complain(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

static void complain(const char *format, va_list arguments)
{
    char text[1024], line[1200];

    vsnprintf(text, sizeof text, format, arguments);
    int len = snprintf(line, sizeof line, "%s: %s\n", program_name, text);
    if (len > 0 && is_writable(STDERR_FILENO)) {
        (void)!write(STDERR_FILENO, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
    }
}

void arguments_complain(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
}

void arguments_refuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    exit(STATUS_BAD_ARGUMENTS);
}

int arguments_fail(const char *what, int64_t error)
{
    arguments_complain("%s: %s", what, strerror((int)-error));
    return STATUS_FAILED;
}

/* ---- options ---- */

static const struct arguments_option *option_at(const struct arguments_program *program, size_t index)
{
    return index < program->n_options ? &program->options[index] : &loop_sizes[index - program->n_options];
}

static void print_option(const struct arguments_option *option)
{
    char left[64], letter[] = "-x, ";

    letter[1] = option->letter;
    snprintf(left, sizeof left, "%s--%s %s", option->letter ? letter : "", option->name,
             option->placeholder ? option->placeholder : "");
    printf("  %-24s  %s\n", left, option->help);
}

static void help(const struct arguments_program *program)
{
    printf("Usage: %s [OPTION]... %s\n%s\n\nOptions:\n", program->name, program->operands, program->about);
    for (size_t i = 0; i < program->n_options + N_LOOP_SIZES; i++) {
        print_option(option_at(program, i));
    }
    printf("  %-24s  %s\n", "--help", "print this and end");
    if (fflush(stdout) != 0) {
        exit(arguments_fail("standard output", -errno));
    }
    exit(0);
}

static void read_count(const struct arguments_option *option, const char *text)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0') {
        arguments_refuse("--%s: '%s' is not a whole number", option->name, text);
    }
    if (errno != 0 || value < option->least || value > option->most) {
        arguments_refuse("--%s: %s is not between %u and %u", option->name, text, option->least, option->most);
    }
    *option->count = (unsigned)value;
}

static void read_duration(const struct arguments_option *option, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    /* strtod accepts more than decimals: signs, hexadecimals, infinity. */
    if (text[0] == '\0' || text[strspn(text, "0123456789.")] != '\0' || *end != '\0') {
        arguments_refuse("--%s: '%s' is not a number of seconds", option->name, text);
    }
    if (seconds > LONGEST_SECONDS) {
        arguments_refuse("--%s: %s seconds are too many", option->name, text);
    }
    *option->duration_ns = (int64_t)(seconds * (double)LOOP_SECOND);
}

static void read_option(const struct arguments_option *option, const char *text)
{
    if (option->flag) {
        *option->flag = true;
    } else if (option->count) {
        read_count(option, text);
    } else if (option->text) {
        *option->text = text;
    } else if (option->each) {
        option->each(text);
    } else {
        read_duration(option, text);
    }
}

/* Returns the option that getopt_long found, by its letter or its index in the table. NULL if it is not in the
 * table. */
static const struct arguments_option *find_option(const struct arguments_program *program, int answer)
{
    if (answer >= OPTION_FIRST) {
        return option_at(program, (size_t)(answer - OPTION_FIRST));
    }
    for (size_t i = 0; i < program->n_options; i++) {
        if (answer != 0 && program->options[i].letter == answer) {
            return &program->options[i];
        }
    }
    return NULL;
}

/* Reports an error of getopt_long. `optopt` is set if the option exists and its value is wrong. */
static void refuse_option(const struct arguments_program *program, int answer, char **argv)
{
    const struct arguments_option *option = find_option(program, optopt);

    if (option || optopt == OPTION_HELP) {
        arguments_refuse(answer == ':' ? "--%s needs a value" : "--%s takes no value", option ? option->name : "help");
    }
    if (optopt != 0) {
        arguments_refuse("unknown option '-%c' (--help tells the options)", optopt);
    }
    arguments_refuse("unknown option '%s' (--help tells the options)", argv[optind - 1]);
}

static void fill_table(const struct arguments_program *program, struct option *table)
{
    size_t n = program->n_options + N_LOOP_SIZES;

    for (size_t i = 0; i < n; i++) {
        const struct arguments_option *option = option_at(program, i);

        table[i] = (struct option){.name = option->name,
                                   .has_arg = option->flag ? no_argument : required_argument,
                                   .val = OPTION_FIRST + (int)i};
    }
    table[n] = (struct option){.name = "help", .val = OPTION_HELP};
}

/* Fills in the short options for getopt_long. With a leading colon it distinguishes a missing value from an unknown
 * option. */
static void fill_letters(const struct arguments_program *program, char *letters)
{
    *letters++ = ':';
    *letters++ = OPTION_HELP;
    for (size_t i = 0; i < program->n_options; i++) {
        if (program->options[i].letter) {
            *letters++ = program->options[i].letter;
            if (!program->options[i].flag) {
                *letters++ = ':';
            }
        }
    }
    *letters = '\0';
}

static void check_operands(const struct arguments_program *program, int argc, char **argv)
{
    int n = argc - optind;

    if (n < program->least_operands) {
        arguments_refuse("an operand is missing: %s [OPTION]... %s", program->name, program->operands);
    }
    if (n > program->most_operands) {
        arguments_refuse("'%s' is one operand too many", argv[optind + program->most_operands]);
    }
}

char **arguments_parse(const struct arguments_program *program, int argc, char **argv)
{
    struct option table[MOST_OPTIONS + 2] = {{0}};
    char letters[2 * MOST_OPTIONS + 3];
    int answer;

    program_name = program->name;
    fill_table(program, table);
    fill_letters(program, letters);
    opterr = 0;
    while ((answer = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        const struct arguments_option *option = find_option(program, answer);

        if (answer == OPTION_HELP) {
            help(program);
        }
        if (!option) {
            refuse_option(program, answer, argv);
        }
        read_option(option, optarg);
    }
    n_blocks = n_blocks > 0 ? n_blocks : program->n_blocks;
    block_size = block_size > 0 ? block_size : program->block_size;
    check_operands(program, argc, argv);
    return argv + optind;
}

struct loop_address arguments_address(const char *text)
{
    struct loop_address address;
    int error = loop_address_parse(&address, text);

    if (strncmp(text, "udp:", 4) == 0) { /* the same as "tcp:" for the library */
        arguments_refuse("'%s': no datagrams are served; tcp: and unix: are", text);
    }
    if (error == -ENAMETOOLONG) {
        arguments_refuse("'%s' is too long for a Unix socket", text);
    }
    if (error != 0) {
        arguments_refuse("'%s' is no address; tcp:127.0.0.1:7000, tcp:[::1]:7000, unix:/path and unix:@name are", text);
    }
    return address;
}

/* ---- running ---- */

static void on_log(void *arg, enum loop_log_level level, const char *line)
{
    (void)arg;
    if (level >= LOOP_LOG_WARNING) {
        arguments_complain("%s", line);
    }
    if (level == LOOP_LOG_ERROR) {
        loop_has_complained = true;
    }
}

/* The options of each loop of the program. */
static struct loop_options options_of_loops(void)
{
    return (struct loop_options){
        .queue_depth = queue_depth, .n_blocks = n_blocks, .block_size = block_size, .log = on_log};
}

uint64_t arguments_allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit.rlim_max, limit.rlim_max}) == 0) {
        return limit.rlim_max;
    }
    return limit.rlim_cur;
}

int arguments_run(loop_main_fn *start, void *arg)
{
    struct loop_options options = options_of_loops();
    int result = loop_run_with(&options, start, arg);

    if (result >= 0) {
        return result;
    }
    if (!loop_has_complained) {
        arguments_fail("the loop failed", result);
    }
    return STATUS_FAILED;
}

/* A writer that has failed stays failed. */
static void on_output_over(void *writer)
{
    int error = loop_writer_append(writer, "", 0);

    if (error < 0 && error != -ECANCELED) {
        arguments_fail("standard output", error);
        loop_has_complained = true;
    }
}

struct loop_writer *arguments_output(struct loop_env *env, size_t limit_bytes)
{
    struct loop_writer *writer = loop_writer_create(env->out, limit_bytes);

    return writer && loop_scope_defer(env->scope, on_output_over, writer) ? writer : NULL;
}

int arguments_announce(struct loop_env *env, struct loop_server *server, const char *more)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    struct loop_address address;
    int error = loop_listener_address(loop_server_listener(server), &address);

    if (error == 0) {
        error = loop_address_format(&address, text, sizeof text);
    }
    if (error < 0) {
        return arguments_fail("the listening address", error);
    }
    if (printf("listening on %s (%s)%s\n", text, loop_backend_name(env->loop), more) < 0 || fflush(stdout) != 0) {
        return arguments_fail("standard output", -errno);
    }
    return 0;
}

void arguments_bound_connections(struct arguments_serving *serving, uint64_t each, uint64_t others)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    rlim_t most = limit.rlim_cur > others + each ? (limit.rlim_cur - others) / each : 1;
    most = most < UINT_MAX ? most : UINT_MAX;
    if (serving->max_connections == 0 || serving->max_connections > most) {
        serving->max_connections = (unsigned)most;
    }
}

int arguments_serve(struct loop_env *env, const struct loop_address *address, const struct arguments_serving *serving,
                    struct loop_server **server, loop_connection_fn *on_connection, void *arg)
{
    struct loop_domains_options domains = {.loop = options_of_loops()};
    struct loop_serve_options options = {
        .listen = {.reuse_addr = true},
        .max_connections = serving->max_connections,
        .connection_timeout_ns = serving->connection_timeout_ns,
        .stop_on_signals = true,
        .grace_ns = serving->grace_ns,
        .on_start = serving->on_start,
        .on_start_arg = serving->on_start_arg,
        .on_end = serving->on_end,
        .on_end_arg = serving->on_end_arg,
        .domains = serving->domains,
        .domain_main = serving->domain_main,
        .domain_options = &domains,
    };
    char text[LOOP_ADDRESS_TEXT_SIZE];
    int error = serving->service
                    ? loop_service_serve(serving->service, "serve", address, &options, server, on_connection, arg)
                    : loop_serve(env->scope, address, &options, server, on_connection, arg);

    if (error == 0) {
        return 0;
    }
    if (loop_address_format(address, text, sizeof text) < 0) {
        snprintf(text, sizeof text, "the address");
    }
    arguments_complain("can't listen on %s: %s", text, strerror(-error));
    return STATUS_FAILED;
}
