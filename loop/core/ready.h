/* SPDX-License-Identifier: ISC
 *
 * Readiness of descriptors: jobs that wait for it, and events that report it.
 */
#ifndef LOOP_CORE_READY_H
#define LOOP_CORE_READY_H

#include <loop/core/backend.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>

#define LOOP_READY_TOLD_ONCE (POLLPRI | POLLERR) /* the kernel reports a change of a file once */

/* Makes the backend watch an open `fd` for `events`, unless it does already. */
static inline void loop_ready_watch(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if ((fd->watched & events) != events && fd->state == LOOP_FD_OPEN) {
        loop->backend->watch(loop, fd, events);
    }
}

/* Returns whether the first of the jobs that read takes all bytes that come. */
static inline bool loop_ready_reads_ahead(const struct loop_fd *fd)
{
    return !loop_line_is_empty(&fd->readers) &&
           LOOP_CONTAINER(loop_line_first(&fd->readers), struct loop_job, link)->kind->reads_ahead;
}

/* Returns whether the backend has to be asked for input: jobs wait for it, and the backend neither watches for it nor
 * receives for the first of them. */
static inline bool loop_ready_lacks_input(const struct loop_fd *fd)
{
    return !(fd->watched & POLLIN) && !loop_line_is_empty(&fd->readers) &&
           !(fd->is_receiving && loop_ready_reads_ahead(fd));
}

/* Makes the backend watch for input if jobs wait for it. */
static inline void loop_ready_watch_readers(struct loop_fd *fd)
{
    if (loop_ready_lacks_input(fd)) {
        loop_ready_watch(fd->scope->loop, fd, POLLIN);
    }
}

/* Tries the lists of `fd` in the next dispatch. */
static inline void loop_ready_activate(struct loop *loop, struct loop_fd *fd)
{
    if (!loop_index_is_queued(&fd->active)) {
        loop_index_enqueue(&loop->active, fd, offsetof(struct loop_fd, active));
    }
}

/* Does what loop_ready_wait_read does with a job whose place is LOOP_AT_WAIT already. A job that joins while the
 * readers are tried is tried with them. Bytes that are kept may be gone when it is: then it waits for an event. */
static inline void loop_ready_join_readers(struct loop *loop, struct loop_fd *fd, struct loop_job *job)
{
    loop_line_push_back(&fd->readers, &job->link);
    if (fd->ready & POLLIN && !fd->is_being_read) {
        loop_ready_activate(loop, fd);
    }
    if (!(fd->ready & POLLIN) || fd->read_by == LOOP_IO_UNREAD) {
        loop_ready_watch(loop, fd, POLLIN);
    }
}

/* Called when the first of the readers of `fd` may be another job than before, or none: bytes that the backend would
 * receive now may belong to somebody else. */
static inline void loop_ready_reader_left(struct loop *loop, struct loop_fd *fd)
{
    if (fd->is_receiving && fd->state == LOOP_FD_OPEN) {
        loop->backend->watch(loop, fd, POLLIN);
    }
}

/* Has the first of the readers go on, after a read or send of the backend that was in front of it: in the next
 * dispatch, or with an event. */
static inline void loop_ready_resume_readers(struct loop *loop, struct loop_fd *fd)
{
    if (!(fd->ready & POLLIN)) {
        loop_ready_watch_readers(fd);
    } else if (!loop_line_is_empty(&fd->readers)) {
        loop_ready_activate(loop, fd);
    }
}

/* Has the first of the writers go on, after a send of the backend that was in front of it: in the next dispatch, or
 * with an event. */
static inline void loop_ready_resume_writers(struct loop *loop, struct loop_fd *fd)
{
    if (!loop_line_is_empty(&fd->writers)) {
        fd->ready &POLLOUT ? loop_ready_activate(loop, fd) : loop_ready_watch(loop, fd, POLLOUT);
    }
}

