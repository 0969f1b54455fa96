/* SPDX-License-Identifier: ISC
 *
 * Reads and writes at the position of a file that is O_DIRECT, of any length, to and from any memory, by a thread that
 * may block. For what the kernel has refused with EINVAL, open(2).
 */
#ifndef LOOP_SYSCALL_UNALIGNED_H
#define LOOP_SYSCALL_UNALIGNED_H

#include <stdint.h>
#include <sys/uio.h>

/* Reads whole blocks into memory of its own, and copies out what was asked for. May be short. The position is read and
 * set by calls of its own: two such reads of one open file at the same time would get the same bytes. Returns bytes, 0
 * at the end, -errno. */
int64_t loop_unaligned_read(int number, const struct iovec *iov, int n_iov);

/* Writes whole blocks from memory of its own. What is less than a block at the beginning or the end is written by the
 * page cache: O_DIRECT is taken off the open file for the length of that call, as dd(1) does. May be short. Returns
 * bytes, or -errno. */
int64_t loop_unaligned_write(int number, const struct iovec *iov, int n_iov);

#endif
