/* SPDX-License-Identifier: ISC
 *
 * How a job is made, inline: all that is started passes here, and what is known where it is started is not asked again.
 */
#ifndef LOOP_JOB_H
#define LOOP_JOB_H

#include <loop/core/core.h>

#include <string.h>

static inline struct loop_slab *loop_job_slab(struct loop *loop, const struct loop_job_kind *kind)
{
    return &loop->jobs[kind->size];
}

/* What a bare job hasn't got. */
static inline void loop_job_clear_rest(struct loop_job *job, const struct loop_job_kind *kind)
{
    job->fd = NULL;
    job->in_fd.at = NULL;
    if (kind->is_written_whole) {
        return;
    }
    if (kind->size == LOOP_JOB_LARGE) {
        memset(&job->u, 0, sizeof job->u);
    } else {
        memset(&job->u, 0, sizeof job->u.small);
    }
}

/* A job in `scope`, also in one that is cancelled: then the caller has to complete it. NULL when there is no memory or
 * the scope has ended. What is before u is written one by one: that is less than clearing it first. */
static inline struct loop_job *loop_job_make(struct loop_scope *scope, const struct loop_job_kind *kind, loop_fn *fn,
                                             void *arg)
{
    struct loop *loop = scope->loop;
    LOOP_CHECK_THREAD(loop);
    struct loop_job *job = loop_scope_takes_work(scope) ? loop_slab_take(loop_job_slab(loop, kind)) : NULL;
    if (!job) {
        return NULL;
    }
    job->kind = kind;
    loop_list_init(&job->link);
    job->result = 0;
    job->fn = fn;
    job->arg = arg;
    job->op = LOOP_OP_NONE;
    job->where = LOOP_AT_START;
    job->flags = 0;
    if (kind->size != LOOP_JOB_BARE) {
        loop_job_clear_rest(job, kind);
    }
    job->scope = scope;
    loop_hlist_push(&scope->jobs, &job->in_scope);
    loop_scope_add_hold(scope, false);
    loop->stats.jobs_started++;
    return job;
}

/* Returns the result that the continuation gets: a job that ends because its scope was cancelled ends with the scope's
 * reason, one whose event cannot come with the reason for that. */
static inline int64_t loop_job_told_result(const struct loop_job *job, int64_t result)
{
    const struct loop_scope *scope = job->scope;
    if (result != -ECANCELED) {
        return result;
    }
    return scope->is_cancelled ? scope->reason : scope->loop->wait_error ? scope->loop->wait_error : result;
}

#endif
