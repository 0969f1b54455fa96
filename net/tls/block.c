/* SPDX-License-Identifier: ISC
 *
 * Blocks of memory for records, and those that are free.
 */
#include <loop/kernel/memory.h>
#include <net/tls/block.h>

#include <assert.h>

enum { MOST_SPARES = 8 };

struct loop_tls_block *loop_tls_block_take(struct loop_tls_spares *spares)
{
    struct loop_tls_block *block = spares->first;

    if (block) {
        assert(spares->n > 0);
        spares->first = block->next;
        spares->n--;
    } else {
        block = loop_kernel_malloc(sizeof *block);
    }
    if (block) {
        block->next = NULL;
        block->at = 0;
        block->end = 0;
    }
    return block;
}

void loop_tls_block_give(struct loop_tls_spares *spares, struct loop_tls_block *block)
{
    if (spares->n >= MOST_SPARES) {
        loop_kernel_free(block);
        return;
    }
    block->next = spares->first;
    spares->first = block;
    spares->n++;
}

void loop_tls_blocks_give(struct loop_tls_spares *spares, struct loop_tls_block *first)
{
    while (first) {
        struct loop_tls_block *block = first;

        first = block->next;
        loop_tls_block_give(spares, block);
    }
}

void loop_tls_spares_finish(struct loop_tls_spares *spares)
{
    while (spares->first) {
        struct loop_tls_block *block = spares->first;

        spares->first = block->next;
        loop_kernel_free(block);
    }
    spares->n = 0;
}
