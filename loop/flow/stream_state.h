/* SPDX-License-Identifier: ISC
 *
 * What the jobs of both kinds of streams begin with, and how they lend what was read.
 */
#ifndef LOOP_FLOW_STREAM_STATE_H
#define LOOP_FLOW_STREAM_STATE_H

#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/region.h>

struct loop_stream {
    struct loop_chunk *last;     /* of those read and not lent yet, a ring: its `next` is the first; or NULL */
    struct loop_chunk *reserved; /* for the next read; or NULL */
};

static_assert(sizeof(struct loop_stream) <= sizeof(((struct loop_job *)0)->u.small), "fits into a small job");

/* Returns what the job of a stream begins with. */
static inline struct loop_stream *loop_stream_of(struct loop_job *job)
{
    return (struct loop_stream *)(void *)job->u.small;
}

/* Adds a chunk into which `used` bytes were read. */
static inline void loop_stream_push(struct loop_stream *stream, struct loop_chunk *chunk, size_t used)
{
    chunk->used = (uint32_t)used;
    chunk->next = stream->last ? stream->last->next : chunk;
    if (stream->last) {
        stream->last->next = chunk;
    }
    stream->last = chunk;
}

/* Removes and returns the chunk that was added first, and exists. */
static inline struct loop_chunk *loop_stream_shift(struct loop_stream *stream)
{
    struct loop_chunk *chunk = stream->last->next;
    stream->last->next = chunk->next;
    if (chunk == stream->last) {
        stream->last = NULL;
    }
    chunk->next = NULL;
    return chunk;
}

/* Lends what was read, chunk by chunk, until that is all or the continuation has paused the stream. From the dispatch
 * only. */
static inline void loop_stream_deliver(struct loop *loop, struct loop_job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    assert(!job->is_delivering);
    job->is_delivering = true;
    while (stream->last && (!job->is_paused || job->is_cancelled)) {
        struct loop_chunk *chunk = loop_stream_shift(stream);
        chunk->state = LOOP_CHUNK_LENT;
        loop_job_lend(loop, job, chunk, chunk->used);
    }
    job->is_delivering = false;
}

/* Gives the reserved chunk back to the region. */
static inline void loop_stream_give_reserved(struct loop *loop, struct loop_stream *stream)
{
    struct loop_chunk *chunk = stream->reserved;
    stream->reserved = NULL;
    if (chunk) {
        loop_region_give(loop, chunk);
    }
}

/* Ends a pause. Returns true when the stream has to be set going: it was paused, and is not inside a delivery, from
 * which it goes on by itself. */
static inline bool loop_stream_unpause(struct loop_job *job)
{
    bool was_paused = job->is_paused;
    job->is_paused = false;
    return was_paused && !job->is_delivering;
}

#endif
