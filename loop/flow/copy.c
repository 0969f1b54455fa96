/* SPDX-License-Identifier: ISC
 *
 * Copying from a source to a sink. Between two descriptors that can be waited for, a copy reads into a spare buffer of
 * the loop and writes it at once: the buffer stays in the cache and serves one connection after the other. Only where
 * the sink is slow does the copy keep the buffer, with what is left in it, and reads no more until that is gone. A copy
 * that ends with bytes in its buffer gives them back to the source, as unread bytes.
 */
#include <loop/flow/check.h>
#include <loop/flow/copy.h>
#include <loop/flow/file_copy.h>
#include <loop/syscall/io.h>
#include <loop/flow/own/own.h>
#include <loop/part.h>

#include <errno.h>
#include <stdlib.h>

/* ---- buffers ---- */

/* So many are kept; the rest goes back to malloc. */
#define SPARES_KEPT 16
#define BULKS_KEPT 4

static struct loop_block *take(struct loop_spares *spares, size_t bytes)
{
    struct loop_block *block = spares->first;
    if (!block) {
        return malloc(sizeof *block + LOOP_COPY_MORE_ROOM + bytes);
    }
    spares->first = block->next;
    spares->n--;
    return block;
}

static void give(struct loop_spares *spares, struct loop_block *block, unsigned most)
{
    if (spares->n >= most) {
        free(block);
        return;
    }
    block->next = spares->first;
    spares->first = block;
    spares->n++;
}

static struct loop_block *take_spare(struct loop *loop)
{
    return take(&loop->spares, LOOP_COPY_BYTES);
}

static void give_spare(struct loop *loop, struct loop_block *spare)
{
    give(&loop->spares, spare, SPARES_KEPT);
}

struct loop_block *loop_copy_take(struct loop *loop, bool is_bulk)
{
    return is_bulk ? take(&loop->bulks, LOOP_COPY_BULK_BYTES) : take_spare(loop);
}

void loop_copy_give(struct loop *loop, struct loop_block *block, bool is_bulk)
{
    give(is_bulk ? &loop->bulks : &loop->spares, block, is_bulk ? BULKS_KEPT : SPARES_KEPT);
}

static void free_all(struct loop_spares *spares)
{
    while (spares->first) {
        free(take(spares, 0));
    }
}

void loop_copy_finish(struct loop *loop)
{
    free_all(&loop->spares);
    free_all(&loop->bulks);
}

/* ---- how a copy ends ---- */

static struct loop_copy_more *more_of(const struct loop_job *job)
{
    return job->kind->size == LOOP_JOB_LARGE ? job->u.args.extra : NULL;
}

static void tell_outcome(const struct loop_job *job, struct loop_copy_outcome *outcome, int64_t why,
                         enum loop_copy_side side)
{
    bool is_scopes = why == -ECANCELED && job->scope->is_cancelled;
    outcome->bytes = job->u.args.copy.done;
    outcome->error = (int)(is_scopes ? job->scope->reason : why);
    outcome->is_sink_error = why < 0 && side == LOOP_COPY_SINK;
}

bool loop_copy_hides_error(const struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    const struct loop_copy_more *more = more_of(job);
    bool is_sources = why < 0 && why != -ECANCELED && why != -ENOMEM && side == LOOP_COPY_SOURCE;
    return is_sources && job->u.args.copy.done > 0 && job->fn && !(more && more->outcome);
}

/* Without a continuation a count would tell nobody that the copy has failed: the error is for the scope. */
int64_t loop_copy_result(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    struct loop_copy_more *more = more_of(job);
    if (more && more->outcome) {
        tell_outcome(job, more->outcome, why, side);
    }
    if (more && more->hold) {
        loop_job_complete(loop, more->hold, 0);
        more->hold = NULL;
    }
    if (why < 0 && (job->u.args.copy.done == 0 || !job->fn)) {
        return why;
    }
    if (job->fd && loop_copy_hides_error(job, why, side)) {
        loop_unread_keep_error(loop, job->fd, why);
    }
    return job->u.args.copy.done;
}

void loop_copy_note_lost(struct loop_job *job, size_t n)
{
    struct loop_copy_more *more = more_of(job);
    if (more && more->outcome) {
        more->outcome->lost_bytes = (int64_t)n;
    }
}

/* ---- the sink's scope ---- */

/* The sink's scope may be another than the copy's: a job in it holds it open as long as the copy runs, and hears when
 * it is cancelled. */
