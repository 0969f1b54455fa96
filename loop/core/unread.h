/* SPDX-License-Identifier: ISC
 *
 * What a descriptor keeps for its next reads. Unread bytes were read of it and given back. A kept error came behind
 * some bytes, when the read that met it could only tell the bytes: the kernel tells an error once. The bytes are
 * delivered first, then the error, then what is read of the descriptor. While there is any of this, fd->read_by is
 * LOOP_IO_UNREAD, so that no path of reading has to ask for it but the one that is slow anyway; fd->plain_read_by is
 * then what it was.
 */
#ifndef LOOP_CORE_UNREAD_H
#define LOOP_CORE_UNREAD_H

#include <loop/core/fd.h>
#include <loop/low_level.h>

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

/* Keeps an error, which a read has met and can't tell, for the next one. It is told once. A regular file tells it again
 * by itself, where it is read at that place. */
void loop_unread_keep_error(struct loop *loop, struct loop_fd *fd, int64_t error);

/* Does what one read would, where something is kept. Moves bytes out: not beyond a block where the descriptor is no
 * byte stream. `is_peek` leaves them where they are. Returns how many were moved, which is 0 only where the vectors
 * have no room; or the error, when there are no bytes. */
int64_t loop_unread_read(struct loop_fd *fd, const struct iovec *iov, int n_iov, bool is_peek);

/* The error, when there are no bytes before it: it is told, and kept no longer. Otherwise 0. */
int64_t loop_unread_take_error(struct loop_fd *fd);

/* The first block, to be written as it is, and that `n` bytes of it have gone. */
const struct loop_block *loop_unread_first(const struct loop_fd *fd);
void loop_unread_drop(struct loop_fd *fd, size_t n);

/* Takes out a block with at most `len` bytes, at least one, which is the caller's. NULL where there is no memory. */
struct loop_block *loop_unread_detach(struct loop_fd *fd, size_t len);

size_t loop_unread_length(const struct loop_fd *fd);

/* The descriptor's end: frees what nobody wants any more. */
void loop_unread_finish(struct loop_fd *fd);

/* Whether a read that is given `offset` gets what is kept: those at an offset of their own don't. */
static inline bool loop_unread_is_for(const struct loop_fd *fd, int64_t offset)
{
    return offset == LOOP_CURRENT && loop_fd_has_unread(fd);
}

#endif
