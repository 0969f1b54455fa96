/* SPDX-License-Identifier: ISC
 *
 * Provided buffers of a minimal io_uring. Since Linux 6.12 they are incremental: one buffer holds the results of many
 * requests, one after the other, so a few large buffers suit small and large messages. On older kernels a buffer holds
 * the result of one request.
 */
#ifndef BENCH_URING_BUFFERS_H
#define BENCH_URING_BUFFERS_H

#include "ring.h"

#include <stdbool.h>
#include <stddef.h>

struct uring_buffers {
    struct io_uring_buf_ring *ring;
    struct uring_buffer *states;
    char *memory;
    unsigned count, group;
    size_t size;
    unsigned n_out; /* buffers that the kernel has finished and that have not been returned to it */
};

/* The bytes of one completion. */
struct uring_piece {
    char *data;
    unsigned length, buffer;
    char *copy; /* the address to which the bytes have been moved, or NULL */
};

/* Creates `count` buffers of `size` bytes and provides them to the kernel. Returns false if incremental ones are
 * requested and the kernel does not support them. */
bool uring_buffers_open(struct uring_buffers *buffers, struct io_uring *ring, unsigned group, unsigned count,
                        size_t size, bool is_incremental);

/* Returns the piece of a completion that has a buffer. The caller returns it when its bytes are no longer needed. */
struct uring_piece uring_buffers_take(struct uring_buffers *buffers, const struct io_uring_cqe *cqe);

/* Returns a piece. Returns true if this returned its buffer to the kernel. */
bool uring_buffers_give_back(struct uring_buffers *buffers, struct uring_piece piece);

#endif