static void cancel_hold(struct loop *loop, struct loop_job *job)
{
    const struct loop_copy_more *more = job->arg;
    struct loop_job *copy = loop_job_find(loop, more->copy);
    if (copy) {
        (void)loop_job_cancel(loop, copy);
    }
}

static const struct loop_job_kind hold_kind = {.name = "sink of a copy", .cancel = cancel_hold, .size = LOOP_JOB_BARE};

static int hold(struct loop_copy_more *more, struct loop_scope *scope)
{
    bool ended;
    struct loop_job *job = loop_job_start(scope, NULL, &hold_kind, NULL, more, &ended);
    if (!job) {
        return loop_scope_takes_work(scope) ? -ENOMEM : -ECANCELED;
    }
    if (ended) {
        return -ECANCELED;
    }
    job->where = LOOP_AT_OWNER;
    more->hold = job;
    return 0;
}

void loop_copy_made_daemon(struct loop *loop, struct loop_job *job)
{
    const struct loop_copy_more *more = more_of(job);
    if (more && more->hold) {
        (void)loop_daemon(loop, more->hold->id);
    }
}

/* A scope outlives those inside it, and cancels them when it is cancelled. */
static bool is_within(const struct loop_scope *scope, const struct loop_scope *outer)
{
    while (scope && scope != outer) {
        scope = scope->parent;
    }
    return scope != NULL;
}

/* ---- between two descriptors ---- */

/* An echo, whose sink is its source's descriptor, waits on every idle connection: it is a small job, without `second`.
 */
static_assert(offsetof(struct loop_copy_args, inner) <= sizeof(((struct loop_job *)0)->u.small),
              "an echo is a small job");

static const struct loop_job_kind echo_kind, pass_kind;

static struct loop_fd *sink_of(const struct loop_job *job)
{
    return job->kind == &echo_kind ? job->fd : job->u.args.second;
}

static void give_back(struct loop *loop, struct loop_job *job)
{
    struct loop_copy_args *args = &job->u.args.copy;
    struct loop_block *spare = args->block;
    if (spare) {
        args->block = NULL;
        spare->at = (size_t)((char *)args->rest.iov_base - (char *)spare->bytes);
        spare->end = spare->at + args->rest.iov_len;
        loop_unread_put(loop, job->fd, spare);
    }
}

static void cancel_copy(struct loop *loop, struct loop_job *job)
{
    give_back(loop, job);
    loop_job_complete(loop, job, loop_copy_result(loop, job, -ECANCELED, LOOP_COPY_SOURCE));
}

static enum loop_attempt end_copy(struct loop *loop, struct loop_job *job, int64_t why, enum loop_copy_side side)
{
    give_back(loop, job);
    job->result = loop_copy_result(loop, job, why, side);
    return LOOP_ATTEMPT_DONE;
}

static bool has_room(const struct loop_fd *to)
{
    return (to->ready & POLLOUT) && loop_list_is_empty(&to->writers);
}

/* The job keeps what the sink hasn't taken; `written` is what came of writing it. */
static enum loop_attempt keep_rest(struct loop *loop, struct loop_job *job, struct loop_block *spare, size_t len,
                                   int64_t written)
{
    size_t n = written > 0 ? (size_t)written : 0;
    job->u.args.copy.block = spare;
    job->u.args.copy.rest = (struct iovec){(char *)spare->bytes + n, len - n};
    if (written < 0 && written != -EAGAIN) {
        return end_copy(loop, job, written, LOOP_COPY_SINK);
    }
    loop_list_remove(&job->link);
    loop_ready_wait_write(loop, sink_of(job), job);
    return LOOP_ATTEMPT_MOVED;
}

/* Reads into the hottest spare buffer and writes it at once. */
static enum loop_attempt read_some(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *from = job->fd, *to = sink_of(job);
    struct loop_block *spare = take_spare(loop);
    if (!spare) {
        return end_copy(loop, job, -ENOMEM, LOOP_COPY_SOURCE);
    }
    int64_t n = loop_io_read_one(from, spare->bytes, LOOP_COPY_BYTES);
    if (n <= 0) {
        give_spare(loop, spare);
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : end_copy(loop, job, n, LOOP_COPY_SOURCE);
    }
    int64_t written = has_room(to) ? loop_io_write_one(to, spare->bytes, (size_t)n) : -EAGAIN;
    job->u.args.copy.done += written > 0 ? written : 0;
    if (written != n) {
        return keep_rest(loop, job, spare, (size_t)n, written);
    }
    give_spare(loop, spare);
    return from->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
}

