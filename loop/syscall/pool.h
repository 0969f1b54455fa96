/* SPDX-License-Identifier: ISC
 *
 * The pool: threads for operations that can block.
 */
#ifndef LOOP_SYSCALL_POOL_H
#define LOOP_SYSCALL_POOL_H

#include <loop/core/job.h>

struct loop_pool;

/* Hands a job to the pool. It ends in loop_pool_collect. Creates the pool at the first call; without memory the job
 * ends with -ENOMEM. */
void loop_pool_submit(struct loop *loop, struct loop_job *job);

/* Takes a job that has not begun out of the line. Returns false when a thread has the job: the thread is then asked to
 * end it. */
bool loop_pool_withdraw(struct loop *loop, struct loop_job *job);

/* Sets `*is_recalled` under the pool's mutex, for jobs that go on until the loop wants them back. */
void loop_pool_recall(struct loop *loop, bool *is_recalled);

/* Resumes the jobs that threads have finished, at most 256. From the dispatch only. */
void loop_pool_collect(struct loop *loop);

/* Ends the threads and frees the pool, which has no jobs any more. */
void loop_pool_finish(struct loop *loop);

/* Returns how long the loop may sleep, and decides when results wake it. Where more jobs are in line than there are
 * threads, results wait for each other: for half of the line, or for a tenth of a millisecond after the loop has gone
 * to sleep. Otherwise the first one wakes the loop. Called before the loop looks for results the last time. */
int64_t loop_pool_time_to_sleep(struct loop *loop, int64_t timeout_ns);

/* Stores the statistics of the pool, if there is one. */
void loop_pool_get_stats(const struct loop *loop, struct loop_stats *stats);

/* Whether finished jobs wait for loop_pool_collect. The loop asks before it sleeps. */
bool loop_pool_has_results(const struct loop *loop);

#endif
