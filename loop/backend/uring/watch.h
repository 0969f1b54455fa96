/* SPDX-License-Identifier: ISC
 *
 * Readiness by polls in the ring.
 */
#ifndef LOOP_BACKEND_URING_WATCH_H
#define LOOP_BACKEND_URING_WATCH_H

#include <loop/backend/uring/ring.h>
#include <loop/core/fd.h>

#include <poll.h>

/* Returns the events of a completion without those that are uncertain. A poll reports either the state of the file, or
 * the events of a single wake-up. A socket's wake-up for input always has POLLIN, POLLPRI and POLLRDBAND, whatever has
 * arrived, while the state of a socket never has POLLRDBAND. So POLLRDBAND marks a wake-up, whose POLLPRI means
 * nothing. io.h says how a reader finds out. */
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

/* What a socket's wake-up for input reports to a poll for input. */
#define LOOP_URING_INPUT_WAKE_UP (POLLIN | POLLPRI | POLLRDBAND)

/* The bits of fd->backend_id, by kind of watch. At most one poll of each kind is in flight, from the entry that arms it
 * to its last completion, so that two are never confused. */
#define LOOP_URING_ARMED(kind) (UINT32_C(1) << (kind))             /* in flight: the last completion is still to come */
#define LOOP_URING_ARM_DUE(kind) (UINT32_C(1) << (8 + (kind)))     /* in line for the entry that arms it */
#define LOOP_URING_CANCEL_DUE(kind) (UINT32_C(1) << (16 + (kind))) /* in line for the entry that cancels it */
#define LOOP_URING_LASTS(kind) (UINT32_C(1) << (24 + (kind)))      /* multishot: stays armed after an event */
#define LOOP_URING_IN_VAIN (UINT32_C(1) << 29)                     /* no job waited for the last event for output */
#define LOOP_URING_STOPPING (UINT32_C(1) << 30)                    /* the receive is being cancelled */
#define LOOP_URING_LETTING_GO (UINT32_C(1) << 31)

/* Arms the polls for `events` that are not armed; see loop_backend_ops.watch. Returns 0. */
int loop_uring_watch(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* Handles an event of a poll for output that stays armed. Cancels the poll where it need not stay: after two events in
 * a row that no job has waited for, and when the loop has come to prefer completions. */
void loop_uring_output_event(struct loop_uring *uring, struct loop_fd *fd, int32_t result);

/* Cancels the polls of the descriptor; see loop_backend_ops.unwatch. */
void loop_uring_unwatch(struct loop *loop, struct loop_fd *fd);

/* Arms a poll, or the receive, that is not armed; in line where the submission queue is full. One that is in line
 * already stays there. */
void loop_uring_arm(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind);

/* Cancels it, or takes it out of line. */
void loop_uring_disarm(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind);

/* Notes its last completion. Returns whether that is all, because the descriptor is being closed. */
bool loop_uring_disarmed(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind);

/* Handles a completion of a watch that ends it, is an error, or comes while the watch is being cancelled. */
void loop_uring_watch_changed(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind,
                              int32_t result, uint32_t flags);

/* Fills in entries for the descriptors in line. Returns false when the submission queue is full before the line is
 * empty. */
bool loop_uring_serve_fds(struct loop_uring *uring);

/* Notes that the entry of that poll will never be submitted. */
void loop_uring_unarm(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind);

/* Drops all polls of the descriptor, because the ring is gone. */
void loop_uring_forget_watches(struct loop *loop, struct loop_fd *fd);

#endif
