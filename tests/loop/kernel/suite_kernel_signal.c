/* SPDX-License-Identifier: ISC
 *
 * The door's functions for signals, and signalfd: the real kernel and the simulated one must give the same answers.
 */
#include "kernel.h"

static sigset_t set_of(int one, int other)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, one);
    sigaddset(&set, other);
    return set;
}

static void block(int one, int other)
{
    sigset_t set = set_of(one, other);
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static void unblock(int signal)
{
    sigset_t set = set_of(signal, signal);
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
}

static bool is_pending(int signal)
{
    sigset_t set;
    CHECK_IS(loop_kernel_sigpending(&set), 0);
    return sigismember(&set, signal) == 1;
}

static int take(int signal)
{
    sigset_t set = set_of(signal, signal);
    return loop_kernel_sigtimedwait(&set, NULL, &(struct timespec){0});
}

/* What the handler has been called with. */
static int handled[8], n_handled;

static void handle(int signal)
{
    handled[n_handled++ % 8] = signal;
}

static void catch_it(int signal, int flags)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    CHECK_IS(loop_kernel_sigaction(signal, &action, NULL), 0);
}

/* ---- masks ---- */

TEST(signal_mask_changes_as_asked)
{
    sigset_t set = set_of(SIGUSR1, SIGKILL), before;

    CHECK_IS(loop_kernel_pthread_sigmask(SIG_SETMASK, &set, &before), 0);
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    CHECK_IS(sigismember(&set, SIGUSR1), 1);
    CHECK_IS(sigismember(&set, SIGUSR2), 0);
    CHECK_IS(sigismember(&set, SIGKILL), 0);
    block(SIGUSR2, SIGUSR2);
    unblock(SIGUSR1);
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    CHECK_IS(sigismember(&set, SIGUSR1), 0);
    CHECK_IS(sigismember(&set, SIGUSR2), 1);
    CHECK_IS(loop_kernel_pthread_sigmask(77, &set, NULL), EINVAL);
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static void *show_mask(void *arg)
{
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_BLOCK, NULL, arg), 0);
    unblock(SIGUSR1);
    return NULL;
}

TEST(signal_mask_is_inherited_and_of_each_thread)
{
    pthread_t thread;
    sigset_t of_thread, own;

    block(SIGUSR1, SIGUSR2);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, show_mask, &of_thread), 0);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(sigismember(&of_thread, SIGUSR1), 1);
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_BLOCK, NULL, &own), 0);
    CHECK_IS(sigismember(&own, SIGUSR1), 1);
}

/* ---- pending signals ---- */

TEST(signal_that_is_blocked_is_pending_until_taken)
{
    block(SIGUSR1, SIGUSR2);
    CHECK(!is_pending(SIGUSR1));
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK(is_pending(SIGUSR1));
    CHECK(!is_pending(SIGUSR2));
    CHECK_FAILS(take(SIGUSR2), EAGAIN);
    CHECK_IS(take(SIGUSR1), SIGUSR1);
    CHECK(!is_pending(SIGUSR1));
    CHECK_FAILS(take(SIGUSR1), EAGAIN);
}

TEST(signal_that_is_taken_has_information)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR1);
    siginfo_t info;

    block(SIGUSR1, SIGUSR1);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(loop_kernel_sigtimedwait(&set, &info, NULL), SIGUSR1);
    CHECK_IS(info.si_signo, SIGUSR1);
    CHECK_IS(info.si_code, SI_USER); /* the C library does not show SI_TKILL */
    CHECK_IS(info.si_pid, loop_kernel_getpid());
    CHECK_FAILS(loop_kernel_sigtimedwait(&set, NULL, &(struct timespec){0, -1}), EINVAL);
}

TEST(signal_lowest_is_taken_first)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);

    block(SIGUSR1, SIGUSR2);
    CHECK_IS(loop_kernel_raise(SIGUSR2), 0);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(loop_kernel_sigtimedwait(&set, NULL, NULL), SIGUSR1);
    CHECK_IS(loop_kernel_sigtimedwait(&set, NULL, NULL), SIGUSR2);
}

TEST(signal_wait_ends_with_its_time)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR1);

    block(SIGUSR1, SIGUSR1);
    CHECK_FAILS(loop_kernel_sigtimedwait(&set, NULL, &(struct timespec){0, 1000000}), EAGAIN);
}

TEST(signal_that_is_ignored_is_not_pending)
{
    struct sigaction action = {.sa_handler = SIG_IGN};

    CHECK_IS(loop_kernel_raise(SIGCHLD), 0); /* ignored by default */
    block(SIGUSR1, SIGCHLD);
    CHECK(!is_pending(SIGCHLD));
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(loop_kernel_sigaction(SIGUSR1, &action, NULL), 0);
    CHECK(!is_pending(SIGUSR1)); /* what was pending is dropped */
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK(is_pending(SIGUSR1)); /* blocked, it stays: it may not be ignored when it is unblocked */
    unblock(SIGUSR1);
    CHECK(!is_pending(SIGUSR1));
}

