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
    unsigned n_out; /* buffers that the kernel has done with and that haven't been given back to it */
};

/* What one completion brought. */
struct uring_piece {
    char *data;
    unsigned length, buffer;
    char *copy; /* where the bytes have been moved to, if they have */
};

/* Makes `count` buffers of `size` bytes and gives them to the kernel. Returns false where the kernel knows no
 * incremental ones and they were asked for. */
bool uring_buffers_open(struct uring_buffers *buffers, struct io_uring *ring, unsigned group, unsigned count,
                        size_t size, bool is_incremental);

/* The piece of a completion that has one; to be given back when its bytes aren't needed any more. */
struct uring_piece uring_buffers_take(struct uring_buffers *buffers, const struct io_uring_cqe *cqe);

/* True when with it a buffer came back to the kernel. */
bool uring_buffers_give_back(struct uring_buffers *buffers, struct uring_piece piece);

#endif
