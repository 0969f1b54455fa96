/* SPDX-License-Identifier: ISC
 *
 * How descriptors are used, closed and given back.
 */
#ifndef LOOP_CORE_CLOSE_H
#define LOOP_CORE_CLOSE_H

#include <loop/core/fd.h>

/* The last use of one that is being closed has ended. */
void loop_fd_unused(struct loop_fd *fd);

/* What loop_fd_unuse does, without its checks. */
static inline void loop_fd_drop_use(struct loop_fd *fd)
{
    if (--fd->uses == 0 && fd->state != LOOP_FD_OPEN) {
        loop_fd_unused(fd);
    }
}

/* A thread goes on using the number after the job that used it has ended: it is closed when that returns. One that is
 * borrowed, or is being taken, is let go only then. */
void loop_fd_use_late(struct loop_fd *fd);

void loop_fd_end_late_use(struct loop_fd *fd);

/* loop_op_close and loop_fd_take. */
loop_job loop_fd_close_job(struct loop_scope *scope, struct loop_fd *fd, bool take, loop_fn *fn, void *arg);

/* The scope ends: closes its descriptors. The objects stay. */
void loop_fds_close(struct loop_scope *scope);

/* The scope has ended: gives the objects of its descriptors back, all of which are closed. */
void loop_fds_leave(struct loop_scope *scope);

/* The backend has let go of `fd` (loop_backend.unwatch). */
void loop_fd_unwatched(struct loop *loop, struct loop_fd *fd);

#endif
