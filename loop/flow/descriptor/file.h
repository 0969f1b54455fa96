/* SPDX-License-Identifier: ISC
 *
 * Files as sources and sinks: reads, writes and the end of a descriptor that can't be waited for, and the two lines in
 * which they stand.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>

#ifndef LOOP_FLOW_DESCRIPTOR_FILE_H
#define LOOP_FLOW_DESCRIPTOR_FILE_H

extern const struct loop_job_kind loop_file_read_kind, loop_file_write_kind, loop_file_shutdown_kind;

/* Put a job of one of those kinds into its line. */
void loop_file_read(struct loop *loop, struct loop_job *job, struct iovec buffer, bool is_exact);
void loop_file_write(struct loop *loop, struct loop_job *job, const struct loop_write_state *write);
void loop_file_shutdown(struct loop *loop, struct loop_job *job);

/* Reads at the file's position what needs no disk, if no read is under way or in line; else -EAGAIN. */
int64_t loop_file_try_read(struct loop_fd *fd, void *buf, size_t len);

/* Frees the memory that is kept for writes to files. */
void loop_file_finish(struct loop *loop);

/* The two lines of a file. What joins one gets its turn by kind->turn, or else by the backend's start; leaving
 * without having the turn does nothing. */
void loop_file_join_readers(struct loop *loop, struct loop_job *job);
void loop_file_join_writers(struct loop *loop, struct loop_job *job, struct loop_fd *fd);
void loop_file_leave_readers(struct loop *loop, struct loop_fd *fd, const struct loop_job *job);
void loop_file_leave_writers(struct loop *loop, struct loop_fd *fd, const struct loop_job *job);

#endif
