/* SPDX-License-Identifier: ISC
 *
 * The completions of the ring.
 */
#ifndef LOOP_BACKEND_URING_EVENTS_H
#define LOOP_BACKEND_URING_EVENTS_H

#include <loop/backend/uring/ring.h>

/* Handles the completions in the queue, at most 256 of them. Resumes continuations. */
void loop_uring_dispatch(struct loop_uring *uring);

/* Has only the last of completions in a row that report the same of a poll be handled. Without deferred work a poll
 * reports again at every system call, and each event gives its descriptor a share of the turn. */
void loop_uring_merge(struct loop_uring *uring);

#endif
