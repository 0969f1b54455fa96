/* SPDX-License-Identifier: ISC
 *
 * Memory that is used again: a few free blocks of one size. What requests and answers need is too large for the
 * allocator to have it at hand, and too large to be set to zero each time.
 */
#ifndef DEMOS_HTTP_SPARE_H
#define DEMOS_HTTP_SPARE_H

#include <stddef.h>

struct spare_block;

/* All zero keeps nothing. */
struct spares {
    struct spare_block *first;
    unsigned n;
    unsigned most; /* how many blocks are kept */
};

/* Returns a block of `size_bytes`, which is the same in each call. Its contents are undefined. NULL without memory. */
void *spares_take(struct spares *spares, size_t size_bytes);

/* Gives a block back, or NULL. */
void spares_give(struct spares *spares, void *block);

/* Frees the blocks that are kept. */
void spares_free(struct spares *spares);

#endif
