/* SPDX-License-Identifier: ISC
 *
 * Descriptor objects: each stores whether its descriptor is open, and which jobs use it.
 *
 * A bare number can be closed, and reused by the kernel for another file, while an operation on it still waits. The
 * operation then reads from the wrong file. A struct loop_fd that is being closed accepts no new operations at once,
 * ends the operations in flight, and only then gives the number back to the kernel.
 *
 * The object belongs to its scope. It is valid until the scope's on_end has returned, even after a close. A scope that
 * lives long and opens many descriptors frees each with loop_fd_destroy.
 *
 * Urgent data of a TCP socket (tcp(7)) is not among the bytes that sources deliver, and does not block the bytes behind
 * it; with SO_OOBINLINE it is delivered in order. loop_poll with POLLPRI waits for urgent data, and loop_op_recv with
 * MSG_OOB reads it. Descriptors that arrive with the bytes of a Unix socket are closed, unless loop_op_recv_msg
 * receives them.
 *
 * Sources and sinks read and write an O_DIRECT file in any length and from any memory. Bytes that are not aligned are
 * copied through memory of the loop. A part of a block of 4096 bytes is written by the page cache: O_DIRECT is cleared
 * on the open file for that system call, which other users of the open file can see. loop_file_pread and the operations
 * of <loop/low_level.h> require the alignment that the kernel requires, and end with -EINVAL otherwise (open(2)).
 */
#ifndef LOOP_FD_H
#define LOOP_FD_H

#include <loop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_flow;

/* Takes ownership of the descriptor `number` for `scope`, which closes it. Sets CLOEXEC, and makes sockets and pipes
 * nonblocking. Checks only in this call whether a file is O_DIRECT. Returns NULL when there is no memory, the scope has
 * ended, `number` is no open descriptor, or the kernel does not return its type (fstat(2) or getsockopt(2) fails). An
 * open `number` has been closed when this returns NULL. */
LOOP_API struct loop_fd *loop_fd_adopt(struct loop_scope *scope, int number);

/* Uses a descriptor that still belongs to the caller. It is never closed here, and its flags are not changed: another
 * program, such as the shell, would see O_NONBLOCK on an inherited terminal. One number may be borrowed several times
 * at once.
 *
 * The caller keeps it open until the scope has ended, or until loop_fd_close has completed. If it is closed earlier,
 * jobs on the object may wait for ever, or end with -EBADF once the number refers to another file. An object that
 * adopts or borrows the number afterwards is not affected. A debug build logs a warning.
 *
 * Returns NULL when there is no memory, the scope has ended, `number` is no open descriptor, or the kernel does not
 * return its type. */
LOOP_API struct loop_fd *loop_fd_borrow(struct loop_scope *scope, int number);

/* Returns the number and keeps it open until loop_fd_unuse, for system calls of the program's own. Those do not see
 * unread bytes (below). Returns -EBADF when the descriptor is closed or a close was requested. A scope ends only after
 * the last use of each of its descriptors; a debug build logs a warning that names a descriptor which only uses keep
 * open then. */
LOOP_API int loop_fd_use(struct loop_fd *fd);

/* Ends one use of loop_fd_use. A call without a use left has no effect, and aborts a debug build. */
LOOP_API void loop_fd_unuse(struct loop_fd *fd);

/* Returns the number for a log line, without keeping it open; -1 when the descriptor is closed. */
LOOP_API int loop_fd_peek(const struct loop_fd *fd);

/* Returns false as soon as loop_fd_close, loop_fd_destroy, loop_fd_take or loop_op_close was called. */
LOOP_API bool loop_fd_is_open(const struct loop_fd *fd);

/* Closes the descriptor. New operations on it end with -EBADF from now on. Jobs in flight are cancelled. After their
 * continuations have been resumed, close(2) is called, but not for a borrowed descriptor. A linger time of a socket is
 * turned off first (SO_LINGER, socket(7)), because close(2) would block the loop. Errors of close(2) are ignored: a
 * program that needs its data on disk calls fsync before. Returns 0; -EBADF when a close was requested before, which is
 * harmless. loop_op_close in <loop/low_level.h> reports when the close is done. */
LOOP_API int loop_fd_close(struct loop_fd *fd);

/* Closes the descriptor as loop_fd_close does, and frees the object as soon as that is done. The pointer is invalid
 * from now on. NULL is ignored. */
LOOP_API void loop_fd_destroy(struct loop_fd *fd);

/* Closes the object but keeps the descriptor open, and gives the number to the caller. New operations end with -EBADF
 * from now on, and jobs in flight are cancelled. When they have ended, resumes with the number, which the caller owns
 * from then on, or still owns where it was borrowed. Ends with -EBADF when a close was requested before.
 *
 * The caller also gets the bytes that are unread by then: the continuation reads them with loop_fd_take_unread. They
 * precede what the number still has to read. An error that a read met behind some bytes, and that the next read would
 * return, is lost: where that matters, read until it has been returned.
 *
 * The job belongs to the scope of `fd`. A cancel of a job that waits has no effect, because the number would leak. */
LOOP_API loop_job loop_fd_take(struct loop_fd *fd, loop_fn *fn, void *arg);

/* ---- unread bytes ----
 *
 * Bytes that were read from a descriptor and given back to it. Every later read delivers them first, in their original
 * order: loop_read, loop_read_exact, loop_stream, readers and loop_copy, and the low-level operations that receive,
 * read at LOOP_CURRENT or splice from the descriptor. loop_poll reports it as readable. loop_copy gives back bytes that
 * it has read and could not write. A program uses loop_fd_unread, for example after it has read the first bytes of a
 * connection to detect the protocol.
 *
 * Unread bytes are kept by the loop, not by the kernel: system calls on the number do not see them, and a close drops
 * them. */

/* Gives back `len` bytes, which are copied. They precede all other unread bytes, so several calls give bytes back in
 * reverse order: the last bytes first. They also precede what a loop_stream has read and not delivered, so its
 * continuation may give back the end of a chunk, whether it cancels the stream or not.
 *
 * Returns 0; -EBADF when the descriptor is closed or a close was requested; -ENOMEM; -EINVAL when `bytes` is NULL and
 * `len` is not 0. A descriptor that is being taken accepts bytes until the continuation of loop_fd_take is resumed,
 * which gets them. */
LOOP_API int loop_fd_unread(struct loop_fd *fd, const void *bytes, size_t len);

/* Returns how many unread bytes there are. */
LOOP_API size_t loop_fd_unread_length(const struct loop_fd *fd);

/* Moves up to `room` unread bytes into `buf`. Returns how many, 0 when there are none. May be called until the object
 * is freed, also in the continuation of loop_fd_take. From a socket that preserves message boundaries it moves at most
 * one message. */
LOOP_API size_t loop_fd_take_unread(struct loop_fd *fd, void *buf, size_t room);

/* ---- its parts ---- */

/* Returns the source and the sink of the descriptor (<loop/flow.h>). They are valid as long as the object, and are used
 * where they are: a copy of one is none, and stops a debug build. */
LOOP_API struct loop_flow *loop_fd_flow(struct loop_fd *fd);

/* Returns the scope that owns the descriptor. */
LOOP_API struct loop_scope *loop_fd_scope(const struct loop_fd *fd);

#ifdef __cplusplus
}
#endif

#endif
