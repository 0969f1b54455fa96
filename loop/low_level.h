/* SPDX-License-Identifier: ISC
 *
 * Low-level operations: every operation of the ring as a job, on both backends, for programs that want the ring itself.
 *
 * On io_uring each operation is one submission queue entry, unless the kernel refuses it. On epoll, and when the ring
 * refuses, it is the system call of the same name: at once, when the descriptor is ready, or on a thread of the pool if
 * the call could block. docs/backends.md lists what each one does. Results are those of the system call; its manual
 * page has the errors. Nothing is retried or continued: a short write is a short write. The exception is a write or
 * send without a continuation, whose count would be lost: it goes on until all bytes are written, or fails its scope
 * with the error that stopped it.
 *
 * All functions are for the loop's thread. `scope` owns the job; NULL is the scope of `fd`. Memory that is handed over
 * (buffers, iovecs, messages) belongs to the job until its continuation is resumed, also after a cancel. Paths and
 * addresses are copied. Every job may also end with -EBADF when the descriptor was closed before; -EINVAL for NULL in
 * place of a descriptor or an argument, or for a descriptor of another loop; -ECANCELED after a cancel or when the
 * descriptor closes, or -ETIMEDOUT after a deadline.
 *
 * Unread bytes of a descriptor (<loop/fd.h>) are returned first by operations that receive, splice, or read at
 * LOOP_CURRENT; then the error that an earlier read has met behind some bytes and could not return. A message made of
 * unread bytes has no address and no descriptors.
 *
 * Three calls have a twin above this level: loop_op_poll_add (loop_poll), loop_op_timeout (loop_sleep_until) and
 * loop_op_cancel (loop_cancel). They are here for programs that use the operations of the ring by the ring's names, and
 * have its results. Other programs use the twin.
 *
 * Order. Operations of one direction of a socket (accept and receive; connect and send) are done in the order of the
 * calls, each after the one before has completed. Those with MSG_DONTWAIT, MSG_OOB or MSG_ERRQUEUE do not wait for
 * others. Reads and writes of a file at LOOP_CURRENT are done in the order of the calls too. There is no order between
 * these and the reads and writes of sources and sinks on the same descriptor (loop_read, loop_write, streams): wait for
 * one to complete before starting the other. Other operations in flight are independent.
 *
 * Offsets are absolute, or LOOP_CURRENT: the file's position, which the operation moves. Pipes, sockets and terminals
 * accept only LOOP_CURRENT; other offsets are -ESPIPE. Descriptors in results are numbers, close-on-exec, and belong to
 * the caller: loop_fd_adopt makes an object of one.
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

/* Does nothing and completes with 0: for measuring, and for waiting one turn of the loop. */
LOOP_API loop_job loop_op_nop(struct loop_scope *scope, loop_fn *fn, void *arg);

/* Arguments of openat2(2). `dir` is the directory of a relative path; NULL is the current directory. With an absolute
 * path it is not used. */
struct loop_open_how {
    struct loop_fd *dir LOOP_ZERO;
    /* O_RDONLY, O_WRONLY or O_RDWR, with O_CREAT, O_EXCL, O_TRUNC, O_APPEND, …; O_CLOEXEC is added */
    uint64_t flags LOOP_ZERO;
    /* Permissions of a new file; the umask is applied. Ignored without O_CREAT or O_TMPFILE */
    uint32_t mode LOOP_ZERO;
    uint64_t resolve LOOP_ZERO; /* RESOLVE_BENEATH, … of <linux/openat2.h> */
};

/* Opens a file, openat2(2). A fifo is opened without waiting for the other end. Completes with a descriptor that
 * belongs to the caller; -ENXIO for writing to a fifo without a reader; -EINVAL without a continuation, because nothing
 * would close the descriptor; or another errno of openat2(2). -EAGAIN, which RESOLVE_BENEATH gives when another process
 * renames meanwhile, is retried. */
LOOP_API loop_job loop_op_openat2(struct loop_scope *scope, const char *path, const struct loop_open_how *how,
                                  loop_fn *fn, void *arg);

