/* SPDX-License-Identifier: ISC
 *
 * The end of a ring that can't be used any more.
 */
#ifndef LOOP_BACKEND_URING_BROKEN_H
#define LOOP_BACKEND_URING_BROKEN_H

#include <loop/backend/uring/ring.h>
#include <loop/core/backend.h>

/* The backend of a loop whose ring is broken. */
extern const struct loop_backend_ops loop_uring_broken;

/* Logs what io_uring_enter's error means, and the cure. */
void loop_uring_tell_broken(const struct loop_uring *uring, int error);

#endif
