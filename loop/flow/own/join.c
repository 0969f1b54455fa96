/* SPDX-License-Identifier: ISC
 *
 * What the close of a source or sink ends.
 */
#include <loop/core/close.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/join.h>
#include <loop/flow/own/own.h>
#include <loop/flow/own/rest.h>
#include <loop/ground/index_list.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>

#define IN_SECOND offsetof(struct loop_job, u.args.in_second)

static struct loop_slab *large_jobs(struct loop *loop)
{
    return &loop->jobs[LOOP_JOB_LARGE];
}

/* ---- sources on top of others ---- */

/* Returns the source from which the bytes of a source come in the end. */
static const struct loop_source *bottom_of(const struct loop_source *source)
{
    return loop_source_is_rest(source) ? ((const struct loop_rest *)source->self)->bottom : source;
}

/* Returns the descriptor below the rest of a reader, also a closed one; NULL where there is none, and for a source that
 * is no rest. */
static struct loop_fd *fd_below(const struct loop_source *source)
{
    return loop_source_is_rest(source) ? ((const struct loop_rest *)source->self)->fd : NULL;
}

/* Returns the source whose close ends a job without a descriptor: the one at the bottom, where that can be closed. */
static const struct loop_source *closed_by(const struct loop_source *source)
{
    const struct loop_source *bottom = bottom_of(source);
    return bottom->ops != &loop_fd_source && bottom->ops->close ? bottom : source;
}

/* ---- members ---- */

bool loop_own_needs_member(const struct loop_source *source, const struct loop_fd *fd)
{
    const struct loop_source *bottom = bottom_of(source);
    return (fd || fd_below(source)) && bottom->ops != &loop_fd_source && bottom->ops->close;
}

bool loop_own_sink_needs_member(const struct loop_sink *sink, const struct loop_fd *fd)
{
    return fd && sink->ops != &loop_fd_sink && sink->ops->close;
}

static bool add_member(struct loop_scope *scope, const void *end, struct loop_job *job, struct loop_own_member *member)
{
    struct loop_own *own = loop_own_get(scope, end);
    assert(!member->own);
    if (own) {
        member->own = own;
        member->job = job;
        loop_hlist_push(&own->members, &member->link);
    }
    return own != NULL;
}

bool loop_own_add_member(const struct loop_source *source, struct loop_job *job, struct loop_own_member *member)
{
    const struct loop_source *bottom = bottom_of(source);
    return add_member(bottom->scope, bottom, job, member);
}

bool loop_own_add_sink_member(const struct loop_sink *sink, struct loop_job *job, struct loop_own_member *member)
{
    return add_member(sink->scope, sink, job, member);
}

void loop_own_drop_member(struct loop_own_member *member)
{
    struct loop_own *own = member->own;
    if (own) {
        loop_hlist_remove(&member->link);
        member->own = NULL;
        loop_own_settle(own);
    }
}

/* Oldest first. A cancel may drop its member, but no other. */
static void cancel_members(struct loop *loop, const struct loop_own *own)
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = loop_hlist_oldest(&own->members); node; node = next) {
        next = loop_hlist_newer(&own->members, node);
        loop_job_cancel(loop, LOOP_CONTAINER(node, struct loop_own_member, link)->job);
    }
}

/* ---- jobs without a descriptor ---- */

bool loop_own_join_source(const struct loop_source *source, struct loop_job *job, bool *uses_fd)
{
    struct loop_fd *fd = fd_below(source);
    assert(!job->fd);
    *uses_fd = fd && fd->state == LOOP_FD_OPEN;
    if (*uses_fd) {
        fd->uses++;
        loop_hlist_push(&fd->jobs, &job->in_fd);
        return true;
    }
    source = closed_by(source);
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

void loop_own_part_source(const struct loop_source *source, struct loop_job *job, bool uses_fd)
{
    const struct loop_source *end = job->in_fd.at && !uses_fd ? closed_by(source) : NULL;
    struct loop_own *own = end ? loop_own_find(end->scope, end) : NULL;
    loop_hlist_remove(&job->in_fd);
    if (own) {
        loop_own_settle(own);
    }
    if (uses_fd) {
        loop_fd_drop_use(fd_below(source));
    }
}

void loop_own_part_sink(const struct loop_sink *sink, struct loop_job *job)
{
    struct loop_own *own = loop_own_find(sink->scope, sink);
    const struct loop_index_node *node = &job->u.args.in_second;
    if (own && (node->newer || node->older || own->sink_jobs.first == loop_index_of(job))) {
        loop_index_remove(large_jobs(own->loop), &own->sink_jobs, job, IN_SECOND);
        loop_own_settle(own);
    }
}

bool loop_own_tie_source(const struct loop_source *source, struct loop_job *job, struct loop_own_member **member,
                         bool *uses_fd)
{
    bool needs_member = loop_own_needs_member(source, NULL);
    *member = needs_member ? loop_kernel_calloc(1, sizeof **member) : NULL;
    bool has_joined = !needs_member || (*member && loop_own_add_member(source, job, *member));
    return has_joined && loop_own_join_source(source, job, uses_fd);
}

void loop_own_untie_source(const struct loop_source *source, struct loop_job *job, struct loop_own_member **member,
                           bool *uses_fd)
{
    if (*member) {
        loop_own_drop_member(*member);
        loop_kernel_free(*member);
        *member = NULL;
    }
    loop_own_part_source(source, job, *uses_fd);
    *uses_fd = false;
}

/* ---- closes ---- */

/* Oldest first, as they were started. A cancel resumes nothing and completes no job of the first list at once, so that
 * none leaves it meanwhile. */
void loop_own_end_source(const struct loop_source *source)
{
    struct loop *loop = source->scope->loop;
    const struct loop_own *own = loop_own_find(source->scope, source);
    struct loop_hnode *node = own ? loop_hlist_oldest(&own->jobs) : NULL;
    for (; node; node = loop_hlist_newer(&own->jobs, node)) {
        loop_job_cancel(loop, LOOP_CONTAINER(node, struct loop_job, in_fd));
    }
    if (own) {
        cancel_members(loop, own);
    }
}

void loop_own_end_sink(const struct loop_sink *sink)
{
    struct loop *loop = sink->scope->loop;
    const struct loop_own *own = loop_own_find(sink->scope, sink);
    struct loop_job *job = own ? loop_index_oldest(large_jobs(loop), &own->sink_jobs, IN_SECOND) : NULL;
    for (; job; job = loop_index_newer(large_jobs(loop), job, IN_SECOND)) {
        loop_job_cancel(loop, job);
    }
    if (own) {
        cancel_members(loop, own);
    }
}
