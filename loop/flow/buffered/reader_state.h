/* SPDX-License-Identifier: ISC
 *
 * The object of a reader, and the operation that is running.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_STATE_H
#define LOOP_FLOW_BUFFERED_READER_STATE_H

#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/scope.h>
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/own/join.h>
#include <loop/flow/own/rest.h>
#include <loop/reader.h>

#define LOOP_READER_NEEDS_MORE INT64_MIN /* returned by a step that has too little for a result */

/* The operation that is running. */
struct loop_reader_operation {
    int64_t (*step)(struct loop_reader *reader, struct loop_reader_operation *operation);
    void *bytes;    /* the delimiter; or the buffer of a read of the rest */
    uint64_t len;   /* of `bytes`; or how many are wanted */
    size_t scanned; /* buffered bytes in which no delimiter begins */
    uint64_t done;  /* bytes skipped */
    bool is_paused, is_delivering;
    bool uses_fd;                   /* of paused lines: these two are of loop_own_tie_source, */
    struct loop_own_member *member; /* so that a close of what is below ends them */
};

struct loop_reader {
    struct loop_rest rest; /* must be first */
    struct loop *loop;
    struct loop_scope *scope; /* the source's when the reader was made; never asked of the source again */
    struct loop_source *source;
    struct loop_fd *fd;      /* the descriptor behind the source, pinned; or NULL */
    struct loop_rest *below; /* the rest that the source is, pinned; or NULL */
    struct loop_own *record; /* of another source with `unread`, held: for bytes that it cannot take back; or NULL */
    uint32_t closes;         /* of the record, when the reader was made */
    struct loop_kept kept;   /* in more->kept of the scope */
    struct loop_reader_buffer buffer;
    size_t max_bytes; /* of one operation */
    const char *data; /* what the last operation gave out */
    size_t data_len;
    size_t consumed;      /* by that operation, and still in front of buffer.start */
    char *nul, under_nul; /* where that operation has put a NUL, and what was there; or NULL */
    loop_job job;         /* the operation that is running, or has been */
    struct loop_reader_operation operation;
    loop_job inner;    /* its read of the source, which keeps the object; or 0 */
    size_t asked;      /* how many bytes that was asked for */
    uint32_t calls;    /* functions of the program on the stack, which keep the object */
    int32_t status;    /* of the source, when it has ended: 0 or an error */
    bool has_ended;    /* the source */
    bool is_destroyed; /* takes no calls; freed when nothing keeps the object */
};

/* Returns where the job of an operation has its reader. */
static inline struct loop_reader **loop_reader_of(struct loop_job *job)
{
    return (struct loop_reader **)(void *)job->u.small;
}

/* Returns the operation that is running, also one whose continuation is due; or NULL. */
static inline struct loop_job *loop_reader_running(const struct loop_reader *reader)
{
    return loop_job_find(reader->loop, reader->job);
}

/* Returns how many bytes are buffered. */
static inline size_t loop_reader_buffered(const struct loop_reader *reader)
{
    return loop_reader_buffer_length(&reader->buffer);
}

#endif
