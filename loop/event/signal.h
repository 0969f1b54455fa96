/* SPDX-License-Identifier: ISC
 *
 * Signals: what a loop does when it starts and ends.
 */
#ifndef LOOP_EVENT_SIGNAL_H
#define LOOP_EVENT_SIGNAL_H

#include <loop/base.h>

#include <signal.h>

struct loop;

/* Initializes the state: no signal is watched. */
void loop_signals_init(struct loop *loop);

/* Consumes a pending SIGPIPE of the loop's own writes, which would end the process when it is unblocked. Keeps one that
 * was pending before the loop started. */
void loop_signals_take_back_sigpipe(const struct loop *loop);

/* Drops the pending signals of the set, before they are unblocked: they were not delivered to a job. */
void loop_signals_drop(const sigset_t *set);

#endif
