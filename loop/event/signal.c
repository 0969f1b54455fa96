/* SPDX-License-Identifier: ISC
 *
 * Signals as events, read from one signalfd for the whole loop.
 *
 * A signal that a job has waited for once stays blocked in the loop's thread. The mask of the signalfd has only those
 * signals for which a job waits now. A signal that arrives between two jobs stays pending in the kernel, like every
 * blocked signal, and is read when the next job starts. The mask is updated just before each read, so that a
 * continuation that listens again at once costs no system call.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/core/scope.h>
#include <loop/event/signal.h>
#include <loop/ground/list.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/signal.h>

#include <errno.h>
#include <time.h>

/* ---- the job of loop_signal ---- */

static void signal_cancel(struct loop *loop, struct loop_job *job)
{
    loop_job_complete(loop, job, -ECANCELED);
}

static const struct loop_job_kind signal_kind = {.name = "signal", .cancel = signal_cancel};

static int64_t *number_of(struct loop_job *job)
{
    return &job->u.small[0];
}

/* Whether the signal can be waited for. Those between 32 and SIGRTMIN belong to the C library. */
static bool can_be_heard(int number)
{
    bool is_signal = (number > 0 && number < 32) || (number >= SIGRTMIN && number <= SIGRTMAX);
    return is_signal && number != SIGKILL && number != SIGSTOP && number != SIGPIPE;
}

/* Returns the signals for which a job waits, one bit each. */
static uint64_t wanted_signals(const struct loop_signals *signals)
{
    uint64_t wanted = 0;
    for (struct loop_list *node = signals->jobs.next; node != &signals->jobs; node = node->next) {
        wanted |= UINT64_C(1) << (*number_of(LOOP_CONTAINER(node, struct loop_job, link)) - 1);
    }
    return wanted;
}

/* Ends the jobs that wait for `number`, or all of them if it is 0. */
static void tell_jobs(struct loop *loop, int64_t number, int64_t result)
{
    struct loop_list *next;
    for (struct loop_list *node = loop->signals.jobs.next; node != &loop->signals.jobs; node = next) {
        next = node->next;
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (number == 0 || *number_of(job) == number) {
            loop_job_complete(loop, job, result);
        }
    }
}

/* ---- the reader ---- */

static void reader_cancel(struct loop *loop, struct loop_job *job)
{
    loop_job_complete(loop, job, -ECANCELED);
}

/* Returns where the reader keeps the mask of the signalfd, one bit for each signal. */
static int64_t *mask_of(struct loop_job *reader)
{
    return &reader->u.small[0];
}

static int update_mask(const struct loop_signals *signals, struct loop_job *reader)
{
    uint64_t wanted = wanted_signals(signals);
    if (wanted == (uint64_t)*mask_of(reader)) {
        return 0;
    }
    sigset_t set;
    sigemptyset(&set);
    for (int number = 1; number <= 64; number++) {
        if (wanted >> (number - 1) & 1) {
            sigaddset(&set, number);
        }
    }
    *mask_of(reader) = (int64_t)wanted;
    return loop_kernel_signalfd(reader->fd->number, &set, SFD_CLOEXEC | SFD_NONBLOCK) < 0 ? -errno : 0;
}

/* Reads the next signal. Returns its number, or -errno. */
static int64_t read_number(int fd_number)
{
    struct signalfd_siginfo record;
    ssize_t n;
    do {
        n = loop_kernel_read(fd_number, &record, sizeof record);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    return n == (ssize_t)sizeof record ? (int64_t)record.ssi_signo : -EIO;
}

/* Reads one signal each turn, so that its continuations can wait again before the next one is read. */
static enum loop_attempt reader_attempt(struct loop *loop, struct loop_job *reader)
{
    int error = update_mask(&loop->signals, reader);
    int64_t number = error ? error : read_number(reader->fd->number);
    if (number > 0) {
        tell_jobs(loop, number, number);
        return LOOP_ATTEMPT_MORE;
    }
    if (number == -EAGAIN) {
        return LOOP_ATTEMPT_AGAIN;
    }
    reader->result = number;
    return LOOP_ATTEMPT_DONE;
}

static const struct loop_job_kind reader_kind = {
    .name = "signal reader", .cancel = reader_cancel, .attempt = reader_attempt};

static void on_reader_end(void *arg, int64_t result)
{
    struct loop *loop = arg;
    struct loop_fd *fd = loop->signals.fd;
    loop->signals.reader = NULL;
    loop->signals.fd = NULL;
    loop_fd_destroy(fd);
    tell_jobs(loop, 0, result);
}

static int start_reader(struct loop *loop)
{
    loop_job id;
    struct loop_fd *fd = loop->signals.fd;
    struct loop_job *reader = loop_job_start(loop->own_scope, fd, &reader_kind, on_reader_end, loop, &id);
    if (!id) {
        loop->signals.fd = NULL;
        loop_fd_destroy(fd);
        return -ENOMEM;
    }
    if (!reader) {
        return -ECANCELED;
    }
    loop->signals.reader = reader;
    loop_daemon(loop, id);
    loop_ready_wait_read(loop, fd, reader);
    return 0;
}

static int open_reader(struct loop *loop)
{
    sigset_t none;
    sigemptyset(&none);
    int number = loop_kernel_signalfd(-1, &none, SFD_CLOEXEC | SFD_NONBLOCK);
    if (number < 0) {
        return -errno;
    }
    loop->signals.fd = loop_fd_adopt(loop->own_scope, number);
    return loop->signals.fd ? start_reader(loop) : -ENOMEM;
}

/* ---- listening ---- */

static int block_signal(struct loop_signals *signals, int number)
{
    if (sigismember(&signals->watched, number)) {
        return 0;
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigaddset(&signals->watched, number);
    return -loop_kernel_pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int prepare(struct loop *loop, int number)
{
    if (!can_be_heard(number) || number == loop->options.interrupt_signal) {
        return -EINVAL;
    }
    int error = loop->signals.fd ? 0 : open_reader(loop);
    return error ? error : block_signal(&loop->signals, number);
}

loop_job loop_signal(struct loop_scope *scope, int signal_number, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    loop_job id;
    struct loop_job *job = loop_job_start(scope, NULL, &signal_kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    struct loop *loop = scope->loop;
    int error = prepare(loop, signal_number);
    if (error) {
        loop_job_complete(loop, job, error);
        return id;
    }
    job->where = LOOP_AT_OWNER;
    *number_of(job) = signal_number;
    loop_list_push_back(&loop->signals.jobs, &job->link);
    loop_ready_note(loop, loop->signals.fd, POLLIN); /* has the reader update its mask and read what is pending */
    return id;
}

/* ---- the beginning and the end ---- */

void loop_signals_init(struct loop *loop)
{
    sigemptyset(&loop->signals.watched);
    loop_list_init(&loop->signals.jobs);
}

void loop_signals_drop(const sigset_t *set)
{
    static const struct timespec at_once = {0};
    while (loop_kernel_sigtimedwait(set, NULL, &at_once) > 0 || errno == EINTR) {
    }
}

void loop_signals_take_back_sigpipe(const struct loop *loop)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    if (!loop->sigpipe_was_pending) {
        loop_signals_drop(&set);
    }
}
