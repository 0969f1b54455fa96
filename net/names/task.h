/* SPDX-License-Identifier: ISC
 *
 * What each call of names.h starts: a promise in the caller's scope, and a scope of its own inside that one for the
 * steps, with the timeout. The memory of a task is freed at the end of the steps' scope.
 */
#ifndef NET_NAMES_TASK_H
#define NET_NAMES_TASK_H

#include <net/names.h>

struct loop_names_task;

struct loop_names_task_ops {
    size_t size_bytes; /* of the struct whose first member is the task */
    /* Called once, when the task is cancelled or late and not over: has to call loop_names_task_end, now or later. */
    void (*cancel)(struct loop_names_task *task, int64_t reason);
    /* Called when it is over: frees what the struct owns but not the struct, which may still be zeros. */
    void (*finish)(struct loop_names_task *task);
};

struct loop_names_task {
    const struct loop_names_task_ops *ops;
    struct loop *loop;
    struct loop_scope *scope, *steps;
    loop_job promise;
    struct loop_name_error *error; /* the caller's, or `own_error` */
    struct loop_name_error own_error;
    bool is_over;
};

/* Makes a task of zeros, whose job resumes `fn`. Returns NULL when there is no memory or the scope has ended. Without
 * memory for its parts it is over when this returns. */
struct loop_names_task *loop_names_task_create(struct loop_scope *scope, const struct loop_names_task_ops *ops,
                                               struct loop_name_error *error, loop_fn *fn, void *arg);

/* Starts a job in a cancelled scope, which cancels it. */
loop_job loop_names_task_refuse(struct loop_scope *scope, struct loop_name_error *error, loop_fn *fn, void *arg);

/* Returns the point in time `duration_ns` (>= 0) from now, LOOP_NEVER where that is beyond all times. */
int64_t loop_names_from_now(const struct loop *loop, int64_t duration_ns);

/* Sets the timeout; 0: none. Returns 0, -EINVAL or -ENOMEM. */
int loop_names_task_limit(struct loop_names_task *task, int64_t timeout_ns);

/* Ends the job with its result, and all steps. A result of 0 or more clears the text of the error. */
void loop_names_task_end(struct loop_names_task *task, int64_t result);

#endif
