/* SPDX-License-Identifier: ISC
 *
 * Lines: queues whose head is one pointer, for what there is one of for each connection. The nodes are those of struct
 * loop_list, so an object can be now in a list, now in a line.
 *
 * The `prev` of the first node is the last node, and the `next` of the last node is the head. Both have the lowest bit
 * set, which no address has. So a node leaves its line without being told which: loop_line_remove takes a node out of a
 * line or a list. loop_list_remove must not be used for a node that is in a line. A head of zeros is an empty line.
 */
#ifndef LOOP_GROUND_LINE_H
#define LOOP_GROUND_LINE_H

#include <loop/ground/list.h>

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line. It must not be moved while it has nodes. */
struct loop_line {
    struct loop_list *first; /* or NULL */
};

/* Returns the link that marks an end of a line. */
static inline struct loop_list *loop_line_mark(void *end)
{
    return (struct loop_list *)(void *)((char *)end + 1);
}

/* Returns what loop_line_mark was given. */
static inline void *loop_line_unmark(struct loop_list *link)
{
    return (char *)link - 1;
}

/* Returns whether a link of a node is that of an end. */
static inline bool loop_line_is_mark(const struct loop_list *link)
{
    return (uintptr_t)link & 1;
}

/* Returns whether the line has no nodes. */
static inline bool loop_line_is_empty(const struct loop_line *line)
{
    return line->first == NULL;
}

/* Returns the first node, or NULL. */
static inline struct loop_list *loop_line_first(const struct loop_line *line)
{
    return line->first;
}

/* Returns the last node of a line that is not empty. */
static inline struct loop_list *loop_line_last(const struct loop_line *line)
{
    return loop_line_unmark(line->first->prev);
}

/* Returns whether the line has exactly one node. */
static inline bool loop_line_has_one(const struct loop_line *line)
{
    return line->first && loop_line_is_mark(line->first->next);
}

/* Returns the node behind `node` in its line, or NULL. */
static inline struct loop_list *loop_line_next(const struct loop_list *node)
{
    return loop_line_is_mark(node->next) ? NULL : node->next;
}

/* Returns whether the node is the last of its line. */
static inline bool loop_line_is_last(const struct loop_list *node)
{
    return loop_line_is_mark(node->next);
}

/* Adds a node, which is in no line or list, as the only one. */
static inline void loop_line_begin(struct loop_line *line, struct loop_list *node)
{
    node->prev = loop_line_mark(node);
    node->next = loop_line_mark(line);
    line->first = node;
}

/* Adds a node, which is in no line or list, at the end. */
static inline void loop_line_push_back(struct loop_line *line, struct loop_list *node)
{
    struct loop_list *first = line->first;
    if (__builtin_expect(!first, true)) {
        loop_line_begin(line, node);
        return;
    }
    struct loop_list *last = loop_line_unmark(first->prev);
    node->prev = last;
    node->next = last->next;
    last->next = node;
    first->prev = loop_line_mark(node);
}

/* Adds a node, which is in no line or list, at the front. */
static inline void loop_line_push_front(struct loop_line *line, struct loop_list *node)
{
    struct loop_list *first = line->first;
    if (!first) {
        loop_line_begin(line, node);
        return;
    }
    node->prev = first->prev;
    node->next = first;
    first->prev = node;
    line->first = node;
}

/* Removes a node that is first or last in a line. Its links are undefined. */
static inline void loop_line_remove_end(struct loop_list *node)
{
    struct loop_list *prev = node->prev, *next = node->next;
    if (!loop_line_is_mark(next)) {
        const struct loop_list *last = loop_line_unmark(prev);
        ((struct loop_line *)loop_line_unmark(last->next))->first = next;
        next->prev = prev;
        return;
    }
    struct loop_line *line = loop_line_unmark(next);
    if (loop_line_is_mark(prev)) {
        line->first = NULL;
    } else {
        prev->next = next;
        line->first->prev = loop_line_mark(prev);
    }
}

/* Removes the node from its line or list. Harmless for a node that is in none. */
static inline void loop_line_remove(struct loop_list *node)
{
    if (loop_line_is_mark(node->prev) || loop_line_is_mark(node->next)) {
        loop_line_remove_end(node);
        loop_list_init(node);
    } else {
        loop_list_remove(node);
    }
}

/* Removes the first node of a line that is not empty. Its links are undefined. */
static inline void loop_line_drop_first(struct loop_line *line)
{
    struct loop_list *node = line->first, *next = node->next;
    if (loop_line_is_mark(next)) {
        line->first = NULL;
    } else {
        line->first = next;
        next->prev = node->prev;
    }
}

/* Removes and returns the first node, or NULL. */
static inline struct loop_list *loop_line_pop_front(struct loop_line *line)
{
    struct loop_list *node = line->first;
    if (node) {
        loop_line_remove_end(node);
        loop_list_init(node);
    }
    return node;
}

#endif
