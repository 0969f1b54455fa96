/* SPDX-License-Identifier: ISC
 *
 * Readiness: jobs that wait for a descriptor, and the attempts made when it may be ready. The same on both backends,
 * which only say that something has come to be (edges): what is believed ready is kept in fd->ready until a call says
 * otherwise, so that no system call is made to find out what is known.
 */
#include <loop/core.h>

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

/* A descriptor that is always ready may try so often in one turn before the others have theirs. */
#define ATTEMPTS_PER_TURN 16

#define READ_EVENTS (POLLIN | POLLPRI | POLLRDHUP | POLLHUP | POLLERR)
#define WRITE_EVENTS (POLLOUT | POLLHUP | POLLERR)
#define END_EVENTS (POLLRDHUP | POLLHUP | POLLERR)

/* ---- waiting ---- */

static void watch(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (fd->state == LOOP_FD_OPEN && (fd->watched & events) != events) {
        loop->backend->watch(loop, fd, events);
    }
}

void loop_ready_activate(struct loop *loop, struct loop_fd *fd)
{
    if (!loop_list_is_linked(&fd->active)) {
        loop_list_push_back(&loop->active, &fd->active);
    }
}

static void wait_in(struct loop *loop, struct loop_fd *fd, struct job *job, struct loop_list *list, uint32_t event)
{
    assert(!loop_list_is_linked(&job->link));
    job->where = LOOP_AT_WAIT;
    loop_list_push_back(list, &job->link);
    if (fd->ready & event) {
        loop_ready_activate(loop, fd);
    } else {
        watch(loop, fd, event);
    }
}

void loop_ready_wait_read(struct loop *loop, struct loop_fd *fd, struct job *job)
{
    wait_in(loop, fd, job, &fd->readers, POLLIN);
}

void loop_ready_wait_write(struct loop *loop, struct loop_fd *fd, struct job *job)
{
    wait_in(loop, fd, job, &fd->writers, POLLOUT);
}

void loop_ready_wait(struct loop *loop, struct loop_fd *fd, struct job *job, uint32_t events)
{
    if (events == POLLIN) {
        loop_ready_wait_read(loop, fd, job);
    } else if (events == POLLOUT) {
        loop_ready_wait_write(loop, fd, job);
    } else {
        job->where = LOOP_AT_WAIT;
        loop_list_push_back(&fd->pollers, &job->link);
        loop_ready_activate(loop, fd);
    }
}

void loop_ready_event(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (events & READ_EVENTS) {
        fd->ready |= POLLIN;
    }
    if (events & WRITE_EVENTS) {
        fd->ready |= POLLOUT;
    }
    if (events & END_EVENTS) {
        fd->has_hung_up = true;
    }
    bool is_awaited = ((fd->ready & POLLIN) && !loop_list_is_empty(&fd->readers)) ||
                      ((fd->ready & POLLOUT) && !loop_list_is_empty(&fd->writers)) || !loop_list_is_empty(&fd->pollers);
    if (is_awaited) {
        loop_ready_activate(loop, fd);
    }
}

/* ---- trying ---- */

/* Ends a job that has its result: at once, or by the run queue where a continuation may be on the stack. */
static void end_job(struct loop *loop, struct job *job, bool is_dispatch)
{
    if (is_dispatch) {
        loop_job_backend_done(loop, job, job->result);
    } else {
        loop_job_backend_complete(loop, job, job->result);
    }
}

/* Tries the jobs of one list in their order while the descriptor is believed ready. */
static void run_list(struct loop *loop, struct loop_fd *fd, struct loop_list *list, uint32_t event, bool is_dispatch)
{
    struct loop_list *node;
    for (unsigned n = 0; (node = loop_list_first(list)) && (fd->ready & event); n++) {
        struct job *job = LOOP_CONTAINER(node, struct job, link);
        if (!job->kind->attempt) {
            return; /* a file's: its operations follow each other by themselves */
        }
        enum loop_attempt attempt = n < ATTEMPTS_PER_TURN ? job->kind->attempt(loop, job) : LOOP_ATTEMPT_MORE;
        if (attempt == LOOP_ATTEMPT_DONE) {
            end_job(loop, job, is_dispatch);
        } else if (attempt == LOOP_ATTEMPT_AGAIN) {
            fd->ready &= ~event;
        } else if (attempt == LOOP_ATTEMPT_MORE) {
            loop_ready_activate(loop, fd);
            return;
        }
    }
    if (node) {
        watch(loop, fd, event);
    }
}

/* A peer's shutdown comes with the input's events. */
static uint32_t watched_events(uint32_t asked)
{
    return (asked & (POLLIN | POLLOUT | POLLPRI)) | (asked & POLLRDHUP ? POLLIN : 0);
}

static void run_pollers(struct loop *loop, struct loop_fd *fd)
{
    struct loop_list jobs, *node;
    loop_list_take_all(&jobs, &fd->pollers);
    while ((node = loop_list_pop_front(&jobs))) {
        struct job *job = LOOP_CONTAINER(node, struct job, link);
        if (job->kind->attempt(loop, job) == LOOP_ATTEMPT_DONE) {
            loop_job_backend_done(loop, job, job->result);
        } else {
            loop_list_push_back(&fd->pollers, &job->link);
            watch(loop, fd, watched_events(job->u.args.flags));
        }
    }
}

static void run(struct loop *loop, struct loop_fd *fd)
{
    fd->uses++; /* continuations may close it, and end its scope */
    if (!loop_list_is_empty(&fd->readers)) {
        run_list(loop, fd, &fd->readers, POLLIN, true);
    }
    if (!loop_list_is_empty(&fd->writers)) {
        run_list(loop, fd, &fd->writers, POLLOUT, true);
    }
    if (!loop_list_is_empty(&fd->pollers)) {
        run_pollers(loop, fd);
    }
    loop_fd_unuse(fd);
}

