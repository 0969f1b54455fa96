/* SPDX-License-Identifier: ISC
 *
 * What the loop asks of its letter box beside core.h.
 */
#ifndef LOOP_EVENT_INBOX_H
#define LOOP_EVENT_INBOX_H

#include <loop/event.h>

/* How often the loop slept and was woken through the box. On the loop's thread. */
uint64_t loop_inbox_wakeups(const struct loop_inbox *inbox);

/* How many references there are, the loop's own included. */
uint32_t loop_inbox_references(const struct loop_inbox *inbox);

struct loop_inbox *loop_inbox_create(unsigned capacity);

/* The loop's own end: closes the box, so that later posts are refused, and runs what is in it with -ECANCELED. */
void loop_inbox_close(struct loop_inbox *inbox);

/* The descriptor that wakes the loop; watched by it. */
int loop_inbox_number(const struct loop_inbox *inbox);

/* Wakes the loop if it sleeps. Async-signal-safe, any thread. What the loop is to find has been stored sequentially
 * consistent. */
void loop_inbox_wake(struct loop_inbox *inbox);

/* Says that the loop is about to sleep; true when it may (nothing has come meanwhile). */
bool loop_inbox_sleep(struct loop_inbox *inbox);

void loop_inbox_awake(struct loop_inbox *inbox);

bool loop_inbox_is_empty(const struct loop_inbox *inbox);

/* Takes the oldest post; false when there is none. */
bool loop_inbox_take(struct loop_inbox *inbox, loop_fn **fn, void **arg);

#endif
