/* SPDX-License-Identifier: ISC
 *
 * Working memory: one block, kept for the next caller.
 */
#include <loop/core/check.h>
#include <loop/core/loop.h>
#include <loop/core/scratch.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <string.h>

#define ALIGNMENT 64

struct loop_scratch {
    size_t size_bytes;
    void *allocated;
    _Alignas(ALIGNMENT) char bytes[];
};

/* Allocates a block by calloc, which does not touch large memory, and aligns it. */
static struct loop_scratch *make(size_t size_bytes)
{
    if (size_bytes > PTRDIFF_MAX - 2 * sizeof(struct loop_scratch)) {
        return NULL;
    }
    char *allocated = loop_kernel_calloc(1, sizeof(struct loop_scratch) + size_bytes + ALIGNMENT);
    if (!allocated) {
        return NULL;
    }
    struct loop_scratch *scratch = (void *)(allocated + (ALIGNMENT - (uintptr_t)allocated % ALIGNMENT) % ALIGNMENT);
    scratch->size_bytes = size_bytes;
    scratch->allocated = allocated;
    return scratch;
}

static void count_taken(struct loop *loop, int n)
{
#if NORIA_DEBUG
    loop->n_scratch += (uint32_t)n;
#else
    (void)loop;
    (void)n;
#endif
}

void *loop_scratch_take(struct loop *loop, size_t size_bytes)
{
    if (!loop_is_good(loop, __func__)) {
        return NULL;
    }
    struct loop_scratch *scratch = loop->scratch;
    if (scratch && scratch->size_bytes >= size_bytes) {
        loop->scratch = NULL;
    } else {
        scratch = make(size_bytes);
    }
    count_taken(loop, scratch ? 1 : 0);
    return scratch ? scratch->bytes : NULL;
}

void loop_scratch_give(struct loop *loop, void *memory)
{
    if (!loop_is_good(loop, __func__)) {
        return;
    }
    if (!memory) {
        return;
    }
    count_taken(loop, -1);
    struct loop_scratch *given = LOOP_CONTAINER(memory, struct loop_scratch, bytes), *kept = loop->scratch;
    if (kept && kept->size_bytes > given->size_bytes) {
        loop_kernel_free(given->allocated);
        return;
    }
    loop->scratch = given;
    if (kept) {
        loop_kernel_free(kept->allocated);
    }
}

void loop_scratch_finish(struct loop *loop)
{
    if (loop->scratch) {
        loop_kernel_free(loop->scratch->allocated);
    }
}
