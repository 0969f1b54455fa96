/* SPDX-License-Identifier: ISC
 *
 * Groups of provided buffers that the kernel has, in a ring of their own.
 */
#ifndef LOOP_BACKEND_URING_BUFFERS_H
#define LOOP_BACKEND_URING_BUFFERS_H

#include <loop/backend/uring/ring.h>
#include <loop/syscall/buffers.h>

int loop_uring_buffers_init(struct loop *loop, struct loop_buffers *buffers);
void loop_uring_buffers_finish(struct loop *loop, struct loop_buffers *buffers);
void loop_uring_buffers_recycle(struct loop *loop, struct loop_buffers *buffers, unsigned index);

/* Gives the buffer with that number to the kernel. */
void loop_uring_buffers_give(struct loop_buffers *buffers, unsigned index);

/* Takes the group back from the kernel, if that has it. */
void loop_uring_buffers_take_back(struct loop_uring *uring, struct loop_buffers *buffers);

#endif
