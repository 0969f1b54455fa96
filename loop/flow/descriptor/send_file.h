/* SPDX-License-Identifier: ISC
 *
 * Sending from a file to a socket by sendfile(2): the bytes do not pass through the program.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_SEND_FILE_H
#define LOOP_FLOW_DESCRIPTOR_SEND_FILE_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

/* The result of a send that the kernel refuses for this file or this socket: the bytes have to be read and written. */
#define LOOP_SEND_REFUSED (-EOPNOTSUPP)

extern const struct loop_job_kind loop_send_file_kind;

/* Whether pieces of `from` may be sent to `to`: of a regular file to a socket that carries bytes and does not wait. */
bool loop_fd_can_send_file(const struct loop_fd *from, const struct loop_fd *to);

/* Whether a send that waits has bytes that can be sent at once. */
bool loop_send_file_has_bytes(const struct loop_job *job);

/* Sends at most `len` bytes of the file `from`, from `offset` on, or, LOOP_CURRENT, from its position on, which moves.
 * Waits for the writes that were started before, and for room. Sends only what is in the page cache, so that the thread
 * does not wait for the disk. Uses both descriptors until its end; the job belongs to the scope of `to`.
 *
 * Resumes with the count that was sent, which may be any part; 0 where nothing can be sent now, because the next bytes
 * are not in the page cache, the file is at its end, or reads of its position come first: a read finds out;
 * LOOP_SEND_REFUSED; -ECANCELED; or the error of the socket. */
loop_job loop_fd_send_file(struct loop_fd *to, struct loop_fd *from, int64_t offset, uint64_t len, loop_fn *fn,
                           void *arg);

#endif
