/* SPDX-License-Identifier: ISC
 *
 * Signals: what a loop does when it starts and ends.
 */
#ifndef LOOP_EVENT_SIGNAL_H
#define LOOP_EVENT_SIGNAL_H

#include <loop/base.h>

struct loop;

/* Initializes the state: no signal is watched. */
void loop_signals_init(struct loop *loop);

/* Consumes a pending SIGPIPE of the loop's own writes, which would end the process when it is unblocked. Keeps one that
 * was pending before the loop started. */
void loop_signals_take_back_sigpipe(const struct loop *loop);

/* Drops signals that have arrived and were not delivered to a job, before the mask is restored. */
void loop_signals_finish(struct loop *loop);

#endif
