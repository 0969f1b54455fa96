/* SPDX-License-Identifier: ISC
 *
 * The region and its chunks, for the library: without the checks of <loop/region.h>.
 */
#ifndef LOOP_CORE_REGION_H
#define LOOP_CORE_REGION_H

#include <loop/core/check.h>
#include <loop/core/loop.h>
#include <loop/ground/list.h>
#include <loop/ground/poison.h>

#include <assert.h>

/* A chunk of the region. */
struct loop_chunk {
    struct loop *loop; /* that has it; NULL while it moves to another one. Others of a shared region may look: atomic */
    char *memory;
    struct loop_chunk *next; /* the next in the free list, or of a stream's chunks that wait for delivery */
    uint32_t index;
    uint32_t used; /* of a stream: bytes read into it and not delivered yet */
    uint8_t state; /* enum loop_chunk_state */
#if NORIA_DEBUG
    struct loop_place taken; /* where it was taken, while it is owned */
    struct loop_place freed; /* the call that freed it, while it is free */
#endif
};

/* What has a chunk: the free list; the program or a job; during its call, the continuation of a stream; or no loop, on
 * its way to another one. */
enum loop_chunk_state { LOOP_CHUNK_FREE, LOOP_CHUNK_OWNED, LOOP_CHUNK_LENT, LOOP_CHUNK_DETACHED };

/* The kernel registers at most 1 GiB as one buffer, io_uring_register(2). */
#define LOOP_REGION_MAX ((size_t)1 << 30)

/* Allocates the region: the share of a region of several loops, or with NULL one of its own. Without memory for all
 * shares, or where they have another size, the loop has one of its own as well. Returns 0 or -ENOMEM. */
int loop_region_init(struct loop *loop, const struct loop_share *share, uint32_t n_blocks, size_t block_size);

/* Drops the region with all chunks that the loop has. */
void loop_region_finish(struct loop *loop);

/* Returns whether the loop has the chunk. What another loop writes there is never this loop, so no order is needed. */
static inline bool loop_region_has(const struct loop *loop, const struct loop_chunk *chunk)
{
    return __atomic_load_n(&chunk->loop, __ATOMIC_RELAXED) == loop;
}

/* Returns how many chunks the region has, with those of other loops. */
static inline uint32_t loop_region_total(const struct loop_region *region)
{
    return region->share.shares ? region->share.shares->count * region->n_shared : 0;
}

/* Returns a chunk of the region by its number, below loop_region_total, if this loop has it; otherwise NULL. */
struct loop_chunk *loop_region_chunk(struct loop *loop, uint32_t number);

/* Returns whether bytes lie within the region, in chunks that this loop has. */
bool loop_region_covers(struct loop *loop, size_t offset, size_t len);

/* Puts a job in line for a chunk. Calls kind->got_chunk when it has one. */
void loop_region_wait(struct loop *loop, struct loop_job *job);

/* Returns whether less than half of the chunks are free. Peers that never read could otherwise occupy all chunks. So
 * writes that wait keep at most half of them: beyond that their bytes, which the sink's limit bounds, are moved out of
 * the region. */
static inline bool loop_region_is_scarce(const struct loop_region *region)
{
    return region->n_free < (region->n_blocks + 1) / 2;
}

/* Returns the memory of a good chunk. */
static inline void *loop_chunk_memory(const struct loop_chunk *chunk)
{
    return chunk->memory;
}

/* Returns the offset of a good chunk in the region, in bytes. */
static inline size_t loop_chunk_place(const struct loop_chunk *chunk)
{
    return (size_t)(chunk->memory - chunk->loop->region.memory);
}

/* Takes a free chunk. Returns NULL when there is none. */
static inline struct loop_chunk *loop_region_take(struct loop *loop)
{
    struct loop_region *region = &loop->region;
    struct loop_chunk *chunk = region->free_list;
    if (chunk) {
        assert(chunk->state == LOOP_CHUNK_FREE && region->n_free > 0);
#if NORIA_DEBUG
        chunk->freed = (struct loop_place){0};
#endif
        LOOP_UNPOISON(loop_chunk_memory(chunk), region->block_size);
        region->free_list = chunk->next;
        region->n_free--;
        chunk->next = NULL;
        chunk->state = LOOP_CHUNK_OWNED;
    }
    return chunk;
}

/* Gives a chunk to the first job in line. There is one. */
void loop_region_give_to_line(struct loop *loop, struct loop_chunk *chunk);

/* Gives a chunk back: to the first job in line, or to the free list. */
static inline void loop_region_give(struct loop *loop, struct loop_chunk *chunk)
{
    struct loop_region *region = &loop->region;
    assert(chunk->state != LOOP_CHUNK_FREE && chunk->loop == loop);
    if (!loop_list_is_empty(&region->line)) {
        loop_region_give_to_line(loop, chunk);
        return;
    }
    LOOP_POISON(loop_chunk_memory(chunk), region->block_size);
    chunk->state = LOOP_CHUNK_FREE;
    chunk->next = region->free_list;
    region->free_list = chunk;
    region->n_free++;
}

/* ---- checks: see check.h ---- */

/* Reports a bad chunk, and aborts a debug build. Returns false. */
__attribute__((cold)) bool loop_bad_chunk(const struct loop_chunk *chunk, const char *function);

/* Returns whether a chunk that a public function was given is owned or lent. */
static inline bool loop_chunk_is_good(const struct loop_chunk *chunk, const char *function)
{
    if (!chunk || chunk->state == LOOP_CHUNK_FREE) {
        (void)loop_bad_chunk(chunk, function);
        return false;
    }
    return true;
}

#endif