/* Reads up to `len` bytes, pread(2), or read(2) at LOOP_CURRENT. Completes with the number of bytes; 0 at the end;
 * -ENOTCONN or -EINVAL for a listening socket; or another errno of read(2). At most 0x7ffff000 bytes are read. */
LOOP_API loop_job loop_op_read(struct loop_scope *scope, struct loop_fd *fd, void *buf, size_t len, int64_t offset,
                               loop_fn *fn, void *arg);

/* Reads into vectors, preadv(2), or readv(2) at LOOP_CURRENT. Completes with the number of bytes; 0 at the end; -EINVAL
 * for more than IOV_MAX vectors; -ENOTCONN or -EINVAL for a listening socket; or another errno of readv(2). */
LOOP_API loop_job loop_op_readv(struct loop_scope *scope, struct loop_fd *fd, const struct iovec *iov, size_t n_iov,
                                int64_t offset, loop_fn *fn, void *arg);

/* Writes up to `len` bytes, pwrite(2), or write(2) at LOOP_CURRENT. Completes with the number of bytes, which may be
 * less than `len`; -EPIPE when the reader has gone (without SIGPIPE); or another errno of write(2). At most 0x7ffff000
 * bytes are written. Without a continuation it writes all of them. */
LOOP_API loop_job loop_op_write(struct loop_scope *scope, struct loop_fd *fd, const void *buf, size_t len,
                                int64_t offset, loop_fn *fn, void *arg);

/* Writes vectors, pwritev(2), or writev(2) at LOOP_CURRENT. Completes with the number of bytes, which may be less than
 * asked for; -EINVAL for more than IOV_MAX vectors; -EPIPE; or another errno of writev(2). Without a continuation it
 * writes all of them. */
LOOP_API loop_job loop_op_writev(struct loop_scope *scope, struct loop_fd *fd, const struct iovec *iov, size_t n_iov,
                                 int64_t offset, loop_fn *fn, void *arg);

/* Reads into the region, `len` bytes at `region_offset` bytes from its start, which must be in chunks that the caller
 * owns. It is READ_FIXED if the region is registered with the ring. Completes as loop_op_read does; -EFAULT for bytes
 * beyond the region. */
LOOP_API loop_job loop_op_read_fixed(struct loop_scope *scope, struct loop_fd *fd, size_t region_offset, size_t len,
                                     int64_t offset, loop_fn *fn, void *arg);

/* Writes from the region, `len` bytes at `region_offset` bytes from its start, which must be in chunks that the caller
 * owns. It is WRITE_FIXED if the region is registered with the ring. Completes as loop_op_write does; -EFAULT for bytes
 * beyond the region. */
LOOP_API loop_job loop_op_write_fixed(struct loop_scope *scope, struct loop_fd *fd, size_t region_offset, size_t len,
                                      int64_t offset, loop_fn *fn, void *arg);

/* Reads into the first `len` bytes of a chunk that the caller owns, as loop_op_read_fixed does. Completes as
 * loop_op_read does; -EINVAL for a chunk that is smaller, is free, or belongs to another loop. */
LOOP_API loop_job loop_op_read_chunk(struct loop_scope *scope, struct loop_fd *fd, struct loop_chunk *chunk, size_t len,
                                     int64_t offset, loop_fn *fn, void *arg);

/* Writes the first `len` bytes of a chunk that the caller owns, as loop_op_write_fixed does. Completes as loop_op_write
 * does; -EINVAL for a chunk that is smaller, is free, or belongs to another loop. */
LOOP_API loop_job loop_op_write_chunk(struct loop_scope *scope, struct loop_fd *fd, struct loop_chunk *chunk,
                                      size_t len, int64_t offset, loop_fn *fn, void *arg);

