/* SPDX-License-Identifier: ISC
 *
 * Signals that are read rather than handled: from descriptors, signalfd(2), and by sigtimedwait(2).
 */
#include <loop/kernel/simulated/object/poll.h>
#include <loop/kernel/simulated/object/signal.h>

#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/signal.h>

struct reader {
    struct loop_sim_file file;
    struct loop_sim_waiter arrived; /* in the descriptors of struct loop_sim_signals */
    uint64_t wanted;
};

/* The fiber whose own signals are read while an event happens: the first one. */
static struct loop_sim_fiber_signals *own_of(struct loop_sim_node *node)
{
    struct loop_sim_fiber_signals *own = loop_sim_signals_here();
    struct loop_sim_fiber *first = own ? NULL : loop_sim_fiber_next(node, NULL);
    return first ? loop_sim_fiber_signals(first) : own;
}

static ssize_t read_signals(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct reader *reader = (struct reader *)file;
    struct signalfd_siginfo record;
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov), done = 0;
    if (len < sizeof record) {
        return -EINVAL;
    }
    siginfo_t info;
    while (len - done >= sizeof record &&
           loop_sim_signals_take(file->node, own_of(file->node), reader->wanted, &info) > 0) {
        record = (struct signalfd_siginfo){
            .ssi_signo = (uint32_t)info.si_signo,
            .ssi_code = info.si_code,
            .ssi_pid = (uint32_t)info.si_pid,
            .ssi_uid = info.si_uid,
        };
        done += loop_sim_vectors_fill(move->iov, move->n_iov, done, &record, sizeof record);
    }
    return done > 0 ? (ssize_t)done : -EAGAIN;
}

static uint32_t poll_signals(struct loop_sim_file *file)
{
    const struct reader *reader = (struct reader *)file;
    return loop_sim_signals_pending(file->node, own_of(file->node)) & reader->wanted ? EPOLLIN : 0;
}

static int status_of_reader(struct loop_sim_file *file, struct stat *status)
{
    (void)file;
    return loop_sim_file_anonymous_status(status, 0600, LOOP_SIM_ANONYMOUS_INODE);
}

static void release_reader(struct loop_sim_file *file)
{
    loop_sim_queue_remove(&((struct reader *)file)->arrived);
    loop_sim_free(file);
}

static const struct loop_sim_file_kind kind = {
    .name = "signalfd",
    .read = read_signals,
    .poll = poll_signals,
    .status = status_of_reader,
    .seek = loop_sim_file_seek_nowhere,
    .release = release_reader,
};

/* As on Linux, those who wait are woken for any signal, and look whether it is one of theirs. */
static void on_arrival(struct loop_sim_waiter *waiter, uint32_t events)
{
    loop_sim_file_changed(&LOOP_CONTAINER(waiter, struct reader, arrived)->file, events);
}

/* ---- the door ---- */

static int create(struct loop_sim_node *node, uint64_t wanted, int flags)
{
    struct reader *reader = loop_sim_alloc(sizeof *reader);
    loop_sim_file_init(&reader->file, &kind, node, O_RDWR | (flags & SFD_NONBLOCK ? O_NONBLOCK : 0));
    reader->file.whole_bytes = SIZE_MAX;
    reader->wanted = wanted;
    reader->arrived.wake = on_arrival;
    loop_sim_queue_add(&node->signals->descriptors, &reader->arrived);
    return loop_sim_file_install(node, &reader->file, 0, flags & SFD_CLOEXEC ? O_CLOEXEC : 0);
}

static int create_or_change(int number, uint64_t wanted, int flags)
{
    struct loop_sim_node *node = loop_sim_here();
    if (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) {
        return -EINVAL;
    }
    if (number == -1) {
        return create(node, wanted, flags);
    }
    struct loop_sim_file *file = loop_sim_file_open_at(number);
    if (!file || file->kind != &kind) {
        return file ? -EINVAL : -EBADF;
    }
    ((struct reader *)file)->wanted = wanted;
    loop_sim_file_changed(file, 0);
    return number;
}

int loop_kernel_signalfd(int number, const sigset_t *mask, int flags)
{
    return (int)loop_sim_return(create_or_change(number, loop_sim_signal_bits(mask), flags));
}

/* ---- waiting without a descriptor ---- */

static int wait_for_signal(uint64_t wanted, siginfo_t *info, int64_t until_ns)
{
    struct loop_sim_node *node = loop_sim_here();
    int error = 0;
    for (;;) {
        int signal = loop_sim_signals_take(node, loop_sim_signals_here(), wanted, info);
        if (signal > 0 || error) {
            return signal > 0 ? signal : error;
        }
        if (until_ns <= node->world->now_ns) {
            return -EAGAIN;
        }
        int result = loop_sim_wait(&node->signals->arrived, until_ns);
        if (result == -EINTR) {
            (void)loop_sim_signals_handle();
        }
        error = result == -ETIMEDOUT ? -EAGAIN : result;
    }
}

int loop_kernel_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    siginfo_t unused;
    int64_t until_ns =
        loop_sim_time_until(timeout ? &(struct __kernel_timespec){timeout->tv_sec, timeout->tv_nsec} : NULL);
    if (until_ns < 0) {
        return (int)loop_sim_return(until_ns);
    }
    info = info ? info : &unused;
    int signal = wait_for_signal(loop_sim_signal_bits(set), info, until_ns);
    if (signal > 0 && info->si_code == SI_TKILL) {
        info->si_code = SI_USER; /* as the C library does */
    }
    return (int)loop_sim_return(signal);
}
