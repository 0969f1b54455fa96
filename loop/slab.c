/* SPDX-License-Identifier: ISC
 *
 * A slab of objects with generations; see slab.h.
 */
#include <loop/slab.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FREE_BIT (UINT64_C(1) << 63) /* in the id of a slot that is not in use: no id that was ever given out has it */
#define GENERATION_MASK ((UINT64_C(1) << (LOOP_SLAB_ID_BITS - LOOP_SLAB_INDEX_BITS)) - 1)

void loop_slab_init(struct loop_slab *slab, size_t object_size)
{
    assert(object_size >= sizeof(struct loop_slot) && object_size % sizeof(uint64_t) == 0);
    *slab = (struct loop_slab){.object_size = object_size};
}

void loop_slab_finish(struct loop_slab *slab)
{
    for (uint32_t i = 0; i < slab->n_pages; i++) {
        free(slab->pages[i]);
    }
    free(slab->pages);
    *slab = (struct loop_slab){0};
}

static int reserve_page_entry(struct loop_slab *slab)
{
    if (slab->n_pages < slab->pages_capacity) {
        return 0;
    }
    uint32_t capacity = slab->pages_capacity ? slab->pages_capacity * 2 : 8;
    char **pages = realloc(slab->pages, capacity * sizeof *pages);
    if (!pages) {
        return -1;
    }
    slab->pages = pages;
    slab->pages_capacity = capacity;
    return 0;
}

static int add_page(struct loop_slab *slab)
{
    if (loop_slab_capacity(slab) + LOOP_SLAB_PER_PAGE > LOOP_SLAB_MAX || reserve_page_entry(slab)) {
        return -1;
    }
    char *page = malloc(LOOP_SLAB_PER_PAGE * slab->object_size);
    if (!page) {
        return -1;
    }
    uint32_t first = slab->n_pages * LOOP_SLAB_PER_PAGE;
    slab->pages[slab->n_pages++] = page;
    for (uint32_t index = first + LOOP_SLAB_PER_PAGE; index-- > first;) {
        struct loop_slot *slot = loop_slab_at(slab, index);
        slot->id = FREE_BIT | (UINT64_C(1) << LOOP_SLAB_INDEX_BITS) | index;
        slot->next_free = slab->free;
        slab->free = slot;
    }
    return 0;
}

void *loop_slab_take(struct loop_slab *slab)
{
    if (!slab->free && add_page(slab)) {
        return NULL;
    }
    struct loop_slot *slot = slab->free;
    assert(slot->id & FREE_BIT);
    slab->free = slot->next_free;
    slab->in_use++;
    slot->id &= ~FREE_BIT;
    return slot;
}

void *loop_slab_get(struct loop_slab *slab)
{
    struct loop_slot *slot = loop_slab_take(slab);
    if (slot) {
        memset((char *)slot + sizeof slot->id, 0, slab->object_size - sizeof slot->id);
    }
    return slot;
}

void loop_slab_put(struct loop_slab *slab, void *object)
{
    struct loop_slot *slot = object;
    uint64_t index = slot->id & (LOOP_SLAB_MAX - 1);
    uint64_t generation = ((slot->id >> LOOP_SLAB_INDEX_BITS) + 1) & GENERATION_MASK;
    assert(slab->in_use > 0 && loop_slab_at(slab, (uint32_t)index) == slot);
    slot->id = FREE_BIT | ((generation ? generation : 1) << LOOP_SLAB_INDEX_BITS) | index;
    slot->next_free = slab->free;
    slab->free = slot;
    slab->in_use--;
}
