/* SPDX-License-Identifier: ISC
 *
 * What the parts of the writer know of each other: writer.c (how long it lives, and its writes), writer_append.c,
 * writer_wait.c (flush, drained, shutdown), writer_batch.c.
 */
#ifndef LOOP_WRITER_STATE_H
#define LOOP_WRITER_STATE_H

#include <loop/core.h>
#include <loop/writer.h>
#include <loop/writer_batch.h>

struct loop_writer {
    struct loop_sink *sink;
    struct loop_after after;
    struct loop_list waiters;  /* jobs that wait for what has been appended so far: flush, shutdown */
    struct loop_list drainers; /* jobs that wait for room */
    struct loop_writer_batch filling, leaving;
    size_t at;                  /* the piece of `leaving` that is next */
    loop_job inner;             /* its write */
    uint64_t appended, written; /* bytes */
    size_t limit_bytes;
    int32_t error;   /* the sink's: nothing goes on */
    int32_t refusal; /* what the last append was refused with, while nobody has heard of it */
    bool is_corked, is_closed;
};

/* What a job that waits keeps. */
struct loop_writer_waiter {
    struct loop_writer *writer;
    uint64_t target; /* how much is to be written */
    loop_job inner;  /* the sink's shutdown */
    int32_t refusal; /* of an append before it */
};

static_assert(sizeof(struct loop_writer_waiter) <= sizeof(((struct job *)0)->u.small), "fits into a job");

static inline struct loop_writer_waiter *loop_writer_waiter(struct job *job)
{
    return (struct loop_writer_waiter *)(void *)job->u.small;
}

static inline size_t loop_writer_pending_bytes(const struct loop_writer *writer)
{
    return writer->error ? 0 : (size_t)(writer->appended - writer->written);
}

static inline bool loop_writer_is_held_back(const struct loop_writer *writer)
{
    return writer->is_corked && loop_list_is_empty(&writer->waiters) && loop_list_is_empty(&writer->drainers);
}

/* Has the writer looked at when the continuation that is running has returned: what it has gathered leaves, and jobs
 * that wait are told. */
void loop_writer_look_soon(struct loop_writer *writer);

#endif
