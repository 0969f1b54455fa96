/* SPDX-License-Identifier: ISC
 *
 * The loop and child processes.
 *
 * A forked child has a copy of the loop's memory but not its ring, its threads or its posts. It may call exec or _exit.
 * A loop that goes on in it would act on the parent's descriptors, so it stops at its next turn. A handler of
 * pthread_atfork marks the copy and cuts it off from the kernel. This costs a running loop nothing.
 *
 * A child inherits the signal mask of the thread that makes it. The loop's thread blocks SIGPIPE and every signal that
 * loop_signal has been asked for. loop_child_begin puts the program's own mask in force. A signal that the loop waits
 * for must not run its default action meanwhile: it is caught, counted, and sent again by loop_child_end.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/dispatch.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/event/signal.h>
#include <loop/ground/list.h>
#include <loop/kernel/process.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/thread.h>
#include <loop/part.h>
#include <loop/run/child.h>

#include <errno.h>
#include <stdatomic.h>

/* ---- forks ---- */

static LOOP_KERNEL_THREAD_LOCAL struct loop *loops_here;

/* Runs in the child, on the thread that forked. */
static void after_fork(void)
{
    for (struct loop *loop = loops_here; loop; loop = loop->next_here) {
        if (!loop->is_forked) {
            loop->is_forked = true;
            if (loop->backend && loop->backend_state && loop->backend->forked) {
                loop->backend->forked(loop);
            }
        }
    }
}

/* Registers the handler. Without memory for it a loop that continues in a child crashes. */
static void add_handler(void)
{
    (void)loop_kernel_pthread_atfork(NULL, NULL, after_fork);
}

struct loop *loop_child_first(void)
{
    return loops_here;
}

void loop_child_add(struct loop *loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    loop_kernel_pthread_once(&once, add_handler);
    loop->next_here = loops_here;
    loops_here = loop;
}

void loop_child_remove(struct loop *loop)
{
    struct loop **place = &loops_here;
    while (*place != loop) {
        place = &(*place)->next_here;
    }
    *place = loop->next_here;
}

/* ---- signals that arrive while the program's mask is in force ---- */

/* Dispositions belong to the process, and several loops may create children at a time: the first changes a disposition,
 * the last restores it. */
static LOOP_KERNEL_PROCESS_LOCAL struct {
    pthread_mutex_t mutex;
    unsigned users[_NSIG];
    struct sigaction before[_NSIG];
    atomic_uint arrived[_NSIG];
    _Atomic pid_t process;
} caught = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Catches and counts a signal. In a child that has not called exec it does what the signal did before. */
static void catch_signal(int number)
{
    int error = errno;
    if (loop_kernel_getpid() == atomic_load(&caught.process)) {
        atomic_fetch_add(&caught.arrived[number], 1);
    } else {
        (void)loop_kernel_sigaction(number, &caught.before[number], NULL);
        (void)loop_kernel_raise(number);
    }
    errno = error;
}

/* Catches a signal, unless it is ignored: a child inherits that it is ignored. */
static void start_catching(int number)
{
    struct sigaction action = {.sa_handler = catch_signal, .sa_flags = SA_RESTART}, before;
    sigfillset(&action.sa_mask);
    if (caught.users[number]++ == 0) {
        atomic_store(&caught.process, loop_kernel_getpid());
        (void)loop_kernel_sigaction(number, NULL, &before);
        caught.before[number] = before;
        if (before.sa_handler != SIG_IGN) {
            (void)loop_kernel_sigaction(number, &action, NULL);
        }
    }
}

static void stop_catching(int number)
{
    if (--caught.users[number] == 0 && caught.before[number].sa_handler != SIG_IGN) {
        (void)loop_kernel_sigaction(number, &caught.before[number], NULL);
    }
    for (unsigned n = atomic_exchange(&caught.arrived[number], 0); n > 0; n--) {
        (void)loop_kernel_pthread_kill(loop_kernel_pthread_self(),
                                       number); /* blocked on this thread by now: it waits for the signalfd */
    }
}

