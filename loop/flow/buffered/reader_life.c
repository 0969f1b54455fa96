/* SPDX-License-Identifier: ISC
 *
 * How long a reader lives, and its rest as a source. The object is in a slab of the loop and in the scope's `kept`. It
 * is given back by loop_reader_destroy, or when the scope's on_end has returned; a read in flight, functions of the
 * program that are on the stack, and pins keep it until they are done (loop_reader_let_go).
 *
 * It pins the descriptor behind its source, and has the scope by a pointer of its own: what it stands on may be closed
 * or destroyed at any time and is then found closed, never to be another connection's.
 */
#include <loop/flow/check.h>
#include <loop/part.h>
#include <loop/flow/buffered/reader_state.h>

#include <loop/flow/descriptor/descriptor.h>

#include <errno.h>

#define MAX_BYTES ((size_t)1 << 20)
#define DIRECT_BLOCK ((size_t)4096)

/* ---- checks ---- */

bool loop_reader_is_good(const struct loop_reader *reader, const char *function)
{
    if (!reader || loop_is_freed(reader) || reader->is_destroyed) {
        return loop_bad_rest(reader ? &reader->rest : NULL, function);
    }
    loop_check_thread(reader->loop, function);
    return true;
}

/* ---- ending ---- */

/* Without memory the loss is an error of the reader, not a gap. */
static void put_back(struct loop_reader *reader, const char *bytes, size_t len)
{
    if (!reader->is_destroyed && !loop_reader_buffer_put_back(&reader->buffer, bytes, len)) {
        loop_reader_buffer_finish(&reader->buffer);
        reader->has_ended = true;
        reader->status = -ENOMEM;
    }
}

/* What has been read and not given out goes back to where it came from, if that takes it. */
static void give_back(struct loop_reader *reader)
{
    size_t len = loop_reader_buffered(reader);
    const char *bytes = loop_reader_buffer_first(&reader->buffer);
    if (len > 0 && reader->below) {
        put_back(LOOP_CONTAINER(reader->below, struct loop_reader, rest), bytes, len);
    } else if (len > 0) {
        (void)loop_source_unread(reader->source, bytes, len);
    }
}

void loop_reader_let_go(struct loop_reader *reader)
{
    if (!reader->is_destroyed || reader->inner || reader->calls > 0) {
        return;
    }
    give_back(reader);
    loop_reader_buffer_finish(&reader->buffer);
    if (reader->rest.pins > 0) {
        return;
    }
    loop_hlist_remove(&reader->kept.link);
    if (reader->fd) {
        loop_fd_unpin(reader->fd);
    }
    if (reader->below) {
        loop_rest_unpin(reader->below);
    }
    loop_slab_put(&reader->loop->readers, reader);
}

/* The continuation that is due must find neither a reader nor bytes of it: what it would have been given stays unread.
 * Bytes that are somewhere else already, and errors, are told. */
static void end_due(struct loop_reader *reader, struct loop_job *job)
{
    bool is_lent = job->result > 0 && (reader->consumed > 0 || reader->operation.step == loop_reader_step_fill);
    if (!job->is_backends && !is_lent) {
        return;
    }
    if (!job->is_backends) {
        loop_reader_take_back(reader);
    }
    int64_t reason = reader->scope->is_cancelled ? reader->scope->reason : -ECANCELED;
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
    if (job && job->where == LOOP_AT_RUN_QUEUE) {
        end_due(reader, job);
    } else if (job) {
        loop_job_cancel(reader->loop, job);
    }
    loop_reader_let_go(reader);
}

/* The scope has ended, and with it the descriptor. */
static void drop(struct loop_kept *kept)
{
    struct loop_reader *reader = LOOP_CONTAINER(kept, struct loop_reader, kept);
    assert(!reader->inner && reader->calls == 0);
    loop_reader_buffer_finish(&reader->buffer);
    reader->is_destroyed = true;
    loop_reader_let_go(reader);
}

/* ---- the rest ---- */

