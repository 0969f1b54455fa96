/* SPDX-License-Identifier: ISC
 *
 * The region as a registered buffer of the ring.
 */
#ifndef LOOP_BACKEND_URING_REGION_H
#define LOOP_BACKEND_URING_REGION_H

#include <loop/base.h>

/* Whether the region is registered with the ring. Registers it at the first call rather than when the loop starts,
 * because allocating and pinning its pages takes longer than the rest of the start. */
bool loop_uring_region_is_fixed(const struct loop *loop);

/* Writes to `cause` why the kernel could not lock memory, and the cure. */
void loop_uring_say_lock_limit(char *cause, size_t size);

#endif
