/* SPDX-License-Identifier: ISC
 *
 * Intrusive lists: the node is a member of what is listed. Taking a node out twice is harmless, and "is it in a list?"
 * has an answer.
 *
 * struct loop_list is doubly linked with two ends, for queues; a node that is in no list points to itself. struct
 * loop_hlist is for sets that are many and mostly small: its head is one pointer, so that nodes go in at the front
 * only, and finding the oldest takes a walk; a node of zeroes is in no list, and a head of zeroes is an empty one.
 */
#ifndef LOOP_GROUND_LIST_H
#define LOOP_GROUND_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct loop_list {
    struct loop_list *prev, *next;
};

/* The structure that `node` is the member `member` of. */
#define LOOP_CONTAINER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void loop_list_init(struct loop_list *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool loop_list_is_empty(const struct loop_list *list)
{
    return list->next == list;
}

static inline bool loop_list_is_linked(const struct loop_list *node)
{
    return node->next != node;
}

static inline void loop_list_insert_before(struct loop_list *where, struct loop_list *node)
{
    node->prev = where->prev;
    node->next = where;
    where->prev->next = node;
    where->prev = node;
}

static inline void loop_list_push_back(struct loop_list *list, struct loop_list *node)
{
    loop_list_insert_before(list, node);
}

static inline void loop_list_push_front(struct loop_list *list, struct loop_list *node)
{
    loop_list_insert_before(list->next, node);
}

static inline void loop_list_remove(struct loop_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    loop_list_init(node);
}

/* The first node, or NULL. */
static inline struct loop_list *loop_list_first(const struct loop_list *list)
{
    return list->next == list ? NULL : list->next;
}

static inline struct loop_list *loop_list_pop_front(struct loop_list *list)
{
    struct loop_list *node = loop_list_first(list);
    if (node) {
        loop_list_remove(node);
    }
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

struct loop_hnode {
    struct loop_hnode *next; /* must be first, see loop_hlist_newer; the one that went in before */
    struct loop_hnode **at;  /* what points to this node: the head, or the `next` of the one that went in after */
};

struct loop_hlist {
    struct loop_hnode *first;
};

static inline void loop_hlist_push(struct loop_hlist *list, struct loop_hnode *node)
{
    node->next = list->first;
    node->at = &list->first;
    if (node->next) {
        node->next->at = &node->next;
    }
    list->first = node;
}

static inline void loop_hlist_remove(struct loop_hnode *node)
{
    if (!node->at) {
        return;
    }
    *node->at = node->next;
    if (node->next) {
        node->next->at = node->at;
    }
    node->at = NULL;
}

/* Takes out the one that went in last, or NULL. */
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

/* To go through it in the order in which the nodes went in: the first of them, or NULL; and the one after `node`. */
static inline struct loop_hnode *loop_hlist_oldest(const struct loop_hlist *list)
{
    struct loop_hnode *node = list->first;
    while (node && node->next) {
        node = node->next;
    }
    return node;
}

static inline struct loop_hnode *loop_hlist_newer(const struct loop_hlist *list, const struct loop_hnode *node)
{
    return node->at == &list->first ? NULL : (struct loop_hnode *)(void *)node->at;
}

#endif
