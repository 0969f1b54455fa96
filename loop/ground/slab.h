/* SPDX-License-Identifier: ISC
 *
 * A slab: objects of one size in pages that never move, so the kernel may keep pointers to them. Every object begins
 * with its id: an index, and a generation that changes when the object is freed. So an id that is kept too long names
 * no object, even when the slot is in use again.
 *
 * A pointer that is kept too long is less safe. The bytes after struct loop_slot stay as they were until the slot is in
 * use again: functions can still check the object, and a debug build can report what it was. Debug builds reuse the
 * slot freed last as the last. Sanitizer builds poison all of a free slot but its id.
 */
#ifndef LOOP_GROUND_SLAB_H
#define LOOP_GROUND_SLAB_H

#include <loop/ground/poison.h>

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* An id: generation << LOOP_SLAB_INDEX_BITS | index, with the slab's mark above it. The top three bits are always 0,
 * for callers that store a tag there. At a million reuses of one slot per second a generation comes again after 9
 * hours. */
#define LOOP_SLAB_INDEX_BITS 24
#define LOOP_SLAB_ID_BITS 61
#define LOOP_SLAB_MARK_BITS 2
#define LOOP_SLAB_MARK_SHIFT (LOOP_SLAB_ID_BITS - LOOP_SLAB_MARK_BITS)
#define LOOP_SLAB_FREE (UINT64_C(1) << 63) /* set in the id of a free slot; no id that a caller gets has it */
#define LOOP_SLAB_GENERATION (UINT64_C(1) << LOOP_SLAB_INDEX_BITS)
#define LOOP_SLAB_GENERATIONS ((UINT64_C(1) << LOOP_SLAB_MARK_SHIFT) - LOOP_SLAB_GENERATION)
#define LOOP_SLAB_PER_PAGE 64u
#define LOOP_SLAB_MAX (1u << LOOP_SLAB_INDEX_BITS)

/* The start of every object. */
struct loop_slot {
    uint64_t id;                 /* has LOOP_SLAB_FREE while it is free */
    struct loop_slot *next_free; /* only while it is free */
};

struct loop_slab_block;

/* A slab. */
struct loop_slab {
    size_t object_size;
    uint64_t mark; /* in every id, at its place: identifies the slab where several share one kind of ids */
    char **pages;
    uint32_t n_pages, pages_capacity;
    struct loop_slot *free; /* the slot that is taken next, or NULL */
#if NORIA_DEBUG
    struct loop_slot *last_free;
#endif
    uint64_t n_taken, n_put;        /* how many objects were ever taken, and freed */
    uint32_t pages_left;            /* pages of the newest block that are not used yet */
    char *next_page;                /* the first of them */
    struct loop_slab_block *blocks; /* the newest first */
};

/* Initializes an empty slab. `mark` is in every id. */
void loop_slab_init(struct loop_slab *slab, size_t object_size, unsigned mark);
/* Frees the slab's memory. */
void loop_slab_finish(struct loop_slab *slab);

/* Allocates memory for more objects. Returns 0 or -ENOMEM. */
int loop_slab_grow(struct loop_slab *slab);

/* Poisons a free slot, except its id, which loop_slab_find reads. */
static inline void loop_slab_poison(const struct loop_slab *slab, struct loop_slot *slot)
{
    LOOP_POISON((char *)slot + sizeof slot->id, slab->object_size - sizeof slot->id);
}

/* Makes a poisoned slot usable again. */
static inline void loop_slab_unpoison(const struct loop_slab *slab, struct loop_slot *slot)
{
    LOOP_UNPOISON((char *)slot + sizeof slot->id, slab->object_size - sizeof slot->id);
}

#if NORIA_DEBUG
/* Adds a slot at the end of the free list: it is taken last, so that pointers kept too long are detected. */
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
/* Adds a slot at the head of the free list: it is taken first, because it is in the cache. */
static inline void loop_slab_push_free(struct loop_slab *slab, struct loop_slot *slot)
{
    slot->next_free = slab->free;
    slab->free = slot;
    loop_slab_poison(slab, slot);
}
#endif

