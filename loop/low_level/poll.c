/* SPDX-License-Identifier: ISC
 *
 * Readiness by name: poll_add, poll_multishot and loop_poll.
 */
#include <loop/core/adopt.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/core/scope.h>
#include <loop/low_level/start.h>
#include <loop/part.h>

#include <errno.h>

/* The events that a poll may ask for. POLLERR and POLLHUP are always reported. */
#define POLL_EVENTS ((unsigned)(POLLIN | POLLOUT | POLLPRI | POLLRDHUP))

/* Finds out whether the file can be polled. Asks once, because asking consumes a change that has not been reported yet;
 * so it polls for that first. */
static void probe(struct loop_fd *fd, unsigned events)
{
    (void)loop_ready_poll_file(fd, events | POLLPRI);
    fd->is_probed = true;
    fd->is_pollable = loop_can_poll(fd->scope->loop, fd->number) > 0;
}

/* Returns the result of a poll of a file that cannot be polled: it is always ready for input and output, and for
 * nothing else. Returns 0 for other descriptors. */
static int poll_result_of_file(struct loop_fd *fd, unsigned events)
{
    if (!loop_fd_is_file(fd) || fd->state != LOOP_FD_OPEN) {
        return 0;
    }
    if (!fd->is_probed) {
        probe(fd, events);
    }
    if (fd->is_pollable) {
        return 0;
    }
    int ready = (int)(events & (POLLIN | POLLOUT));
    return ready ? ready : -EINVAL;
}

loop_job loop_op_poll_add(struct loop_scope *scope, struct loop_fd *fd, unsigned events, loop_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, fd, NULL, __func__)) {
        return 0;
    }
    unsigned wanted = events & ~(unsigned)(POLLERR | POLLHUP);
    if (!loop_operation_has_fd(fd, __func__) || wanted == 0 || (wanted & ~POLL_EVENTS)) {
        return loop_operation_known(scope, fd, -EINVAL, fn, arg, __func__);
    }
    struct loop_operation operation = {
        .scope = scope, .fd = fd, .op = LOOP_OP_POLL, .fn = fn, .arg = arg, .function = __func__};
    operation.args.poll.events = wanted;
    operation.error = poll_result_of_file(fd, wanted);
    return loop_operation_start(&operation);
}

loop_job loop_poll(struct loop_fd *fd, unsigned events, loop_fn *fn, void *arg)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return 0;
    }
    return loop_op_poll_add(NULL, fd, events, fn, arg);
}

/* Resumes the continuation. The job waits among the readers, where it is not tried again before the next event. */
static enum loop_attempt attempt_poll_multishot(struct loop *loop, struct loop_job *job)
{
    loop_job_emit(loop, job, POLLIN, NULL);
    return job->where == LOOP_AT_WAIT ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_MOVED; /* MOVED: cancelled meanwhile */
}

static void cancel_poll_multishot(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    loop_job_complete(loop, job, -ECANCELED);
    loop_ready_look_again(loop, fd);
}

static const struct loop_job_kind poll_multishot_kind = {
    .name = "poll_multishot", .cancel = cancel_poll_multishot, .attempt = attempt_poll_multishot};

loop_job loop_op_poll_multishot(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg)
{
    if (!loop_operation_is_good(scope, fd, NULL, __func__)) {
        return 0;
    }
    loop_job id;
    scope = loop_operation_scope(scope, fd);
    if (!loop_operation_has_fd(fd, __func__) || !fn || !loop_fd_is_stream(fd) || fd->scope->loop != scope->loop) {
        return loop_operation_known(scope, fd, -EINVAL, fn, arg, __func__);
    }
    struct loop_job *job = loop_job_start(scope, fd, &poll_multishot_kind, fn, arg, &id);
    if (job) {
        fd->ready |= POLLIN; /* so that it is resumed for what has come before */
        loop_ready_wait_read(scope->loop, fd, job);
    }
    return id;
}
