/* SPDX-License-Identifier: ISC
 *
 * The completions of the ring.
 */
#ifndef LOOP_BACKEND_URING_EVENTS_H
#define LOOP_BACKEND_URING_EVENTS_H

#include <loop/backend/uring/ring.h>

/* Handles the completions in the queue, at most 256 of them. Resumes continuations. */
void loop_uring_dispatch(struct loop_uring *uring);

#endif
