/* SPDX-License-Identifier: ISC
 *
 * What the demos share: options, the help text, error messages, and running the loop.
 *
 * An error message is one line on standard error that begins with the program's name. Wrong arguments end the program
 * with status 2, all other errors with status 1.
 */
#ifndef DEMOS_ARGUMENTS_H
#define DEMOS_ARGUMENTS_H

#include <loop/loop.h>
#include <net/net.h>
#include <service/service.h>

/* One option. Exactly one of `flag`, `count`, `duration_ns`, `text` and `each` is set: it points to where the value is
 * stored, or is called with the value, for an option that may come several times. */
struct arguments_option {
    const char *name;        /* without the dashes */
    char letter;             /* the short form, or 0 */
    const char *placeholder; /* the name of the value in the help; NULL for a flag */
    const char *help;
    bool *flag;
    unsigned *count; /* between `least` and `most` */
    unsigned least, most;
    int64_t *duration_ns; /* given in seconds, with decimals */
    const char **text;    /* an argument of main */
    void (*each)(const char *text);
};

struct arguments_program {
    const char *name;
    const char *operands; /* as printed in the help: "ADDRESS" */
    const char *about;
    const struct arguments_option *options;
    size_t n_options;
    int least_operands, most_operands;
    unsigned n_blocks, block_size; /* default size of the loop's region; 0 is the loop's own default */
};

/* Parses the options, stores their values and returns the operands, terminated by NULL. Exits with status 0 for --help
 * and with status 2 for wrong arguments. Every program also has options for the loop's sizes. */
char **arguments_parse(const struct arguments_program *program, int argc, char **argv);

/* Parses the address of a stream. Exits with status 2 if it is wrong. */
struct loop_address arguments_address(const char *text);

/* Reports what is wrong with the arguments and exits with status 2. */
void arguments_refuse(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Writes one line to standard error, after the program's name. */
void arguments_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reports that `what` failed with the negative errno `error`. Returns 1. A program's first function may return that:
 * the loop ends, and nothing more is reported. */
int arguments_fail(const char *what, int64_t error);

/* Raises the limit of descriptors to the hard limit, because copying a tree needs many. Returns the limit. */
uint64_t arguments_allow_descriptors(void);

/* Runs a loop with the sizes from the options. Returns the program's exit status. Reports the error if the loop cannot
 * run. */
int arguments_run(loop_main_fn *start, void *arg);

/* Returns a writer to standard output, which belongs to the main scope, or NULL without memory. When it fails the loop
 * ends, and what has failed is reported. */
struct loop_writer *arguments_output(struct loop_env *env, size_t limit_bytes);

/* Prints "listening on ADDRESS (BACKEND)" and `more`, and flushes. Returns 0, or the result of arguments_fail. */
int arguments_announce(struct loop_env *env, struct loop_server *server, const char *more);

/* The options of every server: --max-connections and --grace; what is called when it has started and at its end, or
 * NULL; and for servers that have the option --domains, how many, and what each is prepared by, or NULL. */
struct arguments_serving {
    unsigned max_connections;
    int64_t connection_timeout_ns; /* 0: none */
    int64_t grace_ns;
    unsigned domains;
    loop_domain_fn *domain_main;
    loop_fn *on_start; /* see loop_serve_options */
    void *on_start_arg;
    loop_fn *on_end;
    void *on_end_arg;
    struct loop_service *service; /* NULL, or has the sockets of a manager or a predecessor, by the name "serve" */
};

#define ARGUMENTS_SERVING(serving)                                                                                     \
    {.name = "max-connections",                                                                                        \
     .placeholder = "N",                                                                                               \
     .count = &(serving).max_connections,                                                                              \
     .most = 1000000,                                                                                                  \
     .help = "serve at most N at a time, the others wait (0, the default: no limit)"},                                 \
    {                                                                                                                  \
        .name = "grace", .placeholder = "SECONDS", .duration_ns = &(serving).grace_ns,                                 \
        .help = "after SIGTERM or SIGINT, how long connections may go on (5; 0: as long as they like)"                 \
    }

#define ARGUMENTS_DOMAINS(serving)                                                                                     \
    {                                                                                                                  \
        .name = "domains", .placeholder = "N", .count = &(serving).domains, .most = LOOP_DOMAINS_MAX,                  \
        .help = "serve by N loops, each in a thread of its own (0, the default: by one loop alone)"                    \
    }

/* Lowers the number of connections at a time to what there are descriptors for, where each connection needs `each` and
 * all else `others`. Those beyond it wait. */
void arguments_bound_connections(struct arguments_serving *serving, uint64_t each, uint64_t others);

/* Serves on `address` until SIGTERM or SIGINT. `server` is that of loop_serve_options. Returns 0, or the result of
 * arguments_fail. */
int arguments_serve(struct loop_env *env, const struct loop_address *address, const struct arguments_serving *serving,
                    struct loop_server **server, loop_connection_fn *on_connection, void *arg);

#endif
