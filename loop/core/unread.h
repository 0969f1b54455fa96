/* SPDX-License-Identifier: ISC
 *
 * What a descriptor keeps for its next reads. Unread bytes were read from it and given back. A kept error came after
 * some bytes, in a read that could only return the bytes; the kernel reports an error once. The bytes are delivered
 * first, then the error, then what is read from the descriptor. While any of it is kept, fd->read_by is LOOP_IO_UNREAD,
 * so that only the slow path of a read has to check for it, and fd->plain_read_by has the previous value.
 */
#ifndef LOOP_CORE_UNREAD_H
#define LOOP_CORE_UNREAD_H

#include <loop/core/backend.h>
#include <loop/core/fd.h>
#include <loop/low_level.h>

#include <errno.h>
#include <stddef.h>

/* Bytes in memory from malloc: those of `bytes` from `at` to `end`. Copies keep their bytes in such blocks, so that
 * bytes they cannot write become unread without an allocation, which could fail. */
struct loop_block {
    struct loop_block *next;
    size_t at, end;
    bool is_backends; /* its memory is the backend's, which gets it back by loop_backend_ops.release */
    bool is_received; /* the backend has received its bytes, and no job has read them */
    uint16_t slot;    /* is_backends: what it is to the backend */
    max_align_t bytes[];
};

/* Puts the bytes of `block` before all other unread bytes of `fd`, and takes ownership of the block. Jobs that wait to
 * read the descriptor are tried in the next dispatch. The descriptor is open or being closed. */
void loop_unread_put(struct loop *loop, struct loop_fd *fd, struct loop_block *block);

/* Gives the bytes of `block` back as loop_fd_unread does, but without an allocation, and takes ownership of the block.
 * Returns false where the descriptor is closed, which drops them. */
bool loop_unread_give_back(struct loop_fd *fd, struct loop_block *block);

/* Puts the bytes of `block` behind all other unread bytes of `fd`, which is_receiving, and takes ownership of the
 * block. The caller tries the jobs that wait. */
void loop_unread_append(struct loop_fd *fd, struct loop_block *block);

/* Copies the first `len` bytes of vectors behind all other unread bytes of `fd`: they were received after those.
 * Returns false without memory. The vectors of a byte stream then have the first `len` bytes of all, which the caller
 * delivers. A message is delivered before those that are unread. */
bool loop_unread_put_behind(struct loop *loop, struct loop_fd *fd, const struct iovec *iov, size_t len);

/* Has the unread bytes wait in memory of their own, where the backend has few of the blocks left that they are in: they
 * may wait for long. Without memory they stay where they are. */
void loop_unread_make_room(struct loop_fd *fd);

/* Notes that the backend receives the bytes of `fd` by itself from now on: reads get only what is kept. */
void loop_unread_begin_receiving(struct loop_fd *fd);

/* Notes that it does so no more. What is kept comes first, then reads ask the kernel. */
void loop_unread_end_receiving(struct loop_fd *fd);

/* Returns a block with a copy of the bytes; NULL when there is no memory. */
struct loop_block *loop_block_of(const void *bytes, size_t len);

/* Returns a block with a copy of the first `len` bytes of vectors; NULL when there is no memory. */
struct loop_block *loop_block_gather(const struct iovec *iov, size_t len);

/* Shrinks a block that may wait for long: that of a copy is large and often has few bytes left. Takes ownership, and
 * returns the block that the caller owns now. A block that cannot be shrunk, or is a backend's, stays as it is. */
struct loop_block *loop_block_trim(struct loop_block *block);

/* Frees a block. */
void loop_block_free(struct loop *loop, struct loop_block *block);

/* Keeps an error for the next read, which returns it once: the read that met it returned the bytes before it. Does
 * nothing for a regular file, where a read at that position fails again. What is no errno becomes -EINVAL. */
void loop_unread_keep_error(struct loop *loop, struct loop_fd *fd, int64_t error);

/* Does one read of what is kept. Moves bytes into the vectors: at most one block where the descriptor is no byte
 * stream. `is_peek` leaves the bytes in place. Returns how many were moved, 0 only if the vectors have no room; or the
 * kept error when there are no bytes; -EAGAIN when nothing is kept, and the backend has not received more. */
int64_t loop_unread_read(struct loop_fd *fd, const struct iovec *iov, int n_iov, bool is_peek);

/* Returns the kept error, and no longer keeps it, when no bytes come before it; otherwise 0. */
int64_t loop_unread_take_error(struct loop_fd *fd);

/* Returns what a read of a source returns after a system call or the backend has returned `n`. The kernel reports a
 * reset once: where a write has met it, reads find the bytes that had come, and then an end that the peer has not sent.
 * That end is -ECONNRESET, once. */
static inline int64_t loop_unread_end(struct loop_fd *fd, int64_t n)
{
    if (n != 0 || !fd->was_reset) {
        return n;
    }
    fd->was_reset = false;
    return -ECONNRESET;
}

/* Returns whether a block is the backend's, and fewer than half of its blocks are free. One that waits for somebody
 * else is to be moved out then. */
static inline bool loop_block_is_scarce(struct loop *loop, const struct loop_block *block)
{
    return block->is_backends && loop->backend->is_scarce(loop, block);
}

/* Returns the first block, whose bytes can be written from where they are. */
const struct loop_block *loop_unread_first(const struct loop_fd *fd);

/* Returns whether the first unread bytes were received by the backend, and stand in its memory. */
static inline bool loop_unread_is_received(const struct loop_fd *fd)
{
    return fd->unread && fd->unread->is_backends;
}

/* Removes the first block, whose memory is the backend's. The caller owns it then. */
struct loop_block *loop_unread_pop(struct loop_fd *fd);

/* Removes the first `n` unread bytes. */
void loop_unread_drop(struct loop_fd *fd, size_t n);

/* Removes 1 to `len` bytes as a block that the caller owns. Returns NULL when there is no memory. */
struct loop_block *loop_unread_detach(struct loop_fd *fd, size_t len);

/* Returns how many unread bytes there are. */
size_t loop_unread_length(const struct loop_fd *fd);

/* Returns whether there are bytes that the backend has received and nothing has read. */
bool loop_unread_has_received(const struct loop_fd *fd);

/* Frees the unread bytes, when the descriptor is closed. */
void loop_unread_finish(struct loop_fd *fd);

/* Returns whether a read at `offset` gets what is kept: a read at an offset other than LOOP_CURRENT does not. */
static inline bool loop_unread_is_for(const struct loop_fd *fd, int64_t offset)
{
    return offset == LOOP_CURRENT && loop_fd_has_unread(fd);
}

#endif
