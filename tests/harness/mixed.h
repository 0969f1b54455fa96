/* SPDX-License-Identifier: ISC
 *
 * The mixed program of suite_faults: one program that uses every area of the library, and in which any call may fail.
 * It consists of parts. Each part has its own scope, and ends early when a call in it fails. Whichever call fails, each
 * job ends once, each reported success is real, and the loop returns.
 */
#ifndef TESTS_MIXED_H
#define TESTS_MIXED_H

#include "harness.h"

struct part {
    const char *name;
    void (*begin)(struct part *part);
    void (*ended)(void); /* when its scope has; or NULL */
    struct loop_env *env;
    struct loop_scope *scope; /* NULL when it has ended, and where the part has not begun */
    int64_t result;
};

/* Runs all parts, or those whose names contain `only`, in the directory `path`; returns what the loop returned. Where a
 * promise is broken the process ends with status 3 and a line on standard error. */
int mixed_run(const char *path, const char *only);

/* How many jobs and parts of the last run ended with an error, or could not be made. */
unsigned mixed_errors(void);

/* ---- for the parts ---- */

/* Each ends with one that has no name. */
extern struct part mixed_byte_parts[], mixed_file_parts[], mixed_low_parts[], mixed_own_parts[];

/* The path of the directory. */
const char *mixed_path(void);

__attribute__((noreturn, format(printf, 1, 2))) void mixed_broken(const char *format, ...);

#define MIXED_MUST(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            mixed_broken("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                                         \
        }                                                                                                              \
    } while (0)

/* The continuation and its argument of a job that must end once; fn(arg, result) is called then. The call that starts
 * the job is the argument of mixed_started, which fails the part's scope when no job could be made. */
#define MIXED(part, fn, arg) mixed_resumed, mixed_track(__func__, __LINE__, (part), (fn), (arg))
void mixed_resumed(void *track, int64_t result);
loop_job mixed_started(loop_job job);

/* For continuations of other kinds, which are given the track and call mixed_resumed at the end. */
void *mixed_track(const char *function, int line, struct part *part, loop_fn *fn, void *arg);
void *mixed_arg(void *track);

/* Continuations for MIXED: an error fails the scope of the part, which is its argument; and one for what is cancelled
 * by the part itself. */
void mixed_done(void *part, int64_t result);
void mixed_cancelled(void *unused, int64_t result);

/* Fails the scope of the part when `result` is an error, and tells whether it is one. */
bool mixed_failed(struct part *part, int64_t result);

#endif
