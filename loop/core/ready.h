/* SPDX-License-Identifier: ISC
 *
 * What the dispatch uses of ready.c.
 */
#ifndef LOOP_READY_H
#define LOOP_READY_H

#include <loop/core/core.h>

#define LOOP_READY_TOLD_ONCE (POLLPRI | POLLERR) /* of a change of a file */

/* Has the backend watch `fd` for `events`, unless it does. */
static inline void loop_ready_watch(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (fd->state == LOOP_FD_OPEN && (fd->watched & events) != events) {
        loop->backend->watch(loop, fd, events);
    }
}

/* Notes what the kernel reports of `fd`. True when a job waits for it. */
bool loop_ready_is_awaited(struct loop_fd *fd, uint32_t events);

#endif
