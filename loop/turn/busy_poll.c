/* SPDX-License-Identifier: ISC
 *
 * Looking before sleeping (loop_options.busy_poll_ns): to wake a processor that sleeps takes longer than many an answer
 * takes to come, so that who waits for one may look for it for a while first.
 *
 * That is worth it only where answers come so soon. Each time in a row that the loop has looked in vain it leaves out
 * twice as many occasions; a time that was not in vain, or a sleep that turns out to have been shorter than the
 * looking, has it look every time again. A loop that hears something once in a millisecond thus spends next to nothing
 * on it, and one that hears nothing sleeps as ever.
 */
#include <loop/core/backend.h>
#include <loop/core/loop.h>
#include <loop/event/inbox.h>
#include <loop/ground/clock.h>
#include <loop/syscall/pool.h>
#include <loop/turn/busy_poll.h>

/* At most 2^8 - 1 occasions in a row are left out. */
#define MOST_IN_VAIN 8u

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

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
        relax();
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
