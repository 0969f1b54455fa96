/* SPDX-License-Identifier: ISC
 *
 * Reads and writes of a descriptor that never block, by the calls that suit it (read_by, write_by). Each result also
 * updates fd->ready. The most frequent case, one buffer to or from a socket, is inline.
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

/* Reads. Unread bytes come first. Retries EINTR. Clears POLLIN in fd->ready when nothing is left to read. Not for
 * LOOP_IO_BLOCKING. Returns the bytes read, 0 at the end, -EAGAIN or -errno. */
int64_t loop_io_read(struct loop_fd *fd, const struct iovec *iov, int n_iov);

/* Writes. Retries EINTR. Clears POLLOUT in fd->ready when there is no room. Not for LOOP_IO_BLOCKING. Returns the bytes
 * written, -EAGAIN or -errno. */
int64_t loop_io_write(struct loop_fd *fd, const struct iovec *iov, int n_iov);

/* Returns whether a stream socket may be told that more follows. TCP sends what it keeps back for that after a while,
 * whatever happens. TLS in the kernel, like other protocols that a program may set (TCP_ULP), keeps a record open until
 * a call without MSG_MORE, and neither an end of the connection nor a close sends it. */
bool loop_io_sends_in_the_end(const struct loop_fd *fd);

/* Writes as loop_io_write does, and tells a socket that more follows at once (MSG_MORE): TCP then does not send a
 * segment that is not full. For sockets of which loop_io_sends_in_the_end is true. */
int64_t loop_io_write_more(struct loop_fd *fd, const struct iovec *iov, int n_iov);

/* A short read has emptied the descriptor, unless it ended early for another reason. Then bytes are left for which no
 * event comes. So a short read is trusted only on descriptors where each such reason can be detected:
 *
 *     TCP              the read stops at the urgent mark. POLLPRI reports the mark before the read can reach it, and
 *                      from then on the socket is read until -EAGAIN (loop_ready_event)
 *     a Unix stream    also stops after descriptors and before other credentials: MSG_CTRUNC
 *     loop_pipe        only O_DIRECT of the writer makes packets, and the writer is the loop's own
 *
 * Other descriptors are read until -EAGAIN: a pipe whose other end may write packets, a terminal, sockets of other
 * protocols. So are descriptors that have hung up, because no further event comes for the end.
 *
 * An event of the ring for a single wake-up of the socket does not tell whether there is a mark (watch.h of the ring's
 * backend). A segment with a mark causes two wake-ups: for the mark, before its bytes can be read, and for the bytes.
 * So either a read finds nothing (`has_vague_events`), or the second event comes before the socket is empty
 * (LOOP_DOUBT_ASK). In both cases poll(2) is called. */

/* Returns the result of a read that has failed with -EIO: 0, the end, for the side of a pseudoterminal that has a
 * number (its master), because it fails so when no program has the other side any more. Else -EIO. */
int64_t loop_io_end_of_terminal(int number);

/* loop_io_note_read for descriptors with doubts, and for results without bytes. */
int64_t loop_io_note_doubtful(struct loop_fd *fd, int64_t n, size_t asked);

/* Updates fd->ready after a read of `asked` bytes that has returned `n`, or -1 with errno. Returns the result. */
static inline int64_t loop_io_note_read(struct loop_fd *fd, int64_t n, size_t asked)
{
    if (n <= 0 || fd->doubts) {
        return loop_io_note_doubtful(fd, n, asked);
    }
    if ((size_t)n < asked) {
        fd->ready &= (uint8_t)~POLLIN;
    }
    return n;
}

/* Updates fd->ready after a write that has returned `n`, or -1 with errno. Returns the result. */
static inline int64_t loop_io_note_write(struct loop_fd *fd, int64_t n)
{
    int64_t result = n < 0 ? -errno : n;
    if (result == -EAGAIN) {
        fd->ready &= (uint8_t)~POLLOUT;
    }
    return result;
}

/* Whether a single recv, read, send or write is enough: no poll first, no hard mode. */
static inline bool loop_io_is_plain(uint8_t by)
{
    return by <= LOOP_IO_NONBLOCKING && !loop_hard()->is_short;
}

/* Receives from a Unix stream socket. recvmsg(2) reports by MSG_CTRUNC that it stopped at descriptors or credentials,
 * which are dropped. */
