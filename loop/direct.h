/* SPDX-License-Identifier: ISC
 *
 * What the parts that serve operations by system calls know of each other, beside core.h.
 */
#ifndef LOOP_DIRECT_H
#define LOOP_DIRECT_H

#include <loop/core.h>

/* The kind of the low level's jobs, and that of recv_msg, whose message is filled in when the result has come. */
extern const struct loop_job_kind loop_low_kind;
extern const struct loop_job_kind loop_nop_kind; /* LOOP_OP_NOP, which has no arguments: a small job */
extern const struct loop_job_kind loop_recv_msg_kind;
extern const struct loop_job_kind loop_unheard_kind; /* writes without a continuation: unheard.c */

/* What a job of that kind is to do after such a result: go on with the rest, which it then has for its arguments, or
 * end with what is returned. */
#define LOOP_UNHEARD_GOES_ON INT64_MIN
int64_t loop_unheard_rest(struct loop_job *job, int64_t result);

static inline const struct loop_job_kind *loop_low_kind_for(enum loop_op op, loop_fn *fn)
{
    return fn || !loop_op_table[op].is_output ? &loop_low_kind : &loop_unheard_kind;
}

/* connect(2) has said EINPROGRESS; in args.flags. */
#define LOOP_CONNECT_BEGUN 1u

#endif
