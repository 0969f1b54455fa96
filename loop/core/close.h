/* SPDX-License-Identifier: ISC
 *
 * Uses of descriptors, and how they are closed and freed.
 */
#ifndef LOOP_CORE_CLOSE_H
#define LOOP_CORE_CLOSE_H

#include <loop/core/fd.h>

/* Continues the close of a descriptor after its last use has ended. */
void loop_fd_unused(struct loop_fd *fd);

/* Ends one use, as loop_fd_unuse does, without its checks. */
static inline void loop_fd_drop_use(struct loop_fd *fd)
{
    if (--fd->uses == 0 && fd->state != LOOP_FD_OPEN) {
        loop_fd_unused(fd);
    }
}

/* Keeps the number open for a thread that still uses it after its job has ended: it is closed when the thread returns.
 * loop_fd_get_more has made its rarer part.
 * A borrowed descriptor, or one that is being taken, is released only then. */
void loop_fd_use_late(struct loop_fd *fd);

/* Ends a use of loop_fd_use_late: the thread has returned. On the loop's thread. */
void loop_fd_end_late_use(struct loop_fd *fd);

/* Starts the job of loop_op_close, or, with `take`, of loop_fd_take. */
loop_job loop_fd_close_job(struct loop_scope *scope, struct loop_fd *fd, bool take, loop_fn *fn, void *arg);

/* Closes the descriptors of a scope that ends. The objects stay. */
void loop_fds_close(struct loop_scope *scope);

/* Frees the objects of the descriptors of a scope that has ended. All of them are closed. */
void loop_fds_leave(struct loop_scope *scope);

/* Empties the queues of the dispatch, and frees the objects that nothing else keeps. When the loop's own scope, which
 * such objects are in, ends. */
void loop_fds_leave_queues(struct loop *loop);

/* Completes the close of `fd`, which the kernel no longer uses. The backend calls it; see loop_backend_ops.unwatch. */
void loop_fd_unwatched(struct loop *loop, struct loop_fd *fd);

#endif
