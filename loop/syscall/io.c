/* SPDX-License-Identifier: ISC
 *
 * Reads and writes of a descriptor that never block: all cases, with any number of buffers. io.h has the most frequent
 * one.
 */
#include <loop/core/fd.h>
#include <loop/core/unread.h>
#include <loop/ground/hard.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>
#include <loop/syscall/io.h>

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static bool polls_ready(const struct loop_fd *fd, short event)
{
    struct pollfd entry = {.fd = fd->number, .events = event};
    return loop_kernel_poll(&entry, 1, 0) > 0;
}

static int64_t receive(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    if (n_iov == 1 && !fd->is_unix) {
        return loop_kernel_recv(fd->number, iov->iov_base, iov->iov_len, MSG_DONTWAIT);
    }
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov};
    ssize_t n = loop_kernel_recvmsg(fd->number, &message, MSG_DONTWAIT);
    if (n >= 0 && message.msg_flags & MSG_CTRUNC) {
        fd->doubts |= LOOP_DOUBT_ASK;
    }
    return n;
}

static int64_t transmit(int number, const struct iovec *iov, int n_iov, int more)
{
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL | more;
    if (n_iov == 1) {
        return loop_kernel_send(number, iov->iov_base, iov->iov_len, flags);
    }
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov};
    return loop_kernel_sendmsg(number, &message, flags);
}

static int64_t read_once(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    switch ((enum loop_io)fd->read_by) {
    case LOOP_IO_SOCKET: return receive(fd, iov, n_iov);
    case LOOP_IO_NONBLOCKING:
        return n_iov == 1 ? loop_kernel_read(fd->number, iov->iov_base, iov->iov_len)
                          : loop_kernel_readv(fd->number, iov, n_iov);
    case LOOP_IO_NOWAIT: return loop_kernel_preadv2(fd->number, iov, n_iov, -1, RWF_NOWAIT);
    case LOOP_IO_POLLED:
        errno = EAGAIN;
        return polls_ready(fd, POLLIN) ? loop_kernel_readv(fd->number, iov, n_iov) : -1;
    case LOOP_IO_UNREAD:
    case LOOP_IO_BLOCKING: break;
    }
    assert(false); /* a file is read by the backend */
    errno = EINVAL;
    return -1;
}

/* Writes at most PIPE_BUF bytes after a poll: a pipe that polls writable has room for that many, pipe(7). */
static int64_t write_after_poll(struct loop_fd *fd, const struct iovec *iov)
{
    errno = EAGAIN;
    size_t len = iov->iov_len < PIPE_BUF ? iov->iov_len : PIPE_BUF;
    return polls_ready(fd, POLLOUT) ? loop_kernel_write(fd->number, iov->iov_base, len) : -1;
}

/* `more` is MSG_MORE or 0. */
static int64_t write_once(struct loop_fd *fd, const struct iovec *iov, int n_iov, int more)
{
    switch ((enum loop_io)fd->write_by) {
    case LOOP_IO_SOCKET: return transmit(fd->number, iov, n_iov, more);
    case LOOP_IO_NONBLOCKING:
        return n_iov == 1 ? loop_kernel_write(fd->number, iov->iov_base, iov->iov_len)
                          : loop_kernel_writev(fd->number, iov, n_iov);
    case LOOP_IO_NOWAIT: return loop_kernel_pwritev2(fd->number, iov, n_iov, -1, RWF_NOWAIT);
    case LOOP_IO_POLLED: return write_after_poll(fd, iov);
    case LOOP_IO_UNREAD:
    case LOOP_IO_BLOCKING: break;
    }
    assert(false); /* a file is written by the backend */
    errno = EINVAL;
    return -1;
}

/* Switches a pipe to polling before each call, if RWF_NOWAIT is not supported: on kernels before 6.4 (EOPNOTSUPP), and
 * in sandboxes without the call (ENOSYS). */
static bool learns_to_poll(uint8_t *by)
{
    if ((errno != EOPNOTSUPP && errno != ENOSYS) || *by != LOOP_IO_NOWAIT) {
        return false;
    }
    *by = LOOP_IO_POLLED;
    return true;
}

/* Asks poll(2) whether there is something left to read, and whether there is an urgent mark. */
static void ask(struct loop_fd *fd)
{
    struct pollfd entry = {.fd = fd->number, .events = POLLIN | POLLPRI};
    int n = loop_kernel_poll(&entry, 1, 0);
    if (n == 0) {
        fd->ready &= (uint8_t)~POLLIN;
    } else if (n > 0 && entry.revents & POLLPRI) {
        fd->doubts |= LOOP_DOUBT_ALWAYS;
    }
}

