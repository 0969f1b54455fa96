/* SPDX-License-Identifier: ISC
 *
 * Groups of provided buffers that the kernel has, in a ring of buffers.
 */
#ifndef LOOP_BACKEND_URING_BUFFERS_H
#define LOOP_BACKEND_URING_BUFFERS_H

#include <loop/backend/uring/ring.h>
#include <loop/syscall/buffers.h>

/* Registers the group with the kernel. Without kernel support it becomes a stack for system calls. Returns 0 or
 * -ENOMEM. */
int loop_uring_buffers_init(struct loop *loop, struct loop_buffers *buffers);

/* Unregisters the group and frees what init has made. */
void loop_uring_buffers_finish(struct loop *loop, struct loop_buffers *buffers);

/* Returns a lent buffer to the kernel, or to the stack. */
void loop_uring_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index);

/* Gives the buffer with that number to the kernel, which has the group. */
void loop_uring_buffers_give(struct loop_buffers *buffers, unsigned index);

/* Unregisters the group, if the kernel has it. */
void loop_uring_buffers_take_back(struct loop_uring *uring, struct loop_buffers *buffers);

#endif
