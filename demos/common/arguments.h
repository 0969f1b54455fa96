/* SPDX-License-Identifier: ISC
 *
 * What the demos share: options, the help text, one way to complain, and a loop that is run with all of it.
 *
 * A complaint is one line on standard error that begins with the program's name. Arguments that can't be
 * used end the program with status 2, everything else that goes wrong with status 1.
 */
#ifndef DEMOS_ARGUMENTS_H
#define DEMOS_ARGUMENTS_H

#include <loop/loop.h>
#include <net/net.h>

/* One option. Exactly one of `flag`, `count` and `duration_ns` is set; that is where the value goes. */
struct arguments_option {
    const char *name;        /* without the dashes */
    char letter;             /* the short form, or 0 */
    const char *placeholder; /* what the help calls the value; NULL for a flag */
    const char *help;
    bool *flag;
    unsigned *count; /* between `least` and `most` */
    unsigned least, most;
    int64_t *duration_ns; /* given in seconds, with decimals */
};

struct arguments_program {
    const char *name;
    const char *operands; /* as the help writes them: "ADDRESS" */
    const char *about;
    const struct arguments_option *options;
    size_t n_options;
    int least_operands, most_operands;
    unsigned n_blocks, block_size; /* the loop's region, where nothing else is asked for; 0 is the loop's own default */
};

/* Reads the options, stores their values and returns the operands, ended by NULL. Ends the program for --help
 * (status 0) and for what can't be used (status 2). Every program has the loop's sizes as options too. */
char **arguments_parse(const struct arguments_program *program, int argc, char **argv);

/* Reads an address, or ends the program with status 2. */
struct loop_address arguments_address(const char *text);

/* Says what is wrong with the arguments and ends the program with status 2. */
void arguments_refuse(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* One line on standard error, after the program's name. */
void arguments_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says that something failed with the negative errno `error`. Returns 1, which a program's first function may
 * return in turn: the loop ends, and nothing more is said. */
int arguments_fail(const char *what, int64_t error);

/* Lets the program have as many descriptors as its hard limit says: the usual limit is not meant for trees. */
void arguments_allow_descriptors(void);

/* Runs a loop of the sizes that were asked for. Returns the program's status; a loop that couldn't be run has been
 * complained about. */
int arguments_run(loop_main_fn *start, void *arg);

/* Prints "listening on ADDRESS (BACKEND)" and `more`, at once. Returns 0, or what arguments_fail returned. */
int arguments_announce(struct loop_env *env, struct loop_server *server, const char *more);

/* The same options for every server: --max-connections and --grace. */
struct arguments_serving {
    unsigned max_connections;
    int64_t grace_ns;
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

/* Serves on `address` until SIGTERM or SIGINT; `server` as in loop_serve_options. Returns 0, or what arguments_fail
 * returned. */
int arguments_serve(struct loop_env *env, const struct loop_address *address, const struct arguments_serving *serving,
                    struct loop_server **server, loop_connection_fn *on_connection, void *arg);

#endif
