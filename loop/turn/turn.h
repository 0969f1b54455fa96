/* SPDX-License-Identifier: ISC
 *
 * A turn: the loop's own part of it.
 */
#ifndef LOOP_TURN_TURN_H
#define LOOP_TURN_TURN_H

#include <loop/core/loop.h>
#include <loop/event/inbox.h>
#include <loop/turn/busy_poll.h>

/* The loop's own part of a turn. False when the loop has ended; otherwise `*timeout_ns` is how long the backend may
 * wait. */
bool loop_turn_begin(struct loop *loop, int64_t *timeout_ns);

/* Makes a descriptor of the letter box, and watches it. 0 or -errno. */
int loop_turn_watch_inbox(struct loop *loop);

/* The backend has waited. */
static inline void loop_turn_woken(struct loop *loop)
{
    loop_inbox_awake(loop->inbox);
    if (loop->busy_poll.asleep_since_ns) {
        loop_busy_poll_woken(loop);
    }
}

#endif
