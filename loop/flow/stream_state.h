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
    struct loop_chunk *first, *last; /* read and not lent yet */
    struct loop_chunk *reserved;     /* for the next read; or NULL */
    uint16_t n_wanted;               /* chunks in the next read */
    bool is_paused, is_delivering;
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
    chunk->next = NULL;
    if (stream->first) {
        stream->last->next = chunk;
    } else {
        stream->first = chunk;
    }
    stream->last = chunk;
}

/* Lends what was read, chunk by chunk, until that is all or the continuation has paused the stream. From the dispatch
 * only. */
static inline void loop_stream_deliver(struct loop *loop, struct loop_job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    assert(!stream->is_delivering);
    stream->is_delivering = true;
    while (stream->first && (!stream->is_paused || job->is_cancelled)) {
        struct loop_chunk *chunk = stream->first;
        stream->first = chunk->next;
        chunk->next = NULL;
        chunk->state = LOOP_CHUNK_LENT;
        loop_job_lend(loop, job, chunk, chunk->used);
    }
    stream->is_delivering = false;
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
static inline bool loop_stream_unpause(struct loop_stream *stream)
{
    bool was_paused = stream->is_paused;
    stream->is_paused = false;
    return was_paused && !stream->is_delivering;
}

#endif
