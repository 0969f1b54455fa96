/* SPDX-License-Identifier: ISC
 *
 * Streams over descriptors that can be polled. A stream waits for readiness without a chunk, takes one when there is
 * something to read, and gives it back when the continuation has returned: one chunk, which stays in the cache, serves
 * a thousand connections. Where more comes than fits into a chunk the next read takes several.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/core/region.h>
#include <loop/core/scope.h>
#include <loop/core/unread.h>
#include <loop/flow/descriptor_stream.h>
#include <loop/flow/own/join.h>
#include <loop/flow/stream_state.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/syscall/io.h>
#include <loop/syscall/role.h>

#include <errno.h>

#define CHUNKS_MAX 16 /* in one read */
#define CHUNKS_GROW 4 /* after a read that filled all of its chunks the next one has this many times as many */

/* Takes the reserved chunk, and more, up to job->n_wanted, as far as there are. Returns the count. */
static int take_chunks(struct loop *loop, struct loop_job *job, struct loop_chunk **chunks, struct iovec *iov)
{
    int n = 0;
    struct loop_stream *stream = loop_stream_of(job);
    struct loop_chunk *chunk = stream->reserved;
    stream->reserved = NULL;
    do {
        iov[n] = (struct iovec){loop_chunk_memory(chunk), loop->region.block_size};
        chunks[n++] = chunk;
    } while (n < job->n_wanted && (chunk = loop_region_take(loop)));
    return n;
}

/* Keeps the chunks into which `n_bytes` were read, gives the others back, and adapts the count for the next read. */
static void keep_chunks(struct loop *loop, struct loop_job *job, struct loop_chunk **chunks, int n, size_t n_bytes)
{
    size_t block_size = loop->region.block_size, left = n_bytes;
    for (int i = 0; i < n; i++) {
        size_t used = left < block_size ? left : block_size;
        left -= used;
        if (used > 0) {
            loop_stream_push(loop_stream_of(job), chunks[i], used);
        }
    }
    for (int i = n; i-- > 0;) {
        if ((size_t)i * block_size >= n_bytes) {
            loop_region_give(loop, chunks[i]);
        }
    }
    if (n_bytes == (size_t)n * block_size) {
        job->n_wanted = (uint8_t)(job->n_wanted * CHUNKS_GROW < CHUNKS_MAX ? job->n_wanted * CHUNKS_GROW : CHUNKS_MAX);
    } else if (n_bytes <= block_size) {
        job->n_wanted = 1;
    }
}

/* Takes the job out of its list. */
static enum loop_attempt park(struct loop_job *job, enum loop_where where)
{
    loop_line_remove(&job->link);
    job->where = (uint8_t)where;
    return LOOP_ATTEMPT_MOVED;
}

/* Returns how the stream goes on after it has lent chunks: the continuation may have cancelled or paused it. */
static enum loop_attempt after_delivery(struct loop_job *job)
{
    if (job->is_cancelled) {
        job->result = -ECANCELED;
        return LOOP_ATTEMPT_DONE;
    }
    if (job->is_paused) {
        return park(job, LOOP_AT_OWNER);
    }
    return job->fd->ready & POLLIN ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
}

/* Reads into several chunks. Returns the count, 0 or -errno. */
static int64_t read_chunks(struct loop *loop, struct loop_job *job)
{
    struct loop_chunk *chunks[CHUNKS_MAX];
    struct iovec iov[CHUNKS_MAX];
    int n = take_chunks(loop, job, chunks, iov);
    int64_t n_bytes = loop_unread_end(job->fd, loop_io_read(job->fd, iov, n));
    keep_chunks(loop, job, chunks, n, n_bytes > 0 ? (size_t)n_bytes : 0);
    return n_bytes;
}

static enum loop_attempt wait_for_chunk(struct loop *loop, struct loop_job *job)
{
    park(job, LOOP_AT_CHUNK_LINE);
    loop_ready_reader_left(loop, job->fd);
    loop_region_wait(loop, job);
    return LOOP_ATTEMPT_MOVED;
}

/* Reads into one chunk or several, and lends what was read, or only lends what has been read before. */
__attribute__((noinline)) static enum loop_attempt read_and_lend(struct loop *loop, struct loop_job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    if (!stream->last && !job->is_cancelled && !job->is_paused) {
        stream->reserved = stream->reserved ? stream->reserved : loop_region_take(loop);
        if (!stream->reserved) {
            return wait_for_chunk(loop, job);
        }
        int64_t n = read_chunks(loop, job);
        if (n <= 0) {
            job->result = n;
            return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_DONE;
        }
    }
    loop_stream_deliver(loop, job);
    return after_delivery(job);
}

