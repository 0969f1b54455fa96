/* SPDX-License-Identifier: ISC
 *
 * The pool: a few threads for what can block. Jobs handed over end by loop_job_complete, in loop_pool_collect, on the
 * thread of the loop.
 */
#ifndef LOOP_SYSCALL_POOL_H
#define LOOP_SYSCALL_POOL_H

#include <loop/core/job.h>

/* The pool. Jobs handed over end by loop_job_complete, in loop_pool_collect, on the loop's thread. */
struct loop_pool;

void loop_pool_submit(struct loop *loop, struct loop_job *job);

/* Takes a job that hasn't begun out of the line again; false when a thread has it, which is then asked to end it. */
bool loop_pool_withdraw(struct loop *loop, struct loop_job *job);

/* Sets `*is_recalled` under the mutex: for jobs that go on until the loop wants them back. */
void loop_pool_recall(struct loop *loop, bool *is_recalled);

void loop_pool_collect(struct loop *loop);

void loop_pool_finish(struct loop *loop);

uint64_t loop_pool_threads(const struct loop *loop);

/* True when something waits to be collected: looked at before the loop sleeps. */
bool loop_pool_has_results(const struct loop *loop);

#endif
