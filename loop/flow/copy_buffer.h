/* SPDX-License-Identifier: ISC
 *
 * The buffers of copies. The loop keeps a few that are not in use. The next copy gets the one given back last, which is
 * still in the cache.
 */
#ifndef LOOP_FLOW_COPY_BUFFER_H
#define LOOP_FLOW_COPY_BUFFER_H

#include <loop/core/loop.h>
#include <loop/core/unread.h>
#include <loop/kernel/memory.h>

/* Beyond this a larger buffer moves bytes no faster: the copy out of the kernel is what costs. */
#define LOOP_COPY_BYTES ((size_t)65536)
#define LOOP_COPY_BULK_BYTES (4 * LOOP_COPY_BYTES) /* to files */

/* Room in a buffer beside its bytes, for the state that copy_other.c keeps in front of them. */
#define LOOP_COPY_MORE_ROOM 128

/* How many are kept; others are freed. */
#define LOOP_COPY_SPARES_KEPT 16
#define LOOP_COPY_BULKS_KEPT 4

/* Returns a buffer of LOOP_COPY_BYTES or, `is_bulk`, of LOOP_COPY_BULK_BYTES; NULL when there is no memory. */
static inline struct loop_block *loop_copy_take(struct loop *loop, bool is_bulk)
{
    struct loop_spares *spares = is_bulk ? &loop->bulks : &loop->spares;
    struct loop_block *block = spares->first;
    if (!block) {
        block = loop_kernel_malloc(sizeof *block + LOOP_COPY_MORE_ROOM +
                                   (is_bulk ? LOOP_COPY_BULK_BYTES : LOOP_COPY_BYTES));
        if (block) {
            block->is_backends = block->is_received = false;
        }
        return block;
    }
    spares->first = block->next;
    spares->n--;
    return block;
}

/* Adds the first buffer to those that are kept. Returns it, or NULL when there is no memory. */
struct loop_block *loop_copy_add(struct loop *loop, bool is_bulk);

/* Returns the buffer that the next loop_copy_take returns, or NULL when there is no memory. The buffer is the caller's
 * until another function of the loop may take one. */
static inline struct loop_block *loop_copy_first(struct loop *loop, bool is_bulk)
{
    struct loop_block *block = is_bulk ? loop->bulks.first : loop->spares.first;
    return block ? block : loop_copy_add(loop, is_bulk);
}

/* Gives a buffer back to the loop, which keeps or frees it. `is_bulk` is what loop_copy_take was given. */
static inline void loop_copy_give(struct loop *loop, struct loop_block *block, bool is_bulk)
{
    struct loop_spares *spares = is_bulk ? &loop->bulks : &loop->spares;
    if (block->is_backends) {
        loop_block_free(loop, block);
        return;
    }
    if (spares->n >= (is_bulk ? LOOP_COPY_BULKS_KEPT : LOOP_COPY_SPARES_KEPT)) {
        loop_kernel_free(block);
        return;
    }
    block->next = spares->first;
    spares->first = block;
    spares->n++;
}

/* Frees the buffers that are kept. */
void loop_copy_finish(struct loop *loop);

#endif