/* Takes an object. Its bytes, except its id, are those of its last owner. Returns NULL when there is no memory. */
static inline void *loop_slab_take(struct loop_slab *slab)
{
    if (!slab->free && loop_slab_grow(slab)) {
        return NULL;
    }
    struct loop_slot *slot = slab->free;
    assert(slot->id & LOOP_SLAB_FREE);
    loop_slab_unpoison(slab, slot);
    slab->free = slot->next_free;
    __builtin_prefetch(slab->free, 1); /* the next call uses it */
    slab->n_taken++;
    slot->id &= ~LOOP_SLAB_FREE;
    return slot;
}

/* Takes an object whose bytes, except its id, are zero. Returns NULL when there is no memory. */
static inline void *loop_slab_get(struct loop_slab *slab)
{
    struct loop_slot *slot = loop_slab_take(slab);
    if (slot) {
        memset((char *)slot + sizeof slot->id, 0, slab->object_size - sizeof slot->id);
    }
    return slot;
}

/* Returns how many objects are in use. */
static inline uint32_t loop_slab_in_use(const struct loop_slab *slab)
{
    return (uint32_t)(slab->n_taken - slab->n_put);
}

/* Frees an object. Its id gets the next generation, which is never 0, because no handle is 0: after the last one, whose
 * sum reaches the mark, comes the first. That can be only where the 8 lowest bits of the sum are 0. */
static inline void loop_slab_put(struct loop_slab *slab, void *object)
{
    struct loop_slot *slot = object;
    assert(loop_slab_in_use(slab) > 0 && !(slot->id & LOOP_SLAB_FREE));
    uint64_t next = slot->id + LOOP_SLAB_GENERATION;
    if (__builtin_expect((uint32_t)next < LOOP_SLAB_GENERATION, 0) && (next ^ slot->id) >> LOOP_SLAB_MARK_SHIFT != 0) {
        next = (slot->id & ~LOOP_SLAB_GENERATIONS) | LOOP_SLAB_GENERATION;
    }
    slot->id = next | LOOP_SLAB_FREE;
    loop_slab_push_free(slab, slot);
    slab->n_put++;
}

/* Returns the mark in an id. */
static inline unsigned loop_slab_mark_of(uint64_t id)
{
    return (unsigned)(id >> LOOP_SLAB_MARK_SHIFT) & ((1u << LOOP_SLAB_MARK_BITS) - 1);
}

/* Returns the number of the slot in an id, for messages. */
static inline unsigned loop_slab_slot_of(uint64_t id)
{
    return (unsigned)(id & (LOOP_SLAB_MAX - 1));
}

/* Returns the generation in an id, for messages. Corrects that of a freed slot, which is the next one already. */
static inline unsigned long long loop_slab_generation_of(uint64_t id)
{
    return (unsigned long long)((id & ~LOOP_SLAB_FREE) >> LOOP_SLAB_INDEX_BITS) - (id & LOOP_SLAB_FREE ? 1 : 0);
}

/* Returns for how many objects memory has been allocated. */
static inline uint32_t loop_slab_capacity(const struct loop_slab *slab)
{
    return slab->n_pages * LOOP_SLAB_PER_PAGE;
}

/* Returns the slot with that index, which exists. */
static inline struct loop_slot *loop_slab_at(const struct loop_slab *slab, uint32_t index)
{
    char *page = slab->pages[index / LOOP_SLAB_PER_PAGE];
    return (struct loop_slot *)(void *)(page + (size_t)(index % LOOP_SLAB_PER_PAGE) * slab->object_size);
}

/* Returns the object with an id that the slab has given out, or NULL when it has been freed since. For ids that come
 * back from the kernel: those of a program may be any number. */
static inline void *loop_slab_find_given(const struct loop_slab *slab, uint64_t id)
{
    assert((id & (LOOP_SLAB_MAX - 1)) < loop_slab_capacity(slab) && !(id & LOOP_SLAB_FREE));
    struct loop_slot *slot = loop_slab_at(slab, (uint32_t)(id & (LOOP_SLAB_MAX - 1)));
    return slot->id == id ? slot : NULL;
}

/* Returns the object with that id, or NULL when it was freed or never existed. */
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
