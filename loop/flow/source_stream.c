/* SPDX-License-Identifier: ISC
 *
 * Streams over files, and over sources of the program's own. An idle stream holds no chunk, so that any number of them
 * leaves the region to others. Where the source has try_read, the stream takes a chunk for that call and gives it back
 * when nothing was there; then it waits without one (wait_readable). Otherwise it reads into a buffer of its own and
 * copies what has come into a chunk. Where there is no memory to wait for the chunk the bytes go back to the source.
 *
 * A stream waits for one inner job (a wait, a read, a chunk), or is due in the run queue, or is paused. go_on decides
 * what is next. It is called from the dispatch only.
 */
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/region.h>
#include <loop/core/scope.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/join.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/own/pin.h>
#include <loop/flow/own/read.h>
#include <loop/flow/source_stream.h>
#include <loop/flow/stream_state.h>
#include <loop/kernel/memory.h>

#include <errno.h>

#define BUFFER_MAX ((size_t)65536)      /* beyond this a larger read moves bytes no faster */
#define BUFFER_ALIGNMENT ((size_t)4096) /* what a file opened with O_DIRECT asks for */

struct source_stream {
    struct loop_stream stream; /* must be first */
    struct loop_source *source;
    loop_job inner;                 /* what it waits for, or 0 */
    struct loop_block *buffer;      /* from aligned_alloc, at the first read into it; or NULL */
    struct loop_own *record;        /* held with the buffer; or NULL */
    struct loop_own_member *member; /* of loop_own_tie_source */
    uint32_t n_buffered;            /* bytes in it that have not been lent */
    int32_t status;                 /* what the source has ended with */
    bool has_ended;
    bool cannot_try, cannot_wait; /* the source has no such function */
    bool wants_chunk;             /* the inner job waits for a chunk */
    bool was_empty;               /* the last try found nothing: the stream waits before the next */
    bool is_calling;              /* a function of the source is on the stack: go_on goes on after it */
    bool uses_fd;                 /* of loop_own_tie_source */
};

static_assert(sizeof(struct source_stream) <= sizeof(((struct loop_job *)0)->u.large), "fits into a large job");

static struct source_stream *state_of(struct loop_job *job)
{
    return (struct source_stream *)(void *)job->u.large;
}

/* Has go_on called from the dispatch. */
static void go_on_soon(struct loop *loop, struct loop_job *job)
{
    loop_job_backend_complete(loop, job, 0);
}

/* Waits for the inner job that has been started. False when none was. */
static bool wait_for(struct loop *loop, struct source_stream *state, const struct loop_scope *scope, loop_job inner)
{
    assert(!state->inner);
    state->inner = loop_job_inner(loop, inner, scope);
    return inner != 0;
}

/* Returns the bytes of the buffer, which are aligned. */
static char *bytes_of(struct loop_block *buffer)
{
    return (char *)buffer + BUFFER_ALIGNMENT;
}

/* Frees the buffer. What is left in it goes back to the source. */
static void drop_buffer(struct source_stream *state)
{
    if (state->n_buffered > 0) {
        size_t at = (size_t)(bytes_of(state->buffer) - (char *)state->buffer->bytes);
        *state->buffer = (struct loop_block){.at = at, .end = at + state->n_buffered};
        (void)loop_source_give_back(state->source, state->buffer);
    } else {
        loop_kernel_free(state->buffer);
    }
    loop_own_release(state->record);
    state->buffer = NULL;
}

/* Ends the stream. From the dispatch only. */
static void finish(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct source_stream *state = state_of(job);
    loop_stream_give_reserved(loop, &state->stream);
    drop_buffer(state);
    if (!job->fd) {
        loop_own_untie_source(state->source, job, &state->member, &state->uses_fd);
    }
    loop_source_unpin(state->source);
    loop_job_finish(loop, job, result);
}

/* ---- chunks ---- */

static void go_on(struct loop *loop, struct loop_job *job, int64_t unused);

/* Goes on with the chunk that has come. Without one, in a cancelled scope, drops the bytes in the buffer. */
static void on_chunk(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct source_stream *state = state_of(job);
    state->inner = 0;
    state->wants_chunk = false;
    if (result < 0 && job->scope->is_cancelled) {
        state->n_buffered = 0;
    }
    go_on(job->scope->loop, job, 0);
}

