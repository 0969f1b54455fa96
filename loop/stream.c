/* SPDX-License-Identifier: ISC
 *
 * Streams: bytes as they come, in chunks lent by the region. On a descriptor a stream waits for readiness without a
 * chunk, takes one when there is something to read, and has it back when the continuation has returned: the same hot
 * chunk serves one connection after the other, and a thousand connections need no more than one. Where more comes than
 * fits into a chunk the next read takes several. Other sources are read one chunk at a time.
 */
#include <loop/io.h>
#include <loop/stream.h>

#include <errno.h>

#define CHUNKS_MAX 16 /* in one read */
#define CHUNKS_GROW 4 /* so many times more in the next one when all were filled */

/* ---- on descriptors ---- */

/* The reserved one, and more as far as there are. */
static int take_chunks(struct loop *loop, struct loop_stream *stream, struct loop_chunk **chunks, struct iovec *iov)
{
    int n = 0;
    struct loop_chunk *chunk = stream->reserved;
    stream->reserved = NULL;
    do {
        iov[n] = (struct iovec){loop_chunk_data(chunk), loop->region.block_size};
        chunks[n++] = chunk;
    } while (n < stream->n_wanted && (chunk = loop_region_take(loop)));
    return n;
}

/* Keeps the chunks that `n_bytes` have filled, gives the others back, and learns how many to take next time. */
static void keep_chunks(struct loop *loop, struct loop_stream *stream, struct loop_chunk **chunks, int n,
                        size_t n_bytes)
{
    size_t block_size = loop->region.block_size, left = n_bytes;
    for (int i = 0; i < n; i++) {
        size_t used = left < block_size ? left : block_size;
        left -= used;
        if (used > 0) {
            loop_stream_push(stream, chunks[i], used);
        }
    }
    for (int i = n; i-- > 0;) {
        if ((size_t)i * block_size >= n_bytes) {
            loop_region_give(loop, chunks[i]);
        }
    }
    if (n_bytes == (size_t)n * block_size) {
        stream->n_wanted =
            (uint16_t)(stream->n_wanted * CHUNKS_GROW < CHUNKS_MAX ? stream->n_wanted * CHUNKS_GROW : CHUNKS_MAX);
    } else if (n_bytes <= block_size) {
        stream->n_wanted = 1;
    }
}

static enum loop_attempt park(struct job *job, enum loop_where where)
{
    loop_list_remove(&job->link);
    job->where = (uint8_t)where;
    return LOOP_ATTEMPT_MOVED;
}

static enum loop_attempt after_delivery(struct job *job)
{
    if (job->is_cancelled) {
        job->result = -ECANCELED;
        return LOOP_ATTEMPT_DONE;
    }
    if (loop_stream_of(job)->is_paused) {
        return park(job, LOOP_AT_OWNER);
    }
    return job->fd->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
}

/* Reads into the reserved chunk, which is how nearly all streams go. */
static int64_t read_chunk(struct loop *loop, struct job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    size_t block_size = loop->region.block_size;
    struct loop_chunk *chunk = stream->reserved;
    stream->reserved = NULL;
    int64_t n = loop_io_read_one(job->fd, loop_chunk_data(chunk), block_size);
    if (n > 0) {
        loop_stream_push(stream, chunk, (size_t)n);
        stream->n_wanted = (size_t)n == block_size ? CHUNKS_GROW : 1;
    } else {
        loop_region_give(loop, chunk);
    }
    return n;
}

/* Reads into several. */
static int64_t read_chunks(struct loop *loop, struct job *job)
{
    struct loop_chunk *chunks[CHUNKS_MAX];
    struct iovec iov[CHUNKS_MAX];
    int n = take_chunks(loop, loop_stream_of(job), chunks, iov);
    int64_t n_bytes = loop_io_read(job->fd, iov, n);
    keep_chunks(loop, loop_stream_of(job), chunks, n, n_bytes > 0 ? (size_t)n_bytes : 0);
    return n_bytes;
}

