/* SPDX-License-Identifier: ISC
 *
 * Files as sources and sinks. Files can't be waited for: their reads and writes are operations of the backend, and
 * because they share the file's position there is one of each kind at a time. The others stand in line: reads in
 * fd->readers, writes in fd->writers.
 */
#include <loop/fd_flow.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* ---- the lines ---- */

/* Starts the next operation of a line, if none is in flight. */
static void start_next(struct loop *loop, struct loop_list *line, struct job **in_flight)
{
    struct loop_list *node = *in_flight ? NULL : loop_list_pop_front(line);
    if (!node) {
        return;
    }
    struct job *job = LOOP_CONTAINER(node, struct job, link);
    *in_flight = job;
    if (job->op == LOOP_OP_COPY) {
        loop_file_copy_turn(loop, job);
    } else {
        loop->backend->start(loop, job);
    }
}

/* A copy may take long: it lets others in between. */
static void join_line(struct loop *loop, struct job *job, struct loop_list *line, struct job **in_flight)
{
    job->where = LOOP_AT_WAIT;
    loop_list_push_back(line, &job->link);
    if (*in_flight && (*in_flight)->op == LOOP_OP_COPY) {
        loop_file_copy_yield(loop, *in_flight);
    }
    start_next(loop, line, in_flight);
}

static void leave_line(struct loop *loop, const struct job *job, struct loop_list *line, struct job **in_flight)
{
    if (*in_flight == job) {
        *in_flight = NULL;
        start_next(loop, line, in_flight);
    }
}

void loop_file_join_readers(struct loop *loop, struct job *job)
{
    join_line(loop, job, &job->fd->readers, &job->fd->reading);
}

void loop_file_join_writers(struct loop *loop, struct job *job, struct loop_fd *fd)
{
    join_line(loop, job, &fd->writers, &fd->writing);
}

void loop_file_leave_readers(struct loop *loop, struct loop_fd *fd, const struct job *job)
{
    leave_line(loop, job, &fd->readers, &fd->reading);
}

void loop_file_leave_writers(struct loop *loop, struct loop_fd *fd, const struct job *job)
{
    leave_line(loop, job, &fd->writers, &fd->writing);
}

/* The continuation of a file's read or write has been resumed: the next one's turn. */
static void read_resumed(struct loop_fd *fd)
{
    start_next(fd->scope->loop, &fd->readers, &fd->reading);
}

static void write_resumed(struct loop_fd *fd)
{
    start_next(fd->scope->loop, &fd->writers, &fd->writing);
}

static bool is_in_flight(const struct job *job)
{
    return job->fd->reading == job || job->fd->writing == job;
}

static void cancel(struct loop *loop, struct job *job)
{
    if (is_in_flight(job)) {
        loop->backend->cancel(loop, job);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

/* ---- reading ---- */

/* u.args of a read: `out` is where the buffer begins, `flags` whether all of it is to be filled. */
static int64_t bytes_before(const struct job *job)
{
    return (char *)job->u.args.data - (char *)job->u.args.out;
}

static void read_done(struct loop *loop, struct job *job, int64_t result)
{
    struct loop_op_args *args = &job->u.args;
    bool goes_on = result > 0 && args->flags && (size_t)result < args->len && !job->is_cancelled;
    if (goes_on) {
        args->data = (char *)args->data + result;
        args->len -= (size_t)result;
        loop->backend->start(loop, job);
        return;
    }
    int64_t done = bytes_before(job) + (result > 0 ? result : 0);
    job->fd->reading = NULL;
    loop_job_finish(loop, job, done > 0 ? done : result);
}

const struct loop_job_kind loop_file_read_kind = {
    .name = "file read", .cancel = cancel, .backend_done = read_done, .resumed = read_resumed, .is_large = true};

void loop_file_read(struct loop *loop, struct job *job, struct iovec buffer, bool is_exact)
{
    job->op = LOOP_OP_READ;
    job->u.args = (struct loop_op_args){.data = buffer.iov_base,
                                        .len = buffer.iov_len,
                                        .offset = LOOP_CURRENT,
                                        .out = buffer.iov_base,
                                        .flags = is_exact};
    loop_file_join_readers(loop, job);
}

/* ---- writing ---- */

/* The next piece: as many whole vectors as one call takes, or the rest of one that was cut. */
static void prepare_piece(struct job *job)
{
    struct loop_write_state *write = job->u.args.extra;
    const struct iovec *at = loop_write_vectors(write) + write->at;
    size_t n_left = write->n_iov - write->at;
    if (write->at_offset > 0) {
        job->op = LOOP_OP_WRITE;
        job->u.args.data = (char *)at->iov_base + write->at_offset;
        job->u.args.len = at->iov_len - write->at_offset;
    } else {
        job->op = LOOP_OP_WRITEV;
        job->u.args.data = (void *)(uintptr_t)at;
        job->u.args.len = n_left < IOV_MAX ? n_left : IOV_MAX;
    }
}

static void write_done(struct loop *loop, struct job *job, int64_t result)
{
    struct loop_write_state *write = job->u.args.extra;
    if (result > 0) {
        loop_write_advance(loop, job->fd, write, (size_t)result);
        if (write->done < write->total && !job->is_cancelled) {
            prepare_piece(job);
            loop->backend->start(loop, job);
            return;
        }
    }
    job->fd->writing = NULL;
    loop_job_finish(loop, job, loop_write_close(loop, job->fd, write, result));
}

static void cancel_write(struct loop *loop, struct job *job)
{
    if (is_in_flight(job)) {
        loop->backend->cancel(loop, job);
    } else {
        loop_job_complete(loop, job, loop_write_close(loop, job->fd, job->u.args.extra, -ECANCELED));
    }
}

const struct loop_job_kind loop_file_write_kind = {.name = "file write",
                                                   .cancel = cancel_write,
                                                   .backend_done = write_done,
                                                   .resumed = write_resumed,
                                                   .is_large = true};

void loop_file_write(struct loop *loop, struct job *job, const struct loop_write_state *write)
{
    struct loop_write_state *copy = malloc(sizeof *copy);
    if (!copy) {
        if (write->chunk) {
            loop_region_give(loop, write->chunk);
        }
        loop_job_complete(loop, job, -ENOMEM);
        return;
    }
    *copy = *write;
    job->u.args = (struct loop_op_args){.offset = LOOP_CURRENT, .extra = copy};
    job->fd->queued_bytes += write->total;
    prepare_piece(job);
    loop_file_join_writers(loop, job, job->fd);
}

/* ---- the end ---- */

/* There is nothing to do but to wait for one's turn: a nop does. */
static void shutdown_done(struct loop *loop, struct job *job, int64_t result)
{
    job->fd->writing = NULL;
    loop_job_finish(loop, job, result);
}

const struct loop_job_kind loop_file_shutdown_kind = {
    .name = "shutdown", .cancel = cancel, .backend_done = shutdown_done, .resumed = write_resumed, .is_large = true};

void loop_file_shutdown(struct loop *loop, struct job *job)
{
    job->op = LOOP_OP_NOP;
    loop_file_join_writers(loop, job, job->fd);
}
