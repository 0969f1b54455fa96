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

/* Groups of buffers that system calls receive into: a stack of those that are not lent. Also for the ring, where it
 * can't have the group, or has given it back: `init` may be called at any time. */
int loop_direct_buffers_init(struct loop *loop, struct loop_buffers *buffers);
void loop_direct_buffers_finish(struct loop *loop, struct loop_buffers *buffers);
void loop_direct_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index);

/* A buffer beside those of the group, for bytes that come from elsewhere: recycled like them. NULL: no memory. */
void *loop_buffers_borrow(struct loop_buffers *buffers, size_t size_bytes);

#endif