TEST(signal_numbers_are_checked)
{
    struct sigaction action = {.sa_handler = handle};

    CHECK_FAILS(loop_kernel_sigaction(0, NULL, &action), EINVAL);
    CHECK_FAILS(loop_kernel_sigaction(65, NULL, &action), EINVAL);
    action.sa_handler = handle;
    CHECK_FAILS(loop_kernel_sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK_IS(loop_kernel_sigaction(SIGKILL, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    CHECK_IS(loop_kernel_raise(65), -1);
    CHECK_IS(loop_kernel_pthread_kill(loop_kernel_pthread_self(), 65), EINVAL);
    CHECK_IS(loop_kernel_pthread_kill(loop_kernel_pthread_self(), 0), 0);
}

/* ---- handlers ---- */

TEST(signal_handler_is_called_at_once_or_when_unblocked)
{
    struct sigaction action;

    catch_it(SIGUSR1, 0);
    CHECK_IS(loop_kernel_sigaction(SIGUSR1, NULL, &action), 0);
    CHECK(action.sa_handler == handle);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(n_handled, 1);
    block(SIGUSR1, SIGUSR1);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(n_handled, 1);
    unblock(SIGUSR1);
    CHECK_IS(n_handled, 2);
    CHECK_IS(handled[1], SIGUSR1);
}

static void handle_and_raise(int signal)
{
    handle(signal);
    if (n_handled < 3) {
        CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
        CHECK(is_pending(SIGUSR1)); /* blocked while its handler runs */
    }
}

TEST(signal_handler_is_not_interrupted_by_its_signal)
{
    struct sigaction action = {.sa_handler = handle_and_raise};

    CHECK_IS(loop_kernel_sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(n_handled, 3);
}

TEST(signal_handler_may_be_for_once)
{
    struct sigaction action;

    catch_it(SIGUSR1, (int)SA_RESETHAND);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(n_handled, 1);
    CHECK_IS(loop_kernel_sigaction(SIGUSR1, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
}

/* ---- interrupted calls ---- */

enum { UNTIL_TOLD = 1000000 };

struct target {
    pthread_t thread;
    int pipe[2], signals;
};

/* Sends signals until the handler has been called often enough: the other thread may not wait yet. Then it writes a
 * byte, unless it has been told to end. */
static void *send_signals(void *arg)
{
    const struct target *target = arg;
    while (__atomic_load_n(&n_handled, __ATOMIC_ACQUIRE) < target->signals) {
        CHECK_IS(loop_kernel_pthread_kill(target->thread, SIGUSR1), 0);
        struct timespec short_time = {0, 100000};
        loop_kernel_nanosleep(&short_time, NULL);
    }
    if (target->signals < UNTIL_TOLD) {
        CHECK_IS(loop_kernel_write(target->pipe[1], "x", 1), 1);
    }
    return NULL;
}

static void tell_to_end(void)
{
    __atomic_store_n(&n_handled, UNTIL_TOLD, __ATOMIC_RELEASE);
}

/* Calls what waits while signals arrive. */
static void with_signals(struct target *target, int flags, void (*call)(struct target *target))
{
    pthread_t sender;

    target->thread = loop_kernel_pthread_self();
    catch_it(SIGUSR1, flags);
    CHECK_IS(loop_kernel_pthread_create(&sender, NULL, send_signals, target), 0);
    call(target);
    CHECK_IS(loop_kernel_pthread_join(sender, NULL), 0);
}

static void read_interrupted(struct target *target)
{
    char byte;
    CHECK_FAILS(loop_kernel_read(target->pipe[0], &byte, 1), EINTR);
    tell_to_end();
}

TEST(signal_interrupts_a_read)
{
    struct target target = {.signals = UNTIL_TOLD};

    CHECK_IS(loop_kernel_pipe2(target.pipe, 0), 0);
    with_signals(&target, 0, read_interrupted);
    close_both(target.pipe);
}

static void read_restarted(struct target *target)
{
    char byte;
    CHECK_IS(loop_kernel_read(target->pipe[0], &byte, 1), 1);
}

TEST(signal_with_sa_restart_lets_a_read_go_on)
{
    struct target target = {.signals = 3};

    CHECK_IS(loop_kernel_pipe2(target.pipe, 0), 0);
    with_signals(&target, SA_RESTART, read_restarted);
    CHECK(n_handled >= 3);
    close_both(target.pipe);
}

static void wait_interrupted(struct target *target)
{
    (void)target;
    struct epoll_event event;
    int set = loop_kernel_epoll_create1(0);
    struct pollfd entry = {.fd = set, .events = POLLIN};
    int before = n_handled;

    CHECK_FAILS(loop_kernel_epoll_wait(set, &event, 1, -1), EINTR);
    CHECK(n_handled > before);
    CHECK_FAILS(loop_kernel_poll(&entry, 1, -1), EINTR);
    CHECK_IS(loop_kernel_close(set), 0);
    tell_to_end();
}

TEST(signal_interrupts_epoll_and_poll_with_sa_restart_too)
{
    struct target target = {.signals = UNTIL_TOLD};

    with_signals(&target, SA_RESTART, wait_interrupted);
}

TEST(signal_mask_of_a_wait_holds_for_the_wait)
{
    sigset_t none;
    struct epoll_event event;
    int set = loop_kernel_epoll_create1(0);
    struct pollfd entry = {.fd = set, .events = POLLIN};

    sigemptyset(&none);
    catch_it(SIGUSR1, 0);
    block(SIGUSR1, SIGUSR1);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_FAILS(loop_kernel_epoll_pwait2(set, &event, 1, NULL, &none), EINTR);
    CHECK_IS(n_handled, 1);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(n_handled, 1);
    CHECK_FAILS(loop_kernel_ppoll(&entry, 1, NULL, &none), EINTR);
    CHECK_IS(n_handled, 2);
    CHECK_IS(loop_kernel_close(set), 0);
}

/* ---- signalfd ---- */

static int new_reader(int one, int other)
{
    sigset_t set = set_of(one, other);
    block(one, other);
    int number = loop_kernel_signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(number >= 0);
    return number;
}

TEST(signalfd_reads_what_is_pending)
{
    struct signalfd_siginfo records[3];
    int number = new_reader(SIGUSR1, SIGUSR2);

    CHECK_FAILS(loop_kernel_read(number, records, sizeof records), EAGAIN);
    CHECK_FAILS(loop_kernel_read(number, records, sizeof *records - 1), EINVAL);
    CHECK_FAILS(loop_kernel_write(number, records, sizeof *records), EINVAL);
    CHECK_IS(poll_now(number, POLLIN), 0);
    CHECK_IS(loop_kernel_raise(SIGUSR2), 0);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(poll_now(number, POLLIN), POLLIN);
    CHECK_IS(loop_kernel_read(number, records, sizeof records), 2 * sizeof *records);
    CHECK_IS(records[0].ssi_signo, SIGUSR1);
    CHECK_IS(records[1].ssi_signo, SIGUSR2);
    CHECK_IS(records[0].ssi_pid, loop_kernel_getpid());
    CHECK_IS(records[0].ssi_code, SI_TKILL);
    CHECK_IS(poll_now(number, POLLIN), 0);
    CHECK(!is_pending(SIGUSR1));
    CHECK_IS(loop_kernel_close(number), 0);
}

TEST(signalfd_set_is_changed_in_place)
{
    struct signalfd_siginfo record;
    int number = new_reader(SIGUSR1, SIGUSR1), set = loop_kernel_epoll_create1(0);
    sigset_t other = set_of(SIGUSR2, SIGUSR2);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    block(SIGUSR2, SIGUSR2);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, number, &event), 0);
    CHECK_IS(loop_kernel_raise(SIGUSR2), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    CHECK_IS(loop_kernel_signalfd(number, &other, 0), number);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 1);
    CHECK_IS(loop_kernel_read(number, &record, sizeof record), sizeof record);
    CHECK_IS(record.ssi_signo, SIGUSR2);
    CHECK_FAILS(loop_kernel_signalfd(set, &other, 0), EINVAL);
    CHECK_FAILS(loop_kernel_signalfd(1000, &other, 0), EBADF);
    CHECK_FAILS(loop_kernel_signalfd(-1, &other, 1), EINVAL);
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(loop_kernel_close(set), 0);
}

TEST(signalfd_wakes_for_every_signal)
{
    int number = new_reader(SIGUSR1, SIGUSR1), set = loop_kernel_epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    block(SIGUSR2, SIGUSR2);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, number, &event), 0);
    CHECK_IS(loop_kernel_raise(SIGUSR1), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 1);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 0);
    CHECK_IS(loop_kernel_raise(SIGUSR2), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 1); /* the other is still pending */
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(loop_kernel_close(set), 0);
}

static void *raise_for(void *arg)
{
    const struct target *target = arg;
    CHECK_IS(loop_kernel_pthread_kill(target->thread, SIGUSR1), 0);
    return NULL;
}

TEST(signalfd_read_waits_for_a_signal)
{
    struct target target = {.thread = loop_kernel_pthread_self()};
    struct signalfd_siginfo record;
    sigset_t wanted = set_of(SIGUSR1, SIGUSR1);
    pthread_t thread;

    block(SIGUSR1, SIGUSR1);
    int number = loop_kernel_signalfd(-1, &wanted, 0);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, raise_for, &target), 0);
    CHECK_IS(loop_kernel_read(number, &record, sizeof record), sizeof record);
    CHECK_IS(record.ssi_signo, SIGUSR1);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(loop_kernel_close(number), 0);
}
