/* SPDX-License-Identifier: ISC
 *
 * The completions of the ring.
 */
#ifndef LOOP_BACKEND_URING_EVENTS_H
#define LOOP_BACKEND_URING_EVENTS_H

#include <loop/backend/uring/ring.h>

/* Handles the completions that are there, a turn's share of them. From the dispatch only. */
void loop_uring_dispatch(struct loop_uring *uring);

#endif
