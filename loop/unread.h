/* SPDX-License-Identifier: ISC
 *
 * Unread bytes: what was read of a descriptor and given back to it, to be delivered before anything else that is read
 * of it. While there are any, fd->read_by is LOOP_IO_UNREAD, so that no path of reading has to ask for them but the one
 * that is slow anyway; fd->plain_read_by is then what it was.
 */
#ifndef LOOP_UNREAD_H
#define LOOP_UNREAD_H

#include <loop/core.h>

#include <stddef.h>

/* Bytes in memory from malloc: `bytes` from `at` to `end`. Copies move theirs in such blocks, so that what they can't
 * write becomes unread as it is, without memory that could be lacking. */
struct loop_block {
    struct loop_block *next;
    size_t at, end;
    max_align_t bytes[];
};

/* Puts the bytes of `block` before all others of `fd`, and takes the block over. What waits to read the descriptor is
 * tried in the next dispatch. The descriptor is open, or being closed. */
void loop_unread_put(struct loop *loop, struct loop_fd *fd, struct loop_block *block);

/* Moves bytes out, as one read would: not beyond a block where the descriptor is no byte stream. `is_peek` leaves them
 * where they are. There are some; returns how many were moved, which is 0 only where the vectors have no room. */
size_t loop_unread_read(struct loop_fd *fd, const struct iovec *iov, int n_iov, bool is_peek);

/* The first block, to be written as it is, and that `n` bytes of it have gone. */
const struct loop_block *loop_unread_first(const struct loop_fd *fd);
void loop_unread_drop(struct loop_fd *fd, size_t n);

/* Takes out a block with at most `len` bytes, at least one, which is the caller's. NULL where there is no memory. */
struct loop_block *loop_unread_detach(struct loop_fd *fd, size_t len);

size_t loop_unread_length(const struct loop_fd *fd);

/* The descriptor's end: frees what nobody wants any more. */
void loop_unread_finish(struct loop_fd *fd);

static inline bool loop_fd_has_unread(const struct loop_fd *fd)
{
    return fd->read_by == LOOP_IO_UNREAD;
}

/* Whether a read that is given `offset` gets the unread bytes: those at an offset of their own don't. */
static inline bool loop_unread_is_for(const struct loop_fd *fd, int64_t offset)
{
    return offset == LOOP_CURRENT && loop_fd_has_unread(fd);
}

#endif
