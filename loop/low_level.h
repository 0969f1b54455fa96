/* SPDX-License-Identifier: ISC
 *
 * The low level: every operation of the ring as a job, on both backends, for those who want the ring itself.
 *
 * On io_uring each is one submission queue entry, where the kernel is willing; what it refuses, and everything on
 * epoll, is done by the system call of the same name: at once, when the descriptor is ready, or on a thread of the
 * pool if it could block. Results are those of the system call: io_uring_enter(2) and the call's own manual page tell
 * them. Nothing is retried or continued: a short write is a short write. The exception is a write or send without
 * a continuation, whose count is told to nobody. It goes on until all bytes have gone, or fails its scope with the
 * error that stopped it.
 *
 * `scope` owns the job; NULL means the scope of `fd`. Memory that is handed over (buffers, iovecs, msghdrs) is the
 * job's until its continuation is resumed; paths and addresses are copied.
 *
 * What receives, splices, or reads at LOOP_CURRENT gets the unread bytes of the descriptor first (<loop/fd.h>), and
 * then an error that an earlier read met behind some bytes and could not return. A message made of unread bytes has no
 * address and no descriptors.
 *
 * Operations of one direction of a socket (what accepts and receives; what sends and connects) are done in the order of
 * the calls, each when the one before has ended. MSG_DONTWAIT, MSG_OOB and MSG_ERRQUEUE don't wait for others. The
 * same holds for reads and writes at LOOP_CURRENT of a file. Between these and what sources and sinks do on the same
 * descriptor (loop_read, loop_write, streams) there is no order: whoever needs one waits for the first. Other
 * operations that are in flight together are independent.
 *
 * Offsets are absolute, or LOOP_CURRENT: the file's position, which moves; for pipes, sockets and terminals always
 * LOOP_CURRENT. Descriptors in results are plain numbers, CLOEXEC, the caller's: loop_fd_adopt makes an object of one.
 */
#ifndef LOOP_LOW_LEVEL_H
#define LOOP_LOW_LEVEL_H

#include <loop/base.h>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct statx;

#define LOOP_CURRENT INT64_C(-1)

/* Does nothing; 0. For measuring, and for a turn of the loop. */
LOOP_API loop_job loop_op_nop(struct loop_scope *scope, loop_fn *fn, void *arg);

/* openat2(2). `dir` NULL is the current directory; it need not be open when `path` is absolute. */
struct loop_open_how {
    struct loop_fd *dir LOOP_ZERO;
    /* O_RDONLY, O_WRONLY, O_RDWR (access), O_CREAT, O_EXCL, O_TRUNC, O_APPEND, …; O_CLOEXEC is added */
    uint64_t flags LOOP_ZERO;
    /* Permissions of what is created; the umask applies. Nothing without O_CREAT or O_TMPFILE */
    uint32_t mode LOOP_ZERO;
    uint64_t resolve LOOP_ZERO; /* RESOLVE_BENEATH, … of <linux/openat2.h> */
};

/* Opens; the descriptor or -errno. A fifo is opened without waiting for the other end: for writing that is -ENXIO where
 * nobody reads. -EAGAIN, which RESOLVE_BENEATH gives when somebody renames meanwhile, is tried again here. */
LOOP_API loop_job loop_op_openat2(struct loop_scope *scope, const char *path, const struct loop_open_how *how,
                                  loop_fn *fn, void *arg);

/* read(2)/pread(2), readv(2), write(2)/pwrite(2), writev(2): bytes, 0 at the end, -errno. More than IOV_MAX vectors:
 * -EINVAL. */
LOOP_API loop_job loop_op_read(struct loop_scope *scope, struct loop_fd *fd, void *buf, size_t len, int64_t offset,
                               loop_fn *fn, void *arg);
LOOP_API loop_job loop_op_readv(struct loop_scope *scope, struct loop_fd *fd, const struct iovec *iov, size_t n_iov,
                                int64_t offset, loop_fn *fn, void *arg);
LOOP_API loop_job loop_op_write(struct loop_scope *scope, struct loop_fd *fd, const void *buf, size_t len,
                                int64_t offset, loop_fn *fn, void *arg);