/* Returns a chunk; NULL when the stream now waits for one, or has ended. */
static struct loop_chunk *take_chunk(struct loop *loop, struct loop_job *job)
{
    struct source_stream *state = state_of(job);
    struct loop_chunk *chunk = state->stream.reserved ? state->stream.reserved : loop_region_take(loop);
    state->stream.reserved = NULL;
    if (!chunk) {
        loop_job inner = loop_chunk_alloc_wait(job->scope, &state->stream.reserved, on_chunk, job);
        state->wants_chunk = true;
        if (!wait_for(loop, state, job->scope, inner)) {
            finish(loop, job, -ENOMEM);
        }
    }
    return chunk;
}

/* Lends what is in chunks to the continuation, which may pause or cancel the stream. The stream goes on after other
 * jobs had their turn. */
static void deliver(struct loop *loop, struct loop_job *job)
{
    loop_stream_deliver(loop, job);
    go_on_soon(loop, job);
}

/* Lends a chunk. It is kept where the source's function, which has filled it, has paused the stream. */
static void lend(struct loop *loop, struct loop_job *job, struct loop_chunk *chunk, size_t used)
{
    loop_stream_push(loop_stream_of(job), chunk, used);
    deliver(loop, job);
}

/* Lends what is in the buffer, when there is a chunk. */
static void lend_buffered(struct loop *loop, struct loop_job *job)
{
    struct source_stream *state = state_of(job);
    struct loop_chunk *chunk = take_chunk(loop, job);
    if (chunk) {
        size_t used = state->n_buffered;
        state->n_buffered = 0;
        memcpy(loop_chunk_memory(chunk), bytes_of(state->buffer), used);
        lend(loop, job, chunk, used);
    }
}

/* ---- reading ---- */

/* Notes that the source has ended. */
static void end(struct source_stream *state, int64_t status)
{
    state->has_ended = true;
    state->status = (int32_t)status;
}

/* Calls the source's try_read. False when nothing was there, so that the stream has to wait. */
static bool try_source(struct loop *loop, struct loop_job *job)
{
    struct source_stream *state = state_of(job);
    struct loop_chunk *chunk = take_chunk(loop, job);
    if (!chunk) {
        return true;
    }
    state->is_calling = true;
    int64_t n = loop_try_read(state->source, loop_chunk_memory(chunk), chunk->loop->region.block_size);
    state->is_calling = false;
    if (n > 0) {
        lend(loop, job, chunk, (size_t)n);
        return true;
    }
    loop_region_give(loop, chunk);
    state->was_empty = n == -EAGAIN;
    if (state->was_empty) {
        return false;
    }
    finish(loop, job, n);
    return true;
}

static void on_readable(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct source_stream *state = state_of(job);
    state->inner = 0;
    if (result == -EOPNOTSUPP) {
        state->cannot_wait = true;
    } else if (result < 0) {
        end(state, result);
    } else {
        state->was_empty = false;
    }
    go_on(job->scope->loop, job, 0);
}

static size_t buffer_length(const struct loop *loop)
{
    return loop->region.block_size < BUFFER_MAX ? loop->region.block_size : BUFFER_MAX;
}

static void on_read(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct source_stream *state = state_of(job);
    state->inner = 0;
    state->was_empty = false;
    result =
        loop_own_checked(job->scope->loop, "read of a source of one's own", result, buffer_length(job->scope->loop));
    if (result > 0) {
        state->n_buffered = (uint32_t)result;
    } else {
        end(state, result);
    }
    go_on(job->scope->loop, job, 0);
}

