/* SPDX-License-Identifier: ISC
 *
 * A slab of objects with generations; see slab.h.
 */
#include <loop/ground/poison.h>
#include <loop/ground/slab.h>
#include <loop/kernel/memory.h>

#include <errno.h>

void loop_slab_init(struct loop_slab *slab, size_t object_size, unsigned mark)
{
    assert(object_size >= sizeof(struct loop_slot) && object_size % sizeof(uint64_t) == 0);
    *slab = (struct loop_slab){.object_size = object_size, .mark = (uint64_t)mark << LOOP_SLAB_MARK_SHIFT};
}

void loop_slab_finish(struct loop_slab *slab)
{
    for (uint32_t i = 0; i < slab->n_pages; i++) {
        LOOP_UNPOISON(slab->pages[i], LOOP_SLAB_PER_PAGE * slab->object_size);
        loop_kernel_free(slab->pages[i]);
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

int loop_slab_grow(struct loop_slab *slab)
{
    if (loop_slab_capacity(slab) + LOOP_SLAB_PER_PAGE > LOOP_SLAB_MAX || reserve_page_entry(slab)) {
        return -ENOMEM;
    }
    char *page = loop_kernel_calloc(LOOP_SLAB_PER_PAGE, slab->object_size);
    if (!page) {
        return -ENOMEM;
    }
    uint32_t first = slab->n_pages * LOOP_SLAB_PER_PAGE;
    slab->pages[slab->n_pages++] = page;
    for (uint32_t i = LOOP_SLAB_PER_PAGE; i-- > 0;) {
        struct loop_slot *slot = loop_slab_at(slab, first + i);
        slot->id = LOOP_SLAB_FREE | slab->mark | LOOP_SLAB_GENERATION | (first + i);
        loop_slab_push_free(slab, slot);
    }
    return 0;
}
