/* SPDX-License-Identifier: ISC
 *
 * Descriptors that know whether they have been closed and who is still using them.
 *
 * A bare number can be closed and handed out again by the kernel while an operation on it is still
 * waiting: the operation then reads somebody else's file. A struct loop_fd is closed to new use at once,
 * ends what is in flight, and only then gives the number back to the kernel.
 *
 * The object belongs to its scope and is good until the scope's on_end has returned, also after a close; a scope
 * that lives long and opens many destroys them one by one with loop_fd_destroy.
 */
#ifndef LOOP_FD_H
#define LOOP_FD_H

#include <loop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_flow;

/* Urgent data of a TCP socket is no part of the bytes that sources deliver, and doesn't hold up what follows it; with
 * SO_OOBINLINE it is one of them. loop_poll with POLLPRI waits for it, loop_op_recv with MSG_OOB takes it. Descriptors
 * that come with the bytes of a Unix socket are closed, unless loop_op_recv_msg takes them. */

/* A file that is O_DIRECT is read and written as a source and a sink in any lengths and from any memory. What is not
 * aligned passes through memory of the loop's. What is less than a block of 4096 bytes is written by the page cache:
 * for the length of that system call O_DIRECT is taken off the open file, which others that share it can see.
 * Operations of <loop/low_level.h> and loop_file_pread want what the kernel wants, open(2): -EINVAL. */

/* Takes over the descriptor `number`: from this call on it is the scope's, which closes it. Sockets and pipes
 * become nonblocking, all become CLOEXEC. Whether a file is O_DIRECT is looked at now and not again.
 * Returns NULL when there is no memory, the scope has ended, `number` is no descriptor, or the kernel does not
 * tell what it is (fstat(2) fails); an open `number` has then been closed. */
LOOP_API struct loop_fd *loop_fd_adopt(struct loop_scope *scope, int number);

/* Uses a descriptor that stays its owner's: never closed here, and its flags are left alone (O_NONBLOCK set
 * on an inherited terminal would be seen by the shell). One number may be borrowed more than once at a time.
 *
 * It must stay open until the scope has ended or loop_fd_close has had its effect. An owner that closes it
 * earlier leaves an object that waits in vain, or gets -EBADF once the number names another file; an object
 * that borrows or adopts the number then is not disturbed. A debug build logs the mistake.
 *
 * Returns NULL when there is no memory, the scope has ended, `number` is no descriptor, or the kernel does not
 * tell what it is. */
LOOP_API struct loop_fd *loop_fd_borrow(struct loop_scope *scope, int number);

/* The number, and a promise that it stays open until loop_fd_unuse: for system calls of one's own, which don't see
 * unread bytes (below). -EBADF when it has been closed. A scope ends only when all uses of its descriptors have; a
 * debug build logs a warning that names one which only uses keep open then. */
LOOP_API int loop_fd_use(struct loop_fd *fd);
LOOP_API void loop_fd_unuse(struct loop_fd *fd);

/* The number without any promise, for a log line; -1 when closed. */
LOOP_API int loop_fd_peek(const struct loop_fd *fd);

/* False from the moment a close, a destroy or a take was asked for. */
LOOP_API bool loop_fd_is_open(const struct loop_fd *fd);

/* Closes: new use gets -EBADF from now on, what is in flight is cancelled and resumed, then close(2) is
 * called (not for a borrowed descriptor). close(2)'s own errors are of no use to anybody here and are
 * dropped; what must be on disk needs fsync before. Returns 0, or -EBADF where it was closed before, which
 * is harmless. To hear when it is done: loop_op_close in <loop/low_level.h>. */
LOOP_API int loop_fd_close(struct loop_fd *fd);

/* Closes, and gives the object itself back as soon as that is done. The pointer is dead from now on.
 * NULL is harmless. */
LOOP_API void loop_fd_destroy(struct loop_fd *fd);

/* Like loop_fd_close, but the descriptor is not closed: when what was in flight has ended, the
 * continuation gets the number, which is the caller's from then on. -EBADF when it was closed before.
 * Bytes that were unread by then are the caller's too: the continuation gets them with loop_fd_take_unread, and they
 * come before what the number still has to be read. An error that a read met behind some bytes, and that the next read
 * would return, is not handed over: read until it has been told, where it matters.
 * Can't be cancelled once it waits: the number would be lost. */
LOOP_API loop_job loop_fd_take(struct loop_fd *fd, loop_fn *fn, void *arg);

/* ---- unread bytes ----
 *
 * Bytes that were read of a descriptor and given back to it. Every later read delivers them first, in the order in
 * which they came: loop_read, loop_read_exact, loop_stream, readers, loop_copy, and of the low level what receives,
 * reads at LOOP_CURRENT or splices from it; loop_poll calls it readable. loop_copy gives back what it has read and
 * could not write; programs do it with loop_fd_unread, for example after looking at the first bytes of a connection to
 * find out which protocol they are of.
 *
 * They are the loop's, not the kernel's: system calls on the number don't see them, and a close drops them. */

/* Gives back `len` bytes, which are copied: they come before all other unread bytes. Several calls in a row give back
 * in the reverse order: the bytes that came last are given back first. 0; -EBADF when the descriptor is closed, or was
 * asked to be; -ENOMEM; -EINVAL when `bytes` is NULL and `len` isn't 0. A descriptor that is being taken accepts bytes
 * until the continuation of loop_fd_take is resumed: they are the taker's. */
LOOP_API int loop_fd_unread(struct loop_fd *fd, const void *bytes, size_t len);

/* How many unread bytes there are. */
LOOP_API size_t loop_fd_unread_length(const struct loop_fd *fd);

/* Moves up to `room` unread bytes into `buf`: returns how many, 0 when there are none. Also in the continuation of
 * loop_fd_take, and until the object is gone. From a socket that keeps messages apart one message at a time. */
LOOP_API size_t loop_fd_take_unread(struct loop_fd *fd, void *buf, size_t room);

/* ---- its parts ---- */

/* The descriptor as a source and a sink (<loop/flow.h>); lives as long as the descriptor's object. */
LOOP_API struct loop_flow *loop_fd_flow(struct loop_fd *fd);

LOOP_API struct loop_scope *loop_fd_scope(const struct loop_fd *fd);

#ifdef __cplusplus
}
#endif

#endif
