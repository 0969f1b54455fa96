/* SPDX-License-Identifier: ISC
 *
 * The buffers of copies: where none is kept yet, and at the end of the loop.
 */
#include <loop/core/loop.h>
#include <loop/core/unread.h>
#include <loop/flow/copy_buffer.h>
#include <loop/kernel/memory.h>

#include <assert.h>

struct loop_block *loop_copy_add(struct loop *loop, bool is_bulk)
{
    struct loop_spares *spares = is_bulk ? &loop->bulks : &loop->spares;
    assert(!spares->first);
    struct loop_block *block = loop_copy_take(loop, is_bulk);
    if (block) {
        loop_copy_give(loop, block, is_bulk);
    }
    return spares->first;
}

static void free_all(struct loop_spares *spares)
{
    while (spares->first) {
        struct loop_block *block = spares->first;
        spares->first = block->next;
        loop_kernel_free(block);
    }
    spares->n = 0;
}

void loop_copy_finish(struct loop *loop)
{
    free_all(&loop->spares);
    free_all(&loop->bulks);
}
