/* SPDX-License-Identifier: ISC
 *
 * A descriptor's own source. Reads wait in fd->readers, in the order of the calls. file.c serves files.
 */
#include <loop/core/backend.h>
#include <loop/core/close.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/descriptor/file.h>
#include <loop/ground/list.h>
#include <loop/kernel/event.h>
#include <loop/syscall/io.h>
#include <loop/syscall/role.h>

#include <errno.h>

/* ---- reading ---- */

/* Returns the result of a read: the count of the bytes that have come, else `result`. The kernel reports an error once:
 * one that comes behind some bytes is kept for the next read. */
static int64_t read_result(const struct loop_job *job, int64_t result)
{
    if (!job->is_exact || job->done == 0) {
        return result;
    }
    if (result < 0 && result != -ECANCELED) {
        loop_unread_keep_error(job->scope->loop, job->fd, result);
    }
    return job->done;
}

/* Ends a cancelled read with the bytes that have come, and has the readers behind it go on. */
static void end_cancelled(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_fd *fd = job->fd;
    assert(job->is_cancelled && fd->is_reading);
    fd->is_reading = false;
    fd->uses++; /* the read may be the last use */
    loop_job_finish(loop, job, result);
    loop_ready_resume_readers(loop, fd);
    loop_fd_drop_use(fd);
}

/* A cancelled read with some bytes, which is about to end. */
static const struct loop_job_kind ended_kind = {
    .name = "read", .cancel = loop_job_cancel_here, .backend_done = end_cancelled};

/* Ends a cancelled read that waits and has some bytes. Until it is resumed the descriptor is_reading: a reader behind
 * it, which may have its bytes at once, must not be resumed before. */
static void end_with_bytes(struct loop *loop, struct loop_job *job)
{
    assert(!job->fd->is_reading && job->done > 0);
    job->fd->is_reading = true;
    job->kind = &ended_kind;
    loop_job_backend_complete(loop, job, job->done);
}

static void cancel_read(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_RING) {
        loop->backend->cancel(loop, job);
    } else if (job->where == LOOP_AT_WAIT && job->is_exact && job->done > 0 && !job->why) {
        end_with_bytes(loop, job);
    } else {
        loop_job_complete(loop, job, read_result(job, loop_job_cancel_error(job)));
    }
}

/* Counts what a read of the kernel has returned. Returns whether the job is done, with its result in job->result. */
static inline bool take(struct loop_job *job, int64_t n)
{
    struct iovec *rest = &job->u.read;
    if (!job->is_exact) {
        job->result = n;
        return true;
    }
    if (n > 0) {
        *rest = (struct iovec){(char *)rest->iov_base + n, rest->iov_len - (size_t)n};
        job->done += n;
        if (rest->iov_len > 0 && !job->is_cancelled) {
            return false;
        }
    }
    job->result = read_result(job, n);
    return true;
}

/* Goes on after a read of the kernel that has returned `n`. */
static inline enum loop_attempt taken(struct loop_job *job, int64_t n)
{
    return take(job, n) ? LOOP_ATTEMPT_DONE : job->fd->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
}

/* Reads where that takes more than one call. */
__attribute__((noinline)) static enum loop_attempt read_rarely(struct loop_job *job)
{
    const struct iovec *rest = &job->u.read;
    int64_t n = loop_unread_end(job->fd, loop_io_read_rarely(job->fd, rest->iov_base, rest->iov_len));
    return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : taken(job, n);
}

/* Goes on after a call that has read nothing, or from a descriptor with doubts: it has returned `n`. */
__attribute__((noinline)) static enum loop_attempt read_ended(struct loop_job *job, int64_t n)
{
    const struct iovec *rest = &job->u.read;
    n = loop_unread_end(job->fd, loop_io_read_ended(job->fd, n, rest->iov_base, rest->iov_len));
    return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : taken(job, n);
}

/* Goes on after a call that has returned `n`, -1 with errno. */
__attribute__((always_inline)) static inline enum loop_attempt called(struct loop_job *job, struct loop_fd *fd,
                                                                      ssize_t n)
{
    if (n < 0) {
        return loop_io_is_empty(fd) ? LOOP_ATTEMPT_AGAIN : read_ended(job, -1);
    }
    if (n == 0 || fd->doubts) {
        return read_ended(job, n);
    }
    if ((size_t)n < job->u.read.iov_len) {
        fd->ready &= (uint8_t)~POLLIN;
    }
    return taken(job, n);
}