LOOP_API loop_job loop_op_writev(struct loop_scope *scope, struct loop_fd *fd, const struct iovec *iov, size_t n_iov,
                                 int64_t offset, loop_fn *fn, void *arg);

/* The same on `len` bytes of the region that begin `region_offset` bytes into it: fixed buffers where the region is
 * registered. -EFAULT beyond the region. The chunks there must be the caller's. */
LOOP_API loop_job loop_op_read_fixed(struct loop_scope *scope, struct loop_fd *fd, size_t region_offset, size_t len,
                                     int64_t offset, loop_fn *fn, void *arg);
LOOP_API loop_job loop_op_write_fixed(struct loop_scope *scope, struct loop_fd *fd, size_t region_offset, size_t len,
                                      int64_t offset, loop_fn *fn, void *arg);

/* The same on the first `len` bytes of a chunk. -EINVAL when the chunk is smaller or another loop's. */
LOOP_API loop_job loop_op_read_chunk(struct loop_scope *scope, struct loop_fd *fd, struct loop_chunk *chunk, size_t len,
                                     int64_t offset, loop_fn *fn, void *arg);
LOOP_API loop_job loop_op_write_chunk(struct loop_scope *scope, struct loop_fd *fd, struct loop_chunk *chunk,
                                      size_t len, int64_t offset, loop_fn *fn, void *arg);

/* poll(2), once: the events that are there. */
LOOP_API loop_job loop_op_poll_add(struct loop_scope *scope, struct loop_fd *fd, unsigned events, loop_fn *fn,
                                   void *arg);

/* splice(2): one end must be a pipe, and the other none of what splice(2) doesn't take, such as a timerfd (-EINVAL).
 * Waits for the source and for room, without holding a thread. */
LOOP_API loop_job loop_op_splice(struct loop_scope *scope, struct loop_fd *from, int64_t from_offset,
                                 struct loop_fd *to, int64_t to_offset, size_t len, loop_fn *fn, void *arg);

/* connect(2): 0 when connected. */
LOOP_API loop_job loop_op_connect(struct loop_scope *scope, struct loop_fd *fd, const struct sockaddr *address,
                                  socklen_t address_len, loop_fn *fn, void *arg);

/* accept4(2), CLOEXEC and nonblocking: a descriptor, or -errno (-EMFILE too: nothing waits here; loop_accept in
 * <net/net.h> does). `address` may be NULL; otherwise it and `*address_len` are written before the continuation. */
LOOP_API loop_job loop_op_accept(struct loop_scope *scope, struct loop_fd *fd, struct sockaddr *address,
                                 socklen_t *address_len, loop_fn *fn, void *arg);

/* Accepts until cancelled: the continuation is resumed with one descriptor after another, then once with the -errno
 * that ended it. What had been accepted when it was cancelled is still delivered before the end. */
LOOP_API loop_job loop_op_accept_multishot(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg);

/* A group of provided buffers, out of which the kernel takes one when bytes have come. `count` must be a power of two
 * up to 32768. NULL: no memory, or a bad count or size. Belongs to the scope; freed when that has ended. */
struct loop_buffers;
LOOP_API struct loop_buffers *loop_buffers_create(struct loop_scope *scope, unsigned count, size_t size_bytes);

/* Gives a buffer back to the group: one that a receive has delivered. 0, or -EINVAL (and a stop in a debug build) for
 * one that is in the group already or isn't of it. */
LOOP_API int loop_buffers_recycle(struct loop_buffers *buffers, void *data);

/* How many buffers the kernel can still take. */
LOOP_API unsigned loop_buffers_avail(const struct loop_buffers *buffers);

/* Receives until the end of the stream: `result` > 0 bytes at `data`, a buffer of the group that is the caller's until
 * recycled; then once with `data` NULL and 0 (end), or -errno. -ENOBUFS when the group is empty: nothing is lost, start
 * another when some have been recycled. The job's scope must be the group's, or inside it:
 * -EINVAL otherwise. Unread bytes come in buffers made for them, which are recycled like the others. */
typedef void loop_recv_fn(void *arg, int64_t result, void *data);
LOOP_API loop_job loop_op_recv_multishot(struct loop_scope *scope, struct loop_fd *fd, struct loop_buffers *buffers,
                                         loop_recv_fn *fn, void *arg);