void loop_ready_run(struct loop *loop, unsigned most)
{
    struct loop_list active, *node;
    loop_list_take_all(&active, &loop->active);
    for (unsigned n = 0; n < most && (node = loop_list_pop_front(&active)); n++) {
        run(loop, LOOP_CONTAINER(node, struct loop_fd, active));
    }
    loop_list_put_before(&loop->active, &active); /* the rest comes before what has become active meanwhile */
}

void loop_ready_send(struct loop *loop)
{
    struct loop_list *node;
    while ((node = loop_list_pop_front(&loop->dirty))) {
        struct loop_fd *fd = LOOP_CONTAINER(node, struct loop_fd, dirty);
        run_list(loop, fd, &fd->writers, POLLOUT, false);
    }
}

/* ---- moving bytes ---- */

static bool polls_ready(const struct loop_fd *fd, short event)
{
    struct pollfd entry = {.fd = fd->number, .events = event};
    return poll(&entry, 1, 0) > 0;
}

static int64_t receive(int number, const struct iovec *iov, int n_iov)
{
    if (n_iov == 1) {
        return recv(number, iov->iov_base, iov->iov_len, MSG_DONTWAIT);
    }
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov};
    return recvmsg(number, &message, MSG_DONTWAIT);
}

static int64_t transmit(int number, const struct iovec *iov, int n_iov)
{
    if (n_iov == 1) {
        return send(number, iov->iov_base, iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov};
    return sendmsg(number, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int64_t read_once(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    switch ((enum loop_io)fd->read_by) {
    case LOOP_IO_SOCKET: return receive(fd->number, iov, n_iov);
    case LOOP_IO_NONBLOCKING:
        return n_iov == 1 ? read(fd->number, iov->iov_base, iov->iov_len) : readv(fd->number, iov, n_iov);
    case LOOP_IO_NOWAIT: return preadv2(fd->number, iov, n_iov, -1, RWF_NOWAIT);
    case LOOP_IO_POLLED: errno = EAGAIN; return polls_ready(fd, POLLIN) ? readv(fd->number, iov, n_iov) : -1;
    case LOOP_IO_BLOCKING: break;
    }
    assert(false); /* a file is read by the backend */
    errno = EINVAL;
    return -1;
}

/* A pipe that polls writable has room for PIPE_BUF bytes, pipe(7): so much can't block. */
static int64_t write_after_poll(struct loop_fd *fd, const struct iovec *iov)
{
    errno = EAGAIN;
    size_t len = iov->iov_len < PIPE_BUF ? iov->iov_len : PIPE_BUF;
    return polls_ready(fd, POLLOUT) ? write(fd->number, iov->iov_base, len) : -1;
}

static int64_t write_once(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    switch ((enum loop_io)fd->write_by) {
    case LOOP_IO_SOCKET: return transmit(fd->number, iov, n_iov);
    case LOOP_IO_NONBLOCKING:
        return n_iov == 1 ? write(fd->number, iov->iov_base, iov->iov_len) : writev(fd->number, iov, n_iov);
    case LOOP_IO_NOWAIT: return pwritev2(fd->number, iov, n_iov, -1, RWF_NOWAIT);
    case LOOP_IO_POLLED: return write_after_poll(fd, iov);
    case LOOP_IO_BLOCKING: break;
    }
    assert(false); /* a file is written by the backend */
    errno = EINVAL;
    return -1;
}

/* Kernels before 6.4 don't know RWF_NOWAIT on pipes (EOPNOTSUPP): those are polled before each call. */
static bool learns_to_poll(uint8_t *by)
{
    if (errno != EOPNOTSUPP || *by != LOOP_IO_NOWAIT) {
        return false;
    }
    *by = LOOP_IO_POLLED;
    return true;
}

static size_t total_length(const struct iovec *iov, int n_iov)
{
    size_t total = 0;
    for (int i = 0; i < n_iov; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

/* In the hard mode a byte stream moves about half of what it could. What is read or written whole, such as a number, is
 * left alone. */
static const struct iovec *shortened(const struct loop_fd *fd, const struct iovec *iov, int *n_iov,
                                     struct iovec *single)
{
    if (!loop_hard()->is_short || !fd->short_is_empty) {
        return iov;
    }
    *single = (struct iovec){iov->iov_base, loop_hard_length(iov->iov_len)};
    *n_iov = 1;
    return single;
}

int64_t loop_io_read(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    struct iovec single;
    iov = shortened(fd, iov, &n_iov, &single);
    int64_t n;
    do {
        n = read_once(fd, iov, n_iov);
    } while (n < 0 && (errno == EINTR || learns_to_poll(&fd->read_by)));
    n = n < 0 ? -errno : n;
    /* A short read has emptied a byte stream. But where the peer has hung up no event would tell of the end. */
    bool is_short = n > 0 && fd->short_is_empty && !fd->has_hung_up && (size_t)n < total_length(iov, n_iov);
    if (n == -EAGAIN || is_short) {
        fd->ready &= ~(uint32_t)POLLIN;
    }
    return n;
}

int64_t loop_io_write(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    struct iovec single;
    iov = shortened(fd, iov, &n_iov, &single);
    int64_t n;
    do {
        n = write_once(fd, iov, n_iov);
    } while (n < 0 && (errno == EINTR || learns_to_poll(&fd->write_by)));
    n = n < 0 ? -errno : n;
    if (n == -EAGAIN) {
        fd->ready &= ~(uint32_t)POLLOUT;
    }
    return n;
}
