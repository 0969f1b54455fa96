/* SPDX-License-Identifier: ISC
 *
 * Files as sources and sinks. A file can't be polled. What needs no disk is done at once, where the kernel can tell
 * (RWF_NOWAIT) and no other operation may move the file's position; otherwise a thread of the pool does it, one
 * operation of a descriptor at a time. Because they share the position, at most one read and one write are in flight.
 * The others wait in line: reads in fd->readers, writes in fd->writers. One call writes several of the writes in line.
 */
#include <loop/core/backend.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/unread.h>
#include <loop/flow/descriptor/file.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/io.h>
#include <loop/syscall/pool.h>

#include <errno.h>
#include <limits.h>

/* ---- the lines ---- */

/* Gives the first job of a line the turn, unless another has it. */
static void start_next(struct loop *loop, struct loop_line *line, struct loop_job **in_flight)
{
    struct loop_list *node = *in_flight ? NULL : loop_line_pop_front(line);
    if (!node) {
        return;
    }
    struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
    assert(job->where == LOOP_AT_WAIT);
    *in_flight = job;
    if (job->kind->turn) {
        job->kind->turn(loop, job);
    } else {
        loop->backend->start(loop, job);
    }
}

/* Puts a job at the end of a line. The job that has the turn is asked to give it back, where it can. */
static void join_line(struct loop *loop, struct loop_job *job, struct loop_line *line, struct loop_job **in_flight)
{
    job->where = LOOP_AT_WAIT;
    loop_line_push_back(line, &job->link);
    if (*in_flight && (*in_flight)->kind->yield) {
        (*in_flight)->kind->yield(loop, *in_flight);
    }
    start_next(loop, line, in_flight);
}

/* Passes the turn on where `job` has it. */
static void leave_line(struct loop *loop, const struct loop_job *job, struct loop_line *line,
                       struct loop_job **in_flight)
{
    if (*in_flight == job) {
        *in_flight = NULL;
        start_next(loop, line, in_flight);
    }
}

void loop_file_join_readers(struct loop *loop, struct loop_job *job)
{
    join_line(loop, job, &job->fd->readers, &loop_fd_more(job->fd)->reading);
}

void loop_file_join_writers(struct loop *loop, struct loop_job *job, struct loop_fd *fd)
{
    join_line(loop, job, &fd->writers, &loop_fd_more(fd)->writing);
}

void loop_file_leave_readers(struct loop *loop, struct loop_fd *fd, const struct loop_job *job)
{
    leave_line(loop, job, &fd->readers, &loop_fd_more(fd)->reading);
}

void loop_file_leave_writers(struct loop *loop, struct loop_fd *fd, const struct loop_job *job)
{
    leave_line(loop, job, &fd->writers, &loop_fd_more(fd)->writing);
}

/* Starts the next read when the continuation of one has been resumed. */
static void read_resumed(struct loop_fd *fd)
{
    start_next(fd->scope->loop, &fd->readers, &loop_fd_more(fd)->reading);
}

/* Starts the next write when the continuation of one, or of a shutdown, has been resumed. */
static void write_resumed(struct loop_fd *fd)
{
    start_next(fd->scope->loop, &fd->writers, &loop_fd_more(fd)->writing);
}

