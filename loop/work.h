/* SPDX-License-Identifier: ISC
 *
 * What the pool and work.c know of each other: work whose job ends before the thread has come back from it.
 */
#ifndef LOOP_WORK_H
#define LOOP_WORK_H

#include <loop/core.h>

/* In args.flags of a LOOP_OP_WORK. */
enum loop_work_flags {
    LOOP_WORK_TAKES_LONG = 1,
    LOOP_WORK_IS_OWNED = 2 /* it has a release hook, and args.out is its struct loop_owned_work */
};

/* Work that owns its argument. */
struct loop_owned_work;

/* The link by which the pool keeps it, from when it is given up until its thread has come back. */
struct loop_list *loop_work_link(struct loop_owned_work *work);

/* A thread that won't come back in time has `job`, which is nowhere now: ends it. From the loop's thread. */
void loop_work_give_up(struct loop *loop, struct loop_job *job);

/* The thread has come back. From the dispatch. */
void loop_work_came_back(struct loop *loop, struct loop_list *link);

#endif