static inline ssize_t loop_io_receive_one(struct loop *loop, struct loop_fd *fd, void *buf, size_t len)
{
    loop->unix_vector = (struct iovec){buf, len};
    ssize_t n = loop_kernel_recvmsg(fd->number, &loop->unix_message, MSG_DONTWAIT);
    if (loop->unix_message.msg_flags & MSG_CTRUNC) {
        loop->unix_message.msg_flags = 0; /* they stay set when a call fails */
        fd->doubts |= LOOP_DOUBT_ASK;
    }
    return n;
}

/* Makes one call for a socket. Returns what the call returns: -1 with errno. */
__attribute__((always_inline)) static inline ssize_t loop_io_receive_once(struct loop *loop, struct loop_fd *fd,
                                                                          void *buf, size_t len)
{
    return fd->is_unix ? loop_io_receive_one(loop, fd, buf, len) : loop_kernel_recv(fd->number, buf, len, MSG_DONTWAIT);
}

/* Makes one call for a descriptor that loop_io_is_plain. Returns what the call returns: -1 with errno. */
__attribute__((always_inline)) static inline ssize_t loop_io_read_once(struct loop *loop, struct loop_fd *fd, void *buf,
                                                                       size_t len)
{
    return fd->read_by == LOOP_IO_SOCKET ? loop_io_receive_once(loop, fd, buf, len)
                                         : loop_kernel_read(fd->number, buf, len);
}

/* Whether one call reads, and one writes: both are sockets, without doubts, and no write has failed. */
static inline bool loop_io_are_plain_sockets(const struct loop_fd *from, const struct loop_fd *to)
{
    return (from->peculiarities | to->peculiarities) == 0 && !loop_hard()->is_short;
}

/* loop_io_read with one buffer, for what loop_io_read_one does not do itself. */
int64_t loop_io_read_rarely(struct loop_fd *fd, void *buf, size_t len);

/* loop_io_write with one buffer, for what loop_io_write_one does not do itself. */
int64_t loop_io_write_rarely(struct loop_fd *fd, const void *buf, size_t len);

/* Whether a call that has failed has found nothing, and there is no mark that poll(2) has to be asked for. */
static inline bool loop_io_is_empty(const struct loop_fd *fd)
{
    return errno == EAGAIN && !(fd->doubts & LOOP_DOUBT_ASK) && !fd->has_vague_events;
}

/* Handles a read of one buffer that has returned 0, or -1 with errno, or that has doubts. */
int64_t loop_io_read_ended(struct loop_fd *fd, int64_t n, void *buf, size_t len);

/* Handles a write of one buffer that has returned -1, with errno. */
int64_t loop_io_write_failed(struct loop_fd *fd, const void *buf, size_t len);

/* loop_io_read with one buffer. */
static inline __attribute__((always_inline)) int64_t loop_io_read_one(struct loop *loop, struct loop_fd *fd, void *buf,
                                                                      size_t len)
{
    if (!loop_io_is_plain(fd->read_by)) {
        return loop_io_read_rarely(fd, buf, len);
    }
    ssize_t n = loop_io_read_once(loop, fd, buf, len);
    if (n <= 0 || fd->doubts) {
        return loop_io_read_ended(fd, n, buf, len);
    }
    if ((size_t)n < len) {
        fd->ready &= (uint8_t)~POLLIN;
    }
    return n;
}

/* Makes one call for a socket. Returns what the call returns: -1 with errno. */
static inline ssize_t loop_io_send_once(const struct loop_fd *fd, const void *buf, size_t len)
{
    return loop_kernel_send(fd->number, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Makes one call for a descriptor that loop_io_is_plain. Returns what the call returns: -1 with errno. */
__attribute__((always_inline)) static inline ssize_t loop_io_write_once(const struct loop_fd *fd, const void *buf,
                                                                        size_t len)
{
    return fd->write_by == LOOP_IO_SOCKET ? loop_io_send_once(fd, buf, len) : loop_kernel_write(fd->number, buf, len);
}

/* loop_io_write with one buffer. Always inline: it must not depend on how large the library is. */
__attribute__((always_inline)) static inline int64_t loop_io_write_one(struct loop_fd *fd, const void *buf, size_t len)
{
    if (!loop_io_is_plain(fd->write_by)) {
        return loop_io_write_rarely(fd, buf, len);
    }
    ssize_t n = loop_io_write_once(fd, buf, len);
    return n < 0 ? loop_io_write_failed(fd, buf, len) : n;
}

#endif
