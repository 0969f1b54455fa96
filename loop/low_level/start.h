/* SPDX-License-Identifier: ISC
 *
 * How the files of the low level make their jobs.
 */
#ifndef LOOP_LOW_LEVEL_START_H
#define LOOP_LOW_LEVEL_START_H

#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>

/* What a call of the low level asks for. */
struct loop_operation {
    struct loop_scope *scope; /* NULL: that of `fd` */
    struct loop_fd *fd;       /* NULL where the operation needs none */
    struct loop_fd *second;
    enum loop_op op;
    const struct loop_job_kind *kind;
    struct loop_op_args args; /* without `second`; `extra` is freed in any case */
    int error;                /* bad arguments: the job ends with this, and nothing is done */
    loop_fn *fn;
    void *arg;
    const char *function; /* the public one, for loop_operation_is_good */
};

/* Whether the objects are good that a call is given. There is a scope or a descriptor. */
static inline bool loop_operation_is_good(const struct loop_scope *scope, const struct loop_fd *fd,
                                          const struct loop_fd *second, const char *function)
{
    return (!scope || loop_scope_is_good(scope, function)) && ((scope && !fd) || loop_fd_is_good(fd, function)) &&
           (!second || loop_fd_is_good(second, function));
}

/* For operations that need a descriptor: without one the job of a good scope ends with -EINVAL, and a debug build
 * stops.
 */
static inline bool loop_operation_has_fd(const struct loop_fd *fd, const char *function)
{
    return fd || loop_bad_null(function, "descriptor");
}

/* Makes the job and hands it to the backend. Job 0 where there can be none. */
loop_job loop_operation_start(const struct loop_operation *operation);

/* A job that only carries a result that is known already. */
loop_job loop_operation_known(struct loop_scope *scope, struct loop_fd *fd, int error, loop_fn *fn, void *arg,
                              const char *function);

/* Descriptors of other loops belong to other threads. */
static inline bool loop_operation_is_of(const struct loop *loop, const struct loop_fd *fd)
{
    return !fd || fd->scope->loop == loop;
}

/* The scope that owns such a job; NULL when there is neither. */
static inline struct loop_scope *loop_operation_scope(struct loop_scope *scope, const struct loop_fd *fd)
{
    return scope ? scope : fd ? fd->scope : NULL;
}

#endif
