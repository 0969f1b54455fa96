/* SPDX-License-Identifier: ISC
 *
 * What the close of a source or sink ends.
 */
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/flow/own/join.h>
#include <loop/flow/own/own.h>
#include <loop/ground/index_list.h>
#include <loop/ground/list.h>

#define IN_SECOND offsetof(struct loop_job, u.args.in_second)

static struct loop_slab *large_jobs(struct loop *loop)
{
    return &loop->jobs[LOOP_JOB_LARGE];
}

bool loop_own_join_source(const struct loop_source *source, struct loop_job *job)
{
    assert(!job->fd);
    struct loop_own *own = source->ops->close ? loop_own_get(source->scope, source) : NULL;
    if (own) {
        loop_hlist_push(&own->jobs, &job->in_fd);
    }
    return own || !source->ops->close;
}

bool loop_own_join_sink(const struct loop_sink *sink, struct loop_job *job)
{
    assert(!job->u.args.second && job->kind->size == LOOP_JOB_LARGE);
    struct loop_own *own = sink->ops->close ? loop_own_get(sink->scope, sink) : NULL;
    if (own) {
        loop_index_push(large_jobs(own->loop), &own->sink_jobs, job, IN_SECOND);
    }
    return own || !sink->ops->close;
}

void loop_own_part_source(const struct loop_source *source, struct loop_job *job)
{
    struct loop_own *own = job->in_fd.at ? loop_own_find(source->scope->loop, source) : NULL;
    loop_hlist_remove(&job->in_fd);
    if (own) {
        loop_own_settle(own);
    }
}

void loop_own_part_sink(const struct loop_sink *sink, struct loop_job *job)
{
    struct loop_own *own = loop_own_find(sink->scope->loop, sink);
    const struct loop_index_node *node = &job->u.args.in_second;
    if (own && (node->newer || node->older || own->sink_jobs.first == loop_index_of(job))) {
        loop_index_remove(large_jobs(own->loop), &own->sink_jobs, job, IN_SECOND);
        loop_own_settle(own);
    }
}

/* Oldest first, as they were started. A cancel resumes nothing and completes no such job at once, so that none leaves
 * the list meanwhile. */
void loop_own_end_source(const struct loop_source *source)
{
    struct loop *loop = source->scope->loop;
    const struct loop_own *own = loop_own_find(loop, source);
    struct loop_hnode *node = own ? loop_hlist_oldest(&own->jobs) : NULL;
    for (; node; node = loop_hlist_newer(&own->jobs, node)) {
        loop_job_cancel(loop, LOOP_CONTAINER(node, struct loop_job, in_fd));
    }
}

void loop_own_end_sink(const struct loop_sink *sink)
{
    struct loop *loop = sink->scope->loop;
    const struct loop_own *own = loop_own_find(loop, sink);
    struct loop_job *job = own ? loop_index_oldest(large_jobs(loop), &own->sink_jobs, IN_SECOND) : NULL;
    for (; job; job = loop_index_newer(large_jobs(loop), job, IN_SECOND)) {
        loop_job_cancel(loop, job);
    }
}
