/* SPDX-License-Identifier: ISC
 *
 * Bytes with descriptors, in the order of the writes. The job waits in fd->writers among them until one system call has
 * sent the descriptors with the first of the bytes. From then on it is a write, of what is left.
 */
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/ready.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/socket.h>
#include <loop/low_level.h>
#include <loop/part.h>

#include <errno.h>
#include <string.h>

/* Descriptors that a job keeps open. */
struct held {
    size_t n;
    struct loop_fd *fds[LOOP_MESSAGE_MAX_NUMBERS];
    int numbers[LOOP_MESSAGE_MAX_NUMBERS];
};

struct sending {
    struct loop_write_state write; /* must be first: u.write */
    struct held *held;
};

static_assert(offsetof(struct sending, write) == 0, "it is in the place of u.write");
static_assert(sizeof(struct sending) <= sizeof(((struct loop_job *)0)->u.large), "fits into a large job");

static struct sending *sending_of(struct loop_job *job)
{
    return (struct sending *)(void *)job->u.large;
}

/* ---- the descriptors ---- */

static void let_go(struct held *held)
{
    for (size_t i = 0; i < held->n; i++) {
        loop_fd_unuse(held->fds[i]);
        loop_fd_unpin(held->fds[i]);
    }
    loop_kernel_free(held);
}

/* Keeps the descriptors open. Returns 0, -ENOMEM or -EBADF. */
static int hold(struct loop_fd *const *fds, size_t n_fds, struct held **to)
{
    struct held *held = loop_kernel_calloc(1, sizeof *held);
    if (!held) {
        return -ENOMEM;
    }
    for (; held->n < n_fds; held->n++) {
        struct loop_fd *fd = fds[held->n];
        int number = fd ? loop_fd_use(fd) : -EBADF;
        if (number < 0) {
            let_go(held);
            return number;
        }
        loop_fd_pin(fd);
        held->fds[held->n] = fd;
        held->numbers[held->n] = number;
    }
    *to = held;
    return 0;
}

/* ---- the job ---- */

/* Returns the count, or -errno. */
static int64_t send_now(int number, struct sending *sending)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(LOOP_MESSAGE_MAX_NUMBERS * sizeof(int))] = {0};
    size_t size_bytes = sending->held->n * sizeof(int);
    struct msghdr header = {.msg_iov = &sending->write.single,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = (socklen_t)CMSG_SPACE(size_bytes)};
    struct cmsghdr *message = (struct cmsghdr *)(void *)control;
    ssize_t n;

    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = (socklen_t)CMSG_LEN(size_bytes);
    memcpy(CMSG_DATA(message), sending->held->numbers, size_bytes);
    do {
        n = loop_kernel_sendmsg(number, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Lets go of the descriptors. */
static void become_write(struct loop_job *job)
{
    let_go(sending_of(job)->held);
    job->kind = &loop_fd_write_kind;
}

static enum loop_attempt attempt_send(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    int64_t error = fd->has_failed ? loop_write_error_ahead(fd) : 0;
    int64_t result = error ? error : send_now(fd->number, sending_of(job));

    if (result != -EAGAIN) {
        become_write(job);
    }
    return loop_fd_written(loop, fd, result);
}

static void cancel_send(struct loop *loop, struct loop_job *job)
{
    become_write(job);
    job->kind->cancel(loop, job);
}

static void lose_send(struct loop *loop, struct loop_job *job, int64_t error)
{
    become_write(job);
    job->kind->lose(loop, job, error);
}

static const struct loop_job_kind send_fds_kind = {.name = "send descriptors",
                                                   .cancel = cancel_send,
                                                   .attempt = attempt_send,
                                                   .lose = lose_send,
                                                   .size = LOOP_JOB_LARGE};

/* Starts the job, which keeps the descriptors. */
static loop_job start(struct loop_fd *fd, struct iovec bytes, struct loop_fd *const *fds, size_t n_fds, loop_fn *fn,
                      void *arg)
{
    loop_job id;
    struct sending sending = {.write = {.single = bytes, .total = bytes.iov_len}};
    int error = hold(fds, n_fds, &sending.held);
    if (error < 0) {
        return error == -ENOMEM ? 0 : loop_job_instant(fd->scope, error, fn, arg);
    }
    struct loop_job *job = loop_job_start(fd->scope, fd, &send_fds_kind, fn, arg, &id);
    if (job) {
        *sending_of(job) = sending;
        fd->queued_bytes += bytes.iov_len;
        loop_ready_wait_write(fd->scope->loop, fd, job);
    } else {
        let_go(sending.held);
    }
    return id;
}

loop_job loop_fd_send_fds(struct loop_fd *fd, const void *data, size_t len, struct loop_fd *const *fds, size_t n_fds,
                          loop_fn *fn, void *arg)
{
    if (!loop_check_fd(fd, __func__)) {
        return 0;
    }
    if (!data || len == 0 || len > INT64_MAX || !fds || n_fds == 0 || n_fds > LOOP_MESSAGE_MAX_NUMBERS) {
        return loop_job_instant(fd->scope, -EINVAL, fn, arg);
    }
    if (fd->state == LOOP_FD_OPEN && fd->write_by != LOOP_IO_SOCKET) {
        return loop_job_instant(fd->scope, -ENOTSOCK, fn, arg);
    }
    int64_t error = fd->has_failed ? loop_write_error_ahead(fd) : 0;
    if (error) {
        return loop_write_lose(fd, error, fn, arg);
    }
    return loop_fd_is_full(fd) ? loop_fd_refuse_write(fd, fn, arg)
                               : start(fd, (struct iovec){(void *)(uintptr_t)data, len}, fds, n_fds, fn, arg);
}