/* Cancels a read or a shutdown: the backend has it, or it waits in line. */
static void cancel(struct loop *loop, struct loop_job *job)
{
    if (loop_fd_more(job->fd)->reading == job || loop_fd_more(job->fd)->writing == job) {
        loop->backend->cancel(loop, job);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

/* ---- reading ---- */

static int64_t read_unread(struct loop_fd *fd, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    return loop_unread_read(fd, &iov, 1, false);
}

/* Reads what needs no disk; -EAGAIN where a thread has to do it. Unread bytes come first. */
static int64_t read_now(struct loop_job *job)
{
    const struct loop_move_args *args = &job->u.args.move;
    if (loop_fd_has_unread(job->fd)) {
        return read_unread(job->fd, args->data, args->len);
    }
    return loop_fd_is_moving(job->fd) ? -EAGAIN : loop_attempt_now(job);
}

static void start_read(struct loop *loop, struct loop_job *job)
{
    int64_t result = read_now(job);
    if (result != -EAGAIN) {
        loop_job_backend_complete(loop, job, result);
    } else if (loop_file_is_for_thread(job->fd)) {
        loop_pool_submit(loop, job);
    } else {
        loop->backend->start(loop, job);
    }
}

static int64_t bytes_before(const struct loop_job *job)
{
    return (char *)job->u.args.move.data - (char *)job->u.args.file_read.begin;
}

/* Goes on with a read that has to fill its buffer, or finishes it. */
static void read_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    assert(loop_fd_more(job->fd)->reading == job);
    struct loop_move_args *args = &job->u.args.move;
    if (result == -EIO && job->fd->number >= 0) {
        result = loop_io_end_of_terminal(job->fd->number);
    }
    bool goes_on = result > 0 && job->u.args.file_read.is_exact && (size_t)result < args->len && !job->is_cancelled;
    if (goes_on) {
        args->data = (char *)args->data + result;
        args->len -= (size_t)result;
        start_read(loop, job);
        return;
    }
    int64_t done = bytes_before(job) + (result > 0 ? result : 0);
    if (done > 0 && result < 0 && result != -ECANCELED) {
        loop_unread_keep_error(loop, job->fd, result);
    }
    loop_fd_more(job->fd)->reading = NULL;
    loop_job_finish(loop, job, done > 0 ? done : result);
}

const struct loop_job_kind loop_file_read_kind = {.name = "file read",
                                                  .cancel = cancel,
                                                  .backend_done = read_done,
                                                  .turn = start_read,
                                                  .resumed = read_resumed,
                                                  .takes_unaligned = true,
                                                  .size = LOOP_JOB_LARGE};

void loop_file_read(struct loop *loop, struct loop_job *job, struct iovec buffer, bool is_exact)
{
    job->op = LOOP_OP_READ;
    job->u.args = (struct loop_op_args){
        .file_read = {.move = {.data = buffer.iov_base, .len = buffer.iov_len, .offset = LOOP_CURRENT},
                      .begin = buffer.iov_base,
                      .is_exact = is_exact}};
    loop_file_join_readers(loop, job);
}

int64_t loop_file_try_read(struct loop_fd *fd, void *buf, size_t len)
{
    if (loop_fd_more(fd)->reading || !loop_line_is_empty(&fd->readers)) {
        return -EAGAIN;
    }
    if (loop_fd_has_unread(fd)) {
        return read_unread(fd, buf, len);
    }
    return loop_fd_is_moving(fd) ? -EAGAIN : loop_attempt_read_now(fd, buf, len, LOOP_CURRENT);
}

/* ---- writing ---- */

/* A write that is in flight. u.write, the state of a job, shares its memory with u.args, the arguments of its
 * operation: the state is kept here meanwhile. */
struct loop_file_write {
    struct loop_file_write *next; /* in loop->spare_writes */
    struct loop_write_state state;
    struct iovec iov[LOOP_GATHER_MAX];
};

static struct loop_file_write *take_spare(struct loop *loop)
{
    struct loop_file_write *spare = loop->spare_writes;
    if (!spare) {
        return loop_kernel_malloc(sizeof *spare);
    }
    loop->spare_writes = spare->next;
    return spare;
}

static void give_spare(struct loop *loop, struct loop_file_write *spare)
{
    spare->next = loop->spare_writes;
    loop->spare_writes = spare;
}

void loop_file_finish(struct loop *loop)
{
    while (loop->spare_writes) {
        loop_kernel_free(take_spare(loop));
    }
}

/* Adds the writes that wait in line, as far as there are vectors for them, and returns the new count. They stay in
 * line, and LOOP_AT_OWNER until the call has returned. */
static int gather_others(const struct loop_fd *fd, struct iovec *iov, int n)
{
    for (struct loop_list *node = loop_line_first(&fd->writers); node && n < LOOP_GATHER_MAX;
         node = loop_line_next(node)) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (job->kind != &loop_file_write_kind) {
            break;
        }
        n = loop_write_gather(&job->u.write, iov, n);
        job->where = LOOP_AT_OWNER;
    }
    return n;
}

/* Whether each write needs a call of its own: a device such as a tape makes a record of each. A terminal, which is read
 * by polling, does not. */
static bool keeps_writes_apart(const struct loop_fd *fd)
{
    return !fd->is_regular && loop_fd_reads_by(fd) == LOOP_IO_BLOCKING;
}

/* Fills in the arguments of the next call: what is left of the write and of those in line behind it, or as many vectors
 * of this one as a call takes. */
static void prepare_call(struct loop_job *job)
{
    struct loop_file_write *call = job->u.args.extra;
    const struct loop_write_state *write = &call->state;
    size_t n_left = loop_write_n_left(write);
    if (n_left > LOOP_GATHER_MAX && write->at_offset == 0) {
        job->u.args.move.iov = loop_write_vectors(write) + write->at;
        job->u.args.move.n_iov = n_left < IOV_MAX ? n_left : IOV_MAX;
    } else {
        int n = loop_write_gather(write, call->iov, 0);
        job->u.args.move.iov = call->iov;
        job->u.args.move.n_iov = (size_t)(keeps_writes_apart(job->fd) ? n : gather_others(job->fd, call->iov, n));
    }
}

static void make_call(struct loop *loop, struct loop_job *job)
{
    prepare_call(job);
    int64_t result = loop_fd_is_moving(job->fd) ? -EAGAIN : loop_attempt_now(job);
    if (result != -EAGAIN) {
        loop_job_backend_complete(loop, job, result);
    } else if (job->fd->is_regular) {
        loop_pool_submit(loop, job);
    } else {
        loop->backend->start(loop, job);
    }
}

/* Ends the writes in line behind one that has failed: without its bytes theirs would follow a gap. */
static void fail_line(struct loop *loop, struct loop_fd *fd, struct loop_job *failed, int64_t error)
{
    if (!keeps_writes_apart(fd)) {
        loop_write_note_failure(fd, failed);
        loop_write_end_line(loop, fd, error);
    }
}

