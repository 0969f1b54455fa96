/* SPDX-License-Identifier: ISC
 *
 * What the dispatch uses of ready.c.
 */
#ifndef LOOP_CORE_READY_H
#define LOOP_CORE_READY_H

#include <loop/core/backend.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>

#include <poll.h>

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

/* Puts `job` at the end of the wait list of `fd` for `events` (POLLIN: readers, POLLOUT: writers, both or others:
 * pollers) and sees to it that events come. When the descriptor is believed ready the job is tried in the next
 * dispatch. Sets where. */
void loop_ready_wait(struct loop *loop, struct loop_fd *fd, struct loop_job *job, uint32_t events);

/* The same for one list by name. */
void loop_ready_wait_read(struct loop *loop, struct loop_fd *fd, struct loop_job *job);

void loop_ready_wait_write(struct loop *loop, struct loop_fd *fd, struct loop_job *job);

/* Finds out anew whether there is something to read, where the calls of others may have read since it was last known,
 * and has the reader tried that comes next. */
void loop_ready_look_again(struct loop *loop, struct loop_fd *fd);

/* The same from anywhere: only notes it, and has the lists looked at in the next dispatch. */
void loop_ready_note(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* Calls back the operations on `fd` that the kernel has and that wait for something which it will not tell: those for
 * which `waits` is true. One that ends so without having been cancelled is started again, by readiness. */
void loop_ready_call_back(struct loop *loop, const struct loop_fd *fd, bool (*waits)(const struct loop_job *job));

/* What a backend calls when it can't watch `fd`: no event will ever come, and what waits ends with `error`. From
 * anywhere. */
void loop_ready_fail(struct loop *loop, struct loop_fd *fd, int error);

/* What a poll of a file finds. The kernel tells of a change once: POLLPRI and POLLERR are kept for all that wait. */
int loop_ready_poll_file(struct loop_fd *fd, uint32_t events);

/* Has the lists of `fd` looked at in the next dispatch. */
void loop_ready_activate(struct loop *loop, struct loop_fd *fd);

#endif
