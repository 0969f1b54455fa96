/* SPDX-License-Identifier: ISC
 *
 * The buffers into which the kernel receives for flows: two groups of provided buffers for the whole loop, of small and
 * of large ones. A buffer is the memory of a block (loop/core/unread.h), so that received bytes become unread ones
 * without a copy.
 */
#ifndef LOOP_BACKEND_URING_RECEIVER_H
#define LOOP_BACKEND_URING_RECEIVER_H

#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>
#include <loop/core/unread.h>

#define LOOP_URING_RECEIVER_PARTS 4

/* One of the groups. */
struct loop_uring_receiver {
    unsigned slot_bytes; /* the size of a buffer */
    unsigned slots_most;
    struct io_uring_buf_ring *ring;
    char *
        parts[LOOP_URING_RECEIVER_PARTS]; /* slots, which are a block and its bytes each. A part doubles their number */
    unsigned slots_first;                 /* in the first part; a power of two */
    unsigned n_slots;                     /* given to the kernel at least once */
    unsigned n_free;                      /* of those, the kernel has these */
    bool was_empty;                       /* the kernel found none free: more are given */
    uint16_t group_id;                    /* of the ring's groups */
};

/* Returns the group for flows of that size, which has been made. */
static inline struct loop_uring_receiver *loop_uring_receiver_of(const struct loop_uring *uring, bool is_large)
{
    return uring->receivers[is_large];
}

/* Makes the group at the first call. Returns whether a receive may be armed: the kernel has free buffers. */
bool loop_uring_receiver_is_ready(struct loop_uring *uring, bool is_large);

/* Fills in an entry for a multishot receive of `fd`. */
void loop_uring_receiver_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, const struct loop_fd *fd);

/* Takes the buffer with that number, into which `len` bytes were received. The caller owns the block. */
struct loop_block *loop_uring_receiver_take(struct loop *loop, struct loop_uring_receiver *receiver, unsigned number,
                                            size_t len);

/* Gives the memory of a block back to the kernel; see loop_backend_ops.release. */
void loop_uring_receiver_release(struct loop *loop, struct loop_block *block);

/* Returns whether fewer than half of the buffers of that size are free; see loop_backend_ops.is_scarce. */
bool loop_uring_receiver_is_scarce(struct loop *loop, const struct loop_block *block);

/* Returns whether entries are to be submitted, and their completions dispatched, before the kernel receives more: a
 * group that has grown to its most has few free buffers, and sends that have ended give theirs back. Without deferred
 * work (Linux 6.1) it makes no difference, because the kernel receives in any system call. */
bool loop_uring_receivers_are_short(const struct loop_uring *uring);

/* Frees both groups. No block is in use. */
void loop_uring_receiver_finish(struct loop_uring *uring);

#endif