static enum loop_attempt wait_for_chunk(struct loop *loop, struct job *job)
{
    park(job, LOOP_AT_CHUNK_LINE);
    loop_region_wait(loop, job);
    return LOOP_ATTEMPT_MOVED;
}

static enum loop_attempt attempt_stream(struct loop *loop, struct job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    if (!stream->first && !job->is_cancelled && !stream->is_paused) {
        stream->reserved = stream->reserved ? stream->reserved : loop_region_take(loop);
        if (!stream->reserved) {
            return wait_for_chunk(loop, job);
        }
        int64_t n = stream->n_wanted == 1 ? read_chunk(loop, job) : read_chunks(loop, job);
        if (n <= 0) {
            job->result = n;
            return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_DONE;
        }
    }
    loop_stream_deliver(loop, job);
    return after_delivery(job);
}

/* Has the job tried in the next dispatch, whether or not there is something to read. */
static void try_soon(struct loop *loop, struct job *job)
{
    struct loop_fd *fd = job->fd;
    job->where = LOOP_AT_WAIT;
    loop_list_remove(&job->link);
    loop_list_push_front(&fd->readers, &job->link);
    fd->ready |= POLLIN;
    loop_ready_activate(loop, fd);
}

static void stream_got_chunk(struct loop *loop, struct job *job, struct loop_chunk *chunk)
{
    loop_stream_of(job)->reserved = chunk;
    try_soon(loop, job);
}

