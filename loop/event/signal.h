/* SPDX-License-Identifier: ISC
 *
 * Signals: what a loop does when it begins and ends.
 */
#ifndef LOOP_EVENT_SIGNAL_H
#define LOOP_EVENT_SIGNAL_H

#include <loop/base.h>

struct loop;

void loop_signals_init(struct loop *loop);

/* Takes back a SIGPIPE of the loop's own writes: it would end the process as soon as it is not blocked. One that was
 * pending before the loop began stays. */
void loop_signals_take_back_sigpipe(const struct loop *loop);

/* Before the mask is put back: drops what arrived and nobody heard. */
void loop_signals_finish(struct loop *loop);

#endif
