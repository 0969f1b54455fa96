/* SPDX-License-Identifier: ISC
 *
 * A four-way heap of points in time; see heap.h.
 */
#include <loop/heap.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CHILDREN 4u

void loop_heap_init(struct loop_heap *heap)
{
    *heap = (struct loop_heap){0};
}

void loop_heap_finish(struct loop_heap *heap)
{
    assert(heap->count == 0);
    free(heap->entries);
    loop_heap_init(heap);
}

static bool is_before(struct loop_heap_entry a, struct loop_heap_entry b)
{
    return a.at_ns != b.at_ns ? a.at_ns < b.at_ns : a.node->order < b.node->order;
}

static void place(struct loop_heap *heap, uint32_t at, struct loop_heap_entry entry)
{
    heap->entries[at] = entry;
    entry.node->position = at + 1;
}

static void move_up(struct loop_heap *heap, uint32_t at, struct loop_heap_entry entry)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / CHILDREN;
        if (!is_before(entry, heap->entries[parent])) {
            break;
        }
        place(heap, at, heap->entries[parent]);
        at = parent;
    }
    place(heap, at, entry);
}

static uint32_t earliest_child(const struct loop_heap *heap, uint32_t at)
{
    uint32_t first = at * CHILDREN + 1;
    uint32_t end = first + CHILDREN < heap->count ? first + CHILDREN : heap->count;
    uint32_t best = first;
    for (uint32_t child = first + 1; child < end; child++) {
        if (is_before(heap->entries[child], heap->entries[best])) {
            best = child;
        }
    }
    return best;
}

static void move_down(struct loop_heap *heap, uint32_t at, struct loop_heap_entry entry)
{
    while (at * CHILDREN + 1 < heap->count) {
        uint32_t child = earliest_child(heap, at);
        if (!is_before(heap->entries[child], entry)) {
            break;
        }
        place(heap, at, heap->entries[child]);
        at = child;
    }
    place(heap, at, entry);
}

static int reserve(struct loop_heap *heap)
{
    if (heap->count < heap->capacity) {
        return 0;
    }
    uint32_t capacity = heap->capacity ? heap->capacity * 2 : 64;
    struct loop_heap_entry *entries = realloc(heap->entries, capacity * sizeof *entries);
    if (!entries) {
        return -ENOMEM;
    }
    heap->entries = entries;
    heap->capacity = capacity;
    return 0;
}

int loop_heap_add(struct loop_heap *heap, struct loop_heap_node *node)
{
    assert(!loop_heap_is_linked(node));
    int error = reserve(heap);
    if (error) {
        return error;
    }
    node->order = heap->next_order++;
    move_up(heap, heap->count++, (struct loop_heap_entry){node->at_ns, node});
    return 0;
}

void loop_heap_remove(struct loop_heap *heap, struct loop_heap_node *node)
{
    assert(loop_heap_is_linked(node) && heap->entries[node->position - 1].node == node);
    uint32_t at = node->position - 1;
    node->position = 0;
    struct loop_heap_entry last = heap->entries[--heap->count];
    if (at == heap->count) {
        return;
    }
    if (at > 0 && is_before(last, heap->entries[(at - 1) / CHILDREN])) {
        move_up(heap, at, last);
    } else {
        move_down(heap, at, last);
    }
}
