/* SPDX-License-Identifier: ISC
 *
 * The kinds of the low level's jobs.
 */
#ifndef LOOP_LOW_KIND_H
#define LOOP_LOW_KIND_H

#include <loop/core/core.h>

extern const struct loop_job_kind loop_low_kind;
extern const struct loop_job_kind loop_unheard_kind; /* of writes without a continuation: unheard.c */

/* The kind of an operation that has no other. */
static inline const struct loop_job_kind *loop_low_kind_for(enum loop_op op, loop_fn *fn)
{
    return fn || !loop_op_table[op].is_output ? &loop_low_kind : &loop_unheard_kind;
}

#endif
