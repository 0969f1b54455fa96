/* SPDX-License-Identifier: ISC
 *
 * A slab: objects of one size in pages that never move, so that the kernel may keep pointers into them. Every object
 * begins with its id: its index, and a generation that changes when the object is given back. An id that is kept too
 * long therefore names nothing, also when the slot is in use again.
 *
 * A pointer that is kept too long is not so safe. What follows struct loop_slot stays as it was until the slot is in
 * use again: what is asked of the object meanwhile can be answered, and a debug build can say what it was. Debug builds
 * take the slot given back last again last. Sanitizer builds poison all of a free slot but its id.
 */
#ifndef LOOP_GROUND_SLAB_H
#define LOOP_GROUND_SLAB_H

#include <loop/ground/poison.h>

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* An id: generation << LOOP_SLAB_INDEX_BITS | index, with the slab's mark above it. The top three bits are always 0,
 * for those who put a tag there. At a million reuses of one slot each second the generation comes round after 9
 * hours. */
#define LOOP_SLAB_INDEX_BITS 24
#define LOOP_SLAB_ID_BITS 61
#define LOOP_SLAB_MARK_BITS 2
#define LOOP_SLAB_MARK_SHIFT (LOOP_SLAB_ID_BITS - LOOP_SLAB_MARK_BITS)
#define LOOP_SLAB_FREE (UINT64_C(1) << 63) /* in the id of a slot not in use: no id that was ever given out has it */
#define LOOP_SLAB_GENERATION (UINT64_C(1) << LOOP_SLAB_INDEX_BITS)
#define LOOP_SLAB_GENERATIONS ((UINT64_C(1) << LOOP_SLAB_MARK_SHIFT) - LOOP_SLAB_GENERATION)
#define LOOP_SLAB_PER_PAGE 64u
#define LOOP_SLAB_MAX (1u << LOOP_SLAB_INDEX_BITS)

/* What stands at the start of an object. */
struct loop_slot {
    uint64_t id;                 /* with the top bit set while it is not in use */
    struct loop_slot *next_free; /* only while it is not in use */
};

struct loop_slab {
    size_t object_size;
    uint64_t mark; /* in every id, in its place: where several slabs have one kind of ids it says whose it is */
    char **pages;
    uint32_t n_pages, pages_capacity;
    struct loop_slot *free; /* the slot to be taken next, or NULL */
#if NORIA_DEBUG
    struct loop_slot *last_free;
#endif
    uint32_t in_use;
};

void loop_slab_init(struct loop_slab *slab, size_t object_size, unsigned mark);
void loop_slab_finish(struct loop_slab *slab);

/* Memory for more. 0 or -ENOMEM. */
int loop_slab_grow(struct loop_slab *slab);

/* All of a free slot but the id, which loop_slab_find reads, belongs to the next owner. */
static inline void loop_slab_poison(const struct loop_slab *slab, struct loop_slot *slot)
{
    LOOP_POISON((char *)slot + sizeof slot->id, slab->object_size - sizeof slot->id);
}

static inline void loop_slab_unpoison(const struct loop_slab *slab, struct loop_slot *slot)
{
    LOOP_UNPOISON((char *)slot + sizeof slot->id, slab->object_size - sizeof slot->id);
}

#if NORIA_DEBUG
/* Puts a slot at the end of the free list: it is taken last, so that pointers kept too long are found. */
static inline void loop_slab_push_free(struct loop_slab *slab, struct loop_slot *slot)
{
    slot->next_free = NULL;
    if (slab->free) {
        loop_slab_unpoison(slab, slab->last_free);
        slab->last_free->next_free = slot;
        loop_slab_poison(slab, slab->last_free);
    } else {
        slab->free = slot;
    }
    slab->last_free = slot;
    loop_slab_poison(slab, slot);
}
#else
/* Puts a slot at the head of the free list: it is taken first, because it is the one in the cache. */
static inline void loop_slab_push_free(struct loop_slab *slab, struct loop_slot *slot)
{
    slot->next_free = slab->free;
    slab->free = slot;
    loop_slab_poison(slab, slot);
}
#endif

/* An object, but for its id as its last owner left it; NULL when there is no memory. */
static inline void *loop_slab_take(struct loop_slab *slab)
{
    if (!slab->free && loop_slab_grow(slab)) {
        return NULL;
    }
    struct loop_slot *slot = slab->free;
    assert(slot->id & LOOP_SLAB_FREE);
    loop_slab_unpoison(slab, slot);
    slab->free = slot->next_free;
    slab->in_use++;
    slot->id &= ~LOOP_SLAB_FREE;
    return slot;
}

/* The same, zeroed but for its id. */
static inline void *loop_slab_get(struct loop_slab *slab)
{
    struct loop_slot *slot = loop_slab_take(slab);
    if (slot) {
        memset((char *)slot + sizeof slot->id, 0, slab->object_size - sizeof slot->id);
    }
    return slot;
}

/* Its id is of the next generation from now on; that is never 0, because no handle is. */
static inline void loop_slab_put(struct loop_slab *slab, void *object)
{
    struct loop_slot *slot = object;
    assert(slab->in_use > 0 && !(slot->id & LOOP_SLAB_FREE));
    uint64_t generation = (slot->id + LOOP_SLAB_GENERATION) & LOOP_SLAB_GENERATIONS;
    slot->id = (slot->id & ~LOOP_SLAB_GENERATIONS) | (generation ? generation : LOOP_SLAB_GENERATION) | LOOP_SLAB_FREE;
    loop_slab_push_free(slab, slot);
    slab->in_use--;
}

/* The mark in an id. */
static inline unsigned loop_slab_mark_of(uint64_t id)
{
    return (unsigned)(id >> LOOP_SLAB_MARK_SHIFT) & ((1u << LOOP_SLAB_MARK_BITS) - 1);
}

/* The slot and the generation in an id, for people to read. A freed slot has the next generation already. */
static inline unsigned loop_slab_slot_of(uint64_t id)
{
    return (unsigned)(id & (LOOP_SLAB_MAX - 1));
}

static inline unsigned long long loop_slab_generation_of(uint64_t id)
{
    return (unsigned long long)((id & ~LOOP_SLAB_FREE) >> LOOP_SLAB_INDEX_BITS) - (id & LOOP_SLAB_FREE ? 1 : 0);
}

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
