/* SPDX-License-Identifier: ISC
 *
 * Descriptors: taken in, counted, closed. The way to close(2) has four stops, each for a reason: closed to new use (so
 * that nobody starts what would never end); what is in flight is cancelled and resumed (the kernel may still write to
 * its memory); the backend lets go (io_uring's poll holds the file open, and no FIN would go out); close(2).
 */
#include <loop/check.h>
#include <loop/core.h>
#include <loop/timer.h>
#include <loop/unread.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what kind of descriptor it is ---- */

int loop_can_poll(const struct loop *loop, int number)
{
    struct epoll_event event = {.events = 0};
    if (epoll_ctl(loop->probe, EPOLL_CTL_ADD, number, &event) == 0) {
        (void)epoll_ctl(loop->probe, EPOLL_CTL_DEL, number, NULL);
        return 1;
    }
    switch (errno) {
    case EPERM: return 0;
    case EEXIST: /* watched already */
    case ENOSPC: /* and these come after the question has been answered */
    case ENOMEM:
    case ELOOP: return 1;
    default: return -errno;
    }
}

static void move_by(struct loop_fd *fd, enum loop_io read_by, enum loop_io write_by)
{
    fd->read_by = (uint8_t)read_by;
    fd->write_by = (uint8_t)write_by;
}

static int socket_option(int number, int option)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(number, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

/* A stream socket. What a short read of one that is neither TCP nor Unix means isn't known. */
static void classify_byte_stream(struct loop_fd *fd)
{
    int protocol = socket_option(fd->number, SO_PROTOCOL);
    fd->is_byte_stream = true;
    fd->is_unix = protocol == 0 && socket_option(fd->number, SO_DOMAIN) == AF_UNIX;
    fd->doubts = fd->is_unix || protocol == IPPROTO_TCP ? 0 : LOOP_DOUBT_ALWAYS;
}

static int classify_socket(struct loop_fd *fd, int flags)
{
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd->number, SOL_SOCKET, SO_TYPE, &type, &len)) {
        return -errno;
    }
    if (!fd->is_borrowed && !(flags & O_NONBLOCK) && fcntl(fd->number, F_SETFL, flags | O_NONBLOCK)) {
        return -errno; /* connect and accept would block the loop */
    }
    move_by(fd, LOOP_IO_SOCKET, LOOP_IO_SOCKET);
    fd->may_listen = type == SOCK_STREAM || type == SOCK_SEQPACKET;
    if (type == SOCK_STREAM) {
        classify_byte_stream(fd);
    }
    return 0;
}

/* A pipe, an eventfd, a pollable device: nonblocking where it is ours, by RWF_NOWAIT where its flags are others' too.
 */
static void classify_stream(struct loop_fd *fd, int flags, bool is_pipe)
{
    if (!fd->is_borrowed && !(flags & O_NONBLOCK) && fcntl(fd->number, F_SETFL, flags | O_NONBLOCK) == 0) {
        flags |= O_NONBLOCK;
    }
    enum loop_io by = flags & O_NONBLOCK ? LOOP_IO_NONBLOCKING : LOOP_IO_NOWAIT;
    move_by(fd, by, by);
    if ((flags & O_ACCMODE) == O_WRONLY) {
        fd->ready |= POLLIN; /* a read must fail, and no event would ever make it try */
    }
    fd->is_byte_stream = is_pipe && !(flags & O_DIRECT); /* a pipe in packet mode reads one packet at a time, pipe(2) */
}

/* What neither waits nor can be waited for: its operations are the backend's. */
static void classify_file(struct loop_fd *fd, int flags, mode_t mode)
{
    move_by(fd, LOOP_IO_BLOCKING, LOOP_IO_BLOCKING);
    fd->is_direct = (flags & O_DIRECT) != 0;
    fd->is_regular = S_ISREG(mode);
}

/* 0, or -errno where the kernel does not tell: to take an unknown file for a regular one would block a thread for
 * ever. An O_PATH descriptor has no operations, whatever it names. */
