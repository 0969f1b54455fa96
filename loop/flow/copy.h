/* SPDX-License-Identifier: ISC
 *
 * What the files of loop_copy share. copy.c: the call, the buffers, how a copy ends, and copies between two descriptors
 * that can be waited for. copy_other.c: to files, and between sources and sinks of other kinds. file_copy.c: from one
 * regular file to another.
 *
 * Each copy holds both of its descriptors: the source's is the job's fd, the sink's its second, so that closing either
 * ends it, and neither object can go while it runs. What few copies have beside is in `u.args.extra`.
 */
#ifndef LOOP_COPY_H
#define LOOP_COPY_H

#include <loop/flow/descriptor/descriptor.h>
#include <loop/core/unread.h>

/* Beyond this a larger buffer moves bytes no faster: the copy out of the kernel is what costs. */
#define LOOP_COPY_BYTES ((size_t)65536)
#define LOOP_COPY_BULK_BYTES (4 * LOOP_COPY_BYTES) /* to files */

/* Beside the bytes a buffer has room for so many more, for what copy_other.c keeps in front of them. */
#define LOOP_COPY_MORE_ROOM 128

/* A copy that was asked to tell its outcome, or whose sink is of another scope. */
struct loop_copy_more {
    struct loop_copy_outcome *outcome; /* or NULL */
    loop_job copy;
    struct loop_job *hold; /* in the sink's scope, for as long as the copy runs; or NULL */
};

/* A buffer, from those that are kept, and its way back. NULL: no memory. */
struct loop_block *loop_copy_take(struct loop *loop, bool is_bulk);
void loop_copy_give(struct loop *loop, struct loop_block *block, bool is_bulk);

enum loop_copy_side { LOOP_COPY_SOURCE, LOOP_COPY_SINK };

/* What the continuation of the copy is to get, which ends now: `why` is 0 at the end of the source, or -errno, and
 * `side` whose error that is. Lets go of the sink's scope. */
int64_t loop_copy_result(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side);

/* Whether the copy, which ends so, tells a count, and nothing of the source's error. A source tells an error once, so
 * that its next read has to get it: loop_copy_result sees to that for descriptors. */
bool loop_copy_hides_error(const struct loop_job *job, int64_t why, enum loop_copy_side side);

/* `n` bytes of the source are lost: neither the sink nor the source takes them. */
void loop_copy_note_lost(struct loop_job *job, size_t n);

/* The `made_daemon` of copies. */
void loop_copy_made_daemon(struct loop *loop, struct loop_job *job);

/* ---- copy_other.c ---- */

extern const struct loop_job_kind loop_copy_to_file_kind; /* begins among the readers of its fd */
extern const struct loop_job_kind loop_copy_other_kind;

/* Starts a job of the second kind. */
void loop_copy_other(struct loop *loop, struct loop_job *job, struct loop_source *source, struct loop_sink *sink);

#endif
