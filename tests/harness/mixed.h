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
    void (*ended)(void); /* called when its scope has ended; may be NULL */
    struct loop_env *env;
    struct loop_scope *scope; /* NULL before the part begins and after the scope has ended */
    int64_t result;
};

/* Runs all parts, or those whose names contain `only`, in the directory `path`. Returns the result of the loop. If a
 * promise is broken, the process exits with status 3 and a line on standard error. */
int mixed_run(const char *path, const char *only);

/* Returns the number of jobs and parts of the last run that ended with an error or could not be created. */
unsigned mixed_errors(void);

/* ---- for the parts ---- */

/* Each array ends with a part without a name. */
extern struct part mixed_byte_parts[], mixed_file_parts[], mixed_low_parts[], mixed_own_parts[];

/* Returns the path of the directory. */
const char *mixed_path(void);

__attribute__((noreturn, format(printf, 1, 2))) void mixed_broken(const char *format, ...);

#define MIXED_MUST(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            mixed_broken("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                                         \
        }                                                                                                              \
    } while (0)

/* The continuation and argument of a job that must end once; it calls fn(arg, result). The call that starts the job
 * is the argument of mixed_started, which fails the part's scope if no job could be created. */
#define MIXED(part, fn, arg) mixed_resumed, mixed_track(__func__, __LINE__, (part), (fn), (arg))
void mixed_resumed(void *track, int64_t result);
loop_job mixed_started(loop_job job);

/* For continuations of other types: their argument is the track, and they call mixed_resumed at the end. */
void *mixed_track(const char *function, int line, struct part *part, loop_fn *fn, void *arg);
void *mixed_arg(void *track);

/* Continuations for MIXED, whose argument is the part: the first fails the part's scope on an error, the second
 * accepts the result of a job that the part itself cancels. */
void mixed_done(void *part, int64_t result);
void mixed_cancelled(void *unused, int64_t result);

/* Fails the part's scope if `result` is an error. Returns whether it is one. */
bool mixed_failed(struct part *part, int64_t result);

#endif
