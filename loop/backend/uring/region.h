/* SPDX-License-Identifier: ISC
 *
 * The region as a registered buffer of the ring.
 */
#ifndef LOOP_BACKEND_URING_REGION_H
#define LOOP_BACKEND_URING_REGION_H

#include <loop/backend/uring/ring.h>

/* Whether the region is registered with the ring. Registers it at the first call rather than when the loop starts,
 * because allocating and pinning its pages takes longer than the rest of the start. */
bool loop_uring_region_is_fixed(const struct loop *loop);

/* Registers the region with a ring, if that is possible; `uring->has_region` tells. Called once for a ring. */
void loop_uring_register_region(struct loop_uring *uring);

/* Returns whether the region is registered with this ring. It is tried for the ring that polls devices when that is
 * made, for the other one at the first call. */
static inline bool loop_uring_has_region(const struct loop_uring *uring)
{
    return uring->has_tried_region ? uring->has_region : loop_uring_region_is_fixed(uring->loop);
}

/* Writes to `cause` why the kernel could not lock memory, and the cure. */
void loop_uring_say_lock_limit(char *cause, size_t size);

#endif
