/* SPDX-License-Identifier: ISC
 *
 * The monotonic clock, and points in time computed from it.
 */
#ifndef LOOP_GROUND_CLOCK_H
#define LOOP_GROUND_CLOCK_H

#include <loop/base.h>

/* Returns the time of CLOCK_MONOTONIC in nanoseconds. Any thread. */
int64_t loop_clock_read(void);

/* Returns the point in time that is `duration_ns` from now: now when the duration is negative. */
int64_t loop_time_from_now(int64_t duration_ns);

/* Returns `now_ns + duration_ns` for a duration that is not negative; LOOP_NEVER where that would overflow. */
int64_t loop_time_after(int64_t now_ns, int64_t duration_ns);

#endif
