/* SPDX-License-Identifier: ISC
 *
 * What the two kinds of streams have in common: stream.c, on descriptors that can be waited for, and source_stream.c,
 * on all other sources.
 */
#ifndef LOOP_STREAM_H
#define LOOP_STREAM_H

#include <loop/core.h>

/* What the job of either kind begins with. */
struct loop_stream {
    struct loop_chunk *first, *last; /* read, not delivered yet */
    struct loop_chunk *reserved;     /* the one it waited for */
    uint16_t n_wanted;               /* chunks for the next read */
    bool is_paused, is_delivering;
};

static_assert(sizeof(struct loop_stream) <= sizeof(((struct loop_job *)0)->u.small), "fits into a small job");

static inline struct loop_stream *loop_stream_of(struct loop_job *job)
{
    return (struct loop_stream *)(void *)job->u.small;
}

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

/* Lends what has been read, until that is all or the program has had enough for now. From the dispatch only. */
static inline void loop_stream_deliver(struct loop *loop, struct loop_job *job)
{
    struct loop_stream *stream = loop_stream_of(job);
    stream->is_delivering = true;
    while (stream->first && (!stream->is_paused || job->is_cancelled)) {
        struct loop_chunk *chunk = stream->first;
        stream->first = chunk->next;
        chunk->next = NULL;
        chunk->state = LOOP_CHUNK_LENT;
        loop_job_emit(loop, job, chunk->used, chunk);
        if (chunk->state == LOOP_CHUNK_LENT) {
            loop_region_give(loop, chunk);
        }
    }
    stream->is_delivering = false;
}

static inline void loop_stream_give_reserved(struct loop *loop, struct loop_stream *stream)
{
    struct loop_chunk *chunk = stream->reserved;
    stream->reserved = NULL;
    if (chunk) {
        loop_region_give(loop, chunk);
    }
}

/* ---- streams over sources (source_stream.c) ---- */

extern const struct loop_job_kind loop_source_stream_kind;

/* The descriptor that a stream over `source` counts as used, though it reads by the source's own functions; or NULL. */
struct loop_fd *loop_source_stream_fd(struct loop_source *source);

/* Starts a job of that kind. */
void loop_source_stream_start(struct loop *loop, struct loop_job *job, struct loop_source *source);

/* It has been paused, or resumed. */
void loop_source_stream_paused(struct loop *loop, struct loop_job *job);
void loop_source_stream_resumed(struct loop *loop, struct loop_job *job);

#endif