/* Notes that the backend has a send of `fd`: until it is completed nothing else is sent. The completion is the event
 * for which writes wait. */
static inline void loop_ready_begin_send(struct loop_fd *fd)
{
    assert(!fd->is_sending && fd->ready & POLLOUT && !(fd->watched & POLLOUT));
    fd->is_sending = true;
    fd->ready &= (uint8_t)~POLLOUT;
    fd->watched |= POLLOUT;
}

/* Notes that the send is completed, with `result`. */
static inline void loop_ready_end_send(struct loop_fd *fd, int64_t result)
{
    assert(fd->is_sending);
    fd->is_sending = false;
    fd->watched &= (uint8_t)~POLLOUT;
    fd->ready |= result == -EAGAIN ? 0 : POLLOUT;
}

/* Notes that the backend receives for the job that was first among the readers: until that is completed nothing else
 * reads. */
static inline void loop_ready_begin_read(struct loop_fd *fd, struct loop_job *job)
{
    assert(!fd->is_reading && !fd->is_receiving && loop_line_first(&fd->readers) == &job->link);
    loop_line_drop_first(&fd->readers);
    loop_list_init(&job->link);
    job->where = LOOP_AT_RING;
    fd->is_reading = true;
    fd->ready &= (uint8_t)~POLLIN;
    fd->watched &= (uint8_t)~POLLIN; /* so that the backend is asked again for the next job */
}

/* Notes that it is completed. Whether there is more a call finds out, or the next such read (`may_have_more`). */
static inline void loop_ready_end_read(struct loop_fd *fd)
{
    assert(fd->is_reading);
    fd->is_reading = false;
    fd->may_have_more = false;
    fd->ready |= POLLIN;
}

/* Returns whether jobs wait to read, or the backend reads for one. */
static inline bool loop_ready_has_readers(const struct loop_fd *fd)
{
    return fd->is_reading || !loop_line_is_empty(&fd->readers);
}

/* Notes the events that the kernel reports for `fd`. Returns whether a job waits for them. */
bool loop_ready_is_awaited(struct loop_fd *fd, uint32_t events);

/* Puts `job` at the end of the wait list of `fd` for `events` (POLLIN: readers; POLLOUT: writers; both or others:
 * pollers), sets job->where, and watches for the events. Where the descriptor is assumed ready the job is tried in the
 * next dispatch. A job for the pollers ends with -ENOMEM when there is no memory. */
void loop_ready_wait(struct loop *loop, struct loop_fd *fd, struct loop_job *job, uint32_t events);

/* Puts `job` at the end of the readers of `fd`, as loop_ready_wait does for POLLIN. */
void loop_ready_wait_read(struct loop *loop, struct loop_fd *fd, struct loop_job *job);

/* Puts `job` at the end of the writers of `fd`, as loop_ready_wait does for POLLOUT. */
void loop_ready_wait_write(struct loop *loop, struct loop_fd *fd, struct loop_job *job);

/* Checks again whether `fd` is readable, because calls of other code may have read it, and tries the next reader. */
void loop_ready_look_again(struct loop *loop, struct loop_fd *fd);

/* Notes `events` as ready and tries the lists of `fd` in the next dispatch. May be called from anywhere. */
void loop_ready_note(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* Recalls operations on `fd` from the kernel: those for which `waits` is true, because their event will not come from
 * the kernel. An operation that ends this way without a cancel is started again, by readiness. */
void loop_ready_call_back(struct loop *loop, const struct loop_fd *fd, bool (*waits)(const struct loop_job *job));

/* Ends the jobs that wait for `fd` with `error`, because the backend cannot watch it and no event will come. May be
 * called from anywhere. */
void loop_ready_fail(struct loop *loop, struct loop_fd *fd, int error);

/* Returns the events that a poll of a file reports. The kernel reports a change once: POLLPRI and POLLERR are kept for
 * all jobs that wait. */
int loop_ready_poll_file(struct loop_fd *fd, uint32_t events);

#endif
