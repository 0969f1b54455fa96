/* SPDX-License-Identifier: ISC
 *
 * How copies of all kinds end.
 */
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/core/unread.h>
#include <loop/flow/copy_end.h>
#include <loop/flow/own/join.h>
#include <loop/kernel/memory.h>

#include <errno.h>

/* In u.args.extra, from malloc: what a copy has that was given a struct loop_copy_more. */
struct more {
    struct loop_copy_outcome *outcome; /* or NULL */
    loop_job copy;
    struct loop_job *hold; /* in the sink's scope, while the copy runs; or NULL */
    struct loop_own_member in_source, in_sink;
};

/* ---- results ---- */

static struct more *more_of(const struct loop_job *job)
{
    return job->kind->size == LOOP_JOB_LARGE ? job->u.args.extra : NULL;
}

static void tell_outcome(const struct loop_job *job, struct loop_copy_outcome *outcome, int64_t why,
                         enum loop_copy_side side)
{
    bool is_scopes = why == -ECANCELED && job->scope->is_cancelled;
    outcome->bytes = job->u.args.copy.done;
    outcome->error = (int)(is_scopes ? loop_scope_reason(job->scope) : why);
    outcome->is_sink_error = why < 0 && side == LOOP_COPY_SINK;
}

bool loop_copy_hides_error(const struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    const struct more *more = more_of(job);
    bool is_sources = why < 0 && why != -ECANCELED && why != -ENOMEM && side == LOOP_COPY_SOURCE;
    return is_sources && job->u.args.copy.done > 0 && job->fn && !(more && more->outcome);
}

/* Parts from the source and the sink, and stops holding the sink's scope. */
static void leave_ends(struct loop *loop, struct more *more)
{
    loop_own_drop_member(&more->in_source);
    loop_own_drop_member(&more->in_sink);
    if (more->hold) {
        loop_job_complete(loop, more->hold, 0);
        more->hold = NULL;
    }
}

int64_t loop_copy_result(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    struct more *more = more_of(job);
    if (more && more->outcome) {
        tell_outcome(job, more->outcome, why, side);
    }
    if (more) {
        leave_ends(loop, more);
    }
    assert(job->u.args.copy.done >= 0);
    if (why < 0 && (job->u.args.copy.done == 0 || !job->fn)) { /* without a continuation the error is for the scope */
        return why;
    }
    if (job->fd && loop_copy_hides_error(job, why, side)) {
        loop_unread_keep_error(loop, job->fd, why);
    }
    return job->u.args.copy.done;
}

void loop_copy_note_lost(struct loop_job *job, size_t n)
{
    struct more *more = more_of(job);
    if (more && more->outcome) {
        more->outcome->lost_bytes = (int64_t)n;
    }
}

int64_t loop_copy_end_of_write(const struct loop_job *job, int64_t result, bool is_full)
{
    if (job->is_cancelled) {
        return result < 0 ? result : -ECANCELED;
    }
    if (result == 0) {
        return -EIO;
    }
    return result < 0 && !(result == -ENOBUFS && is_full) ? result : 0;
}

/* ---- the sink's scope ---- */

/* Cancels the copy: the sink's scope, which this job holds open while the copy runs, has been cancelled. */
static void cancel_hold(struct loop *loop, struct loop_job *job)
{
    const struct more *more = job->arg;
    struct loop_job *copy = loop_job_find(loop, more->copy);
    if (copy) {
        (void)loop_job_cancel(loop, copy);
    }
}

static const struct loop_job_kind hold_kind = {.name = "sink of a copy", .cancel = cancel_hold, .size = LOOP_JOB_BARE};

/* Starts the job that holds the sink's scope. 0, -ENOMEM or -ECANCELED. */
static int hold(struct more *more, struct loop_scope *scope)
{
    loop_job id;
    struct loop_job *job = loop_job_start(scope, NULL, &hold_kind, NULL, more, &id);
    if (!job) {
        return id || !loop_scope_takes_work(scope) ? -ECANCELED : -ENOMEM;
    }
    job->where = LOOP_AT_OWNER;
    more->hold = job;
    return 0;
}

/* Has the closes of the source and the sink cancel the copy. False when there is no memory. */
static bool join(struct loop_job *job, struct more *more, const struct loop_copy_more *wanted)
{
    return (!wanted->source || loop_own_add_member(wanted->source, job, &more->in_source)) &&
           (!wanted->sink || loop_own_add_sink_member(wanted->sink, job, &more->in_sink));
}

int loop_copy_add_more(struct loop_job *job, const struct loop_copy_more *wanted)
{
    struct more *more = loop_kernel_calloc(1, sizeof *more);
    if (!more) {
        return -ENOMEM;
    }
    more->copy = job->id;
    more->outcome = wanted->outcome;
    job->u.args.extra = more;
    int error = wanted->sink_scope ? hold(more, wanted->sink_scope) : 0;
    return error ? error : join(job, more, wanted) ? 0 : -ENOMEM;
}

void loop_copy_made_daemon(struct loop *loop, struct loop_job *job)
{
    const struct more *more = more_of(job);
    if (more && more->hold) {
        (void)loop_daemon(loop, more->hold->id);
    }
}
