/* SPDX-License-Identifier: ISC
 *
 * What the parts of the reader know of each other: reader.c (operations, and the reads of the source they need),
 * reader_steps.c (what an operation makes of the buffered bytes), reader_lines.c, reader_life.c, reader_buffer.c.
 */
#ifndef LOOP_READER_STATE_H
#define LOOP_READER_STATE_H

#include <loop/reader.h>
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/own/rest.h>

#define LOOP_READER_NEEDS_MORE INT64_MIN /* what a step returns when the buffer has too little for a result */

/* The operation that is running. */
struct loop_reader_operation {
    int64_t (*step)(struct loop_reader *reader, struct loop_reader_operation *operation);
    void *bytes;    /* the delimiter; where a read of the rest wants its bytes */
    uint64_t len;   /* of those; or how many bytes are wanted */
    size_t scanned; /* buffered bytes in which no delimiter begins */
    uint64_t done;  /* bytes skipped */
    bool is_paused, is_delivering;
};

struct loop_reader {
    struct loop_rest rest; /* must be first */
    struct loop *loop;
    struct loop_scope *scope; /* the source's when the reader was made; never asked of the source again */
    struct loop_source *source;
    struct loop_fd *fd;      /* the descriptor behind the source, pinned; or NULL */
    struct loop_rest *below; /* the rest that the source is, pinned; or NULL */
    struct loop_kept kept;   /* in scope->kept */
    struct loop_reader_buffer buffer;
    size_t max_bytes; /* of one operation */
    const char *data; /* what the last operation gave out */
    size_t data_len;
    size_t consumed;      /* by that operation, and still in front of buffer.start */
    char *nul, under_nul; /* where that operation has put a NUL, and what was there; or NULL */
    loop_job job;         /* the operation that is running, or has been */
    struct loop_reader_operation operation;
    loop_job inner;    /* its read of the source; while that lasts the object stays */
    size_t asked;      /* how many bytes that wants */
    uint32_t calls;    /* functions of the program on the stack, called from here: keep the object too */
    int32_t status;    /* of the source, when it has ended: 0 or an error */
    bool has_ended;    /* the source */
    bool is_destroyed; /* takes no more; goes when nothing keeps the object */
};

extern const struct loop_job_kind loop_reader_lines_kind;

/* Where the job of an operation keeps its reader. */
static inline struct loop_reader **loop_reader_of(struct loop_job *job)
{
    return (struct loop_reader **)(void *)job->u.small;
}

/* The operation that is running, also one whose continuation is due; or NULL. */
static inline struct loop_job *loop_reader_running(const struct loop_reader *reader)
{
    return loop_job_find(reader->loop, reader->job);
}

static inline size_t loop_reader_buffered(const struct loop_reader *reader)
{
    return loop_reader_buffer_length(&reader->buffer);
}

/* Checks the reader that a public function is given. One that has been destroyed is not good, also while something
 * keeps the object. */
bool loop_reader_is_good(const struct loop_reader *reader, const char *function);

/* A job for the caller to go on with, with its id in `*id`. NULL where there is none, or where it has its result. */
struct loop_job *loop_reader_begin(struct loop_reader *reader, const struct loop_job_kind *kind,
                                   const struct loop_reader_operation *operation, loop_fn *fn, void *arg, loop_job *id);

/* The whole call of an operation that has a step. */
loop_job loop_reader_start(struct loop_reader *reader, const struct loop_reader_operation *operation, loop_fn *fn,
                           void *arg);

/* A job that ends with that error. */
loop_job loop_reader_refuse(struct loop_reader *reader, int64_t error, loop_fn *fn, void *arg);

/* Starts the read that the operation needs. 0; -ENOMEM; -ECANCELED. */
int loop_reader_read_more(struct loop_reader *reader, struct loop_job *job);

/* What an operation that was cut short by a destroy ends with: an error of the source that nobody else would hear of,
 * or `otherwise`. */
int64_t loop_reader_last_word(const struct loop_reader *reader, int64_t otherwise);

/* Gives the object back if it has been destroyed and nothing keeps it any more. */
void loop_reader_let_go(struct loop_reader *reader);

/* ---- steps ---- */

void loop_reader_give_nothing(struct loop_reader *reader);

/* What the last operation has given out is buffered again. Nothing has been read since. */
void loop_reader_take_back(struct loop_reader *reader);

int64_t loop_reader_step_all(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_line(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_until(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_exact(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_take(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_skip(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_fill(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_rest(struct loop_reader *reader, struct loop_reader_operation *operation);

#endif
