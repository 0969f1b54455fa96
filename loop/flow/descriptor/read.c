/* SPDX-License-Identifier: ISC
 *
 * A descriptor's own source. Reads wait in fd->readers, in the order of the calls. file.c serves files.
 */
#include <loop/core/close.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/descriptor/file.h>
#include <loop/ground/list.h>
#include <loop/syscall/io.h>
#include <loop/syscall/role.h>

#include <errno.h>

/* ---- reading ---- */

/* Returns the result of a read: the count of the bytes that have come, else `result`. The kernel reports an error once:
 * one that comes behind some bytes is kept for the next read. */
static int64_t read_result(const struct loop_job *job, int64_t result)
{
    if (job->u.read.done == 0) {
        return result;
    }
    if (result < 0 && result != -ECANCELED) {
        loop_unread_keep_error(job->scope->loop, job->fd, result);
    }
    return (int64_t)job->u.read.done;
}

static void cancel_read(struct loop *loop, struct loop_job *job)
{
    loop_job_complete(loop, job, read_result(job, -ECANCELED));
}

static enum loop_attempt attempt_read(struct loop *loop, struct loop_job *job)
{
    struct iovec *rest = &job->u.read.rest;
    (void)loop;
    int64_t n = loop_io_read_one(job->fd, rest->iov_base, rest->iov_len);
    if (n == -EAGAIN) {
        return LOOP_ATTEMPT_AGAIN;
    }
    if (n > 0) {
        *rest = (struct iovec){(char *)rest->iov_base + n, rest->iov_len - (size_t)n};
        job->u.read.done += (size_t)n;
        if (job->u.read.is_exact && rest->iov_len > 0) {
            return job->fd->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
        }
    }
    job->result = read_result(job, n);
    return LOOP_ATTEMPT_DONE;
}

static const struct loop_job_kind read_kind = {.name = "read", .cancel = cancel_read, .attempt = attempt_read};

loop_job loop_fd_read(struct loop_fd *fd, struct iovec buffer, bool is_exact, loop_fn *fn, void *arg)
{
    struct loop *loop = fd->scope->loop;
    loop_job id;
    bool is_file = !loop_fd_is_stream(fd);
    struct loop_job *job = loop_job_start(fd->scope, fd, is_file ? &loop_file_read_kind : &read_kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    int64_t error = loop_role_reading(fd);
    if (is_file) {
        loop_file_read(loop, job, buffer, is_exact);
    } else if (error) {
        loop_job_complete(loop, job, error);
    } else {
        job->u.read.rest = buffer;
        job->u.read.is_exact = is_exact;
        loop_ready_wait_read(loop, fd, job);
    }
    return id;
}

static loop_job read_fd(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    return loop_fd_read(source->self, (struct iovec){buf, len}, false, fn, arg);
}

/* ---- what is there now ---- */

/* Whether a system call may tell what is there. Before the first event only that of a socket does: a fifo that never
 * had a writer looks like one at its end. */
static bool may_be_readable(const struct loop_fd *fd)
{
    return (fd->ready & POLLIN) || (loop_fd_reads_by(fd) == LOOP_IO_SOCKET && !(fd->watched & POLLIN));
}

static int64_t try_read_fd(struct loop_source *source, void *buf, size_t len)
{
    struct loop_fd *fd = source->self;
    if (fd->state != LOOP_FD_OPEN) {
        return -EBADF;
    }
    if (!loop_fd_is_stream(fd)) {
        return loop_file_try_read(fd, buf, len);
    }
    return loop_list_is_empty(&fd->readers) && may_be_readable(fd) ? loop_io_read_one(fd, buf, len) : -EAGAIN;
}

static enum loop_attempt attempt_wait(struct loop *loop, struct loop_job *job)
{
    (void)loop;
    job->result = 0;
    return LOOP_ATTEMPT_DONE;
}

static const struct loop_job_kind wait_kind = {
    .name = "wait for input", .cancel = loop_job_cancel_here, .attempt = attempt_wait};

static loop_job wait_readable_fd(struct loop_source *source, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_fd *fd = source->self;
    struct loop *loop = fd->scope->loop;
    struct loop_job *job = loop_job_start(fd->scope, fd, &wait_kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    if (!loop_fd_is_stream(fd)) {
        loop_job_complete(loop, job, -EOPNOTSUPP);
    } else {
        loop_ready_wait_read(loop, fd, job);
    }
    return id;
}

/* ---- the table ---- */

static struct loop_fd *source_fd(struct loop_source *source)
{
    return source->self;
}

static int close_source(struct loop_source *source)
{
    return loop_fd_close(source->self);
}

static int unread_fd(struct loop_source *source, const void *bytes, size_t len)
{
    return loop_fd_unread(source->self, bytes, len);
}

const struct loop_source_ops loop_fd_source = {.read = read_fd,
                                               .fd = source_fd,
                                               .close = close_source,
                                               .try_read = try_read_fd,
                                               .wait_readable = wait_readable_fd,
                                               .unread = unread_fd};
