/* SPDX-License-Identifier: ISC
 *
 * The timeouts of calls.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_POLL_H
#define LOOP_KERNEL_SIMULATED_OBJECT_POLL_H

#include <loop/kernel/simulated/object/object.h>

#include <linux/time_types.h>

/* Returns the time at which a timeout ends: LOOP_SIM_NEVER without one, -EINVAL of a wrong one. */
int64_t loop_sim_time_until(const struct __kernel_timespec *timeout);
int64_t loop_sim_time_until_ms(int timeout_ms); /* never of a negative one */

#endif
