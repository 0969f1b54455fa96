/* SPDX-License-Identifier: ISC
 *
 * Readiness through the ring.
 */
#ifndef LOOP_BACKEND_URING_WATCH_H
#define LOOP_BACKEND_URING_WATCH_H

#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>

#include <poll.h>

/* A poll's event is what the kernel found when it asked the file, or, where the file was woken once since the last
 * event, what the wake-up came with. A socket's wake-up for input always comes with POLLIN, POLLPRI and POLLRDBAND,
 * whatever came, and no socket has POLLRDBAND when it is asked: that bit tells the two apart. Returns the events
 * without what is not known; io.h says how the reader finds out. */
static inline uint32_t loop_uring_known_events(struct loop_fd *fd, uint32_t events)
{
    if (!(events & POLLRDBAND)) {
        return events;
    }
    if (fd->ready & POLLIN) {
        fd->doubts |= LOOP_DOUBT_ASK;
    }
    return events & ~(uint32_t)(POLLPRI | POLLRDBAND);
}

/* The bits of fd->backend_id, by kind of watch. At most one poll of each kind is in flight, from the entry that arms it
 * to its last completion, so that none can be taken for another. */
#define LOOP_URING_ARMED(kind) (UINT32_C(1) << (kind))             /* its last completion is still to come */
#define LOOP_URING_ARM_DUE(kind) (UINT32_C(1) << (8 + (kind)))     /* in line for the entry that arms it */
#define LOOP_URING_CANCEL_DUE(kind) (UINT32_C(1) << (16 + (kind))) /* in line for the entry that cancels it */
#define LOOP_URING_LASTS(kind) (UINT32_C(1) << (24 + (kind)))      /* multishot: stays armed after an event */
#define LOOP_URING_LETTING_GO (UINT32_C(1) << 31)

int loop_uring_watch(struct loop *loop, struct loop_fd *fd, uint32_t events);
void loop_uring_unwatch(struct loop *loop, struct loop_fd *fd);

/* Any completion of a watch but the plain "there are events, and more may come". */
void loop_uring_watch_changed(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind,
                              int32_t result, uint32_t flags);

/* Fills in entries for the descriptors in line; false when the queue is full. */
bool loop_uring_serve_fds(struct loop_uring *uring);

/* The entry of that poll was not submitted, and never will be. */
void loop_uring_unarm(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind);

/* The ring is gone, and all polls with it. */
void loop_uring_forget_watches(struct loop *loop, struct loop_fd *fd);

#endif
