/* SPDX-License-Identifier: ISC
 *
 * Readiness: jobs that wait for a descriptor, and what is known about it. It is the same on both backends, which report
 * edges. fd->ready keeps what is assumed ready until a call fails, so that no system call is made to find out what is
 * known. The dispatch tries the jobs.
 */
#include <loop/core/backend.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/ground/list.h>
#include <loop/kernel/event.h>

#include <errno.h>

#define READ_EVENTS (POLLIN | POLLPRI | POLLRDHUP | POLLHUP | POLLERR)
#define WRITE_EVENTS (POLLOUT | POLLHUP | POLLERR)
#define END_EVENTS (POLLRDHUP | POLLHUP | POLLERR)

/* ---- waiting ---- */

void loop_ready_wait_read(struct loop *loop, struct loop_fd *fd, struct loop_job *job)
{
    assert(!loop_list_is_linked(&job->link));
    job->where = LOOP_AT_WAIT;
    loop_ready_join_readers(loop, fd, job);
}

void loop_ready_wait_write(struct loop *loop, struct loop_fd *fd, struct loop_job *job)
{
    assert(!loop_list_is_linked(&job->link));
    job->where = LOOP_AT_WAIT;
    loop_line_push_back(&fd->writers, &job->link);
    if (fd->ready & POLLOUT) {
        loop_ready_activate(loop, fd);
    } else {
        loop_ready_watch(loop, fd, POLLOUT);
    }
}

/* Ends a job for which there is no memory. */
static void wait_in_pollers(struct loop *loop, struct loop_fd *fd, struct loop_job *job)
{
    struct loop_fd_more *more = loop_fd_get_more(fd);
    if (!more) {
        loop_job_backend_complete(loop, job, -ENOMEM);
        return;
    }
    job->where = LOOP_AT_WAIT;
    loop_list_push_back(&more->pollers, &job->link);
    loop_ready_activate(loop, fd);
}

void loop_ready_wait(struct loop *loop, struct loop_fd *fd, struct loop_job *job, uint32_t events)
{
    if (events == POLLIN) {
        loop_ready_wait_read(loop, fd, job);
    } else if (events == POLLOUT) {
        loop_ready_wait_write(loop, fd, job);
    } else {
        wait_in_pollers(loop, fd, job);
    }
}

/* Calls poll(2), because a read takes a fifo that never had a writer for one at its end. An event will report what
 * poll(2) does not report yet. */
void loop_ready_look_again(struct loop *loop, struct loop_fd *fd)
{
    struct pollfd entry = {.fd = fd->number, .events = POLLIN | POLLRDHUP};
    if (fd->state != LOOP_FD_OPEN) {
        return;
    }
    fd->was_readable = false; /* poll(2) is called again when no unread bytes are left */
    if (loop_fd_has_unread(fd) || loop_kernel_poll(&entry, 1, 0) != 0) {
        fd->ready |= POLLIN;
    } else {
        fd->ready &= (uint8_t)~POLLIN;
    }
    if (!loop_line_is_empty(&fd->readers)) {
        loop_ready_activate(loop, fd);
    }
}

/* Ends a job that waits. One that has something left to do first keeps the error. */
static void end_wait(struct loop *loop, struct loop_job *job, int error)
{
    if (!job->is_cancelled) {
        job->why = (int16_t)error;
    }
    loop_job_cancel(loop, job);
}

static void end_line(struct loop *loop, const struct loop_line *line, int error)
{
    struct loop_list *next;
    for (struct loop_list *node = loop_line_first(line); node; node = next) {
        next = loop_line_next(node);
        end_wait(loop, LOOP_CONTAINER(node, struct loop_job, link), error);
    }
}

static void end_pollers(struct loop *loop, const struct loop_list *pollers, int error)
{
    struct loop_list *next;
    for (struct loop_list *node = pollers->next; node != pollers; node = next) {
        next = node->next;
        end_wait(loop, LOOP_CONTAINER(node, struct loop_job, link), error);
    }
}

/* Cancels the jobs, because only the kind of a job can end it early. */
void loop_ready_fail(struct loop *loop, struct loop_fd *fd, int error)
{
    loop_timers_leave(loop); /* they end with their own result */
    end_line(loop, &fd->readers, error);
    end_line(loop, &fd->writers, error);
    if (fd->has_more) {
        end_pollers(loop, &loop_fd_more(fd)->pollers, error);
    }
}

bool loop_ready_is_awaited(struct loop_fd *fd, uint32_t events)
{
    if (events & READ_EVENTS) {
        fd->ready |= POLLIN;
    }
    if (events & WRITE_EVENTS && !fd->is_sending) {
        fd->ready |= POLLOUT;
    }
    if (events & (END_EVENTS | POLLPRI)) {
        fd->doubts |= LOOP_DOUBT_ALWAYS; /* io.h says why */
        fd->ready |= loop_fd_is_file(fd) ? (uint8_t)(events & LOOP_READY_TOLD_ONCE) : 0;
    }
    return ((fd->ready & POLLIN) && !loop_line_is_empty(&fd->readers)) ||
           ((fd->ready & POLLOUT) && !loop_line_is_empty(&fd->writers)) || loop_fd_has_pollers(fd);
}

void loop_ready_note(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (loop_ready_is_awaited(fd, events)) {
        loop_ready_activate(loop, fd);
    }
}

void loop_ready_call_back(struct loop *loop, const struct loop_fd *fd, bool (*waits)(const struct loop_job *job))
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = loop_hlist_oldest(&fd->jobs); node; node = next) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, in_fd);
        next = loop_hlist_newer(&fd->jobs, node);
        if (job->where == LOOP_AT_RING && !job->is_cancelled && waits(job)) {
            loop->backend->cancel(loop, job);
        }
    }
}

int loop_ready_poll_file(struct loop_fd *fd, uint32_t events)
{
    struct pollfd entry = {.fd = fd->number, .events = (short)events};
    int n = loop_kernel_poll(&entry, 1, 0);
    if (n < 0) {
        return -errno;
    }
    fd->ready |= (uint8_t)(entry.revents & LOOP_READY_TOLD_ONCE);
    uint32_t told = fd->ready & LOOP_READY_TOLD_ONCE & (events | POLLERR);
    return (int)((uint32_t)entry.revents | told);
}
