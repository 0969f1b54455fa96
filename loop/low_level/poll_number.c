/* SPDX-License-Identifier: ISC
 *
 * loop_poll_number: polls of numbers that other libraries own, open and close.
 *
 * The job has a duplicate of the number, which only the loop closes. So its watch can always be removed, and finds the
 * file that it was made for, whatever the library does with its number: epoll would keep a watch of a file that is
 * still open elsewhere, and could not be asked for it any more. The job waits among the polls of the duplicate from its
 * start to its end. Changing its events costs no operation of the kernel; each try is a call of poll(2).
 */
#include <loop/core/adopt.h>
#include <loop/core/check.h>
#include <loop/core/close.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/number.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/core/scope.h>
#include <loop/kernel/event.h>
#include <loop/loop.h>

#include <errno.h>

#define POLL_EVENTS ((unsigned)(POLLIN | POLLOUT | POLLPRI | POLLRDHUP))
#define ALWAYS_REPORTED ((unsigned)(POLLERR | POLLHUP))

/* Ends the job, and closes its duplicate. */
static void end(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_fd *fd = job->fd;
    loop_job_complete(loop, job, result);
    loop_fd_destroy(fd);
}

static void cancel(struct loop *loop, struct loop_job *job)
{
    end(loop, job, -ECANCELED);
}

static bool is_same_file(const struct loop_poll_args *args)
{
    return loop_number_identity(args->number) == args->identity;
}

/* Returns the events that have occurred. */
static unsigned look(const struct loop_job *job)
{
    struct pollfd entry = {.fd = job->fd->number, .events = (short)job->u.args.poll.events};
    return entry.events && loop_kernel_poll(&entry, 1, 0) > 0 ? (unsigned)(unsigned short)entry.revents : 0;
}

/* Resumes the continuation if an event has occurred. The job is in no list meanwhile. */
static enum loop_attempt attempt(struct loop *loop, struct loop_job *job)
{
    struct loop_poll_args *args = &job->u.args.poll;
    unsigned events = look(job);
    if (!events) {
        return LOOP_ATTEMPT_AGAIN;
    }
    if (!is_same_file(args)) {
        end(loop, job, -EBADF);
        return LOOP_ATTEMPT_MOVED;
    }
    args->events = args->is_once ? 0 : args->events;
    loop_job_emit(loop, job, events, NULL);
    if (job->where != LOOP_AT_WAIT) {
        return LOOP_ATTEMPT_MOVED; /* cancelled meanwhile */
    }
    return args->events ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
}

static const struct loop_job_kind kind = {
    .name = "poll_number", .cancel = cancel, .attempt = attempt, .uses_args = true, .size = LOOP_JOB_LARGE};

static bool are_known(unsigned events)
{
    return (events & ~(POLL_EVENTS | ALWAYS_REPORTED | LOOP_POLL_ONCE)) == 0;
}

/* Stores the events. POLLERR or POLLHUP alone are events to wait for too. */
static void set_events(struct loop_poll_args *args, unsigned events)
{
    args->events = events & (POLL_EVENTS | ALWAYS_REPORTED);
    args->is_once = (events & LOOP_POLL_ONCE) != 0;
}

/* Makes the duplicate. Returns 0 or -errno. */
static int duplicate(struct loop_scope *scope, int number, unsigned events, struct loop_fd **fd)
{
    int error = are_known(events) ? loop_fd_adopt_duplicate(scope, number, fd) : -EINVAL;
    if (!error && (loop_fd_is_file(*fd) || !loop_fd_get_more(*fd))) {
        error = loop_fd_is_file(*fd) ? -EPERM : -ENOMEM;
        loop_fd_destroy(*fd);
    }
    return error;
}

loop_job loop_poll_number(struct loop_scope *scope, int number, unsigned events, loop_fn *fn, void *arg)
{
    struct loop_fd *fd = NULL;
    loop_job id;
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    int error = !loop_scope_takes_work(scope) ? 0 : fn ? duplicate(scope, number, events, &fd) : -EINVAL;
    if (error || !fd) {
        return loop_job_instant(scope, error, fn, arg);
    }
    struct loop_job *job = loop_job_start(scope, fd, &kind, fn, arg, &id);
    if (!job) {
        loop_fd_destroy(fd);
        return id;
    }
    job->op = LOOP_OP_POLL;
    job->u.args.poll = (struct loop_poll_args){.number = number, .identity = loop_number_identity(number)};
    set_events(&job->u.args.poll, events);
    loop_ready_wait(scope->loop, fd, job, POLLIN | POLLOUT);
    return id;
}

int loop_poll_change(struct loop *loop, loop_job id, unsigned events)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    struct loop_job *job = loop_job_find(loop, id);
    if (!job || job->where == LOOP_AT_RUN_QUEUE) {
        return -ENOENT;
    }
    if (job->kind != &kind || !are_known(events)) {
        return -EINVAL;
    }
    if (events && !is_same_file(&job->u.args.poll)) {
        end(loop, job, -EBADF);
        return -EBADF;
    }
    set_events(&job->u.args.poll, events);
    if (events) {
        loop_ready_activate(loop, job->fd);
    }
    return 0;
}
