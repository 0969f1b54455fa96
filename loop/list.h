/* SPDX-License-Identifier: ISC
 *
 * An intrusive doubly linked list: the node is a member of what is listed. A node that is in no list points to itself,
 * so that taking it out twice is harmless and "is it in a list?" has an answer.
 */
#ifndef LOOP_LIST_H
#define LOOP_LIST_H

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

#endif
