/* SPDX-License-Identifier: ISC
 *
 * The object of a writer, and what the jobs that wait for it keep.
 */
#ifndef LOOP_FLOW_BUFFERED_WRITER_STATE_H
#define LOOP_FLOW_BUFFERED_WRITER_STATE_H

#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/flow/buffered/writer_batch.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/writer.h>

struct loop_writer {
    uint64_t id; /* must be first (slab.h) */
    struct loop *loop;
    struct loop_scope *scope; /* the sink's when the writer was made; never asked of the sink again */
    struct loop_sink *sink;
    struct loop_fd *fd;    /* the descriptor behind the sink, pinned; or NULL */
    struct loop_kept kept; /* in more->kept of the scope */
    struct loop_after after;
    struct loop_list waiters;  /* jobs that wait until what was appended before them is written */
    struct loop_list drainers; /* jobs that wait for room */
    struct loop_list closers;  /* jobs that wait for the sink's shutdown */
    struct loop_writer_batch filling, leaving;
    size_t at;                  /* the piece of `leaving` that is next */
    size_t left;                /* bytes of `leaving` from there on */
    loop_job inner;             /* its write, or its wait for room: holds the scope and keeps the object */
    loop_job proxy;             /* in the writer's scope, for an `inner` of another one; or 0 */
    uint64_t appended, written; /* bytes */
    size_t limit_bytes;
    uint32_t calls;      /* functions of the program on the stack, which keep the object */
    int32_t error;       /* of the sink: the writer has failed; or 0 */
    int32_t refusal;     /* of the last append, until a flush or another wait has returned it; or 0 */
    uint32_t n_refusals; /* how many appends were refused */
    bool is_corked, is_closed;
    bool is_destroyed; /* takes no calls; freed when nothing keeps the object */
#if NORIA_DEBUG
    struct loop_place destroyed; /* where that was; no function: it went with its scope */
#endif
};

/* What a job that waits has in `large`. */
struct loop_writer_waiter {
    uint64_t writer;     /* its id: the job may outlive it */
    uint64_t target;     /* how much is to be written */
    loop_job inner;      /* the sink's shutdown */
    int32_t refusal;     /* of an append before it */
    uint32_t n_refusals; /* the writer's, when it began to wait */
};

static_assert(sizeof(struct loop_writer_waiter) <= sizeof(((struct loop_job *)0)->u.large), "fits into a job");

/* Returns what a job that waits has. */
static inline struct loop_writer_waiter *loop_writer_waiter(struct loop_job *job)
{
    return (struct loop_writer_waiter *)(void *)job->u.large;
}

/* Returns the writer for which a job waits, or NULL when it has been destroyed. */
static inline struct loop_writer *loop_writer_of(struct loop *loop, struct loop_job *job)
{
    struct loop_writer *writer = loop_slab_find(&loop->writers, loop_writer_waiter(job)->writer);
    return writer && !writer->is_destroyed ? writer : NULL;
}

/* Returns how many bytes were appended and not written; 0 after a failure. */
static inline size_t loop_writer_pending_bytes(const struct loop_writer *writer)
{
    return writer->error ? 0 : (size_t)(writer->appended - writer->written);
}

/* Whether a cork holds back what was appended: no job waits for it. */
static inline bool loop_writer_is_held_back(const struct loop_writer *writer)
{
    return writer->is_corked && loop_list_is_empty(&writer->waiters) && loop_list_is_empty(&writer->drainers);
}

/* Keeps the object, until loop_writer_leave, while functions of the program may run and destroy the writer. */
static inline void loop_writer_enter(struct loop_writer *writer)
{
    writer->calls++;
}

#endif
