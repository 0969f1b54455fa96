/* SPDX-License-Identifier: ISC
 *
 * The monotonic clock; see clock.h.
 */
#include <loop/ground/clock.h>
#include <loop/kernel/time.h>

#include <time.h>

int64_t loop_clock_read(void)
{
    struct timespec now;
    loop_kernel_clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * LOOP_SECOND + now.tv_nsec;
}

int64_t loop_time_after(int64_t now_ns, int64_t duration_ns)
{
    return duration_ns > LOOP_NEVER - now_ns ? LOOP_NEVER : now_ns + duration_ns;
}

int64_t loop_time_from_now(int64_t duration_ns)
{
    int64_t now = loop_clock_read();
    return duration_ns > 0 ? loop_time_after(now, duration_ns) : now;
}
