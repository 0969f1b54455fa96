/* SPDX-License-Identifier: ISC
 *
 * The end of a ring that cannot be used any more.
 */
#ifndef LOOP_BACKEND_URING_BROKEN_H
#define LOOP_BACKEND_URING_BROKEN_H

#include <loop/backend/uring/ring.h>
#include <loop/core/backend.h>

/* Replaces the backend of a loop whose ring is broken; see loop_backend_ops.broken. */
extern const struct loop_backend_ops loop_uring_broken;

/* Logs an error of io_uring_enter with its cause and the cure. */
void loop_uring_tell_broken(const struct loop_uring *uring, int error);

#endif
