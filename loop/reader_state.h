/* SPDX-License-Identifier: ISC
 *
 * What the parts of the reader know of each other: reader.c (operations, and the reads of the source they need),
 * reader_steps.c (what an operation makes of the buffered bytes), reader_lines.c, reader_buffer.c.
 */
#ifndef LOOP_READER_STATE_H
#define LOOP_READER_STATE_H

#include <loop/core.h>
#include <loop/reader.h>
#include <loop/reader_buffer.h>

#define LOOP_READER_NEEDS_MORE INT64_MIN /* what a step returns when the buffer has too little for a result */

/* The operation that is running. */
struct loop_reader_operation {
    int64_t (*step)(struct loop_reader *reader, struct loop_reader_operation *operation);
    void *bytes;    /* the delimiter; where a read of the rest wants it */
    uint64_t len;   /* of those; or how many bytes are wanted */
    size_t scanned; /* buffered bytes in which no delimiter begins */
    uint64_t done;  /* bytes skipped */
    bool is_paused, is_delivering;
};

struct loop_reader {
    struct loop_source *source;
    struct loop_source rest;
    struct loop_reader_buffer buffer; /* what is buffered, and not consumed */
    size_t max_bytes;
    const char *data; /* what the last operation gave out */
    size_t data_len;
    loop_job job; /* the operation that is running, or has been */
    struct loop_reader_operation operation;
    loop_job inner; /* its read of the source */
    bool has_ended; /* the source, with `status`: 0 or an error */
    int32_t status;
};

/* Where the job of an operation keeps its reader. */
static inline struct loop_reader **loop_reader_of(struct job *job)
{
    return (struct loop_reader **)(void *)job->u.small;
}

extern const struct loop_job_kind loop_reader_lines_kind;

/* The operation that is running, also one whose continuation is due; or NULL. */
static inline struct job *loop_reader_running(const struct loop_reader *reader)
{
    return loop_job_find(reader->source->scope->loop, reader->job);
}

static inline size_t loop_reader_buffered(const struct loop_reader *reader)
{
    return loop_reader_buffer_length(&reader->buffer);
}

/* A job for the caller to go on with, with its id in `*id`. NULL where there is none, or where it has its result. */
struct job *loop_reader_begin(struct loop_reader *reader, const struct loop_job_kind *kind,
                              const struct loop_reader_operation *operation, loop_fn *fn, void *arg, loop_job *id);

/* Starts the read that the operation needs. False when there is no memory. */
bool loop_reader_read_more(struct loop_reader *reader);

/* ---- steps ---- */

void loop_reader_give_nothing(struct loop_reader *reader);
int64_t loop_reader_step_all(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_line(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_until(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_exact(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_take(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_skip(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_fill(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_rest(struct loop_reader *reader, struct loop_reader_operation *operation);

#endif