/* Reads from a socket. */
__attribute__((noinline)) static enum loop_attempt receive(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    return called(job, fd, loop_io_receive_once(loop, fd, job->u.read.iov_base, job->u.read.iov_len));
}

/* Reads from a pipe here, by read(2). */
static enum loop_attempt attempt_read(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    if (fd->read_by != LOOP_IO_NONBLOCKING || !loop_io_is_plain(LOOP_IO_NONBLOCKING)) {
        return loop_io_is_plain(fd->read_by) ? receive(loop, job) : read_rarely(job);
    }
    return called(job, fd, loop_kernel_read(fd->number, job->u.read.iov_base, job->u.read.iov_len));
}

static struct iovec read_room(const struct loop_job *job)
{
    return job->u.read;
}

/* Puts what the backend has read behind the bytes that were given back meanwhile. False where it has to be the job's
 * result: there is no memory. The kernel reports an end again. */
__attribute__((noinline)) static bool put_behind(struct loop *loop, const struct loop_job *job, int64_t n)
{
    struct loop_fd *fd = job->fd;
    if (n < 0) {
        loop_unread_keep_error(loop, fd, n);
    }
    return n <= 0 || loop_unread_put_behind(loop, fd, &job->u.read, (size_t)n);
}

/* Whether the backend has nothing for the job: it received nothing, or what was given back comes first. */
static bool is_left_empty(struct loop *loop, const struct loop_job *job, int64_t n)
{
    return n == -EAGAIN || n == -ECANCELED || (job->fd->unread && put_behind(loop, job, n));
}

/* Notes that the backend has read `n` bytes. If they fill the buffer there may be more: a call need not find that out
 * before the next read of the backend does, unless a poll is armed that reports changes only. */
static void note_read(struct loop_fd *fd, size_t n, size_t asked)
{
    if (n == asked && !fd->doubts && !(fd->watched & POLLIN)) {
        fd->may_have_more = true;
        fd->ready &= (uint8_t)~POLLIN;
    } else {
        (void)loop_io_note_read(fd, (int64_t)n, asked);
    }
}

/* Goes on after the backend has received for the job, or has not. Without anything the job is tried by a call. One that
 * was cancelled ends instead: what it would get may be taken before, and no second cancel comes. */
static void read_transferred(struct loop *loop, struct loop_job *job, int64_t n)
{
    struct loop_fd *fd = job->fd;
    job->where = LOOP_AT_OWNER; /* so that what is given back does not recall it from the backend */
    fd->uses++;                 /* the read may be the last use */
    loop_ready_end_read(fd);
    n = loop_unread_end(fd, n);
    bool is_empty = is_left_empty(loop, job, n);
    if (n > 0 && !is_empty && !fd->unread) { /* what is unread can be read at once */
        note_read(fd, (size_t)n, job->u.read.iov_len);
    }
    bool is_tried = is_empty && !job->is_cancelled;
    if (is_tried || !take(job, is_empty ? -ECANCELED : n)) {
        job->where = LOOP_AT_WAIT;
        loop_line_push_front(&fd->readers, &job->link);
    } else {
        loop_job_finish(loop, job, job->result);
    }
    loop_ready_resume_readers(loop, fd);
    loop_fd_drop_use(fd);
}

static const struct loop_job_kind read_kind = {.name = "read",
                                               .cancel = cancel_read,
                                               .attempt = attempt_read,
                                               .transferred = read_transferred,
                                               .room = read_room,
                                               .is_first_reader = true,
                                               .is_written_whole = true};

static inline void fill_in(struct loop_job *job, struct iovec buffer, bool is_exact)
{
    job->u.read = buffer;
    if (is_exact) {
        job->is_exact = true;
        job->done = 0;
    }
}

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
        fill_in(job, buffer, is_exact);
        loop_ready_wait_read(loop, fd, job);
    }
    return id;
}

/* Whether a read only has to join the readers, as the only one: of what is no file and no listener. */
static inline bool is_plain(const struct loop_fd *fd)
{
    return fd->read_by <= LOOP_IO_NONBLOCKING && !fd->may_listen && fd->state == LOOP_FD_OPEN &&
           loop_line_is_empty(&fd->readers) && loop_job_is_ready(fd->scope, &read_kind);
}

