/* SPDX-License-Identifier: ISC
 *
 * Buffered reading. An operation is a job that tries to make its result of what is in the buffer (its `step`); where
 * that is too little it starts a read of the source behind what is there, and tries again when that has ended. What is
 * consumed stays where it is until the next operation, which is what lends the data to the continuation.
 */
#include <loop/reader_state.h>

#include <errno.h>

#define MAX_BYTES ((size_t)1 << 20)

/* ---- reading the source ---- */

static void on_read(void *arg, int64_t result);
static void on_read_rest(void *arg, int64_t result);

static void note_end(struct loop_reader *reader, int64_t result)
{
    if (result != -ECANCELED) {
        reader->has_ended = true;
        reader->status = (int32_t)result;
    }
}

bool loop_reader_read_more(struct loop_reader *reader)
{
    struct loop_source *source = reader->source;
    const struct loop_reader_operation *operation = &reader->operation;
    if (operation->step == loop_reader_step_rest) {
        reader->inner = source->ops->read(source, operation->bytes, (size_t)operation->len, on_read_rest, reader);
        return reader->inner != 0;
    }
    size_t room = loop_reader_buffer_make_room(&reader->buffer);
    char *end = loop_reader_buffer_end(&reader->buffer);
    reader->inner = room > 0 ? source->ops->read(source, end, room, on_read, reader) : 0;
    return reader->inner != 0;
}

/* What an operation says that is cancelled, or can't go on. */
static int64_t broken_off(const struct loop_reader *reader, int64_t error)
{
    return reader->operation.done > 0 ? (int64_t)reader->operation.done : error;
}

/* Goes on after a read; `error` where there was none to go on from. From the dispatch. */
static void go_on(struct loop *loop, struct job *job, int64_t error)
{
    struct loop_reader *reader = *loop_reader_of(job);
    if (job->kind->backend_done) {
        job->kind->backend_done(loop, job, error);
        return;
    }
    int64_t result = reader->operation.step(reader, &reader->operation);
    if (result == LOOP_READER_NEEDS_MORE) {
        error = job->is_cancelled ? -ECANCELED : error;
        if (!error && loop_reader_read_more(reader)) {
            return;
        }
        result = broken_off(reader, error ? error : -ENOMEM);
    }
    loop_job_finish(loop, job, result);
}

static void on_read(void *arg, int64_t result)
{
    struct loop_reader *reader = arg;
    struct job *job = loop_reader_running(reader);
    reader->inner = 0;
    if (result > 0) {
        loop_reader_buffer_filled(&reader->buffer, (size_t)result);
    } else {
        note_end(reader, result);
    }
    go_on(reader->source->scope->loop, job, result == -ECANCELED ? result : 0);
}

static void on_read_rest(void *arg, int64_t result)
{
    struct loop_reader *reader = arg;
    struct job *job = loop_reader_running(reader);
    reader->inner = 0;
    if (result <= 0) {
        note_end(reader, result);
    }
    loop_job_finish(reader->source->scope->loop, job, result);
}

/* ---- operations ---- */

static void cancel_operation(struct loop *loop, struct job *job)
{
    loop_cancel(loop, (*loop_reader_of(job))->inner);
}

static const struct loop_job_kind operation_kind = {.name = "buffered read", .cancel = cancel_operation};

struct job *loop_reader_begin(struct loop_reader *reader, const struct loop_job_kind *kind,
                              const struct loop_reader_operation *operation, loop_fn *fn, void *arg, loop_job *id)
{
    bool ended = false, is_busy = loop_reader_running(reader) != NULL;
    struct job *job = loop_job_start(reader->source->scope, NULL, kind, fn, arg, &ended);
    *id = job ? job->id : 0;
    if (!job || ended) {
        return NULL;
    }
    if (is_busy) {
        loop_job_complete(reader->source->scope->loop, job, -EBUSY);
        return NULL;
    }
    *loop_reader_of(job) = reader;
    job->where = LOOP_AT_OWNER;
    reader->job = job->id;
    reader->operation = *operation;
    loop_reader_give_nothing(reader);
    return job;
}

static loop_job start(struct loop_reader *reader, const struct loop_reader_operation *operation, loop_fn *fn, void *arg)
{
    loop_job id;
    struct job *job = loop_reader_begin(reader, &operation_kind, operation, fn, arg, &id);
    if (!job) {
        return id;
    }
    int64_t result = -EINVAL;
    if (operation->len > 0) {
        result = operation->step(reader, &reader->operation);
    }
    if (result == LOOP_READER_NEEDS_MORE) {
        if (loop_reader_read_more(reader)) {
            return id;
        }
        result = broken_off(reader, -ENOMEM);
    }
    loop_job_complete(reader->source->scope->loop, job, result);
    return id;
}

