/* SPDX-License-Identifier: ISC
 *
 * The loops of a thread. loop_run blocks until its loop has ended, so it restores the mask of the thread as it was.
 * Loops with a host come and go in any order, and the host may change the mask meanwhile. So such a loop unblocks only
 * what it has blocked, and only when no other loop needs it.
 */
#include <loop/core/backend.h>
#include <loop/event/signal.h>
#include <loop/kernel/process.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/thread.h>
#include <loop/run/child.h>
#include <loop/run/thread.h>

/* ---- what runs ---- */

static LOOP_KERNEL_THREAD_LOCAL struct loop_thread_state state;

enum loop_thread_runs loop_thread_runs(void)
{
    return state.runs != LOOP_THREAD_IDLE && state.process == loop_kernel_getpid() ? state.runs : LOOP_THREAD_IDLE;
}

struct loop_thread_state loop_thread_begin(enum loop_thread_runs runs, pid_t process)
{
    struct loop_thread_state before = state;
    bool is_in_run = before.runs == LOOP_THREAD_RUN && before.process == process;
    state = (struct loop_thread_state){is_in_run ? LOOP_THREAD_RUN : runs, process};
    return before;
}

void loop_thread_restore(struct loop_thread_state before)
{
    state = before;
}

/* ---- signals ---- */

/* Returns whether the loop has blocked the signal on this thread. */
static bool has_blocked(const struct loop *loop, int number)
{
    bool is_ours = number == SIGPIPE || sigismember(&loop->signals.watched, number) == 1;
    return is_ours && sigismember(&loop->saved_mask, number) == 0;
}

/* Returns whether a loop of this thread other than `loop` has blocked the signal. */
static bool is_blocked_by_another(const struct loop *loop, int number)
{
    for (const struct loop *other = loop_child_first(); other; other = other->next_here) {
        if (other != loop && has_blocked(other, number)) {
            return true;
        }
    }
    return false;
}

/* Copies the thread's mask without what loops of this thread have blocked: the rest is the program's own. */
static void copy_programs_own(sigset_t *own, const sigset_t *mask)
{
    sigemptyset(own);
    for (int number = 1; number < _NSIG; number++) {
        if (sigismember(mask, number) == 1 && !is_blocked_by_another(NULL, number)) {
            sigaddset(own, number);
        }
    }
}

static void block_sigpipe(struct loop *loop)
{
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    loop_kernel_pthread_sigmask(SIG_BLOCK, &set, &loop->mask_before);
    loop->saved_mask = loop->mask_before;
    if (loop_child_first()) {
        copy_programs_own(&loop->saved_mask, &loop->mask_before);
    }
    loop->child_mask = loop->saved_mask;
    loop->sigpipe_was_pending = sigismember(&loop->saved_mask, SIGPIPE) == 1 && loop_kernel_sigpending(&pending) == 0 &&
                                sigismember(&pending, SIGPIPE) == 1;
}

static void unblock(const struct loop *loop)
{
    sigset_t set;
    sigemptyset(&set);
    for (int number = 1; number < _NSIG; number++) {
        if (has_blocked(loop, number) && !is_blocked_by_another(loop, number)) {
            sigaddset(&set, number);
        }
    }
    loop_kernel_pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Restores the mask as it was before the loop, but for signals that other loops have begun to wait for meanwhile. */
static void restore(const struct loop *loop)
{
    sigset_t mask = loop->mask_before;
    for (int number = 1; number < _NSIG; number++) {
        if (is_blocked_by_another(loop, number)) {
            sigaddset(&mask, number);
        }
    }
    loop_kernel_pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* Drops the pending signals that only this loop has waited for. */
static void drop_pending(const struct loop *loop)
{
    sigset_t set = loop->signals.watched;
    for (const struct loop *other = loop_child_first(); other; other = other->next_here) {
        for (int number = 1; number < _NSIG && other != loop; number++) {
            if (sigismember(&other->signals.watched, number) == 1) {
                sigdelset(&set, number);
            }
        }
    }
    loop_signals_drop(&set);
}

/* ---- coming and going ---- */

void loop_thread_enter(struct loop *loop)
{
    block_sigpipe(loop);
    loop_child_add(loop);
}

void loop_thread_leave(struct loop *loop)
{
    drop_pending(loop);
    loop_signals_take_back_sigpipe(loop);
    if (loop->is_hosted) {
        unblock(loop);
    } else {
        restore(loop);
    }
    loop_child_remove(loop);
}
