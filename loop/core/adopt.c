/* SPDX-License-Identifier: ISC
 *
 * Creates descriptor objects: detects what kind a descriptor is, adopts or borrows it. close.c ends them.
 */
#include <loop/core/adopt.h>
#include <loop/core/fd.h>
#include <loop/core/loop.h>
#include <loop/core/number.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>
#include <loop/part.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---- what kind of descriptor it is ---- */

int loop_can_poll(const struct loop *loop, int number)
{
    struct epoll_event event = {.events = 0};
    if (loop_kernel_epoll_ctl(loop->probe, EPOLL_CTL_ADD, number, &event) == 0) {
        (void)loop_kernel_epoll_ctl(loop->probe, EPOLL_CTL_DEL, number, NULL);
        return 1;
    }
    switch (errno) {
    case EPERM: return 0;
    case EEXIST: /* watched already */
    case ENOSPC: /* returned only for a file that can be polled */
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
    return loop_kernel_getsockopt(number, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

/* Classifies a stream socket. Only for TCP and Unix sockets does a short read show that the socket is empty. */
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
    if (loop_kernel_getsockopt(fd->number, SOL_SOCKET, SO_TYPE, &type, &len)) {
        return -errno;
    }
    if (!fd->is_borrowed && !(flags & O_NONBLOCK) && loop_kernel_fcntl(fd->number, F_SETFL, flags | O_NONBLOCK)) {
        return -errno; /* without O_NONBLOCK, connect and accept would block the loop */
    }
    move_by(fd, LOOP_IO_SOCKET, LOOP_IO_SOCKET);
    fd->may_listen = type == SOCK_STREAM || type == SOCK_SEQPACKET;
    if (type == SOCK_STREAM) {
        classify_byte_stream(fd);
    }
    return 0;
}

/* Classifies a pipe, an eventfd or a pollable device. Makes an adopted one nonblocking. A borrowed one, whose flags
 * other programs see, is used with RWF_NOWAIT. */
static void classify_stream(struct loop_fd *fd, int flags, bool is_pipe)
{
    if (!fd->is_borrowed && !(flags & O_NONBLOCK) && loop_kernel_fcntl(fd->number, F_SETFL, flags | O_NONBLOCK) == 0) {
        flags |= O_NONBLOCK;
    }
    enum loop_io by = flags & O_NONBLOCK ? LOOP_IO_NONBLOCKING : LOOP_IO_NOWAIT;
    move_by(fd, by, by);
    if ((flags & O_ACCMODE) == O_WRONLY) {
        fd->ready |= POLLIN; /* a read must fail, and no event would cause a try of it */
    }
    fd->is_byte_stream = is_pipe && !(flags & O_DIRECT); /* a pipe in packet mode reads one packet at a time, pipe(2) */
}

/* Classifies a file, which cannot be polled: its operations are the backend's. */
static void classify_file(struct loop_fd *fd, int flags, mode_t mode)
{
    move_by(fd, LOOP_IO_BLOCKING, LOOP_IO_BLOCKING);
    fd->is_direct = (flags & O_DIRECT) != 0;
    fd->is_regular = S_ISREG(mode);
}

/* Detects the kind of a descriptor. Returns 0, or -errno when the kernel does not report it: an unknown file taken for
 * a regular one could block a thread for ever. An O_PATH descriptor has no operations, whatever it names. */
static int classify(struct loop_fd *fd, int flags)
{
    struct stat status;
    if (loop_kernel_fstat(fd->number, &status)) {
        return -errno;
    }
    mode_t mode = status.st_mode;
    bool is_file = S_ISREG(mode) || S_ISDIR(mode) || flags & O_PATH;
    if (S_ISSOCK(mode) && !is_file) {
        return classify_socket(fd, flags);
    }
    if (S_ISCHR(mode) && !is_file && loop_kernel_isatty(fd->number)) {
        move_by(fd, LOOP_IO_POLLED, LOOP_IO_BLOCKING); /* ^S may stop the output for any time */
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

/* Notes which file a borrowed number names. Returns false when there is no memory. */
static bool identify(struct loop_fd *fd)
{
    struct loop_fd_more *more = loop_fd_get_more(fd);
    if (more) {
        more->identity = loop_number_identity(fd->number);
    }
    return more != NULL;
}

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
    fd->scope = scope;
    fd->doubts = LOOP_DOUBT_ALWAYS;
    fd->ready = POLLOUT; /* nearly always right; otherwise it costs one EAGAIN */
    if ((is_borrowed && !identify(fd)) || !loop_number_enter(scope->loop, fd)) {
        loop_fd_free(fd);
        return NULL;
    }
    loop_index_push(&scope->loop->fds, &scope->fds, fd, offsetof(struct loop_fd, in_scope));
    scope->unclosed++;
    return fd;
}

/* Frees an object whose kind could not be detected. */
static void unmake(struct loop_fd *fd)
{
    loop_number_leave(fd);
    loop_index_remove(&fd->scope->loop->fds, &fd->scope->fds, fd, offsetof(struct loop_fd, in_scope));
    fd->scope->unclosed--;
    loop_fd_free(fd);
}

static struct loop_fd *make_of_kind(struct loop_scope *scope, int number, bool is_borrowed, int flags)
{
    struct loop_fd *fd = make(scope, number, is_borrowed);
    int error = fd ? classify(fd, flags) : 0;
    if (fd && !error && fd->write_by == LOOP_IO_BLOCKING && !loop_fd_get_more(fd)) {
        error = -ENOMEM;
    }
    if (error) {
        unmake(fd);
        return NULL;
    }
    return fd;
}

/* Closes a number whose flags the kernel does not return because of `error`. One that is not open may be another
 * thread's by now. */
static void close_open(int number, int error)
{
    if (error != EBADF) {
        loop_kernel_close(number);
    }
}

struct loop_fd *loop_fd_adopt(struct loop_scope *scope, int number)
{
    if (!loop_scope_is_good(scope, __func__)) {
        loop_kernel_close(number);
        return NULL;
    }
    int flags = loop_kernel_fcntl(number, F_GETFL, 0);
    if (flags < 0) {
        close_open(number, errno);
        return NULL;
    }
    int descriptor_flags = loop_kernel_fcntl(number, F_GETFD, 0);
    if (descriptor_flags >= 0 && !(descriptor_flags & FD_CLOEXEC)) {
        (void)loop_kernel_fcntl(number, F_SETFD, descriptor_flags | FD_CLOEXEC);
    }
    struct loop_fd *fd = make_of_kind(scope, number, false, flags);
    if (!fd) {
        loop_kernel_close(number);
    }
    return fd;
}

int loop_fd_adopt_duplicate(struct loop_scope *scope, int number, struct loop_fd **fd)
{
    int flags = loop_kernel_fcntl(number, F_GETFL, 0);
    int duplicate = flags < 0 ? -1 : loop_kernel_dup(number, 3);
    if (duplicate < 0) {
        return -errno;
    }
    *fd = make_of_kind(scope, duplicate, true, flags); /* so that the flags, which it shares, stay */
    if (!*fd) {
        loop_kernel_close(duplicate);
        return -ENOMEM;
    }
    (*fd)->is_borrowed = false;
    return 0;
}

/* Makes an object of a socket that is nonblocking and CLOEXEC. Closes the number where that fails. */
static struct loop_fd *adopt_socket(struct loop_scope *scope, int number, const char *caller)
{
    struct loop_fd *fd = loop_scope_is_good(scope, caller) && number >= 0 ? make(scope, number, false) : NULL;

    if (!fd) {
        loop_kernel_close(number);
        return NULL;
    }
    move_by(fd, LOOP_IO_SOCKET, LOOP_IO_SOCKET);
    return fd;
}

/* Whether an accepted socket has the protocol of this listener. The file behind a borrowed number may be another one by
 * now. Doubts of a listener, which has no bytes, come from an event of its end. */
static bool is_known(const struct loop_fd *listener)
{
    return listener && listener->is_byte_stream && !listener->is_borrowed && !listener->doubts;
}

struct loop_fd *loop_fd_adopt_accepted(struct loop_scope *scope, const struct loop_fd *listener, int number)
{
    if (listener && !loop_fd_is_good(listener, __func__)) {
        loop_kernel_close(number);
        return NULL;
    }
    struct loop_fd *fd = adopt_socket(scope, number, __func__);
    if (!fd) {
        return NULL;
    }
    if (is_known(listener)) {
        fd->is_byte_stream = true;
        fd->is_unix = listener->is_unix;
        fd->doubts = 0;
    } else {
        classify_byte_stream(fd);
    }
    return fd;
}

struct loop_fd *loop_fd_adopt_stream(struct loop_scope *scope, int number)
{
    struct loop_fd *fd = adopt_socket(scope, number, __func__);

    if (fd) {
        classify_byte_stream(fd);
    }
    return fd;
}

struct loop_fd *loop_fd_adopt_datagram(struct loop_scope *scope, int number)
{
    return adopt_socket(scope, number, __func__);
}

struct loop_fd *loop_fd_borrow(struct loop_scope *scope, int number)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    int flags = loop_kernel_fcntl(number, F_GETFL, 0);
    return flags < 0 ? NULL : make_of_kind(scope, number, true, flags);
}
