/* SPDX-License-Identifier: ISC
 *
 * What the close of a source or sink ends. A job that uses one joins it, and parts before it ends.
 */
#ifndef LOOP_FLOW_OWN_JOIN_H
#define LOOP_FLOW_OWN_JOIN_H

#include <loop/core/job.h>

/* Has the close of a source cancel `job`, a job without a descriptor. No effect for a source without `close`. False
 * when there is no memory. */
bool loop_own_join_source(const struct loop_source *source, struct loop_job *job);

/* Has the close of a sink cancel `job`, a large job without a second descriptor. No effect for a sink
 * without `close`. False when there is no memory. */
bool loop_own_join_sink(const struct loop_sink *sink, struct loop_job *job);

/* Undoes loop_own_join_source, before the job ends. Harmless without it. */
void loop_own_part_source(const struct loop_source *source, struct loop_job *job);

/* Undoes loop_own_join_sink, before the job ends. Harmless without it. */
void loop_own_part_sink(const struct loop_sink *sink, struct loop_job *job);

/* Cancels the jobs that joined a source, which is about to be closed. */
void loop_own_end_source(const struct loop_source *source);

/* Cancels the jobs that joined a sink, which is about to be closed. */
void loop_own_end_sink(const struct loop_sink *sink);

#endif
