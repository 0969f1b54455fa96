/* SPDX-License-Identifier: ISC
 *
 * What the parts that serve operations by system calls know of each other, beside core.h.
 */
#ifndef LOOP_DIRECT_H
#define LOOP_DIRECT_H

#include <loop/core/core.h>

/* Tries an operation that waits for its descriptor: the `attempt` of kinds of operations. */
enum loop_attempt loop_direct_attempt(struct loop *loop, struct loop_job *job);

/* The kind of LOOP_OP_SPLICE, which waits for one of its ends or the other. */
extern const struct loop_job_kind loop_splice_kind;

#endif
