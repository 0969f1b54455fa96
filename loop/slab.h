/* SPDX-License-Identifier: ISC
 *
 * A slab: objects of one size in pages that never move, so that the kernel may keep pointers into them. Every object
 * begins with its id: its index, and a generation that changes when the object is given back. An id that is kept too
 * long therefore names nothing, also when the slot is in use again.
 */
#ifndef LOOP_SLAB_H
#define LOOP_SLAB_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* An id: generation << LOOP_SLAB_INDEX_BITS | index, with the slab's mark above it. The top three bits are always 0,
 * for those who put a tag there. At a million reuses of one slot each second the generation comes round after 19 hours.
 */
#define LOOP_SLAB_INDEX_BITS 24
#define LOOP_SLAB_ID_BITS 61
#define LOOP_SLAB_MARK (UINT64_C(1) << (LOOP_SLAB_ID_BITS - 1))
#define LOOP_SLAB_FREE (UINT64_C(1) << 63) /* in the id of a slot not in use: no id that was ever given out has it */
#define LOOP_SLAB_GENERATION (UINT64_C(1) << LOOP_SLAB_INDEX_BITS)
#define LOOP_SLAB_GENERATIONS (LOOP_SLAB_MARK - LOOP_SLAB_GENERATION)
#define LOOP_SLAB_PER_PAGE 64u
#define LOOP_SLAB_MAX (1u << LOOP_SLAB_INDEX_BITS)

struct loop_slab {
    size_t object_size;
    uint64_t mark; /* 0 or LOOP_SLAB_MARK, in every id: where two slabs have one kind of ids it says whose it is */
    char **pages;
    uint32_t n_pages, pages_capacity;
    struct loop_slab_slot *free; /* the one given back last is taken first: it is the one in the cache */
    uint32_t in_use;
};

/* What stands at the start of an object. `next_free` is only there while the object is not in use. */
struct loop_slab_slot {
    uint64_t id;
    struct loop_slab_slot *next_free;
};

void loop_slab_init(struct loop_slab *slab, size_t object_size, uint64_t mark);
void loop_slab_finish(struct loop_slab *slab);

/* Memory for more. 0 or -ENOMEM. */
int loop_slab_grow(struct loop_slab *slab);

/* An object, zeroed but for its id (a uint64_t at its start); NULL when there is no memory. */
static inline void *loop_slab_get(struct loop_slab *slab)
{
    if (!slab->free && loop_slab_grow(slab)) {
        return NULL;
    }
    struct loop_slab_slot *slot = slab->free;
    assert(slot->id & LOOP_SLAB_FREE);
    slab->free = slot->next_free;
    slab->in_use++;
    uint64_t id = slot->id & ~LOOP_SLAB_FREE;
    memset(slot, 0, slab->object_size);
    slot->id = id;
    return slot;
}

/* The next generation of the slot; never 0, which no handle has. */
static inline void loop_slab_put(struct loop_slab *slab, void *object)
{
    struct loop_slab_slot *slot = object;
    assert(slab->in_use > 0 && !(slot->id & LOOP_SLAB_FREE));
    uint64_t generation = (slot->id + LOOP_SLAB_GENERATION) & LOOP_SLAB_GENERATIONS;
    slot->id = (slot->id & ~LOOP_SLAB_GENERATIONS) | (generation ? generation : LOOP_SLAB_GENERATION) | LOOP_SLAB_FREE;
    slot->next_free = slab->free;
    slab->free = slot;
    slab->in_use--;
}

/* The number of slots for which there is memory. */
static inline uint32_t loop_slab_capacity(const struct loop_slab *slab)
{
    return slab->n_pages * LOOP_SLAB_PER_PAGE;
}

/* The slot, in use or not. */
static inline void *loop_slab_at(const struct loop_slab *slab, uint32_t index)
{
    return slab->pages[index / LOOP_SLAB_PER_PAGE] + (size_t)(index % LOOP_SLAB_PER_PAGE) * slab->object_size;
}

/* The object with that id, or NULL when it was given back, or never was. */
static inline void *loop_slab_find(const struct loop_slab *slab, uint64_t id)
{
    uint32_t index = (uint32_t)(id & (LOOP_SLAB_MAX - 1));
    if (index >= loop_slab_capacity(slab) || id & LOOP_SLAB_FREE) {
        return NULL;
    }
    uint64_t *object = (uint64_t *)loop_slab_at(slab, index);
    return *object == id ? object : NULL;
}

#endif
