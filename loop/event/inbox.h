/* SPDX-License-Identifier: ISC
 *
 * The inbox: posts from other threads and from signal handlers.
 */
#ifndef LOOP_EVENT_INBOX_H
#define LOOP_EVENT_INBOX_H

#include <loop/event.h>

/* Returns how often the inbox has woken the loop. On the loop's thread. */
uint64_t loop_inbox_wakeups(const struct loop_inbox *inbox);

/* Returns the number of references, with the loop's own, and without those of loop_inbox_share. */
uint32_t loop_inbox_references(const struct loop_inbox *inbox);

/* Creates the inbox of a loop, with the loop's reference. Returns NULL with errno when there is no memory or no
 * descriptor. */
struct loop_inbox *loop_inbox_create(struct loop *loop, unsigned capacity);

/* Closes the inbox, so that later posts and tasks are refused, and runs those in it with -ECANCELED. When main's scope
 * has ended. The loop can still be woken: threads may have jobs of its own scope. */
void loop_inbox_close(struct loop_inbox *inbox);

/* Closes the eventfd. When nobody wakes the loop any more, before it gives its reference back. */
void loop_inbox_finish(struct loop_inbox *inbox);

/* Returns the number of the eventfd that wakes the loop, which watches it. */
int loop_inbox_number(const struct loop_inbox *inbox);

/* Wakes the loop if it sleeps. Async-signal-safe, from any thread. The caller has stored what the loop is to find
 * sequentially consistent. */
void loop_inbox_wake(struct loop_inbox *inbox);

/* Notes that the loop is about to sleep. Returns false when a post or a task has arrived, and it must not. */
bool loop_inbox_sleep(struct loop_inbox *inbox);

/* Notes that the loop is awake. */
void loop_inbox_awake(struct loop_inbox *inbox);

/* Returns whether no post and no task is pending. */
bool loop_inbox_is_empty(const struct loop_inbox *inbox);

/* Takes the oldest post. Returns false when there is none. */
bool loop_inbox_take(struct loop_inbox *inbox, loop_fn **fn, void **arg);

/* Takes the oldest task. Returns NULL when there is none. */
struct loop_task *loop_inbox_take_task(struct loop_inbox *inbox);

#endif
