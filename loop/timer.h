/* SPDX-License-Identifier: ISC
 *
 * Timers as jobs, for the parts of the loop that make them: loop_sleep, and the low level's timeout.
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include <loop/core.h>

/* What loop_sleep starts, and loop_op_timeout, which ends with -ETIME. Other kinds may be like these. */
extern const struct loop_job_kind loop_sleep_kind, loop_timeout_kind;

/* A job that ends when CLOCK_MONOTONIC has reached `at_ns`. LOOP_NEVER only ends when cancelled. */
loop_job loop_timer_start(struct loop_scope *scope, int64_t at_ns, const struct loop_job_kind *kind, loop_fn *fn,
                          void *arg);

/* Ends such a job, which has no result yet, before its time. */
void loop_timer_complete(struct loop *loop, struct loop_job *job, int64_t result);

/* The point that is `duration_ns` from now, which is now when it is negative. */
int64_t loop_time_from_now(int64_t duration_ns);

/* `now_ns + duration_ns` for a duration that is not negative; LOOP_NEVER where that would overflow. */
int64_t loop_time_after(int64_t now_ns, int64_t duration_ns);

#endif
