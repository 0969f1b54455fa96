/* SPDX-License-Identifier: ISC
 *
 * Timers as jobs, for the parts of the loop that make them: loop_sleep, and the low level's timeout.
 */
#ifndef LOOP_EVENT_TIMER_H
#define LOOP_EVENT_TIMER_H

#include <loop/core/job.h>
#include <loop/core/scope.h>

/* What loop_sleep starts, and loop_op_timeout, which ends with -ETIME. Other kinds may be like these. */
extern const struct loop_job_kind loop_sleep_kind, loop_timeout_kind;

/* A job that ends when CLOCK_MONOTONIC has reached `at_ns`. LOOP_NEVER only ends when cancelled. */
loop_job loop_timer_start(struct loop_scope *scope, int64_t at_ns, const struct loop_job_kind *kind, loop_fn *fn,
                          void *arg);

/* Resumes what is due, at most `most`. From the dispatch only. */
void loop_timers_run(struct loop *loop, unsigned most);

/* When the next is due: LOOP_NEVER when there is none. */
int64_t loop_timers_next(struct loop *loop);

#endif
