/* SPDX-License-Identifier: ISC
 *
 * The region as the ring's registered buffer.
 */
#ifndef LOOP_BACKEND_URING_REGION_H
#define LOOP_BACKEND_URING_REGION_H

#include <loop/base.h>

/* Registers the region when it is first asked for: its pages are then made and pinned, which takes longer than all the
 * rest of a loop's beginning. */
bool loop_uring_region_is_fixed(const struct loop *loop);

/* Writes to `cause` why the kernel had no memory to lock, and the cure. */
void loop_uring_say_lock_limit(char *cause, size_t size);

#endif
