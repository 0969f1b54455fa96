/* SPDX-License-Identifier: ISC
 *
 * Lists and queues of the objects of one slab, linked by the indices of their slots: half the size of those by
 * pointers, for what there is one of for each connection. Each object is in at most one list or queue by a node. A node
 * of zeros is in none, and a head of zeros is empty. `at` is the offset of the node in the object.
 *
 * Objects are added to a list at the front. Out of the middle of a queue nothing is removed.
 */
#ifndef LOOP_GROUND_INDEX_LIST_H
#define LOOP_GROUND_INDEX_LIST_H

#include <loop/ground/slab.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The head of a list. */
struct loop_index_list {
    uint32_t first; /* the index of the object added last, plus 1; 0 where there is none */
};

/* A node of a list. */
struct loop_index_node {
    uint32_t older, newer; /* the indices of the objects added before and after this one, plus 1; or 0 */
};

/* Returns the index of an object of a slab, plus 1. */
static inline uint32_t loop_index_of(const void *object)
{
    return loop_slab_slot_of(((const struct loop_slot *)object)->id) + 1;
}

/* Returns the object with that index, plus 1; NULL for 0. */
static inline void *loop_index_object(const struct loop_slab *slab, uint32_t index)
{
    return index ? loop_slab_at(slab, index - 1) : NULL;
}

/* Returns the node of an object. */
static inline struct loop_index_node *loop_index_node(const void *object, size_t at)
{
    return (struct loop_index_node *)(void *)((char *)(uintptr_t)object + at);
}

/* Returns the object added after `object`, or NULL. */
static inline void *loop_index_newer(const struct loop_slab *slab, const void *object, size_t at)
{
    return loop_index_object(slab, loop_index_node(object, at)->newer);
}

/* Returns the object added first, or NULL: the start of a walk in the order in which the objects were added. */
static inline void *loop_index_oldest(const struct loop_slab *slab, const struct loop_index_list *list, size_t at)
{
    void *object = loop_index_object(slab, list->first);
    while (object && loop_index_node(object, at)->older) {
        object = loop_index_object(slab, loop_index_node(object, at)->older);
    }
    return object;
}

/* Adds an object at the front. */
static inline void loop_index_push(const struct loop_slab *slab, struct loop_index_list *list, void *object, size_t at)
{
    struct loop_index_node *node = loop_index_node(object, at);
    *node = (struct loop_index_node){.older = list->first};
    list->first = loop_index_of(object);
    if (node->older) {
        loop_index_node(loop_index_object(slab, node->older), at)->newer = list->first;
    }
}

/* Removes an object from its list. */
static inline void loop_index_remove(const struct loop_slab *slab, struct loop_index_list *list, void *object,
                                     size_t at)
{
    struct loop_index_node *node = loop_index_node(object, at);
    if (node->newer) {
        loop_index_node(loop_index_object(slab, node->newer), at)->older = node->older;
    } else {
        assert(list->first == loop_index_of(object));
        list->first = node->older;
    }
    if (node->older) {
        loop_index_node(loop_index_object(slab, node->older), at)->newer = node->newer;
    }
    *node = (struct loop_index_node){0};
}

/* ---- queues ---- */

#define LOOP_INDEX_LAST UINT32_MAX /* no index */

/* A node of a queue. */
struct loop_index_qnode {
    uint32_t next; /* the index of the next object, plus 1; LOOP_INDEX_LAST where there is none; 0 in no queue */
};

/* A queue. Its ends are pointers, so that nothing is looked up while it has one object. */
struct loop_index_queue {
    void *first, *last; /* `last` is undefined while it is empty */
};

/* Returns whether the node is in a queue. */
static inline bool loop_index_is_queued(const struct loop_index_qnode *node)
{
    return node->next != 0;
}

/* Returns the node of an object of a queue. */
static inline struct loop_index_qnode *loop_index_qnode(void *object, size_t at)
{
    return (struct loop_index_qnode *)(void *)((char *)object + at);
}

/* Adds an object, which is in no queue by that node, at the end. */
static inline void loop_index_enqueue(struct loop_index_queue *queue, void *object, size_t at)
{
    loop_index_qnode(object, at)->next = LOOP_INDEX_LAST;
    if (queue->first) {
        loop_index_qnode(queue->last, at)->next = loop_index_of(object);
    } else {
        queue->first = object;
    }
    queue->last = object;
}

/* Removes and returns the first object, or NULL. */
static inline void *loop_index_dequeue(const struct loop_slab *slab, struct loop_index_queue *queue, size_t at)
{
    void *object = queue->first;
    if (object) {
        struct loop_index_qnode *node = loop_index_qnode(object, at);
        queue->first = node->next == LOOP_INDEX_LAST ? NULL : loop_slab_at(slab, node->next - 1);
        node->next = 0;
    }
    return object;
}

#endif
