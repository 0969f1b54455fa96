/* SPDX-License-Identifier: ISC
 *
 * Groups of provided buffers without a ring.
 */
#ifndef LOOP_SYSCALL_BUFFERS_H
#define LOOP_SYSCALL_BUFFERS_H

#include <loop/core/loop.h>
#include <loop/ground/list.h>

/* A group of provided buffers. For system calls the free ones are on a stack; on the ring the kernel has them. */
struct loop_buffers {
    struct loop *loop;
    unsigned count;
    size_t size_bytes;
    char *memory;    /* count * size_bytes */
    unsigned n_free; /* free buffers, on the stack or in the kernel */
    uint16_t *free_stack;
    bool *is_lent;              /* by index */
    void *ring;                 /* the backend's */
    uint16_t group_id;          /* the backend's */
    struct loop_hlist borrowed; /* buffers allocated for unread bytes */
};

/* Makes the stack of the group's buffers that are not lent. Also called for a group that the ring does not accept, or
 * that was taken back from it: works at any time. Returns 0 or -ENOMEM. */
int loop_direct_buffers_init(struct loop *loop, struct loop_buffers *buffers);

/* Frees the stack. */
void loop_direct_buffers_finish(struct loop *loop, struct loop_buffers *buffers);

/* Pushes the buffer with that number, which is lent, on the stack. */
void loop_direct_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index);

/* Allocates a buffer beside those of the group, for bytes that do not come from the kernel. The program returns it with
 * loop_buffers_recycle like the others. NULL: no memory. */
void *loop_buffers_borrow(struct loop_buffers *buffers, size_t size_bytes);

/* Frees the borrowed buffer that begins at `data`. Returns false when there is none. */
bool loop_buffers_give_borrowed(const struct loop_buffers *buffers, const void *data);

/* Frees all borrowed buffers of the group. */
void loop_buffers_free_borrowed(struct loop_buffers *buffers);

#endif
