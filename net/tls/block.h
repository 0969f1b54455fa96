/* SPDX-License-Identifier: ISC
 *
 * Blocks of memory for records on their way: all of one size, with room for one record. A context keeps a few that are
 * free, so that connections which take turns need no allocator.
 */
#ifndef NET_TLS_BLOCK_H
#define NET_TLS_BLOCK_H

#include <stddef.h>
#include <stdint.h>

/* A record of 16 KiB, with its header, padding, tag and type. */
enum { LOOP_TLS_BLOCK_BYTES = 17 << 10 };

struct loop_tls_block {
    struct loop_tls_block *next;
    uint32_t at, end; /* the bytes that are left */
    unsigned char bytes[LOOP_TLS_BLOCK_BYTES];
};

struct loop_tls_spares {
    struct loop_tls_block *first;
    unsigned n;
};

/* Returns an empty block, or NULL when there is no memory. */
struct loop_tls_block *loop_tls_block_take(struct loop_tls_spares *spares);

/* Gives a block back. */
void loop_tls_block_give(struct loop_tls_spares *spares, struct loop_tls_block *block);

/* Gives a list of blocks back; NULL is an empty one. */
void loop_tls_blocks_give(struct loop_tls_spares *spares, struct loop_tls_block *first);

/* Frees all spare blocks. */
void loop_tls_spares_finish(struct loop_tls_spares *spares);

#endif
