/* SPDX-License-Identifier: ISC
 *
 * How a reader is made and destroyed.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/buffered/reader_keep.h>
#include <loop/flow/buffered/reader_life.h>
#include <loop/flow/buffered/reader_rest.h>
#include <loop/flow/buffered/reader_state.h>
#include <loop/flow/buffered/reader_steps.h>
#include <loop/flow/own/check.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/own/rest.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/part.h>

#include <errno.h>

#define MAX_BYTES ((size_t)1 << 20)
#define DIRECT_BLOCK ((size_t)4096)

/* ---- ending ---- */

/* Changes the result of an operation that is due in the run queue: its continuation can have no bytes of a reader that
 * is gone. They go back to the source instead. Bytes in the caller's memory and errors stay the result. */
static void end_due(struct loop_reader *reader, struct loop_job *job)
{
    loop_reader_untie(reader, job);
    bool is_lent = job->result > 0 && (reader->consumed > 0 || reader->operation.step == loop_reader_step_fill);
    if (!job->is_backends && !is_lent) {
        return;
    }
    if (!job->is_backends) {
        loop_reader_take_back(reader);
    }
    int64_t reason = reader->scope->is_cancelled ? loop_scope_reason(reader->scope) : -ECANCELED;
    job->is_backends = false;
    job->result = loop_reader_last_word(reader, reason);
}

void loop_reader_destroy(struct loop_reader *reader)
{
    if (!reader || !loop_reader_is_good(reader, __func__)) {
        return;
    }
#if NORIA_DEBUG
    reader->rest.destroyed = LOOP_THIS_CALL;
#endif
    reader->is_destroyed = true;
    struct loop_job *job = loop_reader_running(reader);
    if (job && job->where != LOOP_AT_RUN_QUEUE) {
        loop_job_cancel(reader->loop, job);
    }
    if (job && job->where == LOOP_AT_RUN_QUEUE) {
        end_due(reader, job);
    }
    loop_reader_let_go(reader);
}

/* Frees a reader whose scope has ended, and with it the descriptor. */
static void drop(struct loop_kept *kept)
{
    struct loop_reader *reader = LOOP_CONTAINER(kept, struct loop_reader, kept);
    assert(!reader->inner && reader->calls == 0);
    loop_reader_buffer_finish(&reader->buffer);
    reader->is_destroyed = true;
    loop_reader_let_go(reader);
}

/* ---- making ---- */

/* Returns what the reads of a file have to be multiples of: more than 1 for one that is O_DIRECT. */
static size_t block_of(const struct loop_fd *fd)
{
    return fd && fd->is_direct ? DIRECT_BLOCK : 1;
}

/* Sets the source of a reader, and pins what is behind it. */
static void stand_on(struct loop_reader *reader, struct loop_source *source)
{
    reader->source = source;
    if (loop_source_is_rest(source)) {
        reader->below = source->self;
        loop_rest_pin(reader->below);
        reader->rest.bottom = reader->below->bottom;
        reader->rest.fd = reader->below->fd;
        return;
    }
    reader->fd = source->ops->fd ? source->ops->fd(source) : NULL;
    reader->rest.bottom = source;
    reader->rest.fd = reader->fd;
    if (reader->fd) {
        loop_fd_pin(reader->fd);
    }
}

void loop_readers_init(struct loop *loop)
{
    loop_slab_init(&loop->readers, sizeof(struct loop_reader), 0);
}

struct loop_reader *loop_reader_create(struct loop_source *source, size_t max_bytes)
{
    if (!loop_source_is_good(source, __func__)) {
        return NULL;
    }
    struct loop_scope *scope = source->scope;
    struct loop *loop = scope->loop;
    struct loop_scope_more *more = loop_scope_takes_work(scope) ? loop_scope_get_more(scope) : NULL;
    struct loop_own *record = NULL;
    struct loop_reader *reader = more && loop_source_hold(source, &record) ? loop_slab_get(&loop->readers) : NULL;
    if (!reader) {
        loop_own_release(record);
        return NULL;
    }
    reader->record = record;
    reader->closes = record ? record->closes : 0;
    max_bytes = max_bytes > 0 ? max_bytes : MAX_BYTES;
    reader->loop = loop;
    reader->scope = scope;
    reader->max_bytes = max_bytes < SIZE_MAX / 4 ? max_bytes : SIZE_MAX / 4;
    loop_rest_init(&reader->rest, &loop_reader_rest, scope);
    stand_on(reader, source);
    loop_reader_buffer_init(&reader->buffer, reader->max_bytes, block_of(reader->fd));
    loop_reader_give_nothing(reader);
    reader->kept.drop = drop;
    loop_hlist_push(&more->kept, &reader->kept.link);
    return reader;
}

struct loop_source *loop_reader_source(struct loop_reader *reader)
{
    return loop_reader_is_good(reader, __func__) ? &reader->rest.source : NULL;
}
