/* SPDX-License-Identifier: ISC
 *
 * The completions of the ring.
 */
#ifndef LOOP_BACKEND_URING_EVENTS_H
#define LOOP_BACKEND_URING_EVENTS_H

#include <loop/backend/uring/ring.h>

/* The most completions handled at once, and in one turn. */
#define LOOP_URING_EVENTS_PER_TURN 256

/* Handles the completions in the queue, at most LOOP_URING_EVENTS_PER_TURN of them. Resumes continuations. Returns how
 * many it has handled. */
unsigned loop_uring_dispatch(struct loop_uring *uring);

/* Has only the last of completions in a row that report the same of a poll be handled. Without deferred work a poll
 * reports again at every system call, and each event gives its descriptor a share of the turn. */
void loop_uring_merge(struct loop_uring *uring);

#endif
