/* SPDX-License-Identifier: ISC
 *
 * Reads and writes of any length at the position of an O_DIRECT file, to and from any memory. They block. For calls
 * that the kernel has refused with EINVAL, open(2).
 */
#ifndef LOOP_SYSCALL_UNALIGNED_H
#define LOOP_SYSCALL_UNALIGNED_H

#include <stdint.h>
#include <sys/uio.h>

/* Reads whole blocks into memory of its own and copies the bytes asked for. May be short. Gets and sets the position by
 * separate calls: two such reads of one open file at the same time would get the same bytes. Returns the bytes read, 0
 * at the end, or -errno. */
int64_t loop_unaligned_read(int number, const struct iovec *iov, int n_iov);

/* Writes whole blocks from memory of its own. Less than a block at the beginning or the end is written through the page
 * cache: O_DIRECT is cleared for the duration of that call, as dd(1) does. May be short. Returns the bytes written, or
 * -errno. */
int64_t loop_unaligned_write(int number, const struct iovec *iov, int n_iov);

#endif