/* Allocates the buffer. False when there is no memory. */
static bool make_buffer(struct source_stream *state, size_t len)
{
    size_t pages = (len + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT + 1; /* the first is for the block's fields */
    if (!loop_source_hold(state->source, &state->record)) {
        return false;
    }
    state->buffer = loop_kernel_aligned_alloc(BUFFER_ALIGNMENT, pages * BUFFER_ALIGNMENT);
    if (!state->buffer) {
        loop_own_release(state->record);
        state->record = NULL;
    }
    return state->buffer != NULL;
}

/* Starts a read into the buffer. 0 when there is no memory. */
static loop_job read_to_buffer(struct loop *loop, struct loop_job *job)
{
    struct source_stream *state = state_of(job);
    size_t len = buffer_length(loop);
    bool has_buffer = state->buffer || make_buffer(state, len);
    return has_buffer ? loop_source_read(state->source, bytes_of(state->buffer), len, on_read, job) : 0;
}

/* Waits for bytes without a chunk. The source's function may cancel the stream. */
static void wait_for_bytes(struct loop *loop, struct loop_job *job)
{
    struct source_stream *state = state_of(job);
    state->is_calling = true;
    loop_job inner =
        state->cannot_wait ? read_to_buffer(loop, job) : loop_wait_readable(state->source, on_readable, job);
    state->is_calling = false;
    if (!wait_for(loop, state, job->scope, inner)) {
        finish(loop, job, job->is_cancelled ? -ECANCELED : -ENOMEM);
    } else if (job->is_cancelled) {
        loop_cancel(loop, inner);
    }
}

/* ---- what is next ---- */

static void go_on(struct loop *loop, struct loop_job *job, int64_t unused)
{
    struct source_stream *state = state_of(job);
    (void)unused;
    assert(!state->inner && !job->is_delivering);
    job->where = LOOP_AT_OWNER;
    if (job->is_paused && !job->is_cancelled) {
        loop_stream_give_reserved(loop, &state->stream); /* for others, while the stream is paused */
    } else if (state->stream.last) {
        deliver(loop, job);
    } else if (state->n_buffered > 0) {
        lend_buffered(loop, job);
    } else if (state->has_ended || job->is_cancelled) {
        finish(loop, job, state->has_ended ? state->status : -ECANCELED);
    } else if (state->cannot_try || state->was_empty || !try_source(loop, job)) {
        wait_for_bytes(loop, job);
    }
}

/* Cancels the stream, which first lends what has been read: a wait for a chunk for that goes on. */
static void cancel(struct loop *loop, struct loop_job *job)
{
    struct source_stream *state = state_of(job);
    if (job->is_delivering || state->is_calling || (state->wants_chunk && state->n_buffered > 0)) {
        return;
    }
    if (state->inner) {
        loop_cancel(loop, state->inner);
    } else {
        go_on_soon(loop, job);
    }
}

static int pause_stream(struct loop *loop, struct loop_job *job)
{
    struct source_stream *state = state_of(job);
    job->is_paused = true;
    if (state->wants_chunk && !job->is_cancelled) {
        loop_cancel(loop, state->inner);
    }
    return 0;
}

static int resume_stream(struct loop *loop, struct loop_job *job)
{
    struct source_stream *state = state_of(job);
    bool is_idle = !state->inner && !state->is_calling && job->where == LOOP_AT_OWNER;
    if (loop_stream_unpause(job) && is_idle) {
        go_on_soon(loop, job);
    }
    return 0;
}

static const struct loop_job_kind stream_kind = {.name = "stream",
                                                 .cancel = cancel,
                                                 .backend_done = go_on,
                                                 .pause = pause_stream,
                                                 .resume = resume_stream,
                                                 .size = LOOP_JOB_LARGE,
                                                 .continuation = LOOP_CALLS_STREAM_FN};

/* ---- starting ---- */

/* Returns the descriptor whose source it is, which the stream uses, or NULL. */
static struct loop_fd *fd_of(const struct loop_source *source)
{
    return source->ops == &loop_fd_source ? loop_fd_of_source(source) : NULL;
}

static void start(struct loop *loop, struct loop_job *job, struct loop_source *source)
{
    struct source_stream *state = state_of(job);
    *state = (struct source_stream){.source = source,
                                    .cannot_try = !source->ops->try_read,
                                    .cannot_wait = !source->ops->wait_readable || fd_of(source)};
    loop_source_pin(source);
    if (!job->fd && !loop_own_tie_source(source, job, &state->member, &state->uses_fd)) {
        end(state, -ENOMEM);
    }
    go_on_soon(loop, job);
}

loop_job loop_source_stream(struct loop_source *source, loop_stream_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job =
        loop_job_start(source->scope, fd_of(source), &stream_kind, (loop_fn *)(void (*)(void))fn, arg, &id);
    if (job) {
        start(source->scope->loop, job, source);
    }
    return id;
}
