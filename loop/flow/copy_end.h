/* SPDX-License-Identifier: ISC
 *
 * How copies of all kinds end, and what they keep for that.
 *
 * Each copy uses both of its descriptors: the source's is the job's fd, the sink's is its second. So closing either
 * ends the copy, and neither object is freed while it runs. What copy_end.c keeps for some copies is in `u.args.extra`.
 */
#ifndef LOOP_FLOW_COPY_END_H
#define LOOP_FLOW_COPY_END_H

#include <loop/core/job.h>
#include <loop/core/scope.h>
#include <loop/flow.h>

enum loop_copy_side { LOOP_COPY_SOURCE, LOOP_COPY_SINK };

/* What some copies do more; each may be NULL. */
struct loop_copy_more {
    struct loop_copy_outcome *outcome; /* filled in when the copy ends */
    struct loop_scope *sink_scope;     /* held open; a cancel of it cancels the copy */
    const struct loop_source *source;  /* that the copy joins as a member (own/join.h): its close cancels the copy */
    const struct loop_sink *sink;      /* likewise */
};

/* Has a copy, whose job is large, do more. 0, -ENOMEM or -ECANCELED. */
int loop_copy_add_more(struct loop_job *job, const struct loop_copy_more *wanted);

/* Ends a copy: fills in its outcome, stops holding the sink's scope, parts from the source and the sink, and returns
 * the result for the job. `why` is 0 at the end of the source, else the error of the side `side`. Without a
 * continuation an error is the result, whatever was copied. */
int64_t loop_copy_result(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side);

/* Whether the result of a copy that ends so is a count that hides an error of the source. The next read has to return
 * that error: loop_copy_result keeps it where the source is a descriptor's. */
bool loop_copy_hides_error(const struct loop_job *job, int64_t why, enum loop_copy_side side);

/* Notes in the outcome that `n` bytes are lost: the sink has failed, and the source takes nothing back. */
void loop_copy_note_lost(struct loop_job *job, size_t n);

/* Returns why a copy ends after a write with that result, or 0 where it goes on. `is_full`: the sink's queue is full,
 * so that -ENOBUFS is no error. */
int64_t loop_copy_end_of_write(const struct loop_job *job, int64_t result, bool is_full);

/* Makes the hold of the sink's scope a daemon as well: the `made_daemon` of the kinds of copies. */
void loop_copy_made_daemon(struct loop *loop, struct loop_job *job);

#endif