/* Has a job that has joined the readers tried in the next dispatch, or the input watched. Returns the job's id. A
 * function of its own, so that the common path of its caller makes no call and saves no registers. */
__attribute__((noinline)) static loop_job expect_input(struct loop_fd *fd, const struct loop_job *job)
{
    struct loop *loop = fd->scope->loop;
    if (fd->ready & POLLIN) {
        loop_ready_activate(loop, fd);
    } else {
        loop_ready_watch(loop, fd, POLLIN);
    }
    return job->id;
}

loop_job loop_fd_read_some(struct loop_fd *fd, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct iovec buffer = {buf, len};
    if (!is_plain(fd)) {
        return loop_fd_read(fd, buffer, false, fn, arg);
    }
    struct loop_job *job = loop_job_start_ready(fd, &read_kind, fn, arg);
    fill_in(job, buffer, false);
    loop_line_begin(&fd->readers, &job->link);
    if (fd->ready & POLLIN && !fd->is_being_read) {
        return expect_input(fd, job);
    }
    return fd->ready & POLLIN || fd->watched & POLLIN ? job->id : expect_input(fd, job);
}

static loop_job read_fd(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    return loop_fd_read(loop_fd_of_source(source), (struct iovec){buf, len}, false, fn, arg);
}

/* ---- what is there now ---- */

/* Whether a system call may tell what is there. Before the first event only that of a socket does: a fifo that never
 * had a writer looks like one at its end. */
static bool may_be_readable(const struct loop_fd *fd)
{
    return fd->ready & POLLIN || fd->may_have_more ||
           (loop_fd_reads_by(fd) == LOOP_IO_SOCKET && !(fd->watched & POLLIN));
}

/* Tries a descriptor that is not watched. A read that got less than it asked for has emptied it. Then it is watched,
 * as it would be for the next read: that need not find out that there is nothing, and an event tells what comes. */
static int64_t try_unwatched(struct loop_fd *fd, void *buf, size_t len)
{
    int64_t n = loop_io_read_one(fd->scope->loop, fd, buf, len);
    if (n > 0 && (size_t)n < len && !fd->doubts && !(fd->ready & POLLIN)) {
        loop_ready_watch(fd->scope->loop, fd, POLLIN);
    }
    return n;
}

static int64_t try_read_fd(struct loop_source *source, void *buf, size_t len)
{
    struct loop_fd *fd = loop_fd_of_source(source);
    if (fd->state != LOOP_FD_OPEN) {
        return -EBADF;
    }
    if (!loop_fd_is_stream(fd)) {
        return loop_file_try_read(fd, buf, len);
    }
    if (loop_ready_has_readers(fd) || !may_be_readable(fd)) {
        return -EAGAIN;
    }
    bool has_watch = fd->watched & POLLIN || fd->read_by == LOOP_IO_UNREAD;
    return loop_unread_end(fd,
                           has_watch ? loop_io_read_one(fd->scope->loop, fd, buf, len) : try_unwatched(fd, buf, len));
}

/* Asks poll(2). Bytes that the backend has received may not be here yet. */
static bool is_fd_readable(struct loop_source *source)
{
    struct loop_fd *fd = loop_fd_of_source(source);
    struct pollfd entry = {.fd = fd->number, .events = POLLIN | POLLRDHUP};
    bool is_askable = fd->state == LOOP_FD_OPEN && loop_fd_is_stream(fd) && !fd->is_receiving && !fd->is_reading;
    return !is_askable || loop_fd_has_unread(fd) || loop_kernel_poll(&entry, 1, 0) != 0;
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
    struct loop_fd *fd = loop_fd_of_source(source);
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
    return loop_fd_of_source(source);
}

static int close_source(struct loop_source *source)
{
    return loop_fd_close(loop_fd_of_source(source));
}

static int unread_fd(struct loop_source *source, const void *bytes, size_t len)
{
    return loop_fd_unread(loop_fd_of_source(source), bytes, len);
}

const struct loop_source_ops loop_fd_source = {.read = read_fd,
                                               .fd = source_fd,
                                               .close = close_source,
                                               .try_read = try_read_fd,
                                               .wait_readable = wait_readable_fd,
                                               .unread = unread_fd,
                                               .is_readable = is_fd_readable};
