/* SPDX-License-Identifier: ISC
 *
 * Closes descriptors in four steps. The descriptor accepts no new operations, which would never end. The operations in
 * flight are cancelled and resumed, because the kernel may still write to their memory. The backend ends its watches: a
 * poll of io_uring keeps the file open, and no FIN would be sent. Then close(2) is called.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/close.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/number.h>
#include <loop/core/scope.h>
#include <loop/core/unread.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>
#include <loop/part.h>

#include <errno.h>
#include <sys/socket.h>

/* Frees an object that nothing keeps. The queues of the dispatch do: it is used once more when it is taken out. */
static void put_if_unkept(struct loop_fd *fd)
{
    if (fd->pins == 0 && fd->uses == 0 && !loop_index_is_queued(&fd->active) && !loop_index_is_queued(&fd->dirty)) {
        loop_fd_free(fd);
    }
}

static void put_if_gone(struct loop_fd *fd)
{
    if (fd->state == LOOP_FD_GONE) {
        put_if_unkept(fd);
    }
}

void loop_fds_leave_queues(struct loop *loop)
{
    struct loop_fd *fd;
    while ((fd = loop_fd_next_active(loop))) {
        put_if_gone(fd);
    }
    while ((fd = loop_fd_next_dirty(loop))) {
        put_if_gone(fd);
    }
}

/* Removes a closed descriptor from its scope. Code that keeps the object finds it closed, in the loop's own scope. */
static void leave_scope(struct loop_fd *fd)
{
    assert(fd->state == LOOP_FD_CLOSED && !fd->jobs.first && !loop_fd_second_jobs(fd)->first);
    assert(loop_line_is_empty(&fd->readers) && loop_line_is_empty(&fd->writers) && !loop_fd_has_pollers(fd));
    loop_unread_finish(fd);
    loop_index_remove(&fd->scope->loop->fds, &fd->scope->fds, fd, offsetof(struct loop_fd, in_scope));
    fd->state = LOOP_FD_GONE;
    fd->scope = fd->scope->loop->own_scope;
    fd->flow.source.scope = fd->flow.sink.scope = fd->scope;
    put_if_unkept(fd);
}

void loop_fd_pin(struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return;
    }
    assert(fd->state != LOOP_FD_GONE || fd->pins > 0);
    fd->pins++;
}

void loop_fd_unpin(struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return;
    }
    assert(fd->pins > 0);
    if (--fd->pins == 0 && fd->state == LOOP_FD_GONE) {
        put_if_unkept(fd);
    }
}

/* Resumes one of the jobs that wait for a free descriptor. */
static void tell_descriptor_waits(struct loop *loop)
{
    struct loop_hnode *node = loop_hlist_oldest(&loop->descriptor_waits);
    if (node) {
        loop_hlist_remove(node);
        loop_timer_complete(loop, LOOP_CONTAINER(node, struct loop_job, in_fd), 0);
    }
}

/* Closes a number. With a linger time, close(2) blocks even for a nonblocking socket (SO_LINGER, socket(7)), and so
 * would the loop. The time is turned off first: the kernel still sends the data that is left. A time of 0, which resets
 * the connection, does not block and is kept. */
