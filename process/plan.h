/* SPDX-License-Identifier: ISC
 *
 * A plan: what loop_spawn was asked for, copied, and what a thread makes of it.
 */
#ifndef PROCESS_PLAN_H
#define PROCESS_PLAN_H

#include <loop/kernel/program.h>
#include <process/process.h>

#include <sys/ioctl.h>

/* Memory of a plan, freed with it. */
struct loop_plan_piece {
    struct loop_plan_piece *next;
    _Alignas(max_align_t) char bytes[];
};

/* A descriptor of the program. */
struct loop_plan_fd {
    enum loop_spawn_how how;
    int number;
    int from;             /* -1: made by loop_plan_run, which closes it */
    int ours;             /* this process's end of what was made, or -1 */
    bool is_shared;       /* `from` is the terminal that was made for another number */
    struct loop_fd *used; /* until the plan is freed; or NULL */
};

struct loop_plan {
    struct loop *loop;
    struct loop_program program;
    struct loop_plan_fd *fds; /* by ascending number */
    size_t n_fds;
    struct winsize size;       /* of its terminal */
    struct loop_fd *directory; /* in use until the plan is freed; or NULL */
    const char *name;          /* of the program, as it was asked for */
    char bad[32];              /* what cannot be done of what was asked for; or "" */
    bool has_run;
    struct loop_plan_piece *pieces;
    bool has_no_memory;
    int pidfd; /* after loop_plan_run has succeeded: the caller's */
};

/* Makes a plan. Stores 0 or an error in `*error`, in which case the plan can only be described and destroyed. Returns
 * NULL when there is no memory. */
struct loop_plan *loop_plan_create(struct loop *loop, const char *program, const struct loop_spawn_options *options,
                                   int64_t *error);

/* Frees the plan, and closes what its run has made and nobody has taken (plan->fds[].ours = -1). */
void loop_plan_destroy(struct loop_plan *plan);

/* Starts the program; the thread sleeps meanwhile. Returns the process ID or -errno. */
int64_t loop_plan_run(struct loop_plan *plan);

/* Writes why the plan has failed with `result`, as a line for a person. */
void loop_plan_describe(const struct loop_plan *plan, int64_t result, struct loop_spawn_error *error);

#endif
