/* SPDX-License-Identifier: ISC
 *
 * Moving bytes: one attempt by the descriptor's own way (read_by, write_by), never blocking, whose answer is also what
 * is known about the descriptor from then on. One buffer to or from a socket, which is what most of the bytes of most
 * programs are, goes straight to the system call.
 */
#ifndef LOOP_IO_H
#define LOOP_IO_H

#include <loop/core.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes, 0 at the end, -EAGAIN, -errno. EINTR is retried. Clears `ready` when the answer shows that nothing is left.
 * Unread bytes come first. LOOP_IO_BLOCKING is not for these. */
int64_t loop_io_read(struct loop_fd *fd, const struct iovec *iov, int n_iov);
int64_t loop_io_write(struct loop_fd *fd, const struct iovec *iov, int n_iov);

/* What a system call has answered, -1 with errno: noted, and turned into our result. A short read has emptied a byte
 * stream. But where the peer has hung up no event would tell of the end. */
static inline int64_t loop_io_note_read(struct loop_fd *fd, int64_t n, size_t asked)
{
    int64_t result = n < 0 ? -errno : n;
    bool is_short = n > 0 && (size_t)n < asked && fd->short_is_empty && !fd->has_hung_up;
    if (is_short || result == -EAGAIN) {
        fd->ready &= ~(uint32_t)POLLIN;
    }
    return result;
}

static inline int64_t loop_io_note_write(struct loop_fd *fd, int64_t n)
{
    int64_t result = n < 0 ? -errno : n;
    if (result == -EAGAIN) {
        fd->ready &= ~(uint32_t)POLLOUT;
    }
    return result;
}

/* One system call, without more ado. */
static inline bool loop_io_is_plain(uint8_t by)
{
    return by <= LOOP_IO_NONBLOCKING && !loop_hard()->is_short;
}

static inline int64_t loop_io_read_one(struct loop_fd *fd, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    if (!loop_io_is_plain(fd->read_by)) {
        return loop_io_read(fd, &iov, 1);
    }
    ssize_t n = fd->read_by == LOOP_IO_SOCKET ? recv(fd->number, buf, len, MSG_DONTWAIT) : read(fd->number, buf, len);
    return n < 0 && errno == EINTR ? loop_io_read(fd, &iov, 1) : loop_io_note_read(fd, n, len);
}

static inline int64_t loop_io_write_one(struct loop_fd *fd, const void *buf, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)buf, len};
    if (!loop_io_is_plain(fd->write_by)) {
        return loop_io_write(fd, &iov, 1);
    }
    ssize_t n = fd->write_by == LOOP_IO_SOCKET ? send(fd->number, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                               : write(fd->number, buf, len);
    return n < 0 && errno == EINTR ? loop_io_write(fd, &iov, 1) : loop_io_note_write(fd, n);
}

#endif