loop_job loop_reader_line(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return start(reader, &(struct loop_reader_operation){.step = loop_reader_step_line, .len = 1}, fn, arg);
}

loop_job loop_reader_until(struct loop_reader *reader, const void *delimiter, size_t delimiter_len, loop_fn *fn,
                           void *arg)
{
    struct loop_reader_operation operation = {
        .step = loop_reader_step_until, .bytes = (void *)(uintptr_t)delimiter, .len = delimiter_len};
    return start(reader, &operation, fn, arg);
}

loop_job loop_reader_exact(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    return start(reader, &(struct loop_reader_operation){.step = loop_reader_step_exact, .len = len}, fn, arg);
}

loop_job loop_reader_take(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    return start(reader, &(struct loop_reader_operation){.step = loop_reader_step_take, .len = len}, fn, arg);
}

loop_job loop_reader_all(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return start(reader, &(struct loop_reader_operation){.step = loop_reader_step_all, .len = 1}, fn, arg);
}

loop_job loop_reader_skip(struct loop_reader *reader, uint64_t len, loop_fn *fn, void *arg)
{
    /* A result couldn't tell more. */
    return start(reader,
                 &(struct loop_reader_operation){.step = loop_reader_step_skip, .len = len <= INT64_MAX ? len : 0}, fn,
                 arg);
}

loop_job loop_reader_fill(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    return start(reader, &(struct loop_reader_operation){.step = loop_reader_step_fill, .len = len}, fn, arg);
}

/* ---- what is there ---- */

const char *loop_reader_data(const struct loop_reader *reader, size_t *len)
{
    LOOP_CHECK_THREAD(reader->source->scope->loop);
    if (len) {
        *len = reader->data_len;
    }
    return reader->data;
}

const char *loop_reader_peek(const struct loop_reader *reader, size_t *len)
{
    LOOP_CHECK_THREAD(reader->source->scope->loop);
    *len = loop_reader_running(reader) ? 0 : loop_reader_buffered(reader);
    return *len > 0 ? loop_reader_buffer_first(&reader->buffer) : "";
}

int loop_reader_consume(struct loop_reader *reader, size_t len)
{
    LOOP_CHECK_THREAD(reader->source->scope->loop);
    if (loop_reader_running(reader)) {
        return -EBUSY;
    }
    if (len > loop_reader_buffered(reader)) {
        return -EINVAL;
    }
    reader->buffer.start += len;
    return 0;
}

/* ---- the rest ---- */

static loop_job read_rest(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    return start(source->self, &(struct loop_reader_operation){.step = loop_reader_step_rest, .bytes = buf, .len = len},
                 fn, arg);
}

/* Bytes may be taken from the descriptor where nothing stands before them. */
static struct loop_fd *rest_fd(struct loop_source *source)
{
    const struct loop_reader *reader = source->self;
    bool is_direct = loop_reader_buffered(reader) == 0 && !reader->has_ended && !loop_reader_running(reader) &&
                     reader->source->ops->fd;
    return is_direct ? reader->source->ops->fd(reader->source) : NULL;
}

static int close_rest(struct loop_source *source)
{
    const struct loop_reader *reader = source->self;
    return loop_source_close(reader->source);
}

static const struct loop_source_ops rest_ops = {.read = read_rest, .fd = rest_fd, .close = close_rest};

struct loop_source *loop_reader_source(struct loop_reader *reader)
{
    return &reader->rest;
}

/* ---- making ---- */

static void drop_buffer(void *arg)
{
    struct loop_reader *reader = arg;
    loop_reader_buffer_finish(&reader->buffer);
    loop_reader_give_nothing(reader);
}

struct loop_reader *loop_reader_create(struct loop_source *source, size_t max_bytes)
{
    struct loop_scope *scope = source->scope;
    struct loop_reader *reader = loop_scope_takes_work(scope) ? loop_scope_alloc(scope, sizeof *reader) : NULL;
    if (!reader) {
        return NULL;
    }
    max_bytes = max_bytes > 0 ? max_bytes : MAX_BYTES;
    reader->source = source;
    reader->rest = (struct loop_source){.ops = &rest_ops, .scope = scope, .self = reader};
    reader->max_bytes = max_bytes < SIZE_MAX / 4 ? max_bytes : SIZE_MAX / 4;
    loop_reader_buffer_init(&reader->buffer, reader->max_bytes, 1);
    loop_reader_give_nothing(reader);
    return loop_scope_on_release(scope, drop_buffer, reader) ? reader : NULL;
}
