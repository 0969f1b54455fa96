/* SPDX-License-Identifier: ISC
 *
 * The region and its chunks.
 */
#ifndef LOOP_CORE_REGION_H
#define LOOP_CORE_REGION_H

#include <loop/core/check.h>
#include <loop/core/loop.h>

struct loop_chunk {
    struct loop *loop;
    struct loop_chunk *next; /* free list; a stream's chunks that wait for delivery */
    uint32_t index;
    uint32_t used; /* a stream's: bytes read into it and not delivered yet */
    uint8_t state; /* enum loop_chunk_state */
#if NORIA_DEBUG
    struct loop_place taken; /* while it is owned */
    struct loop_place freed; /* by a call, while it is free */
#endif
};

enum loop_chunk_state { LOOP_CHUNK_FREE, LOOP_CHUNK_OWNED, LOOP_CHUNK_LENT };

/* The kernel registers at most 1 GiB as one buffer, io_uring_register(2). */
#define LOOP_REGION_MAX ((size_t)1 << 30)

int loop_region_init(struct loop *loop, uint32_t n_blocks, size_t block_size);

void loop_region_finish(struct loop *loop);

/* Puts a job in line for a chunk: kind->got_chunk is called when it has one. */
void loop_region_wait(struct loop *loop, struct loop_job *job);

/* A chunk of the loop's own, and its way back: without the checks that users' chunks get. */
struct loop_chunk *loop_region_take(struct loop *loop);

void loop_region_give(struct loop *loop, struct loop_chunk *chunk);

/* Peers that never read could otherwise hold all chunks, and everybody else would wait for one. Writes that wait hold
 * half of them at the most: beyond that their bytes, which the sink's limit bounds, are kept outside the region. */
static inline bool loop_region_is_scarce(const struct loop_region *region)
{
    return region->n_free < (region->n_blocks + 1) / 2;
}

/* A chunk's memory, and where it stands in the region: of one that is known to be good. */
static inline size_t loop_chunk_place(const struct loop_chunk *chunk)
{
    return chunk->index * chunk->loop->region.block_size;
}

static inline void *loop_chunk_memory(const struct loop_chunk *chunk)
{
    return chunk->loop->region.memory + loop_chunk_place(chunk);
}

/* ---- checks: see check.h ---- */

__attribute__((cold)) bool loop_bad_chunk(const struct loop_chunk *chunk, const char *function);

/* A chunk that is owned or lent. */
static inline bool loop_chunk_is_good(const struct loop_chunk *chunk, const char *function)
{
    if (!chunk || chunk->state == LOOP_CHUNK_FREE) {
        (void)loop_bad_chunk(chunk, function);
        return false;
    }
    return true;
}

#endif
