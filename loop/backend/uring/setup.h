/* SPDX-License-Identifier: ISC
 *
 * How a ring is made and taken down.
 */
#ifndef LOOP_BACKEND_URING_SETUP_H
#define LOOP_BACKEND_URING_SETUP_H

#include <loop/backend/uring/ring.h>

/* loop_backend_ops.init and .finish. */
int loop_uring_init(struct loop *loop);
void loop_uring_finish(struct loop *loop);

/* Gives the queues back and closes the ring. */
void loop_uring_unmap(struct loop_uring *uring);

#endif
