/* SPDX-License-Identifier: ISC
 *
 * Spinning before sleeping (loop_options.busy_poll_ns).
 */
#ifndef LOOP_TURN_BUSY_POLL_H
#define LOOP_TURN_BUSY_POLL_H

#include <loop/base.h>

struct loop;

/* Spins until there is something to do, for at most `timeout_ns` and options.busy_poll_ns. Returns true when there is
 * something, and the loop must not sleep. */
bool loop_busy_poll(struct loop *loop, int64_t timeout_ns);

/* Notes that the loop is awake again after a sleep without spinning. */
void loop_busy_poll_woken(struct loop *loop);

#endif
