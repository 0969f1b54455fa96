/* SPDX-License-Identifier: ISC
 *
 * Provided buffers of a minimal io_uring. See uring_buffers.h.
 */
#include "uring_buffers.h"

#include "bench.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Newer than liburing 2.3; Linux 6.12. */
#define BUFFERS_INCREMENTAL 2u           /* IOU_PBUF_RING_INC */
#define COMPLETION_BUFFER_MORE (1u << 4) /* IORING_CQE_F_BUF_MORE */

struct uring_buffer {
    size_t used;
    unsigned n_pieces;
    bool is_done; /* the kernel stores nothing more in it */
};

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        bench_fail("memory");
    }
    return memory;
}

static void provide(struct uring_buffers *buffers, unsigned buffer, int place)
{
    buffers->states[buffer] = (struct uring_buffer){0};
    io_uring_buf_ring_add(buffers->ring, buffers->memory + buffer * buffers->size, (unsigned)buffers->size,
                          (unsigned short)buffer, io_uring_buf_ring_mask(buffers->count), place);
}

bool uring_buffers_open(struct uring_buffers *buffers, struct io_uring *ring, unsigned group, unsigned count,
                        size_t size, bool is_incremental)
{
    struct io_uring_buf_reg request = {.ring_entries = count, .bgid = (uint16_t)group};
    uint16_t flags = is_incremental ? BUFFERS_INCREMENTAL : 0;

    *buffers = (struct uring_buffers){.count = count, .size = size, .group = group};
    buffers->ring = map(count * sizeof(struct io_uring_buf));
    request.ring_addr = (uintptr_t)buffers->ring;
    /* The flags follow the group's number. Their name depends on the version of liburing. */
    memcpy((char *)&request + offsetof(struct io_uring_buf_reg, bgid) + sizeof request.bgid, &flags, sizeof flags);
    errno = -io_uring_register_buf_ring(ring, &request, 0);
    if (errno != 0) {
        if (is_incremental) {
            return false;
        }
        bench_fail("provided buffers");
    }
    buffers->memory = map(count * size);
    buffers->states = bench_alloc(count, sizeof *buffers->states);
    io_uring_buf_ring_init(buffers->ring);
    for (unsigned i = 0; i < count; i++) {
        provide(buffers, i, (int)i);
    }
    io_uring_buf_ring_advance(buffers->ring, (int)count);
    return true;
}

struct uring_piece uring_buffers_take(struct uring_buffers *buffers, const struct io_uring_cqe *cqe)
{
    unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    struct uring_buffer *state = &buffers->states[buffer];
    struct uring_piece piece = {
        .data = buffers->memory + buffer * buffers->size + state->used, .length = (unsigned)cqe->res, .buffer = buffer};

    state->used += piece.length;
    state->n_pieces++;
    if (!(cqe->flags & COMPLETION_BUFFER_MORE)) {
        state->is_done = true;
        buffers->n_out++;
    }
    return piece;
}

bool uring_buffers_give_back(struct uring_buffers *buffers, struct uring_piece piece)
{
    struct uring_buffer *state = &buffers->states[piece.buffer];

    if (piece.copy) {
        free(piece.copy);
        return false;
    }
    if (--state->n_pieces > 0 || !state->is_done) {
        return false;
    }
    provide(buffers, piece.buffer, 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
    buffers->n_out--;
    return true;
}