int64_t loop_io_end_of_terminal(int number)
{
    unsigned index;
    return loop_kernel_ioctl(number, (int)TIOCGPTN, &index) == 0 ? 0 : -EIO;
}

int64_t loop_io_note_doubtful(struct loop_fd *fd, int64_t n, size_t asked)
{
    int64_t result = n < 0 ? -errno : n;
    bool is_short = n > 0 && (size_t)n < asked && !(fd->doubts & LOOP_DOUBT_ALWAYS);
    if (!is_short && result != -EAGAIN) {
        return result == -EIO ? loop_io_end_of_terminal(fd->number) : result;
    }
    bool may_have_mark = n < 0 && fd->has_vague_events && !(fd->doubts & LOOP_DOUBT_ALWAYS);
    if (fd->doubts & LOOP_DOUBT_ASK || may_have_mark) {
        fd->doubts &= (uint8_t)~LOOP_DOUBT_ASK;
        ask(fd);
    } else {
        fd->ready &= (uint8_t)~POLLIN;
    }
    return result;
}

static size_t total_length(const struct iovec *iov, int n_iov)
{
    size_t total = 0;
    for (int i = 0; i < n_iov; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

/* Returns the vectors. In the hard mode, for byte streams, returns about half of the first one. */
static const struct iovec *shortened(const struct loop_fd *fd, const struct iovec *iov, int *n_iov,
                                     struct iovec *single)
{
    if (!loop_hard()->is_short || !fd->is_byte_stream) {
        return iov;
    }
    *single = (struct iovec){iov->iov_base, loop_hard_length(iov->iov_len)};
    *n_iov = 1;
    return single;
}

static size_t read_length(const struct iovec *iov, int n_iov)
{
    return n_iov == 1 ? iov->iov_len : total_length(iov, n_iov);
}

int64_t loop_io_read(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    struct iovec single;
    iov = shortened(fd, iov, &n_iov, &single);
    if (loop_fd_reads_kept(fd)) {
        return loop_unread_read(fd, iov, n_iov, false);
    }
    int64_t n;
    do {
        n = read_once(fd, iov, n_iov);
    } while (n < 0 && (errno == EINTR || learns_to_poll(&fd->read_by)));
    return loop_io_note_read(fd, n, read_length(iov, n_iov));
}

static int64_t write_some(struct loop_fd *fd, const struct iovec *iov, int n_iov, int more)
{
    struct iovec single;
    iov = shortened(fd, iov, &n_iov, &single);
    int64_t n;
    do {
        n = write_once(fd, iov, n_iov, more);
    } while (n < 0 && (errno == EINTR || learns_to_poll(&fd->write_by)));
    return loop_io_note_write(fd, n);
}

int64_t loop_io_write(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    return write_some(fd, iov, n_iov, 0);
}

bool loop_io_sends_in_the_end(const struct loop_fd *fd)
{
    char name[16]; /* TCP_ULP_NAME_MAX */
    socklen_t len = sizeof name;
    int error = fd->is_unix ? -1 : loop_kernel_getsockopt(fd->number, IPPROTO_TCP, TCP_ULP, name, &len);
    return error || len == 0;
}

int64_t loop_io_write_more(struct loop_fd *fd, const struct iovec *iov, int n_iov)
{
    return write_some(fd, iov, n_iov, MSG_MORE);
}

/* ---- one buffer ---- */

int64_t loop_io_read_rarely(struct loop_fd *fd, void *buf, size_t len)
{
    return loop_io_read(fd, &(struct iovec){buf, len}, 1);
}

int64_t loop_io_write_rarely(struct loop_fd *fd, const void *buf, size_t len)
{
    return loop_io_write(fd, &(struct iovec){(void *)(uintptr_t)buf, len}, 1);
}

int64_t loop_io_read_ended(struct loop_fd *fd, int64_t n, void *buf, size_t len)
{
    return n < 0 && errno == EINTR ? loop_io_read_rarely(fd, buf, len) : loop_io_note_read(fd, n, len);
}

int64_t loop_io_write_failed(struct loop_fd *fd, const void *buf, size_t len)
{
    return errno == EINTR ? loop_io_write_rarely(fd, buf, len) : loop_io_note_write(fd, -1);
}
