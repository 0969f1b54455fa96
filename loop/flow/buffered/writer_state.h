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
    struct loop_kept kept; /* in scope->kept */
    struct loop_after after;
    struct loop_list waiters;  /* jobs that wait for what has been appended so far: flush, shutdown */
    struct loop_list drainers; /* jobs that wait for room */
    struct loop_list closers;  /* jobs that wait for the sink's shutdown */
    struct loop_writer_batch filling, leaving;
    size_t at;                  /* the piece of `leaving` that is next */
    size_t left;                /* bytes of `leaving` from there on */
    loop_job inner;             /* its write, or the wait for room: holds the scope, and keeps the object */
    loop_job proxy;             /* stands for it in the scope, where it belongs to another */
    uint64_t appended, written; /* bytes */
    size_t limit_bytes;
    uint32_t calls;      /* functions of the program on the stack, called from here: keep the object */
    int32_t error;       /* the sink's: nothing goes on */
    int32_t refusal;     /* what the last append was refused with, while nobody has heard of it */
    uint32_t n_refusals; /* how often that has begun */
    bool is_corked, is_closed;
    bool is_destroyed; /* goes when nothing keeps the object */
#if NORIA_DEBUG
    struct loop_place destroyed; /* where it was: unless it went with its scope */
#endif
};

/* What a job that waits keeps. */
struct loop_writer_waiter {
    uint64_t writer;     /* its id: the job may outlive it */
    uint64_t target;     /* how much is to be written */
    loop_job inner;      /* the sink's shutdown */
    int32_t refusal;     /* of an append before it */
    uint32_t n_refusals; /* the writer's, when it began to wait */
};

static_assert(sizeof(struct loop_writer_waiter) <= sizeof(((struct loop_job *)0)->u.small), "fits into a job");

static inline struct loop_writer_waiter *loop_writer_waiter(struct loop_job *job)
{
    return (struct loop_writer_waiter *)(void *)job->u.small;
}

/* The writer that a job waits for, or NULL when it has been destroyed. */
static inline struct loop_writer *loop_writer_of(struct loop *loop, struct loop_job *job)
{
    struct loop_writer *writer = loop_slab_find(&loop->writers, loop_writer_waiter(job)->writer);
    return writer && !writer->is_destroyed ? writer : NULL;
}

static inline size_t loop_writer_pending_bytes(const struct loop_writer *writer)
{
    return writer->error ? 0 : (size_t)(writer->appended - writer->written);
}

static inline bool loop_writer_is_held_back(const struct loop_writer *writer)
{
    return writer->is_corked && loop_list_is_empty(&writer->waiters) && loop_list_is_empty(&writer->drainers);
}

/* Before all that may run functions of the program, which may destroy the writer. loop_writer_leave comes after. */
static inline void loop_writer_enter(struct loop_writer *writer)
{
    writer->calls++;
}

#endif
