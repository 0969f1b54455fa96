/* SPDX-License-Identifier: ISC
 *
 * What the files of loop_copy share. copy.c: the call, the buffers, and copies between two descriptors that can be
 * waited for. copy_other.c: to files, and between sources and sinks of other kinds. file_copy.c: from one regular file
 * to another.
 */
#ifndef LOOP_COPY_H
#define LOOP_COPY_H

#include <loop/fd_flow.h>

/* Beyond this a larger buffer moves bytes no faster: the copy out of the kernel is what costs. */
#define LOOP_COPY_BYTES ((size_t)65536)
#define LOOP_COPY_BULK_BYTES (4 * LOOP_COPY_BYTES) /* to files */

struct loop_spare {
    struct loop_spare *next;
    max_align_t bytes[];
};

/* A buffer, from those that are kept, and its way back. NULL: no memory. */
struct loop_spare *loop_copy_take(struct loop *loop, bool is_bulk);
void loop_copy_give(struct loop *loop, struct loop_spare *spare, bool is_bulk);

extern const struct loop_job_kind loop_copy_to_file_kind; /* begins among the readers of its fd */
extern const struct loop_job_kind loop_copy_other_kind;

/* Starts a job of the second kind. */
void loop_copy_other(struct loop *loop, struct job *job, struct loop_source *source, struct loop_sink *sink);

#endif
