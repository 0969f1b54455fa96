/* SPDX-License-Identifier: ISC
 *
 * Intrusive lists: the node is a member of the listed object. Removing a node twice is harmless, and a node can be
 * checked for being in a list.
 *
 * struct loop_list is doubly linked with two ends, for queues. A node that is in no list points to itself. struct
 * loop_hlist is for sets that are numerous and mostly small. Its head is one pointer, so nodes are only added at the
 * front, and finding the oldest takes a walk. A node of zeros is in no list, and a head of zeros is an empty list.
 */
#ifndef LOOP_GROUND_LIST_H
#define LOOP_GROUND_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A list, or a node of one. */
struct loop_list {
    struct loop_list *prev, *next;
};

/* The object of `type` whose member `member` is `node`. */
#define LOOP_CONTAINER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Makes an empty list, or a node that is in no list. */
static inline void loop_list_init(struct loop_list *list)
{
    list->prev = list;
    list->next = list;
}

/* Returns whether the list has no nodes. */
static inline bool loop_list_is_empty(const struct loop_list *list)
{
    return list->next == list;
}

/* Returns whether the node is in a list. */
static inline bool loop_list_is_linked(const struct loop_list *node)
{
    return node->next != node;
}

/* Adds `node` in front of `where`, which is a node or a list (then at its end). */
static inline void loop_list_insert_before(struct loop_list *where, struct loop_list *node)
{
    node->prev = where->prev;
    node->next = where;
    where->prev->next = node;
    where->prev = node;
}

/* Adds `node` at the end. */
static inline void loop_list_push_back(struct loop_list *list, struct loop_list *node)
{
    loop_list_insert_before(list, node);
}

/* Adds `node` at the front. */
static inline void loop_list_push_front(struct loop_list *list, struct loop_list *node)
{
    loop_list_insert_before(list->next, node);
}

/* Removes the node from its list. Harmless for a node that is in no list. A node may be in a line (line.h) as well, but
 * not when this is called. */
static inline void loop_list_remove(struct loop_list *node)
{
    assert(!(((uintptr_t)node->prev | (uintptr_t)node->next) & 1));
    node->prev->next = node->next;
    node->next->prev = node->prev;
    loop_list_init(node);
}

/* Removes a node that is about to be freed. Its links are undefined afterwards. */
static inline void loop_list_unlink(struct loop_list *node)
{
    assert(!(((uintptr_t)node->prev | (uintptr_t)node->next) & 1));
    node->prev->next = node->next;
    node->next->prev = node->prev;
}

/* Returns the first node, or NULL. */
static inline struct loop_list *loop_list_first(const struct loop_list *list)
{
    return list->next == list ? NULL : list->next;
}

/* Removes and returns the first node, or NULL. */
static inline struct loop_list *loop_list_pop_front(struct loop_list *list)
{
    struct loop_list *node = loop_list_first(list);
    if (node) {
        loop_list_remove(node);
    }
    return node;
}

/* Removes and returns the first node, which exists. The links of the node are undefined. */
static inline struct loop_list *loop_list_shift(struct loop_list *list)
{
    struct loop_list *node = list->next;
    list->next = node->next;
    node->next->prev = list;
    return node;
}

/* Moves all nodes of `from` to the empty list `to`. */
static inline void loop_list_take_all(struct loop_list *to, struct loop_list *from)
{
    loop_list_init(to);
    if (!loop_list_is_empty(from)) {
        *to = *from;
        to->prev->next = to;
        to->next->prev = to;
        loop_list_init(from);
    }
}

/* Moves all nodes of `from` to the front of `to`, in their order. */
static inline void loop_list_put_before(struct loop_list *to, struct loop_list *from)
{
    if (!loop_list_is_empty(from)) {
        from->prev->next = to->next;
        to->next->prev = from->prev;
        to->next = from->next;
        from->next->prev = to;
        loop_list_init(from);
    }
}

/* Moves all nodes of `from` to the end of `to`, in their order. */
static inline void loop_list_put_after(struct loop_list *to, struct loop_list *from)
{
    loop_list_put_before(to->prev, from);
}

/* ---- one-pointer heads ---- */

/* A node of a struct loop_hlist. */
struct loop_hnode {
    struct loop_hnode *next; /* must be first, see loop_hlist_newer; the node added before this one */
    struct loop_hnode **at;  /* what points to this node: the head, or the `next` of the node added after it */
};

/* The head of a list of struct loop_hnode. */
struct loop_hlist {
    struct loop_hnode *first;
};

/* Adds `node` at the front. */
static inline void loop_hlist_push(struct loop_hlist *list, struct loop_hnode *node)
{
    struct loop_hnode *next = list->first;
    node->next = next;
    if (next) {
        next->at = &node->next;
    }
    node->at = &list->first;
    list->first = node;
}

/* Removes the node, which is in a list. Its links are undefined. */
static inline void loop_hlist_drop(struct loop_hnode *node)
{
    *node->at = node->next;
    if (node->next) {
        node->next->at = node->at;
    }
}

/* Removes the node from its list. Harmless for a node that is in no list. */
static inline void loop_hlist_remove(struct loop_hnode *node)
{
    if (node->at) {
        loop_hlist_drop(node);
        node->at = NULL;
    }
}

/* Removes a node, which is in a list and about to be freed. Its links are undefined afterwards. */
static inline void loop_hlist_unlink(struct loop_hnode *node)
{
    assert(node->at);
    *node->at = node->next;
    if (node->next) {
        node->next->at = node->at;
    }
}

/* Removes and returns the node added last, or NULL. */
static inline struct loop_hnode *loop_hlist_pop(struct loop_hlist *list)
{
    struct loop_hnode *node = list->first;
    if (node) {
        list->first = node->next;
        if (list->first) {
            list->first->at = &list->first;
        }
        node->at = NULL;
    }
    return node;
}

/* Returns the node added first, or NULL: the start of a walk in the order in which the nodes were added. */
static inline struct loop_hnode *loop_hlist_oldest(const struct loop_hlist *list)
{
    struct loop_hnode *node = list->first;
    while (node && node->next) {
        node = node->next;
    }
    return node;
}

/* Returns the node added after `node`, or NULL. */
static inline struct loop_hnode *loop_hlist_newer(const struct loop_hlist *list, const struct loop_hnode *node)
{
    return node->at == &list->first ? NULL : (struct loop_hnode *)(void *)node->at;
}

#endif
