/* SPDX-License-Identifier: ISC
 *
 * How copies of all kinds end, and what they keep for that.
 *
 * Each copy holds both of its descriptors: the source's is the job's fd, the sink's its second, so that closing either
 * ends it, and neither object can go while it runs. What copy_end.c keeps for some of them is in `u.args.extra`.
 */
#ifndef LOOP_FLOW_COPY_END_H
#define LOOP_FLOW_COPY_END_H

#include <loop/core/job.h>
#include <loop/core/scope.h>

enum loop_copy_side { LOOP_COPY_SOURCE, LOOP_COPY_SINK };

/* Has the copy, a large job, fill in `outcome`, unless that is NULL, when it ends. A job in `sink_scope`, unless that
 * is NULL, keeps the scope open while the copy runs, and cancels the copy with the scope. 0, -ENOMEM, or -ECANCELED
 * where the scope is cancelled. */
int loop_copy_add_more(struct loop_job *job, struct loop_copy_outcome *outcome, struct loop_scope *sink_scope);

/* Returns the result of the copy, which ends now: `why` is 0 at the end of the source, or -errno, and `side` whose
 * error that is. Fills in the outcome and lets go of the sink's scope. */
int64_t loop_copy_result(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side);

/* Whether the copy, which ends so, returns a count and hides an error of the source. The next read has to return that:
 * loop_copy_result sees to it for descriptors. */
bool loop_copy_hides_error(const struct loop_job *job, int64_t why, enum loop_copy_side side);

/* Notes in the outcome that `n` bytes of the source are lost: neither the sink nor the source takes them. */
void loop_copy_note_lost(struct loop_job *job, size_t n);

/* Returns why the copy ends after a write with that result, or 0 where it goes on. `is_full`: others have filled the
 * sink's queue meanwhile. */
int64_t loop_copy_end_of_write(const struct loop_job *job, int64_t result, bool is_full);

/* The `made_daemon` of the kinds of copies. */
void loop_copy_made_daemon(struct loop *loop, struct loop_job *job);

#endif