static void lose_write(struct loop *loop, struct loop_job *job, int64_t error)
{
    loop_job_complete(loop, job, loop_write_close(loop, job, &job->u.write, error));
}

static void start_write(struct loop *loop, struct loop_job *job)
{
    struct loop_file_write *call = take_spare(loop);
    if (!call) {
        struct loop_fd *fd = job->fd;
        loop_fd_more(fd)->writing = NULL;
        loop_job_complete(loop, job, loop_write_close(loop, job, &job->u.write, -ENOMEM));
        fail_line(loop, fd, job, -ENOMEM);
        return;
    }
    call->state = job->u.write;
    job->op = LOOP_OP_WRITEV;
    job->u.args = (struct loop_op_args){.move = {.offset = LOOP_CURRENT}, .extra = call};
    make_call(loop, job);
}

/* Counts `n` bytes as written for one of the writes that went along, and ends it where it is complete or cancelled.
 * Returns true when it was complete. */
static bool settle_other(struct loop *loop, struct loop_job *job, size_t n, bool may_end)
{
    struct loop_write_state *write = &job->u.write;
    job->where = LOOP_AT_WAIT;
    if (n > 0) {
        loop_write_advance(loop, job->fd, write, n);
    }
    bool is_complete = may_end && write->done == write->total;
    if (is_complete || job->is_cancelled) {
        loop_job_complete(loop, job, loop_write_close(loop, job, write, is_complete ? 0 : -ECANCELED));
    }
    return is_complete;
}

/* Counts `n` bytes as written for the writes that went along, in their order. */
static void settle_others(struct loop *loop, struct loop_fd *fd, size_t n, bool may_end)
{
    struct loop_list *next;
    for (struct loop_list *node = loop_line_first(&fd->writers); node; node = next) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        next = loop_line_next(node);
        if (job->where != LOOP_AT_OWNER) {
            break;
        }
        size_t left = job->u.write.total - job->u.write.done, moved = n < left ? n : left;
        n -= moved;
        may_end = settle_other(loop, job, moved, may_end);
    }
    assert(n == 0); /* no more was gathered than the writes had */
}

/* Goes on with a write of which something is left, or finishes it. */
static void write_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_fd *fd = job->fd;
    assert(loop_fd_more(fd)->writing == job);
    struct loop_file_write *call = job->u.args.extra;
    struct loop_write_state *write = &call->state;
    size_t n = result > 0 ? (size_t)result : 0, left = write->total - write->done, moved = n < left ? n : left;
    if (moved > 0) {
        loop_write_advance(loop, fd, write, moved);
    }
    settle_others(loop, fd, n - moved, result >= 0 && moved == left);
    if (result > 0 && moved < left && !job->is_cancelled) {
        make_call(loop, job);
        return;
    }
    loop_fd_more(fd)->writing = NULL;
    job->u.args.extra = NULL;
    int64_t error = result < 0 ? result : job->is_cancelled ? -ECANCELED : -EIO;
    bool has_failed = !job->is_cancelled && write->done < write->total;
    result = loop_write_close(loop, job, write, write->done < write->total ? error : 0);
    give_spare(loop, call);
    if (has_failed) {
        fail_line(loop, fd, job, error);
    }
    loop_job_finish(loop, job, result);
}

static void cancel_write(struct loop *loop, struct loop_job *job)
{
    if (loop_fd_more(job->fd)->writing == job) {
        loop->backend->cancel(loop, job);
    } else if (job->where == LOOP_AT_WAIT) {
        loop_job_complete(loop, job, loop_write_close(loop, job, &job->u.write, -ECANCELED));
    }
}

const struct loop_job_kind loop_file_write_kind = {.name = "file write",
                                                   .cancel = cancel_write,
                                                   .backend_done = write_done,
                                                   .turn = start_write,
                                                   .lose = lose_write,
                                                   .resumed = write_resumed,
                                                   .takes_unaligned = true,
                                                   .size = LOOP_JOB_LARGE};

void loop_file_write(struct loop *loop, struct loop_job *job, const struct loop_write_state *write)
{
    job->u.write = *write;
    job->fd->queued_bytes += write->total;
    loop_file_join_writers(loop, job, job->fd);
}

/* ---- the end ---- */

/* Finishes a shutdown: it had to wait for its turn only, for which a nop is enough. */
static void shutdown_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    loop_fd_more(job->fd)->writing = NULL;
    loop_job_finish(loop, job, result);
}

const struct loop_job_kind loop_file_shutdown_kind = {.name = "shutdown",
                                                      .cancel = cancel,
                                                      .backend_done = shutdown_done,
                                                      .lose = loop_job_complete,
                                                      .resumed = write_resumed,
                                                      .size = LOOP_JOB_LARGE};

void loop_file_shutdown(struct loop *loop, struct loop_job *job)
{
    job->op = LOOP_OP_NOP;
    loop_file_join_writers(loop, job, job->fd);
}
