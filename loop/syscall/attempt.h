/* SPDX-License-Identifier: ISC
 *
 * One try of an operation by a system call.
 */
#ifndef LOOP_SYSCALL_ATTEMPT_H
#define LOOP_SYSCALL_ATTEMPT_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

/* One system call for the job's operation that doesn't wait for readiness: -EAGAIN where it would. On a thread of the
 * pool
 * (`may_block`) it waits instead. Multishot operations are not for this. EINTR is retried. */
int64_t loop_attempt(struct loop_job *job, bool may_block);

/* Whether -EAGAIN is the operation's result rather than a reason to wait: where the caller asked not to wait, and a
 * connect's own. */
bool loop_attempt_is_final(const struct loop_job *job);

/* One try of a flow's read or write at a file's position that doesn't wait for the disk: as much as there is, or
 * -EAGAIN.
 */
int64_t loop_attempt_now(struct loop_job *job);

/* The same for a read that is no job. */
int64_t loop_attempt_read_now(struct loop_fd *fd, void *buf, size_t len);

/* Whether a thread of the pool may read at the file's position: such a read does not wait for ever. */
bool loop_file_is_for_thread(const struct loop_fd *fd);

#endif
