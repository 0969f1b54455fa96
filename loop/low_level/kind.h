/* SPDX-License-Identifier: ISC
 *
 * The kinds of the low level's jobs.
 */
#ifndef LOOP_LOW_LEVEL_KIND_H
#define LOOP_LOW_LEVEL_KIND_H

#include <loop/core/job.h>
#include <loop/core/operation.h>

/* Most operations. */
extern const struct loop_job_kind loop_low_kind;

/* Output without a continuation: a partial write goes on (unheard.c). */
extern const struct loop_job_kind loop_unheard_kind;

/* Returns the kind of an operation that has no kind of its own. */
static inline const struct loop_job_kind *loop_low_kind_for(enum loop_op op, loop_fn *fn)
{
    return fn || !loop_op_table[op].is_output ? &loop_low_kind : &loop_unheard_kind;
}

#endif