static int classify(struct loop_fd *fd, int flags)
{
    struct stat status;
    if (fstat(fd->number, &status)) {
        return -errno;
    }
    mode_t mode = status.st_mode;
    bool is_file = S_ISREG(mode) || S_ISDIR(mode) || flags & O_PATH;
    if (S_ISSOCK(mode) && !is_file) {
        return classify_socket(fd, flags);
    }
    if (S_ISCHR(mode) && !is_file && isatty(fd->number)) {
        move_by(fd, LOOP_IO_POLLED, LOOP_IO_BLOCKING); /* output may be stopped by ^S for as long as somebody likes */
        return 0;
    }
    bool is_pipe = S_ISFIFO(mode) && !is_file;
    int can_poll = is_file ? 0 : is_pipe ? 1 : loop_can_poll(fd->scope->loop, fd->number);
    if (can_poll < 0) {
        return can_poll;
    }
    if (can_poll) {
        classify_stream(fd, flags, is_pipe);
    } else {
        classify_file(fd, flags, mode);
    }
    return 0;
}

/* ---- taking in ---- */

static struct loop_fd *make(struct loop_scope *scope, int number, bool is_borrowed)
{
    struct loop_fd *fd = loop_scope_takes_work(scope) ? loop_slab_get(&scope->loop->fds) : NULL;
    if (!fd) {
        return NULL;
    }
    fd->number = number;
#if NORIA_DEBUG
    fd->was_number = number;
#endif
    fd->is_borrowed = is_borrowed;
    fd->identity = is_borrowed ? loop_number_identity(number) : 0;
    fd->scope = scope;
    fd->late_number = -1;
    fd->doubts = LOOP_DOUBT_ALWAYS;
    fd->ready = POLLOUT; /* a guess that is nearly always right, and costs one EAGAIN where it isn't */
    fd->limit_bytes = scope->loop->options.sink_limit_bytes;
    loop_list_init(&fd->readers);
    loop_list_init(&fd->writers);
    loop_list_init(&fd->receiving.line);
    loop_list_init(&fd->sending.line);
    loop_list_init(&fd->polling.line);
    loop_list_init(&fd->pollers);
    loop_list_init(&fd->active);
    loop_list_init(&fd->dirty);
    loop_list_init(&fd->backend_link);
    if (!loop_number_enter(scope->loop, fd)) {
        loop_slab_put(&scope->loop->fds, fd);
        return NULL;
    }
    loop_hlist_push(&scope->fds, &fd->in_scope);
    scope->unclosed++;
    loop_flow_init(fd);
    return fd;
}

/* What kind of descriptor it is can't be told. */
static void unmake(struct loop_fd *fd)
{
    loop_number_leave(fd);
    loop_hlist_remove(&fd->in_scope);
    fd->scope->unclosed--;
    loop_slab_put(&fd->scope->loop->fds, fd);
}

static struct loop_fd *make_of_kind(struct loop_scope *scope, int number, bool is_borrowed, int flags)
{
    struct loop_fd *fd = make(scope, number, is_borrowed);
    int error = fd ? classify(fd, flags) : 0;
    if (error) {
        unmake(fd);
        return NULL;
    }
    return fd;
}

struct loop_fd *loop_fd_adopt(struct loop_scope *scope, int number)
{
    if (!loop_scope_is_good(scope, __func__)) {
        close(number);
        return NULL;
    }
    int flags = fcntl(number, F_GETFL);
    if (flags < 0) {
        return NULL;
    }
    int descriptor_flags = fcntl(number, F_GETFD);
    if (descriptor_flags >= 0 && !(descriptor_flags & FD_CLOEXEC)) {
        (void)fcntl(number, F_SETFD, descriptor_flags | FD_CLOEXEC);
    }
    struct loop_fd *fd = make_of_kind(scope, number, false, flags);
    if (!fd) {
        close(number);
    }
    return fd;
}

struct loop_fd *loop_fd_adopt_stream(struct loop_scope *scope, int number)
{
    if (!loop_scope_is_good(scope, __func__)) {
        close(number);
        return NULL;
    }
    struct loop_fd *fd = number < 0 ? NULL : make(scope, number, false);
    if (!fd) {
        close(number);
        return NULL;
    }
    move_by(fd, LOOP_IO_SOCKET, LOOP_IO_SOCKET);
    classify_byte_stream(fd);
    return fd;
}

