/* SPDX-License-Identifier: ISC
 *
 * A slab: objects of one size in pages that never move, so that the kernel may keep pointers into them. Every object
 * begins with its id: its index, and a generation that changes when the object is given back. An id that is kept too
 * long therefore names nothing, also when the slot is in use again.
 */
#ifndef LOOP_SLAB_H
#define LOOP_SLAB_H

#include <stddef.h>
#include <stdint.h>

/* An id: generation << LOOP_SLAB_INDEX_BITS | index. The top three bits are always 0, for those who put a tag there. At
 * a million reuses of one slot each second the generation comes round after 38 hours. */
#define LOOP_SLAB_INDEX_BITS 24
#define LOOP_SLAB_ID_BITS 61
#define LOOP_SLAB_MAX (1u << LOOP_SLAB_INDEX_BITS)

#define LOOP_SLAB_PER_PAGE 64u

/* What stands at the start of an object. */
struct loop_slot {
    uint64_t id;                 /* with the top bit set while it is not in use */
    struct loop_slot *next_free; /* only while it is not in use */
};

struct loop_slab {
    size_t object_size;
    char **pages;
    uint32_t n_pages, pages_capacity;
    struct loop_slot *free; /* the slot given back last, or NULL */
    uint32_t in_use;
};

void loop_slab_init(struct loop_slab *slab, size_t object_size);
void loop_slab_finish(struct loop_slab *slab);

/* An object, zeroed but for its id (a uint64_t at its start); NULL when there is no memory. The slot given back last is
 * taken first: it is the one in the cache. */
void *loop_slab_get(struct loop_slab *slab);
void loop_slab_put(struct loop_slab *slab, void *object);

/* The same as get, for who writes all of the object: but for its id it is as somebody has left it. */
void *loop_slab_take(struct loop_slab *slab);

/* The number of slots for which there is memory. */
static inline uint32_t loop_slab_capacity(const struct loop_slab *slab)
{
    return slab->n_pages * LOOP_SLAB_PER_PAGE;
}

/* The slot with that index. There is one. */
static inline struct loop_slot *loop_slab_at(const struct loop_slab *slab, uint32_t index)
{
    char *page = slab->pages[index / LOOP_SLAB_PER_PAGE];
    return (struct loop_slot *)(void *)(page + (size_t)(index % LOOP_SLAB_PER_PAGE) * slab->object_size);
}

/* The object with that id, or NULL when it was given back, or never was. */
static inline void *loop_slab_find(const struct loop_slab *slab, uint64_t id)
{
    uint32_t index = (uint32_t)(id & (LOOP_SLAB_MAX - 1));
    if (index >= loop_slab_capacity(slab) || id >> LOOP_SLAB_ID_BITS) {
        return NULL;
    }
    struct loop_slot *slot = loop_slab_at(slab, index);
    return slot->id == id ? slot : NULL;
}

#endif
