/* SPDX-License-Identifier: ISC
 *
 * Copies from one regular file to another. Both block and neither can be polled, so a thread of the pool copies, piece
 * by piece: one hand-over for the whole copy instead of two for each block, the same on both backends. The copy needs
 * the turn in the source's line of reads and in the sink's line of writes (descriptor/file.c). It gives both back after
 * a piece when another job waits in one of them or the copy is cancelled. Between two pieces the thread may serve other
 * jobs.
 */
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/flow/copy_end.h>
#include <loop/flow/descriptor/file.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/flow/file_copy.h>
#include <loop/ground/hard.h>
#include <loop/ground/list.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/syscall/direct.h>
#include <loop/syscall/pool.h>
#include <loop/syscall/unaligned.h>

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

/* Large enough for large folios in the page cache, small enough for a level 2 cache, and copied in about 60 µs, after
 * which a cancel has its effect. */
#define PIECE_BYTES ((size_t)256 << 10)

#define BUFFER_ALIGNMENT 4096 /* which O_DIRECT needs on nearly all file systems, open(2) */

/* ---- on a thread of the pool ---- */

/* Whether copy_file_range(2) would move pages through a pipe, because the file system can't share blocks between files.
 * That costs more than a read and a write. */
static bool copies_by_pages(int number)
{
    struct statfs status;
    return loop_kernel_fstatfs(number, &status) || status.f_type == EXT4_SUPER_MAGIC || status.f_type == TMPFS_MAGIC;
}

/* Reads a piece. Returns the count, 0 at the end, or -errno. */
static int64_t read_piece(const struct loop_fd *from, char *buffer)
{
    struct iovec iov = {buffer, loop_hard_length(PIECE_BYTES)};
    int64_t n;
    do {
        n = loop_kernel_read(from->number, buffer, iov.iov_len);
        n = n < 0 ? -errno : n;
    } while (n == -EINTR && !loop_work_is_cancelled());
    return n == -EINVAL && from->is_direct ? loop_unaligned_read(from->number, &iov, 1) : n;
}

/* Writes some of the bytes. Returns the count or -errno. */
static int64_t write_some(const struct loop_fd *to, const char *buffer, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)buffer, loop_hard_length(len)};
    ssize_t n = loop_kernel_write(to->number, buffer, iov.iov_len);
    if (n < 0 && errno == EINVAL && to->is_direct) {
        return loop_unaligned_write(to->number, &iov, 1);
    }
    return n < 0 ? -errno : n;
}

/* Writes all of the bytes. 0, or -errno after `*done` bytes. */
static int write_piece(const struct loop_fd *to, const char *buffer, size_t len, size_t *done)
{
    for (*done = 0; *done < len;) {
        int64_t n = write_some(to, buffer + *done, len - *done);
        if (n == 0) {
            return -EIO;
        }
        if (n > 0) {
            *done += (size_t)n;
        } else if (n != -EINTR || loop_work_is_cancelled()) {
            return (int)n;
        }
    }
    return 0;
}

/* Copies a piece by a read and writes. Returns the count, 0 at the end, or -errno. What was read and not written is
 * given back by setting the source's position back, and what was written counts as copied. */
static int64_t copy_by_buffer(struct loop_job *job, char *buffer)
{
    const struct loop_fd *from = job->fd;
    size_t done = 0;
    int64_t n = read_piece(from, buffer);
    int error = n > 0 ? write_piece(job->u.args.second, buffer, (size_t)n, &done) : 0;
    if (error) {
        (void)loop_kernel_lseek(from->number, (off_t)done - n, SEEK_CUR);
        job->u.args.copy.done += (int64_t)done;
        job->u.args.copy.is_sink_error = true;
    }
    return error ? error : n;
}

/* Returns the thread's buffer, which is allocated at the first call; NULL when there is no memory. */
static char *make_buffer(void **buffer)
{
    if (!*buffer) {
        *buffer = loop_kernel_aligned_alloc(BUFFER_ALIGNMENT, PIECE_BYTES);
    }
    return *buffer;
}

/* Copies the next piece. Returns the count, 0 at the end, or -errno. Where copy_file_range(2) fails or says that the
 * source is at its end, it may be the wrong call (two file systems, a sink that appends, a file of /proc): only a read
 * and a write decide. */
