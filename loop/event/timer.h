/* SPDX-License-Identifier: ISC
 *
 * Timers as jobs.
 */
#ifndef LOOP_EVENT_TIMER_H
#define LOOP_EVENT_TIMER_H

#include <loop/core/job.h>
#include <loop/core/scope.h>

/* The kinds of loop_sleep, which ends with 0, and of loop_op_timeout, which ends with -ETIME. */
extern const struct loop_job_kind loop_sleep_kind, loop_timeout_kind;

/* Starts a job that ends when CLOCK_MONOTONIC reaches `at_ns`. With LOOP_NEVER it ends only when cancelled. */
loop_job loop_timer_start(struct loop_scope *scope, int64_t at_ns, const struct loop_job_kind *kind, loop_fn *fn,
                          void *arg);

/* Reads the clock, and stores the time in loop->clock_ns. Resumes at most `most` timers that are due. Returns whether
 * there were any. From the dispatch only. */
bool loop_timers_run(struct loop *loop, unsigned most);

/* Returns when the next timer is due, or LOOP_NEVER. */
int64_t loop_timers_next(struct loop *loop);

/* Returns until when the loop may sleep for its timers, or LOOP_NEVER: until the next one, or with a leeway the last of
 * those that share its wake-up. */
int64_t loop_timers_wake(struct loop *loop);

#endif
