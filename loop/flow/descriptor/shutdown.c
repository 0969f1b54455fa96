/* SPDX-License-Identifier: ISC
 *
 * Shutting down the sink of a descriptor, in order with its writes.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/flow/descriptor/file.h>
#include <loop/flow/descriptor/shutdown.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/ground/list.h>
#include <loop/syscall/shut_down.h>

#include <errno.h>
#include <sys/socket.h>

static int64_t shut_down(struct loop *loop, struct loop_fd *fd)
{
    if (fd->write_by == LOOP_IO_SOCKET) {
        int64_t result = loop_fd_shut_down(loop, fd, SHUT_WR);
        return result == -ENOTCONN ? 0 : result; /* the peer is gone: nothing more comes, as asked */
    }
    return 0;
}

static bool is_closed_by_shutdown(const struct loop_fd *fd)
{
    return fd->write_by != LOOP_IO_SOCKET && fd->write_by != LOOP_IO_BLOCKING;
}

static void do_shutdown(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    loop_job_complete(loop, job, shut_down(loop, fd));
    if (is_closed_by_shutdown(fd)) {
        loop_fd_close(fd);
    }
}

static enum loop_attempt attempt_shutdown(struct loop *loop, struct loop_job *job)
{
    do_shutdown(loop, job);
    return LOOP_ATTEMPT_MOVED;
}

const struct loop_job_kind loop_fd_shutdown_kind = {
    .name = "shutdown", .cancel = loop_job_cancel_here, .attempt = attempt_shutdown, .lose = loop_job_complete};

bool loop_fd_shutdown_follows(const struct loop_fd *fd, const struct loop_job_kind *write)
{
    const struct loop_job *last = LOOP_CONTAINER(loop_line_last(&fd->writers), struct loop_job, link);
    if (last->kind != &loop_fd_shutdown_kind || !fd->is_byte_stream || fd->write_by != LOOP_IO_SOCKET) {
        return false;
    }
    size_t n = 0;
    const struct loop_job *job = LOOP_CONTAINER(loop_line_first(&fd->writers), struct loop_job, link);
    for (; job->kind == write && n <= LOOP_GATHER_MAX;
         job = LOOP_CONTAINER(loop_line_next(&job->link), struct loop_job, link)) {
        n += loop_write_n_left(&job->u.write);
    }
    return job == last && n <= LOOP_GATHER_MAX;
}

loop_job loop_fd_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct loop_fd *fd = loop_fd_of_sink(sink);
    struct loop *loop = fd->scope->loop;
    loop_job id;
    int64_t error = loop_write_gap_ahead(fd);
    if (error) {
        return loop_write_lose(fd, error, fn, arg);
    }
    bool is_file = fd->write_by == LOOP_IO_BLOCKING;
    struct loop_job *job =
        loop_job_start(fd->scope, fd, is_file ? &loop_file_shutdown_kind : &loop_fd_shutdown_kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    if (is_file) {
        loop_file_shutdown(loop, job);
    } else if (loop_line_is_empty(&fd->writers) && !fd->is_sending) { /* a copy sends from another line */
        do_shutdown(loop, job);
    } else {
        loop_ready_wait_write(loop, fd, job);
    }
    return id;
}
