/* SPDX-License-Identifier: ISC
 *
 * Starts the jobs of the low level.
 */
#ifndef LOOP_LOW_LEVEL_START_H
#define LOOP_LOW_LEVEL_START_H

#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>

/* The job that a call of the low level starts. */
struct loop_operation {
    struct loop_scope *scope; /* NULL: that of `fd` */
    struct loop_fd *fd;       /* NULL where the operation needs none */
    struct loop_fd *second;
    enum loop_op op;
    const struct loop_job_kind *kind; /* NULL: loop_low_kind_for */
    struct loop_op_args args; /* without `second`; `extra` is owned by loop_operation_start, also when it fails */
    int error;                /* if not 0, the job ends with it and nothing is done: bad arguments */
    loop_fn *fn;
    void *arg;
    const char *function; /* the public function, for the checks */
};

/* Whether the objects passed to a call are good. `scope` or `fd` must not be NULL. */
static inline bool loop_operation_is_good(const struct loop_scope *scope, const struct loop_fd *fd,
                                          const struct loop_fd *second, const char *function)
{
    return (!scope || loop_scope_is_good(scope, function)) && ((scope && !fd) || loop_fd_is_good(fd, function)) &&
           (!second || loop_fd_is_good(second, function));
}

/* Whether there is a descriptor. Without one a debug build stops. In others the caller starts a job that ends with
 * -EINVAL. */
static inline bool loop_operation_has_fd(const struct loop_fd *fd, const char *function)
{
    return fd || loop_bad_null(function, "descriptor");
}

/* Starts the job and hands it to the backend. Returns its id, or 0 when there is no memory, the scope has ended or an
 * object is bad. */
loop_job loop_operation_start(const struct loop_operation *operation);

/* Starts a job that ends with `error`, or with 0. Returns its id as loop_operation_start. */
loop_job loop_operation_known(struct loop_scope *scope, struct loop_fd *fd, int error, loop_fn *fn, void *arg,
                              const char *function);

/* Whether the descriptor, if there is one, belongs to the loop. Others belong to other threads. */
static inline bool loop_operation_is_of(const struct loop *loop, const struct loop_fd *fd)
{
    return !fd || fd->scope->loop == loop;
}

/* Returns the scope that owns the job: `scope`, or that of `fd`. NULL when both are NULL. */
static inline struct loop_scope *loop_operation_scope(struct loop_scope *scope, const struct loop_fd *fd)
{
    return scope ? scope : fd ? fd->scope : NULL;
}

/* The most that one read or write moves, read(2). */
#define LOOP_OPERATION_MOST_BYTES ((size_t)0x7ffff000)

static inline size_t loop_operation_limited(size_t len)
{
    return len < LOOP_OPERATION_MOST_BYTES ? len : LOOP_OPERATION_MOST_BYTES;
}

#endif