struct loop_fd *loop_fd_borrow(struct loop_scope *scope, int number)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    int flags = fcntl(number, F_GETFL);
    return flags < 0 ? NULL : make_of_kind(scope, number, true, flags);
}

/* ---- asking ---- */

int loop_fd_peek(const struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return -1;
    }
    return fd->state == LOOP_FD_OPEN ? fd->number : -1;
}

bool loop_fd_is_open(const struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return false;
    }
    return fd->state == LOOP_FD_OPEN;
}

struct loop_flow *loop_fd_flow(struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return NULL;
    }
    return &fd->flow;
}

struct loop_scope *loop_fd_scope(const struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return NULL;
    }
    return fd->scope;
}

/* ---- closing ---- */

static void put_if_unkept(struct loop_fd *fd)
{
    if (fd->pins == 0 && fd->uses == 0) {
        struct loop *loop = fd->scope->loop;
        loop_list_remove(&fd->active);
        loop_list_remove(&fd->dirty);
        loop_slab_put(&loop->fds, fd);
    }
}

/* Takes a closed descriptor out of its scope. What keeps the object finds it closed, in a scope that lives on. */
static void leave_scope(struct loop_fd *fd)
{
    assert(fd->state == LOOP_FD_CLOSED && !fd->jobs.first && !fd->second_jobs.first);
    assert(loop_list_is_empty(&fd->readers) && loop_list_is_empty(&fd->writers) && loop_list_is_empty(&fd->pollers));
    loop_unread_finish(fd);
    loop_hlist_remove(&fd->in_scope);
    fd->state = LOOP_FD_GONE;
    fd->scope = fd->scope->loop->own_scope;
    loop_flow_init(fd);
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

/* Somebody waits for a descriptor to come free: one that comes free is for one of them. */
static void tell_descriptor_waits(struct loop *loop)
{
    struct loop_hnode *node = loop_hlist_oldest(&loop->descriptor_waits);
    if (node) {
        loop_hlist_remove(node);
        loop_timer_complete(loop, LOOP_CONTAINER(node, struct job, in_fd), 0);
    }
}

/* close(2) waits for SO_LINGER's time, also where the socket is nonblocking (socket(7)), and the whole loop with it.
 * What is still to be sent is sent all the same when that time is over, so it is taken off. With a time of 0, which
 * resets the connection, nothing waits. */
static void close_number(const struct loop_fd *fd, int number)
{
    struct linger linger = {0};
    socklen_t len = sizeof linger;
    if (fd->write_by == LOOP_IO_SOCKET && getsockopt(number, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 &&
        linger.l_onoff && linger.l_linger > 0) {
        linger = (struct linger){0};
        (void)setsockopt(number, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    close(number);
}

/* In a debug build a borrowed number must still name what it named. */
static void check_number(struct loop *loop, struct loop_fd *fd)
{
#if NORIA_DEBUG
    if (fd->is_borrowed && fd->number >= 0 && loop_number_identity(fd->number) != fd->identity) {
        loop_number_lose(loop, fd);
    }
#else
    (void)loop;
    (void)fd;
#endif
}

void loop_fd_unwatched(struct loop *loop, struct loop_fd *fd)
{
    assert(fd->state == LOOP_FD_CLOSING && fd->uses == 0);
    struct loop_scope *scope = fd->scope;
    int number = fd->number;
    check_number(loop, fd);
    loop_number_leave(fd);
    fd->state = LOOP_FD_CLOSED;
    fd->number = -1;
    if (!fd->is_taken) {
        loop_unread_finish(fd); /* else they are the taker's, like the number */
    }
    if (fd->late_uses > 0) {
        fd->late_number = number;
    } else if (!fd->is_borrowed && !fd->is_taken) {
        close_number(fd, number);
        tell_descriptor_waits(loop);
    }
    if (fd->closer) {
        struct job *closer = fd->closer;
        fd->closer = NULL;
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
    bool is_in_late_use = fd->late_uses > 0 && (fd->is_borrowed || fd->is_taken);
    if (fd->state == LOOP_FD_CLOSING && fd->uses == 0 && !is_in_late_use && !fd->is_unwatching) {
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
        loop_job_cancel(loop, LOOP_CONTAINER(node, struct job, in_fd));
    }
    for (struct loop_hnode *node = loop_hlist_oldest(&fd->second_jobs); node; node = next) {
        next = loop_hlist_newer(&fd->second_jobs, node);
        loop_job_cancel(loop, LOOP_CONTAINER(node, struct job, u.args.in_second));
    }
}

static bool begin_close(struct loop_fd *fd)
{
    LOOP_CHECK_THREAD(fd->scope->loop);
    if (fd->state != LOOP_FD_OPEN) {
        return false;
    }
    fd->state = LOOP_FD_CLOSING;
    fd->uses++; /* the object must outlive the cancels */
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
    loop_fd_unuse(fd);
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
        loop_fd_unuse(fd);
    } else if (fd->state == LOOP_FD_CLOSED) {
        leave_scope(fd);
    }
}

void loop_fds_close(struct loop_scope *scope)
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = loop_hlist_oldest(&scope->fds); node; node = next) {
        next = loop_hlist_newer(&scope->fds, node);
        (void)loop_fd_close(LOOP_CONTAINER(node, struct loop_fd, in_scope));
    }
}

void loop_fds_leave(struct loop_scope *scope)
{
    while (scope->fds.first) {
        leave_scope(LOOP_CONTAINER(scope->fds.first, struct loop_fd, in_scope));
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
    fd->late_uses++;
    loop_fd_pin(fd);
}

void loop_fd_end_late_use(struct loop_fd *fd)
{
    assert(fd->late_uses > 0);
    if (--fd->late_uses == 0 && fd->late_number >= 0) {
        close_number(fd, fd->late_number);
        fd->late_number = -1;
        tell_descriptor_waits(fd->scope->loop);
    } else if (fd->late_uses == 0 && fd->uses == 0) {
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
    loop_fd_drop_use(fd);
}

/* ---- closing as a job ---- */

/* The close goes on whatever happens to the one who waits for it. */
static void cancel_closer(struct loop *loop, struct job *job)
{
    (void)loop;
    (void)job;
}

static const struct loop_job_kind close_kind = {.name = "close", .cancel = cancel_closer};
static const struct loop_job_kind take_kind = {.name = "take", .cancel = cancel_closer};

loop_job loop_fd_close_job(struct loop_scope *scope, struct loop_fd *fd, bool take, loop_fn *fn, void *arg)
{
    bool ended;
    struct job *job = loop_job_start(scope, NULL, take ? &take_kind : &close_kind, fn, arg, &ended);
    if (!job) {
        return 0;
    }
    loop_job id = job->id;
    if (ended) {
        return id;
    }
    if (!begin_close(fd)) {
        loop_job_complete(scope->loop, job, -EBADF);
        return id;
    }
    job->where = LOOP_AT_OWNER;
    fd->is_taken = take;
    fd->closer = job;
    loop_fd_unuse(fd);
    return id;
}

loop_job loop_fd_take(struct loop_fd *fd, loop_fn *fn, void *arg)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return 0;
    }
    return loop_fd_close_job(fd->scope, fd, true, fn, arg);
}

/* ---- waiting for a descriptor ---- */

static void descriptor_wait_cancel(struct loop *loop, struct job *job)
{
    loop_hlist_remove(&job->in_fd);
    loop_timer_complete(loop, job, -ECANCELED);
}

static const struct loop_job_kind descriptor_wait_kind = {.name = "descriptor wait", .cancel = descriptor_wait_cancel};

loop_job loop_descriptor_wait(struct loop_scope *scope, int64_t timeout_ns, loop_fn *fn, void *arg)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return 0;
    }
    struct loop *loop = scope->loop;
    loop_job id = loop_timer_start(scope, loop_time_from_now(timeout_ns), &descriptor_wait_kind, fn, arg);
    struct job *job = id ? loop_job_find(loop, id) : NULL;
    if (job && job->where != LOOP_AT_RUN_QUEUE) {
        loop_hlist_push(&loop->descriptor_waits, &job->in_fd);
        loop->stats.descriptor_waits++;
    }
    return id;
}