/* ---- polled files ----
 *
 * An interrupt for each completion is a good part of the cost of a fast device. A device with queues for polling, as an
 * NVMe disk has them where its driver was told so (nvme.poll_queues=N), can be asked for completions instead
 * (IORING_SETUP_IOPOLL, io_uring_setup(2)). A polled file has its reads and writes at an offset completed that way:
 * those of this header, loop_file_pread and loop_file_pwrite. What is at the file's position, and every other
 * operation, is done as without polling. Results, cancel, deadlines and closing are the same.
 *
 * While such a read or write is in flight the loop does not sleep: it uses all of its processor and makes a system call
 * in each turn, in which it also serves everything else. Otherwise it sleeps as always. So polling is for loops that
 * are busy with their devices. */

/* Has reads and writes at an offset of an O_DIRECT file polled from now on, where that is possible. Where it is not
 * they are completed by interrupts, as before: the same program works everywhere. Returns loop_fd_unpolled_reason. */
LOOP_API const char *loop_fd_poll_device(struct loop_fd *fd);

/* Returns NULL if reads and writes of the file are polled. Otherwise returns why not, as text for a log: it was not
 * asked for, there is no O_DIRECT, the device has no queues for it, the loop runs on epoll, … Some file systems refuse
 * only the first read or write, which is then done without polling; ask again after it. The string is a constant. */
LOOP_API const char *loop_fd_unpolled_reason(const struct loop_fd *fd);

/* ---- waiting, and moving between descriptors ---- */

/* Waits for events of a descriptor, once, level-triggered, poll(2): POLLIN, POLLOUT, POLLPRI and POLLRDHUP; POLLERR and
 * POLLHUP are always reported. Completes with the events that have occurred; -EINVAL when none of these is asked for,
 * or for a file that would never report it. A file that cannot be polled is ready for POLLIN and POLLOUT. loop_poll in
 * <loop/event.h> does the same in the descriptor's scope. */
LOOP_API loop_job loop_op_poll_add(struct loop_scope *scope, struct loop_fd *fd, unsigned events, loop_fn *fn,
                                   void *arg);

/* Moves up to `len` bytes from `from` to `to` without a copy, splice(2). One of them must be a pipe. Waits for bytes
 * and for room without blocking a thread. Completes with the number of bytes; 0 at the end of the source, or for `len`
 * 0; -EINVAL when neither is a pipe, both are the same, or one is of a kind that cannot be spliced, such as a timerfd;
 * -EBADF for one that is not open for reading or writing; -EPIPE; or another errno of splice(2). */
LOOP_API loop_job loop_op_splice(struct loop_scope *scope, struct loop_fd *from, int64_t from_offset,
                                 struct loop_fd *to, int64_t to_offset, size_t len, loop_fn *fn, void *arg);

/* Connects a socket, connect(2). Completes with 0 when it is connected; -ECONNREFUSED, -ETIMEDOUT, or another errno of
 * connect(2); -EAGAIN when the backlog of a Unix listener is full; -EINVAL for an address longer than struct
 * sockaddr_storage. */
LOOP_API loop_job loop_op_connect(struct loop_scope *scope, struct loop_fd *fd, const struct sockaddr *address,
                                  socklen_t address_len, loop_fn *fn, void *arg);

/* Accepts one connection, accept4(2), close-on-exec and nonblocking. `address` may be NULL; otherwise it and
 * `*address_len` are written before the continuation is resumed. Completes with a descriptor that belongs to the
 * caller; -EMFILE or -ENFILE at the limit of descriptors, for which only loop_accept in <net/net.h> waits; -EINVAL for
 * a socket that does not listen, or without a continuation; or another errno of accept4(2). */
LOOP_API loop_job loop_op_accept(struct loop_scope *scope, struct loop_fd *fd, struct sockaddr *address,
                                 socklen_t *address_len, loop_fn *fn, void *arg);

/* Accepts connections until it is cancelled or an error ends it. The continuation is resumed with each descriptor,
 * which belongs to the caller, and then once with the error: -ECANCELED, or an errno of loop_op_accept. Connections
 * accepted before a cancel are delivered before the end. */
LOOP_API loop_job loop_op_accept_multishot(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg);

/* Tells that other loops or processes may accept on the same socket. Later accepts of this descriptor wait for
 * readiness, so that all that wait learn of a connection. The kernel wakes only one accept of a ring, as it does with
 * accept(2): while the loop of that one does not run, or cancels it, the connection would wait until another one comes.
 * loop_listener_adopt of <net/net.h> calls this. */