static void close_number(const struct loop_fd *fd, int number)
{
    struct linger linger = {0};
    socklen_t len = sizeof linger;
    if (fd->write_by == LOOP_IO_SOCKET && loop_kernel_getsockopt(number, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 &&
        linger.l_onoff && linger.l_linger > 0) {
        linger = (struct linger){0};
        (void)loop_kernel_setsockopt(number, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    loop_kernel_close(number);
}

/* Has the close of a TCP connection reset it, as the kernel does when it still has received bytes. */
static void reset_at_close(const struct loop_fd *fd)
{
    struct linger linger = {.l_onoff = 1};
    if (!fd->is_unix) {
        (void)loop_kernel_setsockopt(fd->number, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
}

/* Checks, in a debug build, that a borrowed number still names the same file. */
static void check_number(struct loop *loop, struct loop_fd *fd)
{
#if NORIA_DEBUG
    if (fd->is_borrowed && fd->number >= 0 && loop_number_identity(fd->number) != loop_fd_more(fd)->identity) {
        loop_number_lose(loop, fd);
    }
#else
    (void)loop;
    (void)fd;
#endif
}

static bool is_in_late_use(const struct loop_fd *fd)
{
    return fd->has_more && loop_fd_more(fd)->late_uses > 0;
}

void loop_fd_unwatched(struct loop *loop, struct loop_fd *fd)
{
    assert(fd->state == LOOP_FD_CLOSING && fd->uses == 0);
    struct loop_scope *scope = fd->scope;
    int number = fd->number;
    check_number(loop, fd);
    if (!fd->is_borrowed && !fd->is_taken && fd->number >= 0 && loop_unread_has_received(fd)) {
        reset_at_close(fd);
    }
    loop_number_leave(fd);
    fd->state = LOOP_FD_CLOSED;
    fd->number = -1;
    if (!fd->is_taken) {
        loop_unread_finish(fd); /* otherwise loop_fd_take hands them over with the number */
    }
    if (is_in_late_use(fd)) {
        loop_fd_more(fd)->late_number = number;
    } else if (!fd->is_borrowed && !fd->is_taken) {
        close_number(fd, number);
        tell_descriptor_waits(loop);
    }
    struct loop_job *closer = fd->has_more ? loop_fd_more(fd)->closer : NULL;
    if (closer) {
        loop_fd_more(fd)->closer = NULL;
        loop_job_complete(loop, closer, !fd->is_taken ? 0 : number < 0 ? -EBADF : number);
    }
    if (fd->is_destroyed) {
        leave_scope(fd);
    }
    scope->unclosed--;
    loop_scope_fd_closed(scope);
}

static void maybe_let_go(struct loop_fd *fd)
{
    bool is_kept = is_in_late_use(fd) && (fd->is_borrowed || fd->is_taken);
    if (fd->state == LOOP_FD_CLOSING && fd->uses == 0 && !is_kept && !fd->is_unwatching) {
        fd->is_unwatching = true;
        fd->scope->loop->backend->unwatch(fd->scope->loop, fd);
    }
}

static void cancel_jobs(struct loop_fd *fd)
{
    struct loop *loop = fd->scope->loop;
    struct loop_hnode *next;
    for (struct loop_hnode *node = loop_hlist_oldest(&fd->jobs); node; node = next) {
        next = loop_hlist_newer(&fd->jobs, node);
        loop_job_cancel(loop, LOOP_CONTAINER(node, struct loop_job, in_fd));
    }
    struct loop_job *next_second;
    for (struct loop_job *job = loop_job_oldest_second(fd); job; job = next_second) {
        next_second = loop_job_newer_second(job);
        loop_job_cancel(loop, job);
    }
}

static bool begin_close(struct loop_fd *fd)
{
    LOOP_CHECK_THREAD(fd->scope->loop);
    if (fd->state != LOOP_FD_OPEN) {
        return false;
    }
    fd->state = LOOP_FD_CLOSING;
#if NORIA_DEBUG
    fd->scope->loop->has_closing_uses |= fd->own_uses > 0;
#endif
    fd->uses++; /* keeps the object during the cancels */
    cancel_jobs(fd);
    return true;
}

int loop_fd_close(struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return -EINVAL;
    }
    if (!begin_close(fd)) {
        return -EBADF;
    }
    loop_fd_drop_use(fd);
    return 0;
}

void loop_fd_destroy(struct loop_fd *fd)
{
    if (!fd || !loop_fd_is_good(fd, __func__) || fd->is_destroyed) {
        return;
    }
    fd->is_destroyed = true;
#if NORIA_DEBUG
    fd->destroyed = LOOP_THIS_CALL;
#endif
    if (begin_close(fd)) {
        loop_fd_drop_use(fd);
    } else if (fd->state == LOOP_FD_CLOSED) {
        leave_scope(fd);
    }
}

void loop_fds_close(struct loop_scope *scope)
{
    struct loop_fd *next;
    for (struct loop_fd *fd = loop_scope_oldest_fd(scope); fd; fd = next) {
        next = loop_fd_newer_sibling(fd);
        (void)loop_fd_close(fd);
    }
}

void loop_fds_leave(struct loop_scope *scope)
{
    while (scope->fds.first) {
        leave_scope(loop_index_object(&scope->loop->fds, scope->fds.first));
    }
}

void loop_fd_unused(struct loop_fd *fd)
{
    if (fd->state == LOOP_FD_GONE) {
        put_if_unkept(fd);
    } else {
        maybe_let_go(fd);
    }
}

void loop_fd_use_late(struct loop_fd *fd)
{
    assert(fd->number >= 0 && fd->uses > 0);
    loop_fd_more(fd)->late_uses++;
    loop_fd_pin(fd);
}

void loop_fd_end_late_use(struct loop_fd *fd)
{
    struct loop_fd_more *more = loop_fd_more(fd);
    assert(more->late_uses > 0);
    if (--more->late_uses == 0 && more->late_number >= 0) {
        close_number(fd, more->late_number);
        more->late_number = -1;
        tell_descriptor_waits(fd->scope->loop);
    } else if (more->late_uses == 0 && fd->uses == 0) {
        maybe_let_go(fd);
    }
    loop_fd_unpin(fd);
}

int loop_fd_use(struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return -EINVAL;
    }
    if (fd->state != LOOP_FD_OPEN || fd->number < 0) {
        return -EBADF;
    }
    fd->uses++;
#if NORIA_DEBUG
    fd->own_uses++;
    fd->used = LOOP_THIS_CALL;
#endif
    return fd->number;
}

void loop_fd_unuse(struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return;
    }
    if (fd->uses == 0) {
        loop_misuse(fd->scope->loop, __func__, "the descriptor isn't in use", "call it once for each loop_fd_use");
        return;
    }
#if NORIA_DEBUG
    fd->own_uses -= fd->own_uses > 0;
#endif
    loop_fd_drop_use(fd);
}

/* ---- closing as a job ---- */

/* The `cancel` of a close and a take: the close continues. */
static void cancel_closer(struct loop *loop, struct loop_job *job)
{
    (void)loop;
    (void)job;
}

static const struct loop_job_kind close_kind = {.name = "close", .cancel = cancel_closer};
static const struct loop_job_kind take_kind = {.name = "take", .cancel = cancel_closer};

loop_job loop_fd_close_job(struct loop_scope *scope, struct loop_fd *fd, bool take, loop_fn *fn, void *arg)
{
    loop_job id;
    if (!loop_fd_get_more(fd)) {
        return 0;
    }
    struct loop_job *job = loop_job_start(scope, NULL, take ? &take_kind : &close_kind, fn, arg, &id);
    if (!job && id && !take) {
        (void)loop_fd_close(fd); /* the cancelled scope ends the job, and not the close */
    }
    if (!job) {
        return id;
    }
    if (!begin_close(fd)) {
        loop_job_complete(scope->loop, job, -EBADF);
        return id;
    }
    job->where = LOOP_AT_OWNER;
    fd->is_taken = take;
    loop_fd_more(fd)->closer = job;
    loop_fd_more(fd)->take = take ? id : 0;
    loop_fd_drop_use(fd);
    return id;
}

loop_job loop_fd_take(struct loop_fd *fd, loop_fn *fn, void *arg)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return 0;
    }
    return loop_fd_close_job(fd->scope, fd, true, fn, arg);
}
