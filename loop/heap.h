/* SPDX-License-Identifier: ISC
 *
 * A heap of points in time: four children to a node, the times beside each other in one array, so that a step down
 * touches one cache line. Each entry carries the pointer of its owner, which is told where the entry stands.
 */
#ifndef LOOP_HEAP_H
#define LOOP_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What embeds a node, so that whoever takes the earliest one knows what has come due. */
enum loop_heap_owner { LOOP_HEAP_JOB, LOOP_HEAP_SCOPE };

/* What the owner of an entry embeds. `position` is 0 when it is in no heap, else its place plus one. */
struct loop_heap_node {
    int64_t at_ns;
    uint64_t order; /* among equal times, the one added first comes first */
    uint32_t position;
    uint8_t owner; /* enum loop_heap_owner */
};

struct loop_heap_entry {
    int64_t at_ns;
    struct loop_heap_node *node;
};

struct loop_heap {
    struct loop_heap_entry *entries;
    uint32_t count, capacity;
    uint64_t next_order;
};

void loop_heap_init(struct loop_heap *heap);
void loop_heap_finish(struct loop_heap *heap);

/* Adds `node` with the time `node->at_ns`. 0, or -ENOMEM. */
int loop_heap_add(struct loop_heap *heap, struct loop_heap_node *node);
void loop_heap_remove(struct loop_heap *heap, struct loop_heap_node *node);

static inline bool loop_heap_is_linked(const struct loop_heap_node *node)
{
    return node->position != 0;
}

/* The earliest, or NULL. */
static inline struct loop_heap_node *loop_heap_first(const struct loop_heap *heap)
{
    return heap->count ? heap->entries[0].node : NULL;
}

#endif