/* Destroyed, but kept for a stream or a copy, or a reader that stands on it. */
static bool is_pinned_only(const struct loop_reader *reader)
{
    return reader->is_destroyed && reader->rest.pins > 0;
}

static loop_job read_rest(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct loop_reader *reader = source->self;
    if (is_pinned_only(reader)) {
        return loop_reader_refuse(reader, -EBADF, fn, arg);
    }
    struct loop_reader_operation operation = {.step = loop_reader_step_rest, .bytes = buf, .len = len};
    return loop_reader_is_good(reader, "read of loop_reader_source") ? loop_reader_start(reader, &operation, fn, arg)
                                                                     : 0;
}

/* Bytes may be taken from the descriptor where nothing stands before them. */
static struct loop_fd *rest_fd(struct loop_source *source)
{
    const struct loop_reader *reader = source->self;
    bool has_more = loop_reader_buffered(reader) > 0 || reader->has_ended || loop_reader_running(reader);
    if (reader->is_destroyed || has_more || !reader->source->ops->fd) {
        return NULL;
    }
    return reader->source->ops->fd(reader->source);
}

static int close_rest(struct loop_source *source)
{
    const struct loop_reader *reader = source->self;
    return reader->is_destroyed ? -EBADF : loop_source_close(reader->source);
}

/* What was just given out of the buffer still has its place there. What was read around an empty one is the source's,
 * where that takes it and is going to be read again. */
static int unread_rest(struct loop_source *source, const void *bytes, size_t len)
{
    struct loop_reader *reader = source->self;
    if (is_pinned_only(reader)) {
        return loop_source_unread(reader->source, bytes, len);
    }
    if (!loop_reader_is_good(reader, "loop_source_unread") || loop_reader_running(reader)) {
        return loop_reader_running(reader) ? -EBUSY : -EINVAL;
    }
    loop_reader_give_nothing(reader);
    bool is_around = loop_reader_buffered(reader) == 0 && len > reader->buffer.start && !reader->has_ended;
    if (is_around && reader->source->ops->unread) {
        return loop_source_unread(reader->source, bytes, len);
    }
    return loop_reader_buffer_put_back(&reader->buffer, bytes, len) ? 0 : -ENOMEM;
}

static void let_go_of_rest(struct loop_rest *rest)
{
    loop_reader_let_go(LOOP_CONTAINER(rest, struct loop_reader, rest));
}

static const struct loop_rest_functions rest_functions = {
    .source = {.read = read_rest, .fd = rest_fd, .close = close_rest, .unread = unread_rest}, .let_go = let_go_of_rest};

struct loop_source *loop_reader_source(struct loop_reader *reader)
{
    return loop_reader_is_good(reader, __func__) ? &reader->rest.source : NULL;
}

/* ---- making ---- */

/* What a file that is O_DIRECT asks of the reads of it. */
static size_t block_of(const struct loop_fd *fd)
{
    return fd && fd->is_direct ? DIRECT_BLOCK : 1;
}

static void stand_on(struct loop_reader *reader, struct loop_source *source)
{
    reader->source = source;
    if (loop_source_is_rest(source)) {
        reader->below = source->self;
        loop_rest_pin(reader->below);
        return;
    }
    reader->fd = source->ops->fd ? source->ops->fd(source) : NULL;
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
    struct loop_reader *reader = loop_scope_takes_work(scope) ? loop_slab_get(&loop->readers) : NULL;
    if (!reader) {
        return NULL;
    }
    max_bytes = max_bytes > 0 ? max_bytes : MAX_BYTES;
    reader->loop = loop;
    reader->scope = scope;
    reader->max_bytes = max_bytes < SIZE_MAX / 4 ? max_bytes : SIZE_MAX / 4;
    loop_rest_init(&reader->rest, &rest_functions, scope);
    stand_on(reader, source);
    loop_reader_buffer_init(&reader->buffer, reader->max_bytes, block_of(reader->fd));
    loop_reader_give_nothing(reader);
    reader->kept.drop = drop;
    loop_hlist_push(&scope->kept, &reader->kept.link);
    return reader;
}