static void cancel_stream(struct loop *loop, struct job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    if (stream->is_delivering) {
        return; /* after_delivery ends it */
    }
    loop_stream_give_reserved(loop, stream);
    if (stream->first) {
        try_soon(loop, job); /* what has been read is delivered first: nothing is lost */
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

static const struct loop_job_kind stream_kind = {
    .name = "stream", .cancel = cancel_stream, .attempt = attempt_stream, .got_chunk = stream_got_chunk};

/* ---- on other sources ---- */

struct other_stream {
    struct loop_stream stream; /* must be first */
    struct loop_source *source;
    loop_job inner; /* the read in flight, or 0 */
};

static_assert(sizeof(struct other_stream) <= sizeof(((struct job *)0)->u.large), "fits into a large job");

static struct other_stream *other_of(struct job *job)
{
    return (struct other_stream *)(void *)job->u.large;
}

static void on_read(void *arg, int64_t result);

/* Goes on: delivers, ends, waits for a chunk, or reads. From the dispatch, or from inside loop_stream when nothing can
 * be delivered yet. */
static void go_on(struct loop *loop, struct job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    struct loop_chunk *chunk = stream->reserved ? stream->reserved : loop_region_take(loop);
    stream->reserved = NULL;
    if (!chunk) {
        loop_region_wait(loop, job);
        return;
    }
    job->where = LOOP_AT_OWNER;
    stream->reserved = chunk;
    struct other_stream *other = other_of(job);
    other->inner =
        other->source->ops->read(other->source, loop_chunk_data(chunk), loop_chunk_length(chunk), on_read, job);
    if (!other->inner) {
        loop_stream_give_reserved(loop, stream);
        loop_job_complete(loop, job, -ENOMEM);
    }
}

/* What is due after something has been read, or the stream was resumed or cancelled. From the dispatch. */
static void settle_stream(struct loop *loop, struct job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    loop_stream_deliver(loop, job);
    bool is_held_back = stream->first || (stream->is_paused && !job->is_cancelled);
    bool is_over = stream->is_at_end || job->is_cancelled;
    if (is_held_back || is_over) {
        loop_stream_give_reserved(loop, stream); /* others shall have it */
    }
    if (is_held_back) {
        return;
    }
    if (is_over) {
        loop_job_finish(loop, job, stream->is_at_end ? job->result : -ECANCELED);
    } else {
        go_on(loop, job);
    }
}

static void on_read(void *arg, int64_t result)
{
    struct job *job = arg;
    struct loop_stream *stream = loop_stream_of(job);
    struct loop *loop = job->scope->loop;
    other_of(job)->inner = 0;
    if (result > 0) {
        loop_stream_push(stream, stream->reserved, (size_t)result);
        stream->reserved = NULL;
    } else {
        loop_stream_give_reserved(loop, stream);
        stream->is_at_end = true;
        job->result = result;
    }
    settle_stream(loop, job);
}

static void on_nudge(void *arg, int64_t result)
{
    (void)result;
    struct job *job = arg;
    other_of(job)->inner = 0;
    settle_stream(job->scope->loop, job);
}

/* Comes back to the stream from the dispatch. */
static void nudge(struct loop *loop, struct job *job)
{
    struct other_stream *other = other_of(job);
    other->inner = loop_op_nop(job->scope, on_nudge, job);
    if (!other->inner) {
        loop_stream_give_reserved(loop, &other->stream);
        loop_job_complete(loop, job, -ENOMEM);
    }
}

static void cancel_other(struct loop *loop, struct job *job)
{
    struct other_stream *other = other_of(job);
    if (other->stream.is_delivering) {
        return;
    }
    if (other->inner) {
        loop_cancel(loop, other->inner);
    } else if (other->stream.first || other->stream.is_at_end) {
        nudge(loop, job);
    } else {
        loop_stream_give_reserved(loop, &other->stream);
        loop_job_complete(loop, job, -ECANCELED);
    }
}

/* The chunk may come from inside anybody's call: the source is read from the dispatch. */
static void other_got_chunk(struct loop *loop, struct job *job, struct loop_chunk *chunk)
{
    loop_stream_of(job)->reserved = chunk;
    job->where = LOOP_AT_OWNER;
    nudge(loop, job);
}

static const struct loop_job_kind other_kind = {
    .name = "stream", .cancel = cancel_other, .got_chunk = other_got_chunk, .size = LOOP_JOB_LARGE};

/* ---- the calls ---- */

loop_job loop_stream(struct loop_source *source, loop_stream_fn *fn, void *arg)
{
    bool ended;
    struct loop *loop = source->scope->loop;
    struct loop_fd *fd = source->ops->fd ? source->ops->fd(source) : NULL;
    bool is_direct = fd && loop_fd_is_stream(fd);
    struct job *job = loop_job_start(source->scope, is_direct ? fd : NULL, is_direct ? &stream_kind : &other_kind,
                                     (loop_fn *)(void (*)(void))fn, arg, &ended);
    if (!job) {
        return 0;
    }
    loop_job id = job->id;
    job->is_stream = true;
    if (ended) {
        return id;
    }
    loop_stream_of(job)->n_wanted = 1;
    if (is_direct) {
        loop_ready_wait_read(loop, fd, job);
    } else {
        other_of(job)->source = source;
        go_on(loop, job);
    }
    return id;
}

static struct job *find_stream(struct loop *loop, loop_job id)
{
    LOOP_CHECK_THREAD(loop);
    struct job *job = loop_job_find(loop, id);
    return job && job->is_stream && job->where != LOOP_AT_RUN_QUEUE ? job : NULL;
}

int loop_stream_pause(struct loop *loop, loop_job id)
{
    struct job *job = find_stream(loop, id);
    if (!job) {
        return -ENOENT;
    }
    struct loop_stream *stream = loop_stream_of(job);
    stream->is_paused = true;
    if (job->where == LOOP_AT_CHUNK_LINE) {
        park(job, LOOP_AT_OWNER); /* it wants no chunk now: others shall have it */
    }
    if (job->kind == &stream_kind) {
        loop_stream_give_reserved(loop, stream);
    }
    return 0;
}

int loop_stream_resume(struct loop *loop, loop_job id)
{
    struct job *job = find_stream(loop, id);
    if (!job) {
        return -ENOENT;
    }
    struct loop_stream *stream = loop_stream_of(job);
    bool was_paused = stream->is_paused;
    stream->is_paused = false;
    if (!was_paused || stream->is_delivering || job->where == LOOP_AT_WAIT) {
        return 0;
    }
    if (job->kind == &stream_kind) {
        try_soon(loop, job);
    } else if (!other_of(job)->inner) {
        nudge(loop, job);
    }
    return 0;
}
