/* SPDX-License-Identifier: ISC
 *
 * Spinning before sleeping (loop_options.busy_poll_ns): waking a sleeping CPU often takes longer than the next event,
 * so the loop spins first.
 *
 * That helps only where events come that soon. After each consecutive miss the loop skips twice as many turns, up to
 * 255. After a hit, or after a sleep that was shorter than the spinning, it spins every turn again. So a loop with one
 * event per millisecond spends almost no time spinning, and an idle loop sleeps.
 */
#include <loop/core/backend.h>
#include <loop/core/loop.h>
#include <loop/event/inbox.h>
#include <loop/ground/clock.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/pool.h>
#include <loop/turn/busy_poll.h>

/* At most 2^8 - 1 turns in a row are skipped. */
#define MOST_IN_VAIN 8u

static bool has_something(struct loop *loop)
{
    return !loop_inbox_is_empty(loop->inbox) || loop_pool_has_results(loop) || loop->backend->has_events(loop);
}

static bool look(struct loop *loop, int64_t until_ns)
{
    while (!has_something(loop)) {
        if (loop_clock_read() >= until_ns) {
            return false;
        }
        loop_kernel_pause(1);
    }
    return true;
}

bool loop_busy_poll(struct loop *loop, int64_t timeout_ns)
{
    struct loop_busy_poll *state = &loop->busy_poll;
    int64_t limit_ns = loop->options.busy_poll_ns, now = loop_clock_read();
    if (state->left_out > 0) {
        state->left_out--;
        state->asleep_since_ns = now;
        return false;
    }
    bool is_timer_near = timeout_ns <= limit_ns;
    if (look(loop, loop_time_after(now, is_timer_near ? timeout_ns : limit_ns)) || is_timer_near) {
        state->in_vain = 0;
        return true;
    }
    state->in_vain += state->in_vain < MOST_IN_VAIN;
    state->left_out = (1u << state->in_vain) - 1;
    return false;
}

void loop_busy_poll_woken(struct loop *loop)
{
    struct loop_busy_poll *state = &loop->busy_poll;
    if (loop_clock_read() - state->asleep_since_ns < loop->options.busy_poll_ns) {
        state->in_vain = 0;
        state->left_out = 0;
    }
    state->asleep_since_ns = 0;
}