static void for_each_signal(const sigset_t *set, void (*fn)(int number))
{
    loop_kernel_pthread_mutex_lock(&caught.mutex);
    for (int number = 1; number < _NSIG; number++) {
        if (sigismember(set, number) == 1) {
            fn(number);
        }
    }
    loop_kernel_pthread_mutex_unlock(&caught.mutex);
}

/* Whether a loop of this thread waits for the signal. */
static bool is_watched(int number)
{
    const struct loop *loop = loops_here;
    while (loop && sigismember(&loop->signals.watched, number) != 1) {
        loop = loop->next_here;
    }
    return loop;
}

/* Adds the signals to `set` that the loops of this thread wait for and the children of this loop do not block. */
static void add_watched(const struct loop *loop, sigset_t *set)
{
    for (int number = 1; number < _NSIG; number++) {
        if (is_watched(number) && sigismember(&loop->child_mask, number) == 0) {
            sigaddset(set, number);
        }
    }
}

/* Returns another loop of this thread for which a child is made, or NULL. */
static const struct loop *other_making(const struct loop *loop)
{
    const struct loop *other = loops_here;
    while (other && (other == loop || !other->is_making_child)) {
        other = other->next_here;
    }
    return other;
}

/* ---- the calls ---- */

static int misuse(const struct loop *loop, const char *function, const char *what, const char *cure)
{
    loop_misuse(loop, function, what, cure);
    return -EINVAL;
}

/* Checks, after the function that called loop_child_begin has returned, that loop_child_end was called. */
static void look_for_end(struct loop_after *after)
{
    struct loop *loop = LOOP_CONTAINER(after, struct loop, after_child);
    if (loop->is_making_child) {
        loop_misuse(loop, "loop_child_begin", "its caller has returned to the loop without loop_child_end",
                    "call loop_child_end after what makes the child");
        loop_child_finish(loop);
    }
    loop_scope_drop_hold(loop->own_scope, false); /* made by loop_after_continuation */
}

/* Checks for loop_child_end after the running continuation. While the loop ends, loop_child_finish does that. */
static void expect_end(struct loop *loop)
{
    if (loop_scope_takes_work(loop->own_scope)) {
        loop->after_child.fn = look_for_end;
        loop_after_continuation(loop, &loop->after_child, loop->own_scope);
    }
}

int loop_child_begin(struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    if (loop->is_making_child) {
        return misuse(loop, __func__, "it was called already", "call loop_child_end before the next");
    }
    loop->is_making_child = true;
    expect_end(loop);
    sigemptyset(&loop->caught);
    add_watched(loop, &loop->caught);
    for_each_signal(&loop->caught, start_catching);
    loop_signals_take_back_sigpipe(loop);
    const struct loop *other = other_making(loop);
    loop_kernel_pthread_sigmask(SIG_SETMASK, &loop->child_mask, &loop->loop_mask);
    if (other) {
        loop->loop_mask = other->loop_mask; /* from before the first of them */
    }
    return 0;
}

int loop_child_end(struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    if (!loop->is_making_child) {
        return misuse(loop, __func__, "loop_child_begin was not called", "call it before what makes the child");
    }
    loop_child_finish(loop);
    return 0;
}

/* Sets the mask after what has made a child: that of another loop for which one is made, or the loops' own. Signals
 * that are not caught stay blocked; the program may have waited for more of them meanwhile. */
static void set_mask_behind(struct loop *loop)
{
    const struct loop *other = other_making(loop);
    sigset_t mask = other ? other->child_mask : loop->loop_mask;
    for (int number = 1; number < _NSIG; number++) {
        if (is_watched(number) && !(other && sigismember(&other->caught, number) == 1)) {
            sigaddset(&mask, number);
        }
    }
    loop_kernel_pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void loop_child_finish(struct loop *loop)
{
    if (loop->is_making_child && !loop->is_forked) {
        set_mask_behind(loop);
        for_each_signal(&loop->caught, stop_catching);
    }
    loop->is_making_child = false;
}

void loop_saved_mask(const struct loop *loop, sigset_t *mask)
{
    if (!loop_check_pointer(mask, "mask", __func__)) {
        return;
    }
    if (!loop_is_good(loop, __func__)) {
        sigemptyset(mask);
        return;
    }
    *mask = loop->child_mask;
}
