/* SPDX-License-Identifier: ISC
 *
 * The region as a registered buffer of the ring.
 */
#ifndef LOOP_BACKEND_URING_REGION_H
#define LOOP_BACKEND_URING_REGION_H

#include <loop/backend/uring/ring.h>

/* Returns whether the region, or this loop's share of it, is registered with the ring. Registers it at the first call,
 * and not when the loop starts: allocating and pinning its pages takes longer than the rest of the start. */
bool loop_uring_region_is_fixed(const struct loop *loop);

/* Returns whether it is registered once for all loops that share it. Registers it at the first call. */
bool loop_uring_region_is_shared(const struct loop *loop);

/* Registers the region with a ring, if that is possible; `uring->fixed` tells. Called once for a ring.
 *
 * The region of several loops is registered with a ring of its own, the source, whose buffers the other rings clone
 * (Linux 6.12): its pages are counted against RLIMIT_MEMLOCK once, and a clone takes no time. A source is needed
 * because the kernel lets no other thread clone from a ring that one thread owns. It is there as long as the memory.
 * Where that is refused each ring registers the share of its loop. */
void loop_uring_register_region(struct loop_uring *uring);

/* Returns the number of the registered buffer that has all of `len` bytes at `data`, or -1 when none has: the caller
 * then uses them as any other memory. The region is tried for the ring that polls devices when that is made, for the
 * other one at the first call. */
static inline int loop_uring_fixed_buffer(const struct loop_uring *uring, const void *data, size_t len)
{
    const struct loop_uring_fixed *fixed = &uring->fixed;
    if (!uring->has_tried_region) {
        (void)loop_uring_region_is_fixed(uring->loop);
    }
    size_t at = (uintptr_t)data - (uintptr_t)fixed->memory; /* large for memory in front of it */
    if (at >= fixed->size_bytes || len > fixed->size_bytes - at) {
        return -1;
    }
    if (at + len <= fixed->each_bytes) {
        return 0;
    }
    return at % fixed->each_bytes + len <= fixed->each_bytes ? (int)(at / fixed->each_bytes) : -1;
}

/* Writes to `cause` why the kernel could not lock memory, and the cure. */
void loop_uring_say_lock_limit(char *cause, size_t size);

#endif
