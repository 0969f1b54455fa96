/* SPDX-License-Identifier: ISC
 *
 * Timers as jobs, for the parts of the loop that make them: loop_sleep, and the low level's timeout.
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include <loop/core.h>

/* A job that ends when CLOCK_MONOTONIC has reached `at_ns`: with -ETIME if `is_op`, else with 0. LOOP_NEVER only ends
 * when cancelled. */
loop_job loop_timer_start(struct loop_scope *scope, int64_t at_ns, bool is_op, loop_fn *fn, void *arg);

/* Ends such a job, which has no result yet, before its time. */
void loop_timer_complete(struct loop *loop, struct job *job, int64_t result);

/* `now_ns + duration_ns` for a duration that is not negative; LOOP_NEVER where that would overflow. */
int64_t loop_time_after(int64_t now_ns, int64_t duration_ns);

#endif
