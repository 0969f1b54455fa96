/* SPDX-License-Identifier: ISC
 *
 * The door: clocks.
 */
#ifndef LOOP_KERNEL_TIME_H
#define LOOP_KERNEL_TIME_H

#include <loop/kernel/door.h>

#include <time.h>

LOOP_KERNEL_CALL_SURE(int, loop_kernel_clock_gettime, (clockid_t clock, struct timespec *time),
                      clock_gettime(clock, time))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_nanosleep, (const struct timespec *duration, struct timespec *left),
                      nanosleep(duration, left))

#endif
