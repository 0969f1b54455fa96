/* SPDX-License-Identifier: ISC
 *
 * The kinds of the low level's jobs.
 */
#include <loop/core/job.h>
#include <loop/core/operation.h>

#ifndef LOOP_LOW_LEVEL_KIND_H
#define LOOP_LOW_LEVEL_KIND_H

extern const struct loop_job_kind loop_low_kind;
extern const struct loop_job_kind loop_unheard_kind; /* of writes without a continuation: unheard.c */

/* The kind of an operation that has no other. */
static inline const struct loop_job_kind *loop_low_kind_for(enum loop_op op, loop_fn *fn)
{
    return fn || !loop_op_table[op].is_output ? &loop_low_kind : &loop_unheard_kind;
}

#endif
