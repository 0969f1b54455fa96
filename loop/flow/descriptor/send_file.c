/* SPDX-License-Identifier: ISC
 *
 * Sending from a file to a socket. The job waits in fd->writers among the writes, and sends one piece.
 */
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/flow/descriptor/send_file.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/ground/hard.h>
#include <loop/ground/list.h>
#include <loop/kernel/file.h>
#include <loop/syscall/attempt.h>

#include <errno.h>

/* After so many bytes, which take less than 0.1 ms, others have their turn. With a quarter of it a server of large
 * files costs 1.4 times as much. */
#define PIECE_BYTES ((size_t)1 << 20)

/* One byte in so many is looked for in the page cache. Pages come there and go from there in groups. */
#define PROBE_BYTES ((size_t)64 << 10)

bool loop_fd_can_send_file(const struct loop_fd *from, const struct loop_fd *to)
{
    return from->is_regular && !from->is_direct && to->write_by == LOOP_IO_SOCKET && to->is_byte_stream &&
           !to->is_borrowed; /* a borrowed one may wait: it keeps its flags */
}

/* Returns how many of the `len` bytes from `offset` on may be sent, because they are in the page cache or behind the
 * end of the file. */
static size_t cached_length(struct loop_fd *from, int64_t offset, size_t len)
{
    char byte;
    len = (int64_t)len < INT64_MAX - offset ? len : (size_t)(INT64_MAX - offset); /* there are no bytes behind it */
    for (size_t at = 0; at < len; at += PROBE_BYTES) {
        int64_t n = loop_attempt_read_now(from, &byte, 1, offset + (int64_t)at);
        if (n != 1) {
            return n == 0 && at > 0 ? len : at;
        }
    }
    return len;
}

/* Whether the file's position belongs to other reads, or what is unread comes before it. */
static bool is_position_taken(const struct loop_fd *from)
{
    return loop_fd_reads_kept(from) || loop_fd_is_moving(from) || loop_fd_more(from)->reading ||
           !loop_line_is_empty(&from->readers);
}

/* Whether an error says that the call is the wrong one, or may be the file's. */
static bool is_refusal(int error)
{
    return error == EINVAL || error == ENOSYS || error == EOVERFLOW || error == EIO || error == EPERM;
}

static int64_t send_now(const struct loop_fd *to, const struct loop_fd *from, off_t *offset, size_t len)
{
    ssize_t n;
    do {
        n = loop_kernel_sendfile(to->number, from->number, offset, len);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : is_refusal(errno) ? LOOP_SEND_REFUSED : -errno;
}

bool loop_send_file_has_bytes(const struct loop_job *job)
{
    struct loop_fd *from = job->u.args.second;
    int64_t offset = job->u.args.move.offset;
    if (offset == LOOP_CURRENT) {
        offset = is_position_taken(from) ? -1 : loop_kernel_lseek(from->number, 0, SEEK_CUR);
    }
    return offset >= 0 && cached_length(from, offset, 1) > 0;
}

static int64_t send_piece(const struct loop_job *job)
{
    struct loop_fd *to = job->fd, *from = job->u.args.second;
    const struct loop_move_args *args = &job->u.args.move;
    bool is_current = args->offset == LOOP_CURRENT;
    if (is_current && is_position_taken(from)) {
        return 0;
    }
    off_t offset = is_current ? loop_kernel_lseek(from->number, 0, SEEK_CUR) : (off_t)args->offset;
    size_t len = offset < 0 ? 0 : cached_length(from, offset, loop_hard_length(args->len));
    return len > 0 ? send_now(to, from, is_current ? NULL : &offset, len) : 0;
}

/* Whether the socket has failed. */
static bool is_failure(int64_t result)
{
    return result < 0 && result != -EAGAIN && result != LOOP_SEND_REFUSED;
}

static enum loop_attempt attempt_send(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *to = job->fd;
    int64_t error = to->has_failed ? loop_write_error_ahead(to) : 0;
    job->result = error ? error : send_piece(job);
    if (!error && is_failure(job->result)) {
        loop_write_fail(loop, to, job, job->result);
        return job->where == LOOP_AT_RUN_QUEUE ? LOOP_ATTEMPT_MOVED : LOOP_ATTEMPT_DONE;
    }
    return job->result == -EAGAIN ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_DONE;
}

static void cancel_send(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    loop_write_note_cancel(fd, job);
    loop_job_complete(loop, job, -ECANCELED);
    if (!loop_line_is_empty(&fd->writers) && !fd->is_sending) {
        fd->ready |= POLLOUT; /* the next job is tried: it may need no room */
        loop_ready_activate(loop, fd);
    }
}

const struct loop_job_kind loop_send_file_kind = {.name = "send from a file",
                                                  .cancel = cancel_send,
                                                  .attempt = attempt_send,
                                                  .lose = loop_job_complete,
                                                  .uses_args = true,
                                                  .size = LOOP_JOB_LARGE};

loop_job loop_fd_send_file(struct loop_fd *to, struct loop_fd *from, int64_t offset, uint64_t len, loop_fn *fn,
                           void *arg)
{
    if (from->state != LOOP_FD_OPEN) {
        return loop_job_instant(to->scope, 0, fn, arg);
    }
    int64_t error = to->has_failed ? loop_write_error_ahead(to) : 0;
    if (error) {
        return loop_write_lose(to, error, fn, arg);
    }
    loop_job id;
    struct loop_job *job = loop_job_start(to->scope, to, &loop_send_file_kind, fn, arg, &id);
    if (job) {
        job->u.args.move.offset = offset;
        job->u.args.move.len = len < PIECE_BYTES ? (size_t)len : PIECE_BYTES;
        loop_job_use_second(job, from);
        loop_ready_wait_write(to->scope->loop, to, job);
    }
    return id;
}
