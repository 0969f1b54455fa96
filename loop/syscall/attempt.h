/* SPDX-License-Identifier: ISC
 *
 * Operations as single system calls.
 */
#ifndef LOOP_SYSCALL_ATTEMPT_H
#define LOOP_SYSCALL_ATTEMPT_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

/* Tries the job's operation by one system call. Returns its result, or -EAGAIN when the call would have to wait.
 * Retries EINTR. On a thread of the pool (`may_block`) the call blocks instead, and -EINTR is returned. Not for
 * recv_multishot, work and copies. */
int64_t loop_attempt(struct loop_job *job, bool may_block);

/* Whether an accept would find a connection, or an error. Asks poll(2). */
bool loop_attempt_has_connection(const struct loop_job *job);

/* Whether -EAGAIN is the operation's result rather than a reason to wait: the caller asked not to wait, or the call is
 * a connect that has not begun. */
bool loop_attempt_is_final(const struct loop_job *job);

/* Tries a read or write at a file's position without waiting for the disk. Returns the bytes moved, possibly fewer than
 * asked for, 0 at the end, or -EAGAIN. */
int64_t loop_attempt_now(struct loop_job *job);

/* Tries a read at an offset of a file, or at its position (LOOP_CURRENT), without waiting for the disk, as
 * loop_attempt_now, for a caller without a job. */
int64_t loop_attempt_read_now(struct loop_fd *fd, void *buf, size_t len, int64_t offset);

/* Whether a thread of the pool may read at the file's position, because such a read always ends. */
bool loop_file_is_for_thread(const struct loop_fd *fd);

#endif
