/* SPDX-License-Identifier: ISC
 *
 * What the close of a source or sink ends. A job that uses one joins it, and parts before it ends.
 *
 * A job reads through what stands below its source as well: below the rest of a reader there is another source, and at
 * the bottom a source of the program's own, a descriptor, or both. Each may be closed by itself. The close of a rest
 * closes what is below, so a job joins the bottom only.
 */
#ifndef LOOP_FLOW_OWN_JOIN_H
#define LOOP_FLOW_OWN_JOIN_H

#include <loop/core/fd.h>
#include <loop/core/job.h>

/* A job in the list of a source or sink of the program's own, where its in_fd and in_second are in other lists: it uses
 * the descriptor directly, and a close that leaves the descriptor open ends it too. Zeros: in no list. */
struct loop_own_member {
    struct loop_hnode link;
    struct loop_own *own; /* of the source or sink; NULL: in no list */
    struct loop_job *job;
};

/* Whether a job that reads the source has to join it as a member. `fd` is the descriptor that it uses directly, or
 * NULL. */
bool loop_own_needs_member(const struct loop_source *source, const struct loop_fd *fd);

/* Whether a job that writes to the sink has to join it as a member. `fd` is the descriptor that it uses directly, or
 * NULL. */
bool loop_own_sink_needs_member(const struct loop_sink *sink, const struct loop_fd *fd);

/* Has the close of a source, which needs a member, cancel `job`. False when there is no memory. */
bool loop_own_add_member(const struct loop_source *source, struct loop_job *job, struct loop_own_member *member);

/* Has the close of a sink, which needs a member, cancel `job`. False when there is no memory. */
bool loop_own_add_sink_member(const struct loop_sink *sink, struct loop_job *job, struct loop_own_member *member);

/* Undoes either, before the job ends. Harmless without it. */
void loop_own_drop_member(struct loop_own_member *member);

/* Has the close of a source cancel `job`, a job without a descriptor. Below the rest of a reader this is the close of
 * the descriptor, where there is an open one: the job uses it, and `*uses_fd` is set. No effect for a source without
 * `close`. False when there is no memory. */
bool loop_own_join_source(const struct loop_source *source, struct loop_job *job, bool *uses_fd);

/* Has the close of a sink cancel `job`, a large job without a second descriptor. No effect for a sink
 * without `close`. False when there is no memory. */
bool loop_own_join_sink(const struct loop_sink *sink, struct loop_job *job);

/* Undoes loop_own_join_source, before the job ends and the source is unpinned. Harmless without it. */
void loop_own_part_source(const struct loop_source *source, struct loop_job *job, bool uses_fd);

/* Undoes loop_own_join_sink, before the job ends. Harmless without it. */
void loop_own_part_sink(const struct loop_sink *sink, struct loop_job *job);

/* Has the closes of a source, and of what is below it, cancel `job`, a job without a descriptor. `*member` gets a
 * member from malloc, where one is needed. False when there is no memory: untie it then too. */
bool loop_own_tie_source(const struct loop_source *source, struct loop_job *job, struct loop_own_member **member,
                         bool *uses_fd);

/* Undoes loop_own_tie_source, before the job ends and the source is unpinned. Harmless without it. */
void loop_own_untie_source(const struct loop_source *source, struct loop_job *job, struct loop_own_member **member,
                           bool *uses_fd);

/* Cancels the jobs that joined a source, which is about to be closed. */
void loop_own_end_source(const struct loop_source *source);

/* Cancels the jobs that joined a sink, which is about to be closed. */
void loop_own_end_sink(const struct loop_sink *sink);

#endif
