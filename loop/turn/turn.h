/* SPDX-License-Identifier: ISC
 *
 * The loop's part of a turn. The backend has the rest.
 */
#ifndef LOOP_TURN_TURN_H
#define LOOP_TURN_TURN_H

#include <loop/core/loop.h>
#include <loop/event/inbox.h>
#include <loop/turn/busy_poll.h>

/* Does the loop's part of a turn. Returns false when the loop has ended. Stores in `*timeout_ns` how long the backend
 * may wait. */
bool loop_turn_begin(struct loop *loop, int64_t *timeout_ns);

/* Returns whether the loop has ended, after what the backend has dispatched. */
bool loop_turn_has_ended(struct loop *loop);

/* Prepares for a sleep of the host. Returns how long it may last: 0 when a turn has something to do. */
int64_t loop_turn_prepare(struct loop *loop);

/* Makes a descriptor of the inbox's eventfd, and watches it. Returns 0 or -errno. */
int loop_turn_watch_inbox(struct loop *loop);

/* Notes that the backend has waited. */
static inline void loop_turn_woken(struct loop *loop)
{
    loop_inbox_awake(loop->inbox);
    if (loop->busy_poll.asleep_since_ns) {
        loop_busy_poll_woken(loop);
    }
}

#endif
