/* SPDX-License-Identifier: ISC
 *
 * Creates and destroys the ring.
 */
#ifndef LOOP_BACKEND_URING_SETUP_H
#define LOOP_BACKEND_URING_SETUP_H

#include <loop/backend/uring/ring.h>

/* Creates the ring and tests it; see loop_backend_ops.init. Returns 0 or -errno with the cause in
 * loop->backend_detail. */
int loop_uring_init(struct loop *loop);

/* Destroys the ring, which has nothing in flight; see loop_backend_ops.finish. */
void loop_uring_finish(struct loop *loop);

#endif
