/* SPDX-License-Identifier: ISC
 *
 * Copying from a source to a sink: the call, which chooses the kind of copy for the two. descriptor_copy.c copies
 * between descriptors that can be waited for, copy_to_file.c from one of those to a file, file_copy.c between regular
 * files, copy_other.c between all others.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/core/scope.h>
#include <loop/flow/copy_end.h>
#include <loop/flow/copy_other.h>
#include <loop/flow/copy_to_file.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/flow/descriptor_copy.h>
#include <loop/flow/file_copy.h>
#include <loop/flow/own/check.h>
#include <loop/flow/own/join.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/own/own.h>
#include <loop/ground/list.h>
#include <loop/part.h>
#include <loop/syscall/role.h>

#include <assert.h>
#include <errno.h>

/* The source and the sink of a copy. */
struct ends {
    struct loop_source *source;
    struct loop_sink *sink;
    struct loop_fd *from, *to; /* the descriptors behind them; or NULL */
    struct loop_copy_outcome *outcome;
};

/* Whether `scope` is `outer` or inside it: then `outer` outlives it, and cancels it when it is cancelled itself. */
static bool is_within(const struct loop_scope *scope, const struct loop_scope *outer)
{
    while (scope && scope != outer) {
        scope = loop_scope_parent(scope);
    }
    return scope != NULL;
}

/* Returns the sink's scope where that may end before the copy's, else NULL. */
static struct loop_scope *scope_to_hold(const struct ends *ends)
{
    return is_within(ends->source->scope, ends->sink->scope) ? NULL : ends->sink->scope;
}

/* Returns what loop_copy_add_more gives the copy. */
static struct loop_copy_more more_for(const struct ends *ends)
{
    return (struct loop_copy_more){
        .outcome = ends->outcome,
        .sink_scope = scope_to_hold(ends),
        .source = loop_own_needs_member(ends->source, ends->from) ? ends->source : NULL,
        .sink = loop_own_sink_needs_member(ends->sink, ends->to) ? ends->sink : NULL,
    };
}

/* Whether the copy needs it. */
static bool needs_more(const struct ends *ends)
{
    struct loop_copy_more more = more_for(ends);
    return more.outcome || more.sink_scope || more.source || more.sink;
}

static const struct loop_job_kind *kind_for(const struct ends *ends)
{
    const struct loop_fd *from = ends->from, *to = ends->to;
    if (!from || !to) {
        return &loop_copy_other_kind;
    }
    if (loop_fd_is_stream(from) && to->write_by != LOOP_IO_BLOCKING) {
        return from == to && !needs_more(ends) ? &loop_copy_echo_kind : &loop_copy_pass_kind;
    }
    if (loop_fd_is_stream(from)) {
        return &loop_copy_to_file_kind;
    }
    return loop_file_can_copy(from, to) ? &loop_file_copy_kind : &loop_copy_other_kind;
}

/* Returns why nothing can be written to the sink: it is closed, or a write has failed or was refused whose continuation
 * has not been resumed, so that what follows would follow a gap. 0 where it can. */
static int64_t sink_error(const struct ends *ends)
{
    const struct loop_own *own = ends->sink->ops == &loop_fd_sink ? NULL : loop_own_find(ends->sink->scope, ends->sink);
    if (ends->to && ends->to->state != LOOP_FD_OPEN) {
        return -EBADF;
    }
    int64_t error = ends->to ? loop_write_gap_ahead(ends->to) : 0;
    return error ? error : own && own->has_overflowed ? -ENOBUFS : 0;
}

/* Prepares the job, before anything is read. 0, -ENOMEM or -ECANCELED. */
static int prepare(struct loop_job *job, const struct ends *ends)
{
    if (job->kind == &loop_copy_echo_kind) {
        return 0;
    }
    if (ends->to) {
        loop_job_use_second(job, ends->to);
    }
    struct loop_copy_more more = more_for(ends);
    return needs_more(ends) ? loop_copy_add_more(job, &more) : 0;
}

/* Fills in the outcome of a copy that could not begin. */
static void tell_failure(const struct ends *ends, int64_t error, bool is_sink_error)
{
    if (ends->outcome) {
        *ends->outcome = (struct loop_copy_outcome){.error = (int)error, .is_sink_error = is_sink_error};
    }
}

/* Begins a copy whose source is polled. */
static void begin_by_readiness(struct loop *loop, struct loop_job *job, const struct ends *ends)
{
    assert(ends->from);
    int64_t error = loop_role_reading(ends->from);
    if (error) {
        tell_failure(ends, error, false);
        loop_job_complete(loop, job, loop_copy_result(loop, job, error, LOOP_COPY_SOURCE));
    } else {
        loop_ready_wait_read(loop, ends->from, job);
    }
}

static void begin(struct loop *loop, struct loop_job *job, const struct ends *ends)
{
    int64_t sinks = sink_error(ends), error = sinks ? sinks : prepare(job, ends);
    if (error) {
        tell_failure(ends, error, sinks != 0);
        loop_job_complete(loop, job, loop_copy_result(loop, job, error, LOOP_COPY_SINK));
    } else if (job->kind == &loop_copy_other_kind) {
        loop_copy_other(loop, job, ends->source, ends->sink);
    } else if (job->kind == &loop_file_copy_kind) {
        loop_file_copy(loop, job);
    } else {
        begin_by_readiness(loop, job, ends);
    }
}

static loop_job start(const struct ends *ends, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop *loop = ends->source->scope->loop;
    struct loop_job *job = loop_job_start(ends->source->scope, ends->from, kind_for(ends), fn, arg, &id);
    const struct loop_job *ended = job ? NULL : loop_job_find(loop, id);
    if (job) {
        begin(loop, job, ends);
    } else if (ended) {
        tell_failure(ends, ended->result, false);
    }
    return id;
}

/* Returns the descriptor behind a sink, to which the copy writes; NULL where the sink has bytes in a queue of its own,
 * which come first. */
static struct loop_fd *fd_behind(struct loop_sink *sink)
{
    const struct loop_own *own = sink->ops == &loop_fd_sink ? NULL : loop_own_find(sink->scope, sink);
    bool has_queue = own && !loop_list_is_empty(&own->queue);
    return sink->ops->fd && !has_queue ? sink->ops->fd(sink) : NULL;
}

static struct ends ends_of(struct loop_source *source, struct loop_sink *sink)
{
    assert(source && sink);
    return (struct ends){.source = source, .sink = sink, .from = loop_source_direct_fd(source), .to = fd_behind(sink)};
}

loop_job loop_copy(struct loop_source *source, struct loop_sink *sink, loop_fn *fn, void *arg)
{
    if (!(loop_source_is_good(source, __func__) && loop_sink_is_good(sink, __func__))) {
        return 0;
    }
    struct ends ends = ends_of(source, sink);
    return start(&ends, fn, arg);
}

loop_job loop_copy_report(struct loop_source *source, struct loop_sink *sink, struct loop_copy_outcome *outcome,
                          loop_fn *fn, void *arg)
{
    if (!(loop_source_is_good(source, __func__) && loop_sink_is_good(sink, __func__))) {
        return 0;
    }
    if (!loop_check_pointer(outcome, "outcome", __func__)) {
        return 0;
    }
    struct ends ends = ends_of(source, sink);
    *outcome = (struct loop_copy_outcome){0};
    ends.outcome = outcome;
    return start(&ends, fn, arg);
}
