/* SPDX-License-Identifier: ISC
 *
 * The beginning and end of fibers.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_FIBER_H
#define LOOP_KERNEL_SIMULATED_MACHINE_FIBER_H

#include <loop/kernel/simulated/machine/state.h>

/* Makes the stack of the caller the first fiber of a node. */
struct loop_sim_fiber *loop_sim_fiber_adopt(struct loop_sim_node *node);

/* Ends a fiber that is not running: it is in no queue any more, and its stack is given back. */
void loop_sim_fiber_stop(struct loop_sim_fiber *fiber);

/* Frees a fiber that has been stopped. */
void loop_sim_fiber_free(struct loop_sim_fiber *fiber);

/* Lets a waiting fiber run again, with this as the result of its wait. */
void loop_sim_fiber_ready(struct loop_sim_fiber *fiber, int result);

/* Lets a fiber that waits, or will wait, run again at a time, with -ETIMEDOUT as the result of its wait. */
void loop_sim_fiber_time_out_at(struct loop_sim_fiber *fiber, int64_t due_ns);

#endif
