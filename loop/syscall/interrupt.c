/* SPDX-License-Identifier: ISC
 *
 * The handler of interrupt signals. A disposition belongs to the process: the first loop that uses a signal installs
 * the handler, and the last one restores the default. A forked child inherits the handler but none of the loops.
 */
#include <loop/core/log.h>
#include <loop/kernel/process.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/interrupt.h>
#include <loop/syscall/pool_state.h>

#include <errno.h>
#include <string.h>

static LOOP_KERNEL_PROCESS_LOCAL struct {
    pthread_mutex_t mutex;
    unsigned users[_NSIG];
    pid_t process; /* whose loops are counted */
} handled = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* That there is a handler is enough to interrupt a call. */
static void on_signal(int number)
{
    (void)number;
    loop_pool_interrupted();
}

/* Whether the signal has its default disposition, or this handler, which a forked child has inherited. */
static bool is_free(int number)
{
    struct sigaction now;
    (void)loop_kernel_sigaction(number, NULL, &now);
    bool has_default = !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL;
    return has_default || (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == on_signal);
}

/* Without SA_RESTART, so that the call fails with EINTR. */
static void install(int number)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigfillset(&action.sa_mask);
    (void)loop_kernel_sigaction(number, &action, NULL);
}

/* Counts a user of the signal. Returns false when the program uses the signal. Under the mutex. */
static bool add_user(int number)
{
    if (handled.process != loop_kernel_getpid()) {
        memset(handled.users, 0, sizeof handled.users);
        handled.process = loop_kernel_getpid();
    }
    bool is_first = handled.users[number] == 0;
    if (is_first && !is_free(number)) {
        return false;
    }
    handled.users[number]++;
    if (is_first) {
        install(number);
    }
    return true;
}

int loop_interrupt_begin(const struct loop_options *options)
{
    int number = options->interrupt_signal;
    if (!number) {
        return 0;
    }
    loop_kernel_pthread_mutex_lock(&handled.mutex);
    bool is_added = add_user(number);
    loop_kernel_pthread_mutex_unlock(&handled.mutex);
    if (!is_added) {
        loop_log_options(
            options, LOOP_LOG_ERROR,
            "interrupt_signal %d (SIGRTMIN+%d) has a handler of the program, or is ignored: choose another "
            "real-time signal",
            number, number - SIGRTMIN);
    }
    return is_added ? 0 : -EBUSY;
}

void loop_interrupt_end(const struct loop_options *options)
{
    int number = options->interrupt_signal;
    if (!number) {
        return;
    }
    loop_kernel_pthread_mutex_lock(&handled.mutex);
    bool is_last = handled.process == loop_kernel_getpid() && --handled.users[number] == 0;
    if (is_last && is_free(number)) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        (void)loop_kernel_sigaction(number, &action, NULL);
    }
    loop_kernel_pthread_mutex_unlock(&handled.mutex);
}
