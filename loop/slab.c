/* SPDX-License-Identifier: ISC
 *
 * A slab of objects with generations; see slab.h.
 */
#include <loop/slab.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GENERATION_MASK ((UINT64_C(1) << (LOOP_SLAB_ID_BITS - 1 - LOOP_SLAB_INDEX_BITS)) - 1)

/* What stands at the start of an object. `next_free` is only there while the object is not in use. */
struct slot {
    uint64_t id;
    uint32_t next_free;
};

static uint32_t index_of(uint64_t id)
{
    return (uint32_t)(id & (LOOP_SLAB_MAX - 1));
}

static struct slot *slot_at(const struct loop_slab *slab, uint32_t index)
{
    return loop_slab_at(slab, index);
}

void loop_slab_init(struct loop_slab *slab, size_t object_size, uint64_t mark)
{
    assert(object_size >= sizeof(struct slot) && object_size % sizeof(uint64_t) == 0);
    *slab = (struct loop_slab){.object_size = object_size, .mark = mark, .free_head = LOOP_SLAB_MAX};
}

void loop_slab_finish(struct loop_slab *slab)
{
    for (uint32_t i = 0; i < slab->n_pages; i++) {
        free(slab->pages[i]);
    }
    free(slab->pages);
    *slab = (struct loop_slab){.free_head = LOOP_SLAB_MAX};
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
    char *page = calloc(LOOP_SLAB_PER_PAGE, slab->object_size);
    if (!page) {
        return -1;
    }
    uint32_t first = slab->n_pages * LOOP_SLAB_PER_PAGE;
    slab->pages[slab->n_pages++] = page;
    for (uint32_t i = LOOP_SLAB_PER_PAGE; i-- > 0;) {
        struct slot *slot = slot_at(slab, first + i);
        slot->id = LOOP_SLAB_FREE | slab->mark | (UINT64_C(1) << LOOP_SLAB_INDEX_BITS) | (first + i);
        slot->next_free = slab->free_head;
        slab->free_head = first + i;
    }
    return 0;
}

void *loop_slab_get(struct loop_slab *slab)
{
    if (slab->free_head == LOOP_SLAB_MAX && add_page(slab)) {
        return NULL;
    }
    struct slot *slot = slot_at(slab, slab->free_head);
    assert(slot->id & LOOP_SLAB_FREE);
    slab->free_head = slot->next_free;
    slab->in_use++;
    uint64_t id = slot->id & ~LOOP_SLAB_FREE;
    memset(slot, 0, slab->object_size);
    slot->id = id;
    return slot;
}

void loop_slab_put(struct loop_slab *slab, void *object)
{
    struct slot *slot = object;
    uint32_t index = index_of(slot->id);
    uint64_t generation = ((slot->id >> LOOP_SLAB_INDEX_BITS) + 1) & GENERATION_MASK;
    assert(slab->in_use > 0 && slot_at(slab, index) == slot);
    slot->id = LOOP_SLAB_FREE | slab->mark | ((generation ? generation : 1) << LOOP_SLAB_INDEX_BITS) | index;
    slot->next_free = slab->free_head;
    slab->free_head = index;
    slab->in_use--;
}