LOOP_API void loop_fd_share(struct loop_fd *fd);

/* A group of provided buffers: the kernel takes one when bytes have arrived, so no buffer waits with each receive. */
struct loop_buffers;

/* Creates a group of `count` buffers of `size_bytes` each. `count` must be a power of two up to 32768. The group
 * belongs to the scope, and is freed when the scope has ended. Returns NULL without memory, for a bad count or size, or
 * when the scope has ended. */
LOOP_API struct loop_buffers *loop_buffers_create(struct loop_scope *scope, unsigned count, size_t size_bytes);

/* Returns a buffer that a receive has delivered to its group. Returns 0; -EINVAL for a buffer that is in the group
 * already, or is not of this group, which aborts a debug build. */
LOOP_API int loop_buffers_recycle(struct loop_buffers *buffers, void *data);

/* Returns how many buffers the kernel can still use. */
LOOP_API unsigned loop_buffers_avail(const struct loop_buffers *buffers);

/* The continuation of loop_op_recv_multishot: `result` > 0 bytes are at `data`, a buffer that belongs to the caller
 * until loop_buffers_recycle. At the end, once, `data` is NULL and `result` is 0 or an error. */
typedef void loop_recv_fn(void *arg, int64_t result, void *data);

/* Receives into buffers of the group until the end of the stream. Unread bytes are delivered in buffers allocated for
 * them, which are recycled like the others. The job's scope must be the group's, or inside it.
 *
 * Ends with 0 at the end of the stream; -ENOBUFS when no buffer is free: no bytes are lost, start another receive after
 * recycling some; -EINVAL for a scope outside the group's; -ENOTSOCK; -ECANCELED; or an errno of recv(2). When the last
 * bytes and the end of a stream arrive together, Linux before 7.0 can lose the end; sources (<loop/flow.h>) do not use
 * this operation. */
LOOP_API loop_job loop_op_recv_multishot(struct loop_scope *scope, struct loop_fd *fd, struct loop_buffers *buffers,
                                         loop_recv_fn *fn, void *arg);

/* Receives up to `len` bytes, recv(2), with the given MSG_ flags. Completes with the number of bytes; 0 at the end of
 * the stream; -EAGAIN with MSG_DONTWAIT when there are none; -ENOTCONN or -EINVAL for a listening socket; -ENOTSOCK; or
 * another errno of recv(2). With MSG_WAITALL, a cancel after some bytes completes with their number. */
LOOP_API loop_job loop_op_recv(struct loop_scope *scope, struct loop_fd *fd, void *buf, size_t len, int flags,
                               loop_fn *fn, void *arg);

/* Sends up to `len` bytes, send(2), with the given MSG_ flags and MSG_NOSIGNAL. Completes with the number of bytes,
 * which may be less than `len`; -EAGAIN with MSG_DONTWAIT when there is no room; -EPIPE when the peer has gone;
 * -ENOTSOCK; or another errno of send(2). Without a continuation it sends all of them. */
LOOP_API loop_job loop_op_send(struct loop_scope *scope, struct loop_fd *fd, const void *buf, size_t len, int flags,
                               loop_fn *fn, void *arg);

/* A message: bytes in vectors, with descriptors (SCM_RIGHTS, at most LOOP_MESSAGE_MAX_NUMBERS) and an address. */
#define LOOP_MESSAGE_MAX_NUMBERS 32
struct loop_message {
    const struct iovec *iov LOOP_ZERO;
    size_t n_iov LOOP_ZERO;
    /* Send: the destination, or NULL. Receive: where the sender's address is stored, or NULL */
    struct sockaddr *address LOOP_ZERO;
    /* Send: its length. Receive: the room there; after it, the length of the sender's address */
    socklen_t address_len LOOP_ZERO;
    /* Send: descriptors to pass. Receive: where passed descriptors are stored, close-on-exec; they belong to the
     * caller */
    int *numbers LOOP_ZERO;
    /* Send: their number. Receive: room for them; after it, how many arrived. Those without room are closed */
    size_t n_numbers LOOP_ZERO;
    /* MSG_ flags of the call. Receive: after it, the flags returned (MSG_TRUNC, MSG_CTRUNC, MSG_EOR) */
    int flags LOOP_ZERO;
};