/* Lends what was read into a chunk, which is LOOP_CHUNK_LENT already. */
__attribute__((always_inline)) static inline enum loop_attempt lend(struct loop *loop, struct loop_job *job,
                                                                    struct loop_chunk *chunk, int64_t n)
{
    job->is_delivering = true;
    loop_job_lend(loop, job, chunk, n);
    job->is_delivering = false;
    return after_delivery(job);
}

/* Goes on after a call that has not read some bytes and emptied the descriptor: it has returned `n`. */
__attribute__((noinline)) static enum loop_attempt read_ended(struct loop *loop, struct loop_job *job,
                                                              struct loop_chunk *chunk, int64_t n)
{
    size_t block_size = loop->region.block_size;
    if (n <= 0 || job->fd->doubts) {
        n = loop_unread_end(job->fd, loop_io_read_ended(job->fd, n, loop_chunk_memory(chunk), block_size));
    }
    if (n <= 0) {
        loop_region_give(loop, chunk);
        job->result = n;
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_DONE;
    }
    if ((size_t)n == block_size) {
        job->n_wanted = CHUNKS_GROW;
    }
    return lend(loop, job, chunk, n);
}

/* Reads what is kept into a free chunk and lends it at once. */
__attribute__((noinline)) static enum loop_attempt lend_kept(struct loop *loop, struct loop_job *job,
                                                             struct loop_fd *fd)
{
    struct loop_chunk *chunk = loop_region_take(loop);
    size_t block_size = loop->region.block_size;
    int64_t n = loop_unread_read(fd, &(struct iovec){loop_chunk_memory(chunk), block_size}, 1, false);
    if (n <= 0) {
        loop_region_give(loop, chunk);
        job->result = n;
        return n == -EAGAIN ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_DONE;
    }
    if ((size_t)n == block_size) {
        job->n_wanted = CHUNKS_GROW;
    }
    chunk->state = LOOP_CHUNK_LENT;
    return lend(loop, job, chunk, n);
}

/* Whether one read into a free chunk is all that is to be done before the continuation. */
static inline bool is_plain(const struct loop *loop, struct loop_job *job)
{
    const struct loop_stream *stream = loop_stream_of(job);
    return job->n_wanted == 1 && !((uintptr_t)stream->last | (uintptr_t)stream->reserved) && loop->region.free_list &&
           !loop_hard()->is_short;
}

/* Reads into a free chunk and lends it at once: nearly all reads of streams are these. */
static enum loop_attempt attempt_stream(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    /* a cancel has ended one that has nothing to lend, and a pause has taken it out of the line */
    assert(loop_stream_of(job)->last || !(job->is_cancelled || job->is_paused));
    if (fd->read_by > LOOP_IO_NONBLOCKING || !is_plain(loop, job)) {
        return fd->read_by == LOOP_IO_UNREAD && is_plain(loop, job) ? lend_kept(loop, job, fd)
                                                                    : read_and_lend(loop, job);
    }
    struct loop_chunk *chunk = loop_region_take(loop);
    chunk->state = LOOP_CHUNK_LENT; /* soon */
    ssize_t n = loop_io_read_once(loop, fd, loop_chunk_memory(chunk), loop->region.block_size);
    if (n <= 0 || fd->doubts || (size_t)n == loop->region.block_size) {
        return read_ended(loop, job, chunk, n);
    }
    fd->ready &= (uint8_t)~POLLIN;
    return lend(loop, job, chunk, n);
}

/* Makes the job the first reader. */
static void go_to_front(struct loop_job *job)
{
    job->where = LOOP_AT_WAIT;
    loop_line_remove(&job->link);
    loop_line_push_front(&job->fd->readers, &job->link);
}

/* Has the job, which has something to lend or has found something to read, tried in the next dispatch. */
static void try_soon(struct loop *loop, struct loop_job *job)
{
    struct loop_fd *fd = job->fd;
    go_to_front(job);
    fd->ready |= POLLIN;
    loop_ready_activate(loop, fd);
}

static void stream_got_chunk(struct loop *loop, struct loop_job *job, struct loop_chunk *chunk)
{
    loop_stream_of(job)->reserved = chunk;
    try_soon(loop, job);
}

static void cancel_stream(struct loop *loop, struct loop_job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    if (job->is_delivering) {
        return; /* after_delivery ends the stream */
    }
    loop_stream_give_reserved(loop, stream);
    if (stream->last) {
        try_soon(loop, job); /* lends what has been read, so that nothing is lost */
    } else {
        loop_job_complete(loop, job, -ECANCELED);
        loop_ready_reader_left(loop, job->fd);
    }
}

/* Pauses the stream, and leaves the chunk that it has or waits for to others. One that was cancelled still lends what
 * has been read. */
