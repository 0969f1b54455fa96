/* SPDX-License-Identifier: ISC
 *
 * Moving bytes: one attempt by the descriptor's own way (read_by, write_by), never blocking, whose answer is also what
 * is known about the descriptor from then on. One buffer to or from a socket, which is what most of the bytes of most
 * programs are, goes straight to the system call.
 */
#ifndef LOOP_SYSCALL_IO_H
#define LOOP_SYSCALL_IO_H

#include <loop/core/fd.h>
#include <loop/ground/hard.h>
#include <loop/kernel/file.h>
#include <loop/kernel/socket.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* Bytes, 0 at the end, -EAGAIN, -errno. EINTR is retried. Clears `ready` when the answer shows that nothing is left.
 * Unread bytes come first. LOOP_IO_BLOCKING is not for these. */
int64_t loop_io_read(struct loop_fd *fd, const struct iovec *iov, int n_iov);
int64_t loop_io_write(struct loop_fd *fd, const struct iovec *iov, int n_iov);

/* Whether a short read has emptied a descriptor. A read that ends early for another reason leaves bytes behind that no
 * event tells of any more. It is only
 * trusted where each such reason shows:
 *
 *     TCP              the read stops at the urgent mark. POLLPRI tells of the mark before the read can reach it, and
 *                      from then on the socket is read until -EAGAIN (loop_ready_event)
 *     a Unix stream    the same; and the read stops behind descriptors and at other credentials: MSG_CTRUNC
 *     loop_pipe        nothing but the writer's O_DIRECT makes packets, and the writer is ours
 *
 * Anything else is read until -EAGAIN: a pipe whose other end may write packets, a terminal, sockets of other
 * protocols. So is what has hung up, because no further event tells of the end.
 *
 * An event of the ring that stands for one wake-up of the socket doesn't say whether there is a mark (uring_watch.h). A
 * segment with a mark makes two wake-ups: for the mark, before its bytes can be read, and for the bytes. So either a
 * read finds nothing (`has_vague_events`), or the second event came before the socket was empty (LOOP_DOUBT_ASK): then
 * poll(2) is asked. */

/* loop_io_note_read where there are doubts, or no bytes. */
int64_t loop_io_note_doubtful(struct loop_fd *fd, int64_t n, size_t asked);

/* What a system call has answered, -1 with errno: noted, and turned into our result. */
static inline int64_t loop_io_note_read(struct loop_fd *fd, int64_t n, size_t asked)
{
    if (n <= 0 || fd->doubts) {
        return loop_io_note_doubtful(fd, n, asked);
    }
    if ((size_t)n < asked) {
        fd->ready &= ~(uint32_t)POLLIN;
    }
    return n;
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

/* recvmsg(2) tells by MSG_CTRUNC where it stopped at descriptors or credentials that came with the bytes, and that
 * nobody wants here. */
static inline ssize_t loop_io_receive_one(struct loop_fd *fd, void *buf, size_t len)
{
    struct loop *loop = fd->scope->loop;
    loop->unix_vector = (struct iovec){buf, len};
    ssize_t n = loop_kernel_recvmsg(fd->number, &loop->unix_message, MSG_DONTWAIT);
    if (loop->unix_message.msg_flags & MSG_CTRUNC) {
        loop->unix_message.msg_flags = 0; /* as they stay when it fails */
        fd->doubts |= LOOP_DOUBT_ASK;
    }
    return n;
}

static inline __attribute__((always_inline)) int64_t loop_io_read_one(struct loop_fd *fd, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    if (!loop_io_is_plain(fd->read_by)) {
        return loop_io_read(fd, &iov, 1);
    }
    ssize_t n = fd->read_by != LOOP_IO_SOCKET ? loop_kernel_read(fd->number, buf, len)
                : fd->is_unix                 ? loop_io_receive_one(fd, buf, len)
                                              : loop_kernel_recv(fd->number, buf, len, MSG_DONTWAIT);
    return n < 0 && errno == EINTR ? loop_io_read(fd, &iov, 1) : loop_io_note_read(fd, n, len);
}

static inline int64_t loop_io_write_one(struct loop_fd *fd, const void *buf, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)buf, len};
    if (!loop_io_is_plain(fd->write_by)) {
        return loop_io_write(fd, &iov, 1);
    }
    ssize_t n = fd->write_by == LOOP_IO_SOCKET ? loop_kernel_send(fd->number, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                               : loop_kernel_write(fd->number, buf, len);
    return n < 0 && errno == EINTR ? loop_io_write(fd, &iov, 1) : loop_io_note_write(fd, n);
}

#endif
