/* SPDX-License-Identifier: ISC
 *
 * Files as sources and sinks: reads, writes and the shutdown of a descriptor that can't be polled, and the two lines in
 * which they wait for their turn.
 */
#ifndef LOOP_FLOW_DESCRIPTOR_FILE_H
#define LOOP_FLOW_DESCRIPTOR_FILE_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

extern const struct loop_job_kind loop_file_read_kind, loop_file_write_kind, loop_file_shutdown_kind;

/* Puts a job of loop_file_read_kind into the line of reads: once, or, `is_exact`, until the buffer is full. */
void loop_file_read(struct loop *loop, struct loop_job *job, struct iovec buffer, bool is_exact);

/* Puts a job of loop_file_write_kind into the line of writes. */
void loop_file_write(struct loop *loop, struct loop_job *job, const struct loop_write_state *write);

/* Puts a job of loop_file_shutdown_kind into the line of writes. */
void loop_file_shutdown(struct loop *loop, struct loop_job *job);

/* Reads at the file's position what needs no disk. Returns the count, 0 at the end, -errno; -EAGAIN where a thread
 * would have to read, or other reads are in flight or in line. */
int64_t loop_file_try_read(struct loop_fd *fd, void *buf, size_t len);

/* Frees the memory that is kept for writes to files. */
void loop_file_finish(struct loop *loop);

/* Puts a job at the end of the line of reads of its descriptor. It gets the turn by kind->turn, or, where the kind has
 * none, by the backend's start; at once where no other job has it. */
void loop_file_join_readers(struct loop *loop, struct loop_job *job);

/* Puts a job at the end of the line of writes of `fd`, and gives it the turn as loop_file_join_readers does. */
void loop_file_join_writers(struct loop *loop, struct loop_job *job, struct loop_fd *fd);

/* Gives the turn among the reads of `fd` to the next job. Does nothing where `job` does not have it. */
void loop_file_leave_readers(struct loop *loop, struct loop_fd *fd, const struct loop_job *job);

/* Gives the turn among the writes of `fd` to the next job. Does nothing where `job` does not have it. */
void loop_file_leave_writers(struct loop *loop, struct loop_fd *fd, const struct loop_job *job);

#endif