static enum loop_attempt write_some(struct loop *loop, struct loop_job *job)
{
    struct loop_copy_args *args = &job->u.args.copy;
    int64_t n = loop_io_write_one(sink_of(job), args->rest.iov_base, args->rest.iov_len);
    if (n < 0) {
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : end_copy(loop, job, n, LOOP_COPY_SINK);
    }
    args->done += n;
    args->rest = (struct iovec){(char *)args->rest.iov_base + n, args->rest.iov_len - (size_t)n};
    if (args->rest.iov_len == 0) {
        give_spare(loop, args->block);
        args->block = NULL;
        loop_list_remove(&job->link);
        loop_ready_wait_read(loop, job->fd, job);
    }
    return LOOP_ATTEMPT_MOVED;
}

static enum loop_attempt attempt_copy(struct loop *loop, struct loop_job *job)
{
    return job->u.args.copy.block ? write_some(loop, job) : read_some(loop, job);
}

static const struct loop_job_kind echo_kind = {.name = "copy", .cancel = cancel_copy, .attempt = attempt_copy};
static const struct loop_job_kind pass_kind = {.name = "copy",
                                               .cancel = cancel_copy,
                                               .attempt = attempt_copy,
                                               .made_daemon = loop_copy_made_daemon,
                                               .uses_args = true,
                                               .size = LOOP_JOB_LARGE};

/* ---- the call ---- */

/* What a copy is between. */
struct ends {
    struct loop_source *source;
    struct loop_sink *sink;
    struct loop_fd *from, *to; /* or NULL */
    struct loop_copy_outcome *outcome;
};

static bool needs_more(const struct ends *ends)
{
    return ends->outcome || !is_within(ends->source->scope, ends->sink->scope);
}

static const struct loop_job_kind *kind_for(const struct ends *ends)
{
    const struct loop_fd *from = ends->from, *to = ends->to;
    if (!from || !to) {
        return &loop_copy_other_kind;
    }
    if (loop_fd_is_stream(from) && to->write_by != LOOP_IO_BLOCKING) {
        return from == to && !needs_more(ends) ? &echo_kind : &pass_kind;
    }
    if (loop_fd_is_stream(from)) {
        return &loop_copy_to_file_kind;
    }
    return loop_file_can_copy(from, to) ? &loop_file_copy_kind : &loop_copy_other_kind;
}

static int add_more(struct loop_job *job, const struct ends *ends)
{
    struct loop_copy_more *more = calloc(1, sizeof *more);
    if (!more) {
        return -ENOMEM;
    }
    more->copy = job->id;
    more->outcome = ends->outcome;
    job->u.args.extra = more;
    return is_within(ends->source->scope, ends->sink->scope) ? 0 : hold(more, ends->sink->scope);
}

/* Nothing is read before it is known that the sink can be written to. */
static int prepare(struct loop_job *job, const struct ends *ends)
{
    if (ends->to && ends->to->state != LOOP_FD_OPEN) {
        return -EBADF;
    }
    if (job->kind == &echo_kind) {
        return 0;
    }
    if (ends->to) {
        loop_job_use_second(job, ends->to);
    }
    return needs_more(ends) ? add_more(job, ends) : 0;
}

/* Of a copy that couldn't begin. */
static void tell_failure(const struct ends *ends, int64_t error, bool is_sink_error)
{
    if (ends->outcome) {
        *ends->outcome = (struct loop_copy_outcome){.error = (int)error, .is_sink_error = is_sink_error};
    }
}

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
    int error = prepare(job, ends);
    if (error) {
        tell_failure(ends, error, error == -EBADF);
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
    bool ended;
    struct loop *loop = ends->source->scope->loop;
    struct loop_job *job = loop_job_start(ends->source->scope, ends->from, kind_for(ends), fn, arg, &ended);
    loop_job id = job ? job->id : 0;
    if (job && ended) {
        tell_failure(ends, job->result, false);
    } else if (job) {
        begin(loop, job, ends);
    }
    return id;
}

/* The copy writes to the descriptor behind a sink, unless the sink has bytes in its own queue, which come first. */
static struct loop_fd *fd_behind(struct loop_sink *sink)
{
    const struct loop_own *own = sink->ops == &loop_fd_sink ? NULL : loop_own_find(sink->scope->loop, sink);
    bool has_queue = own && !loop_list_is_empty(&own->queue);
    return sink->ops->fd && !has_queue ? sink->ops->fd(sink) : NULL;
}

static struct ends ends_of(struct loop_source *source, struct loop_sink *sink)
{
    return (struct ends){.source = source,
                         .sink = sink,
                         .from = source->ops->fd ? source->ops->fd(source) : NULL,
                         .to = fd_behind(sink)};
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