static int64_t copy_piece(void *arg, void **buffer)
{
    struct loop_job *job = arg;
    struct loop_copy_args *args = &job->u.args.copy;
    int from = job->fd->number, to = job->u.args.second->number;
    int64_t n = 0;
    if (args->way == LOOP_COPY_WAY_UNKNOWN) {
        args->way = copies_by_pages(from) ? LOOP_COPY_WAY_BUFFER : LOOP_COPY_WAY_RANGE;
    }
    if (args->way == LOOP_COPY_WAY_RANGE) {
        n = loop_kernel_copy_file_range(from, NULL, to, NULL, loop_hard_length(PIECE_BYTES), 0);
        args->way = n > 0 ? LOOP_COPY_WAY_RANGE : LOOP_COPY_WAY_BUFFER;
    }
    if (args->way == LOOP_COPY_WAY_BUFFER) {
        n = make_buffer(buffer) ? copy_by_buffer(job, *buffer) : -ENOMEM;
    }
    args->done += n > 0 ? n : 0;
    return n;
}

static struct loop_thread_call call_piece(struct loop_job *job)
{
    return (struct loop_thread_call){copy_piece, job};
}

/* Whether the thread copies another piece: until the loop wants the job back. */
static bool has_more(const struct loop_job *job, int64_t result)
{
    return result > 0 && !job->u.args.copy.is_wanted_back;
}

static const struct loop_thread_kind copy_thread = {.call = call_piece, .goes_on = has_more};

/* ---- on the loop's thread ---- */

/* Gives the turn in both lines back. */
static void leave_lines(struct loop *loop, struct loop_job *job)
{
    loop_file_leave_readers(loop, job->fd, job);
    loop_file_leave_writers(loop, job->u.args.second, job);
}

/* Whether the sink has failed in a piece of this copy. */
static bool has_failed(const struct loop_job *job, int64_t result)
{
    const struct loop_copy_args *args = &job->u.args.copy;
    return result < 0 && args->is_sink_error && !args->is_lost && !job->is_cancelled;
}

/* Queues for the turn again after some pieces, or finishes the copy. */
static void copy_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    if (has_failed(job, result)) {
        loop_write_fail(loop, job->u.args.second, job, result);
    }
    leave_lines(loop, job);
    if (result > 0 && !job->is_cancelled) {
        loop_file_join_readers(loop, job);
    } else {
        enum loop_copy_side side = job->u.args.copy.is_sink_error ? LOOP_COPY_SINK : LOOP_COPY_SOURCE;
        loop_job_finish(loop, job, loop_copy_result(loop, job, result > 0 ? -ECANCELED : result, side));
    }
}

/* Whether other jobs wait in one of the two lines. */
static bool is_contended(const struct loop_job *job)
{
    return !loop_line_is_empty(&job->fd->readers) || !loop_line_is_empty(&job->u.args.second->writers);
}

/* Ends the copy, which waits for its turn or has just got it: a write in front of it has failed. */
static void lose_copy(struct loop *loop, struct loop_job *job, int64_t error)
{
    job->u.args.copy.is_sink_error = true;
    job->u.args.copy.is_lost = true;
    loop_job_backend_complete(loop, job, error);
}

/* The job has got the turn in a line: queues for the turn in the other one, or starts copying. A write may have failed
 * since the copy was started. */
static void have_turn(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *to = job->u.args.second;
    int64_t error = to->has_failed ? loop_write_error_ahead(to) : 0;
    if (error) {
        lose_copy(loop, job, error);
        return;
    }
    if (loop_fd_more(to)->writing != job) {
        loop_file_join_writers(loop, job, to);
        return;
    }
    job->u.args.copy.is_wanted_back = is_contended(job);
    loop_pool_submit(loop, job);
}

/* Has the thread hand the job back after its next piece. */
static void yield(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_POOL_LINE) {
        loop_pool_recall(loop, &job->u.args.copy.is_wanted_back);
    }
}

static void cancel_copy(struct loop *loop, struct loop_job *job)
{
    loop_direct_cancel(loop, job);
    yield(loop, job);
}

const struct loop_job_kind loop_file_copy_kind = {.name = "file copy",
                                                  .cancel = cancel_copy,
                                                  .backend_done = copy_done,
                                                  .thread = &copy_thread,
                                                  .turn = have_turn,
                                                  .yield = yield,
                                                  .lose = lose_copy,
                                                  .made_daemon = loop_copy_made_daemon,
                                                  .uses_args = true,
                                                  .writes_second = true,
                                                  .size = LOOP_JOB_LARGE};

bool loop_file_can_copy(const struct loop_fd *from, const struct loop_fd *to)
{
    struct stat status; /* a file that claims to be empty may be one of /proc, whose reads may block for ever */
    return from->read_by == LOOP_IO_BLOCKING && to->write_by == LOOP_IO_BLOCKING &&
           loop_kernel_fstat(from->number, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
           loop_kernel_fstat(to->number, &status) == 0 && S_ISREG(status.st_mode);
}

void loop_file_copy(struct loop *loop, struct loop_job *job)
{
    job->op = LOOP_OP_COPY;
    loop_file_join_readers(loop, job);
}
