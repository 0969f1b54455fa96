/* SPDX-License-Identifier: ISC
 *
 * Groups of provided buffers without a ring: a stack of the free ones, and the buffers borrowed for unread bytes.
 */
#include <loop/core/loop.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/syscall/buffers.h>

#include <errno.h>

/* A buffer outside of the group's memory. */
struct borrowed {
    struct loop_hnode link;
    max_align_t bytes[];
};

int loop_direct_buffers_init(struct loop *loop, struct loop_buffers *buffers)
{
    (void)loop;
    if (!buffers->free_stack) {
        buffers->free_stack = loop_kernel_calloc(buffers->count, sizeof *buffers->free_stack);
    }
    if (!buffers->free_stack) {
        return -ENOMEM;
    }
    buffers->n_free = 0;
    for (unsigned i = buffers->count; i-- > 0;) {
        if (!buffers->is_lent[i]) {
            buffers->free_stack[buffers->n_free++] = (uint16_t)i;
        }
    }
    return 0;
}

void loop_direct_buffers_finish(struct loop *loop, struct loop_buffers *buffers)
{
    (void)loop;
    loop_kernel_free(buffers->free_stack);
    buffers->free_stack = NULL;
}

void loop_direct_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index)
{
    (void)loop;
    buffers->is_lent[index] = false;
    buffers->free_stack[buffers->n_free++] = (uint16_t)index;
}

void *loop_buffers_borrow(struct loop_buffers *buffers, size_t size_bytes)
{
    struct borrowed *borrowed = loop_kernel_malloc(sizeof *borrowed + size_bytes);
    if (!borrowed) {
        return NULL;
    }
    loop_hlist_push(&buffers->borrowed, &borrowed->link);
    return borrowed->bytes;
}

static void free_borrowed(struct loop_hnode *node)
{
    loop_hlist_remove(node);
    loop_kernel_free(LOOP_CONTAINER(node, struct borrowed, link));
}

static struct loop_hnode *find_borrowed(const struct loop_buffers *buffers, const void *data)
{
    struct loop_hnode *node = buffers->borrowed.first;
    while (node && (const void *)LOOP_CONTAINER(node, struct borrowed, link)->bytes != data) {
        node = node->next;
    }
    return node;
}

bool loop_buffers_give_borrowed(const struct loop_buffers *buffers, const void *data)
{
    struct loop_hnode *node = find_borrowed(buffers, data);
    if (node) {
        free_borrowed(node);
    }
    return node != NULL;
}

void loop_buffers_free_borrowed(struct loop_buffers *buffers)
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = buffers->borrowed.first; node; node = next) {
        next = node->next;
        free_borrowed(node);
    }
}
