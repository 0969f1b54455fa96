/* SPDX-License-Identifier: ISC
 *
 * Memory that is used again.
 */
#include "spare.h"

#include <stdlib.h>

struct spare_block {
    struct spare_block *next;
};

void *spares_take(struct spares *spares, size_t size_bytes)
{
    struct spare_block *block = spares->first;

    if (!block) {
        return malloc(size_bytes);
    }
    spares->first = block->next;
    spares->n--;
    return block;
}

void spares_give(struct spares *spares, void *memory)
{
    struct spare_block *block = memory;

    if (!block || spares->n >= spares->most) {
        free(block);
        return;
    }
    block->next = spares->first;
    spares->first = block;
    spares->n++;
}

void spares_free(struct spares *spares)
{
    while (spares->first) {
        struct spare_block *block = spares->first;

        spares->first = block->next;
        free(block);
    }
    spares->n = 0;
}