static int pause_stream(struct loop *loop, struct loop_job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    bool is_waiting = job->where == LOOP_AT_WAIT && !job->is_delivering && !job->is_cancelled;
    job->is_paused = true;
    if (job->where == LOOP_AT_CHUNK_LINE || is_waiting) {
        park(job, LOOP_AT_OWNER);
        loop_ready_reader_left(loop, job->fd);
    }
    loop_stream_give_reserved(loop, stream);
    return 0;
}

/* Ends the pause. A stream that is in the list of readers goes on by itself. One without anything to lend is tried only
 * where there is something to read: a read takes a fifo that never had a writer for one at its end. */
static int resume_stream(struct loop *loop, struct loop_job *job)
{
    if (!loop_stream_unpause(job) || job->where == LOOP_AT_WAIT) {
        return 0;
    }
    if (loop_stream_of(job)->last) {
        try_soon(loop, job);
    } else {
        go_to_front(job);
        loop_ready_resume_readers(loop, job->fd);
    }
    return 0;
}

/* Returns the bytes that were read and not lent; NULL when there is no memory. */
static struct loop_block *gather(const struct loop_stream *stream)
{
    struct iovec iov[CHUNKS_MAX];
    size_t len = 0;
    struct loop_chunk *chunk = stream->last;
    for (unsigned n = 0; n == 0 || chunk != stream->last; n++) {
        chunk = chunk->next;
        assert(n < CHUNKS_MAX);
        iov[n] = (struct iovec){loop_chunk_memory(chunk), chunk->used};
        len += chunk->used;
    }
    return loop_block_gather(iov, len);
}

/* Gives what was read and not lent back. A cancelled stream has nothing to lend any more, and ends. */
static int unread_ahead(struct loop *loop, struct loop_job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    struct loop_block *block = stream->last ? gather(stream) : NULL;
    if (!block) {
        return stream->last ? -ENOMEM : 0;
    }
    while (stream->last) {
        loop_region_give(loop, loop_stream_shift(stream));
    }
    loop_unread_put(loop, job->fd, block);
    if (job->is_cancelled && !job->is_delivering) {
        loop_job_complete(loop, job, -ECANCELED);
        loop_ready_reader_left(loop, job->fd);
    }
    return 0;
}

static const struct loop_job_kind stream_kind = {.name = "stream",
                                                 .cancel = cancel_stream,
                                                 .attempt = attempt_stream,
                                                 .got_chunk = stream_got_chunk,
                                                 .pause = pause_stream,
                                                 .resume = resume_stream,
                                                 .unread_ahead = unread_ahead,
                                                 .reads_ahead = true,
                                                 .continuation = LOOP_CALLS_STREAM_FN};

static void part(struct loop_job *job)
{
    if (job->u.args.extra) {
        loop_own_drop_member(job->u.args.extra);
    }
}

/* A stream of a source whose close ends it and may leave the descriptor open. Its struct loop_own_member is in
 * u.args.extra, which is not where its struct loop_stream is. */
static const struct loop_job_kind member_kind = {.name = "stream",
                                                 .cancel = cancel_stream,
                                                 .attempt = attempt_stream,
                                                 .got_chunk = stream_got_chunk,
                                                 .pause = pause_stream,
                                                 .resume = resume_stream,
                                                 .unread_ahead = unread_ahead,
                                                 .leave = part,
                                                 .reads_ahead = true,
                                                 .uses_args = true,
                                                 .size = LOOP_JOB_LARGE,
                                                 .continuation = LOOP_CALLS_STREAM_FN};

static_assert(sizeof(struct loop_stream) <= offsetof(struct loop_op_args, second), "is in front of what the job frees");

/* Returns 0 or -ENOMEM. */
static int join(struct loop_job *job, const struct loop_source *source)
{
    struct loop_own_member *member = loop_kernel_calloc(1, sizeof *member);
    job->u.args.extra = member;
    return member && loop_own_add_member(source, job, member) ? 0 : -ENOMEM;
}

loop_job loop_fd_stream(const struct loop_source *source, struct loop_fd *fd, loop_stream_fn *fn, void *arg)
{
    loop_job id;
    struct loop_scope *scope = source->scope;
    bool needs_member = loop_own_needs_member(source, fd);
    struct loop_job *job =
        loop_job_start(scope, fd, needs_member ? &member_kind : &stream_kind, (loop_fn *)(void (*)(void))fn, arg, &id);
    if (!job) {
        return id;
    }
    int64_t error = loop_role_reading(fd);
    error = error || !needs_member ? error : join(job, source);
    if (error) {
        loop_job_complete(scope->loop, job, error);
    } else {
        job->n_wanted = 1;
        loop_ready_wait_read(scope->loop, fd, job);
    }
    return id;
}