/* Sends a message, sendmsg(2), with MSG_NOSIGNAL. MSG_WAITALL is ignored. `message` and what it points to belong to the
 * job until its continuation is resumed. Completes with the number of bytes; -EINVAL for more than
 * LOOP_MESSAGE_MAX_NUMBERS descriptors; -EAGAIN with MSG_DONTWAIT when there is no room; -EPIPE; -EMSGSIZE; -ENOTSOCK;
 * or another errno of sendmsg(2). */
LOOP_API loop_job loop_op_send_msg(struct loop_scope *scope, struct loop_fd *fd, const struct loop_message *message,
                                   loop_fn *fn, void *arg);

/* Receives a message, recvmsg(2), with MSG_CMSG_CLOEXEC. MSG_WAITALL is ignored. `message` and what it points to belong
 * to the job until its continuation is resumed; until then the message has no address and no descriptors. Completes
 * with the number of bytes; 0 at the end of a stream; -EAGAIN with MSG_DONTWAIT when there is no message; -EINVAL
 * without a continuation; -ENOTSOCK; or another errno of recvmsg(2). */
LOOP_API loop_job loop_op_recv_msg(struct loop_scope *scope, struct loop_fd *fd, struct loop_message *message,
                                   loop_fn *fn, void *arg);

/* Shuts down a socket, shutdown(2): `how` is SHUT_RD, SHUT_WR or SHUT_RDWR. Writes that wait for room complete with
 * -EPIPE, or with the number of bytes sent; reads that wait for bytes complete with 0. Completes with 0; -ENOTCONN;
 * -EINVAL; or -ENOTSOCK. */
LOOP_API loop_job loop_op_shutdown(struct loop_scope *scope, struct loop_fd *fd, int how, loop_fn *fn, void *arg);

/* Closes a descriptor as loop_fd_close does. Completes with 0 when the number is closed; -EBADF when it was closed
 * before. It cannot be cancelled. In a cancelled scope the job completes with -ECANCELED as every other does, and the
 * descriptor closes all the same. */
LOOP_API loop_job loop_op_close(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg);

/* Cancels the job `target` as loop_cancel does. Completes with 0 when the cancel was requested; -ENOENT when the job
 * has its result, or has ended. */
LOOP_API loop_job loop_op_cancel(struct loop_scope *scope, loop_job target, loop_fn *fn, void *arg);

/* A timer with the result of the ring's own. Completes with -ETIME when CLOCK_MONOTONIC reaches `at_ns`, never early.
 * loop_sleep_until in <loop/event.h> completes with 0 instead. */
LOOP_API loop_job loop_op_timeout(struct loop_scope *scope, int64_t at_ns, loop_fn *fn, void *arg);

/* Reads the attributes of a file, statx(2). `dir` is the directory of a relative path; NULL is the current directory.
 * With AT_EMPTY_PATH and "" it is `dir` itself. `buf` belongs to the job until its continuation is resumed. Completes
 * with 0 or an errno of statx(2). */
LOOP_API loop_job loop_op_statx(struct loop_scope *scope, struct loop_fd *dir, const char *path, int flags,
                                unsigned mask, struct statx *buf, loop_fn *fn, void *arg);

/* Flags of loop_op_fsync. */
enum loop_op_flag {
    LOOP_OP_DATA_ONLY = 1u << 0 /* fdatasync(2): omits metadata that is not needed to read the bytes back */
};

/* Syncs a file to the disk, fsync(2). `flags` is 0 or LOOP_OP_DATA_ONLY. Does not wait for writes in flight. Completes
 * with 0; -EINVAL for another bit, or a descriptor that cannot be synced; -EIO; or another errno of fsync(2). */
LOOP_API loop_job loop_op_fsync(struct loop_scope *scope, struct loop_fd *fd, unsigned flags, loop_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
