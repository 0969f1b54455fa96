/* SPDX-License-Identifier: ISC
 *
 * Spinning before sleeping (loop_options.busy_poll_ns).
 */
#ifndef LOOP_TURN_BUSY_POLL_H
#define LOOP_TURN_BUSY_POLL_H

#include <loop/base.h>

struct loop;

/* Looks for something to do, for `timeout_ns` and options.busy_poll_ns at most. True when there is something: the loop
 * must not sleep. */
bool loop_busy_poll(struct loop *loop, int64_t timeout_ns);

/* The loop, which hadn't looked, is awake again. */
void loop_busy_poll_woken(struct loop *loop);

#endif
