/* SPDX-License-Identifier: ISC
 *
 * The buffers into which the kernel receives for flows: a group of provided buffers, in one ring for the whole loop. A
 * buffer is the memory of a block (loop/core/unread.h), so that received bytes become unread ones without a copy.
 */
#ifndef LOOP_BACKEND_URING_RECEIVER_H
#define LOOP_BACKEND_URING_RECEIVER_H

#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>
#include <loop/core/unread.h>

/* The size of a buffer. */
#define LOOP_URING_RECEIVER_BYTES 4096

struct loop_uring_receiver {
    struct io_uring_buf_ring *ring;
    char *slots;       /* a block and its bytes each */
    unsigned n_slots;  /* given to the kernel at least once */
    unsigned n_free;   /* of those, the kernel has these */
    bool was_empty;    /* the kernel found none free: more are given */
    bool is_refused;   /* by the kernel: all flows go by readiness */
    uint16_t group_id; /* of the ring's groups */
};

/* Makes the buffers at the first call. Returns whether a receive may be armed: the kernel has free ones. */
bool loop_uring_receiver_is_ready(struct loop_uring *uring);

/* Fills in an entry for a multishot receive of `fd`. */
void loop_uring_receiver_prepare(const struct loop_uring *uring, struct io_uring_sqe *entry, const struct loop_fd *fd);

/* Takes the buffer with that number, into which `len` bytes were received. The caller owns the block. */
struct loop_block *loop_uring_receiver_take(struct loop_uring *uring, unsigned number, size_t len);

/* Gives the memory of a block back to the kernel; see loop_backend_ops.release. */
void loop_uring_receiver_release(struct loop *loop, struct loop_block *block);

/* Frees the buffers. No block is in use. */
void loop_uring_receiver_finish(struct loop_uring *uring);

#endif