/* recv(2), send(2), sendmsg(2), recvmsg(2). MSG_NOSIGNAL is added to sends, MSG_CMSG_CLOEXEC to recv_msg. What the
 * socket is not for ends at once with what the system call says: -ENOTCONN or -EINVAL for bytes of a listener, -EINVAL
 * for an accept on a connection. */
LOOP_API loop_job loop_op_recv(struct loop_scope *scope, struct loop_fd *fd, void *buf, size_t len, int flags,
                               loop_fn *fn, void *arg);
LOOP_API loop_job loop_op_send(struct loop_scope *scope, struct loop_fd *fd, const void *buf, size_t len, int flags,
                               loop_fn *fn, void *arg);

/* A message: gathered bytes, with descriptors (SCM_RIGHTS, at most LOOP_MESSAGE_MAX_NUMBERS) and a destination where
 * wanted. */
#define LOOP_MESSAGE_MAX_NUMBERS 32
struct loop_message {
    const struct iovec *iov LOOP_ZERO;
    size_t n_iov LOOP_ZERO;
    /* Send: destination or NULL. recv: where to write the sender, or NULL */
    struct sockaddr *address LOOP_ZERO;
    socklen_t address_len LOOP_ZERO; /* send: its length. recv: room there; then the sender's length */
    /* Send: to be passed. recv: where to put what was passed; the caller's, CLOEXEC */
    int *numbers LOOP_ZERO;
    /* Send: how many. recv: room for so many (the rest is closed); then how many came */
    size_t n_numbers LOOP_ZERO;
    /* MSG_… for the call. recv: then those that came back (MSG_TRUNC, MSG_CTRUNC, MSG_EOR) */
    int flags LOOP_ZERO;
};

/* `message` and all it points to are the job's until the continuation. */
LOOP_API loop_job loop_op_send_msg(struct loop_scope *scope, struct loop_fd *fd, const struct loop_message *message,
                                   loop_fn *fn, void *arg);
LOOP_API loop_job loop_op_recv_msg(struct loop_scope *scope, struct loop_fd *fd, struct loop_message *message,
                                   loop_fn *fn, void *arg);

/* shutdown(2) with SHUT_RD, SHUT_WR or SHUT_RDWR: 0 or -errno, -ENOTCONN included. Writes that wait for room on the
 * socket end with -EPIPE, or with the count of what they have sent; reads that wait for bytes with 0. */
LOOP_API loop_job loop_op_shutdown(struct loop_scope *scope, struct loop_fd *fd, int how, loop_fn *fn, void *arg);

/* loop_fd_close, and 0 when it is done; -EBADF when it was closed before. Can't be cancelled. */
LOOP_API loop_job loop_op_close(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg);

/* loop_cancel as a job: 0 when `target` was asked to end, -ENOENT when there was nothing to ask. */
LOOP_API loop_job loop_op_cancel(struct loop_scope *scope, loop_job target, loop_fn *fn, void *arg);

/* A timeout of the loop's clock: -ETIME when `at_ns` (CLOCK_MONOTONIC) is reached, as in the ring. */
LOOP_API loop_job loop_op_timeout(struct loop_scope *scope, int64_t at_ns, loop_fn *fn, void *arg);

/* statx(2): `dir` and `path` as in openat2; AT_EMPTY_PATH with "" is `dir` itself. `buf` is the job's. */
LOOP_API loop_job loop_op_statx(struct loop_scope *scope, struct loop_fd *dir, const char *path, int flags,
                                unsigned mask, struct statx *buf, loop_fn *fn, void *arg);

/* Flags of loop_op_fsync. */
enum loop_op_flag {
    LOOP_OP_DATA_ONLY = 1u << 0 /* fdatasync(2): leave out what is not needed to read the bytes back */
};

/* fsync(2), or fdatasync(2) with the flag LOOP_OP_DATA_ONLY. -EINVAL for any other bit. Does not wait for writes that
 * are in flight. */
LOOP_API loop_job loop_op_fsync(struct loop_scope *scope, struct loop_fd *fd, unsigned flags, loop_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
