/* SPDX-License-Identifier: ISC
 *
 * A slab of objects with generations; see slab.h.
 */
#include <loop/ground/poison.h>
#include <loop/ground/slab.h>
#include <loop/kernel/memory.h>

#include <errno.h>
#include <stdbool.h>

/* A slab of this size grows by huge pages, which cost less when they are used first, and less to access. At most one
 * huge page of memory is not used. */
#define LARGE_BYTES ((size_t)4 << 20)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

/* The head of a block of memory, in front of its pages: one, or in a large slab as many as fit in a huge page. */
struct loop_slab_block {
    _Alignas(16) struct loop_slab_block *next;
};

static size_t page_bytes(const struct loop_slab *slab)
{
    return LOOP_SLAB_PER_PAGE * slab->object_size;
}

void loop_slab_init(struct loop_slab *slab, size_t object_size, unsigned mark)
{
    assert(object_size >= sizeof(struct loop_slot) && object_size % sizeof(uint64_t) == 0);
    assert(LOOP_SLAB_PER_PAGE * object_size <= HUGE_PAGE_BYTES - sizeof(struct loop_slab_block));
    *slab = (struct loop_slab){.object_size = object_size, .mark = (uint64_t)mark << LOOP_SLAB_MARK_SHIFT};
}

void loop_slab_finish(struct loop_slab *slab)
{
    for (uint32_t i = 0; i < slab->n_pages; i++) {
        LOOP_UNPOISON(slab->pages[i], page_bytes(slab));
    }
    while (slab->blocks) {
        struct loop_slab_block *block = slab->blocks;
        slab->blocks = block->next;
        loop_kernel_free(block);
    }
    loop_kernel_free(slab->pages);
    *slab = (struct loop_slab){0};
}

static int reserve_page_entry(struct loop_slab *slab)
{
    if (slab->n_pages < slab->pages_capacity) {
        return 0;
    }
    uint32_t capacity = slab->pages_capacity ? slab->pages_capacity * 2 : 8;
    char **pages = loop_kernel_realloc(slab->pages, capacity * sizeof *pages);
    if (!pages) {
        return -1;
    }
    slab->pages = pages;
    slab->pages_capacity = capacity;
    return 0;
}

/* Where the kernel has no huge page, the block has ordinary pages. */
static struct loop_slab_block *allocate_huge(void)
{
    struct loop_slab_block *block = loop_kernel_aligned_alloc(HUGE_PAGE_BYTES, HUGE_PAGE_BYTES);
    if (block) {
        (void)loop_kernel_madvise(block, HUGE_PAGE_BYTES, MADV_HUGEPAGE);
    }
    return block;
}

static int add_block(struct loop_slab *slab)
{
    bool is_large = slab->n_pages * page_bytes(slab) >= LARGE_BYTES;
    struct loop_slab_block *block = is_large ? allocate_huge() : NULL;
    uint32_t n_pages = block ? (uint32_t)((HUGE_PAGE_BYTES - sizeof *block) / page_bytes(slab)) : 1;
    if (!block) {
        block = loop_kernel_malloc(sizeof *block + page_bytes(slab));
    }
    if (!block) {
        return -ENOMEM;
    }
    block->next = slab->blocks;
    slab->blocks = block;
    slab->pages_left = n_pages;
    slab->next_page = (char *)(block + 1);
    return 0;
}

int loop_slab_grow(struct loop_slab *slab)
{
    if (loop_slab_capacity(slab) + LOOP_SLAB_PER_PAGE > LOOP_SLAB_MAX || reserve_page_entry(slab) ||
        (slab->pages_left == 0 && add_block(slab))) {
        return -ENOMEM;
    }
    char *page = slab->next_page;
    slab->next_page += page_bytes(slab);
    slab->pages_left--;
    memset(page, 0, page_bytes(slab));
    uint32_t first = slab->n_pages * LOOP_SLAB_PER_PAGE;
    slab->pages[slab->n_pages++] = page;
    for (uint32_t i = LOOP_SLAB_PER_PAGE; i-- > 0;) {
        struct loop_slot *slot = loop_slab_at(slab, first + i);
        slot->id = LOOP_SLAB_FREE | slab->mark | LOOP_SLAB_GENERATION | (first + i);
        loop_slab_push_free(slab, slot);
    }
    return 0;
}
