/* SPDX-License-Identifier: ISC
 *
 * Buffered reading. An operation is a job that tries to make its result of what is in the buffer (its `step`); where
 * that is too little it starts a read of the source behind what is there, and tries again when that has ended. What is
 * consumed stays where it is until the next operation, which is what lends the data to the continuation.
 */
#include <loop/reader.h>

#include <loop/core.h>
#include <loop/reader_buffer.h>

#include <errno.h>
#include <string.h>

#define MAX_BYTES ((size_t)1 << 20)
#define LINES_AT_ONCE 64

#define NEEDS_MORE INT64_MIN /* what a step says when the buffer has too little for a result */

struct loop_reader;

/* The operation that is running. */
struct operation {
    int64_t (*step)(struct loop_reader *reader, struct operation *operation);
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
    struct operation operation;
    loop_job inner; /* its read of the source */
    bool has_ended; /* the source, with `status`: 0 or an error */
    int32_t status;
};

/* Where the job of an operation keeps its reader. */
static struct loop_reader **reader_of(struct job *job)
{
    return (struct loop_reader **)(void *)job->u.small;
}

static struct loop *loop_of(const struct loop_reader *reader)
{
    return reader->source->scope->loop;
}

/* The operation that is running, also one whose continuation is due; or NULL. */
static struct job *running(const struct loop_reader *reader)
{
    return loop_job_find(loop_of(reader), reader->job);
}

/* ---- the buffer ---- */

static size_t buffered(const struct loop_reader *reader)
{
    return loop_reader_buffer_length(&reader->buffer);
}

static void give_nothing(struct loop_reader *reader)
{
    reader->data = "";
    reader->data_len = 0;
}

/* Gives out the first `len` buffered bytes and consumes the first `consumed`. */
static int64_t give_out(struct loop_reader *reader, size_t len, size_t consumed)
{
    reader->data = loop_reader_buffer_first(&reader->buffer);
    reader->data_len = len;
    reader->buffer.start += consumed;
    return (int64_t)consumed;
}

/* The same with a NUL behind: where the delimiter stood; or behind everything, where the read that saw the end of the
 * source had room. */
static int64_t give_out_text(struct loop_reader *reader, size_t len, size_t consumed)
{
    reader->buffer.bytes[reader->buffer.start + len] = 0;
    return give_out(reader, len, consumed);
}

/* What there is to say when the buffer has too little: `cut_off` where the source has ended in the middle. */
static int64_t too_little(const struct loop_reader *reader, int64_t cut_off)
{
    if (!reader->has_ended) {
        return NEEDS_MORE;
    }
    return reader->status < 0 || buffered(reader) == 0 ? reader->status : cut_off;
}

/* ---- steps ---- */

/* All that is left, as text. */
static int64_t step_all(struct loop_reader *reader, struct operation *operation)
{
    (void)operation;
    size_t len = buffered(reader);
    if (len > reader->max_bytes) {
        return -EMSGSIZE;
    }
    int64_t result = too_little(reader, 1);
    return result > 0 ? give_out_text(reader, len, len) : result;
}

/* How far a delimiter is looked for: one that ends beyond that comes too late. */
static size_t searched(const struct loop_reader *reader)
{
    return buffered(reader) < reader->max_bytes ? buffered(reader) : reader->max_bytes;
}

static int64_t step_line(struct loop_reader *reader, struct operation *operation)
{
    const char *bytes = loop_reader_buffer_first(&reader->buffer);
    size_t most = searched(reader);
    const char *end = most > 0 ? memchr(bytes + operation->scanned, '\n', most - operation->scanned) : NULL;
    if (!end) {
        operation->scanned = most;
        return step_all(reader, operation);
    }
    size_t len = (size_t)(end - bytes);
    operation->scanned = 0;
    return give_out_text(reader, len > 0 && bytes[len - 1] == '\r' ? len - 1 : len, len + 1);
}

static int64_t step_until(struct loop_reader *reader, struct operation *operation)
{
    const char *bytes = loop_reader_buffer_first(&reader->buffer);
    size_t most = searched(reader), len = (size_t)operation->len;
    const char *end =
        most > 0 ? memmem(bytes + operation->scanned, most - operation->scanned, operation->bytes, len) : NULL;
    if (!end) {
        operation->scanned = most < len ? 0 : most - len + 1;
        return step_all(reader, operation);
    }
    return give_out_text(reader, (size_t)(end - bytes), (size_t)(end - bytes) + len);
}

static int64_t step_exact(struct loop_reader *reader, struct operation *operation)
{
    size_t len = (size_t)operation->len;
    if (len > reader->max_bytes) {
        return -EMSGSIZE;
    }
    return buffered(reader) >= len ? give_out(reader, len, len) : too_little(reader, -ENODATA);
}

static int64_t step_take(struct loop_reader *reader, struct operation *operation)
{
    size_t most = searched(reader), len = operation->len < most ? (size_t)operation->len : most;
    return len > 0 ? give_out(reader, len, len) : too_little(reader, 0);
}

static int64_t step_skip(struct loop_reader *reader, struct operation *operation)
{
    uint64_t left = operation->len - operation->done;
    size_t n = left < buffered(reader) ? (size_t)left : buffered(reader);
    reader->buffer.start += n;
    operation->done += n;
    if (operation->done == operation->len) {
        return (int64_t)operation->done;
    }
    int64_t result = too_little(reader, 0);
    return result != NEEDS_MORE && operation->done > 0 ? (int64_t)operation->done : result;
}

static int64_t step_fill(struct loop_reader *reader, struct operation *operation)
{
    if (operation->len > reader->max_bytes) {
        return -EMSGSIZE;
    }
    return buffered(reader) >= operation->len ? (int64_t)buffered(reader) : too_little(reader, -ENODATA);
}

/* A read of the rest, into somebody else's buffer. */
static int64_t step_rest(struct loop_reader *reader, struct operation *operation)
{
    size_t len = operation->len < buffered(reader) ? (size_t)operation->len : buffered(reader);
    if (len == 0) {
        return too_little(reader, 0);
    }
    memcpy(operation->bytes, loop_reader_buffer_first(&reader->buffer), len);
    reader->buffer.start += len;
    return (int64_t)len;
}

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

/* Starts the read that the operation needs. False when there is no memory. */
static bool read_more(struct loop_reader *reader)
{
    struct loop_source *source = reader->source;
    const struct operation *operation = &reader->operation;
    if (operation->step == step_rest) {
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

static const struct loop_job_kind lines_kind;
static void run_lines(struct loop *loop, struct job *job, int64_t result);

/* Goes on after a read; `error` where there was none to go on from. From the dispatch. */
static void go_on(struct loop *loop, struct job *job, int64_t error)
{
    struct loop_reader *reader = *reader_of(job);
    if (job->kind == &lines_kind) {
        run_lines(loop, job, error);
        return;
    }
    int64_t result = reader->operation.step(reader, &reader->operation);
    if (result == NEEDS_MORE) {
        error = job->is_cancelled ? -ECANCELED : error;
        if (!error && read_more(reader)) {
            return;
        }
        result = broken_off(reader, error ? error : -ENOMEM);
    }
    loop_job_finish(loop, job, result);
}

static void on_read(void *arg, int64_t result)
{
    struct loop_reader *reader = arg;
    struct job *job = running(reader);
    reader->inner = 0;
    if (result > 0) {
        loop_reader_buffer_filled(&reader->buffer, (size_t)result);
    } else {
        note_end(reader, result);
    }
    go_on(loop_of(reader), job, result == -ECANCELED ? result : 0);
}

static void on_read_rest(void *arg, int64_t result)
{
    struct loop_reader *reader = arg;
    struct job *job = running(reader);
    reader->inner = 0;
    if (result <= 0) {
        note_end(reader, result);
    }
    loop_job_finish(loop_of(reader), job, result);
}

/* ---- operations ---- */

static void cancel_operation(struct loop *loop, struct job *job)
{
    loop_cancel(loop, (*reader_of(job))->inner);
}

static const struct loop_job_kind operation_kind = {.name = "buffered read", .cancel = cancel_operation};

/* A job for the caller to go on with, with its id in `*id`. NULL where there is none, or where it has its result. */
static struct job *begin(struct loop_reader *reader, const struct loop_job_kind *kind,
                         const struct operation *operation, loop_fn *fn, void *arg, loop_job *id)
{
    bool ended = false, is_busy = running(reader) != NULL;
    struct job *job = loop_job_start(reader->source->scope, NULL, kind, fn, arg, &ended);
    *id = job ? job->id : 0;
    if (!job || ended) {
        return NULL;
    }
    if (is_busy) {
        loop_job_complete(loop_of(reader), job, -EBUSY);
        return NULL;
    }
    *reader_of(job) = reader;
    job->where = LOOP_AT_OWNER;
    reader->job = job->id;
    reader->operation = *operation;
    give_nothing(reader);
    return job;
}

static loop_job start(struct loop_reader *reader, const struct operation *operation, loop_fn *fn, void *arg)
{
    loop_job id;
    struct job *job = begin(reader, &operation_kind, operation, fn, arg, &id);
    if (!job) {
        return id;
    }
    int64_t result = -EINVAL;
    if (operation->len > 0) {
        result = operation->step(reader, &reader->operation);
    }
    if (result == NEEDS_MORE) {
        if (read_more(reader)) {
            return id;
        }
        result = broken_off(reader, -ENOMEM);
    }
    loop_job_complete(loop_of(reader), job, result);
    return id;
}

loop_job loop_reader_line(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return start(reader, &(struct operation){.step = step_line, .len = 1}, fn, arg);
}

loop_job loop_reader_until(struct loop_reader *reader, const void *delimiter, size_t delimiter_len, loop_fn *fn,
                           void *arg)
{
    struct operation operation = {.step = step_until, .bytes = (void *)(uintptr_t)delimiter, .len = delimiter_len};
    return start(reader, &operation, fn, arg);
}

loop_job loop_reader_exact(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    return start(reader, &(struct operation){.step = step_exact, .len = len}, fn, arg);
}

loop_job loop_reader_take(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    return start(reader, &(struct operation){.step = step_take, .len = len}, fn, arg);
}

loop_job loop_reader_all(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return start(reader, &(struct operation){.step = step_all, .len = 1}, fn, arg);
}

loop_job loop_reader_skip(struct loop_reader *reader, uint64_t len, loop_fn *fn, void *arg)
{
    /* A result couldn't tell more. */
    return start(reader, &(struct operation){.step = step_skip, .len = len <= INT64_MAX ? len : 0}, fn, arg);
}

loop_job loop_reader_fill(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    return start(reader, &(struct operation){.step = step_fill, .len = len}, fn, arg);
}

/* ---- all lines ---- */

/* Comes back to the job from the dispatch. */
static void nudge(struct loop *loop, struct job *job)
{
    loop_job_backend_complete(loop, job, 0);
}

/* Resumes the continuation for lines that are there, a bounded number of them. Returns what the last step said. */
static int64_t deliver_lines(struct loop *loop, struct job *job, struct loop_reader *reader)
{
    struct operation *operation = &reader->operation;
    int64_t result = 1;
    operation->is_delivering = true;
    for (int n = 0; n < LINES_AT_ONCE && result > 0 && !operation->is_paused && !job->is_cancelled; n++) {
        result = step_line(reader, operation);
        if (result > 0 && job->fn) {
            job->fn(job->arg, result);
        }
    }
    loop_settle(loop);
    operation->is_delivering = false;
    return result;
}

/* From the dispatch. */
static void run_lines(struct loop *loop, struct job *job, int64_t error)
{
    struct loop_reader *reader = *reader_of(job);
    int64_t result = deliver_lines(loop, job, reader);
    if (job->is_cancelled) {
        result = -ECANCELED;
    } else if (result == NEEDS_MORE && error) {
        result = error;
    } else if (reader->operation.is_paused) {
        job->where = LOOP_AT_OWNER;
        return;
    } else if (result > 0) {
        nudge(loop, job);
        return;
    } else if (result == NEEDS_MORE) {
        if (read_more(reader)) {
            return;
        }
        result = -ENOMEM;
    }
    give_nothing(reader);
    loop_job_finish(loop, job, result);
}

static void cancel_lines(struct loop *loop, struct job *job)
{
    struct loop_reader *reader = *reader_of(job);
    if (reader->operation.is_delivering) {
        return; /* run_lines ends it */
    }
    if (reader->inner) {
        loop_cancel(loop, reader->inner);
    } else {
        give_nothing(reader);
        loop_job_complete(loop, job, -ECANCELED);
    }
}

static const struct loop_job_kind lines_kind = {
    .name = "buffered read of lines", .cancel = cancel_lines, .backend_done = run_lines};

loop_job loop_reader_lines(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    loop_job id;
    struct operation operation = {.step = step_line, .len = 1};
    struct job *job = begin(reader, &lines_kind, &operation, fn, arg, &id);
    if (!job) {
        return id;
    }
    if (buffered(reader) > 0 || reader->has_ended) {
        nudge(loop_of(reader), job);
    } else if (!read_more(reader)) {
        loop_job_complete(loop_of(reader), job, -ENOMEM);
    }
    return id;
}

/* The job of loop_reader_lines, or NULL where it isn't running or has its result. */
static struct job *find_lines(const struct loop_reader *reader)
{
    LOOP_CHECK_THREAD(loop_of(reader));
    struct job *job = running(reader);
    bool has_result = job && job->where == LOOP_AT_RUN_QUEUE && !job->is_backends;
    return job && job->kind == &lines_kind && !has_result ? job : NULL;
}

int loop_reader_pause(struct loop_reader *reader)
{
    struct job *job = find_lines(reader);
    if (!job) {
        return -ENOENT;
    }
    reader->operation.is_paused = true;
    return 0;
}

int loop_reader_resume(struct loop_reader *reader)
{
    struct job *job = find_lines(reader);
    if (!job) {
        return -ENOENT;
    }
    struct operation *operation = &reader->operation;
    bool was_paused = operation->is_paused;
    operation->is_paused = false;
    if (was_paused && !operation->is_delivering && !reader->inner && job->where != LOOP_AT_RUN_QUEUE) {
        nudge(loop_of(reader), job);
    }
    return 0;
}

/* ---- what is there ---- */

const char *loop_reader_data(const struct loop_reader *reader, size_t *len)
{
    LOOP_CHECK_THREAD(loop_of(reader));
    if (len) {
        *len = reader->data_len;
    }
    return reader->data;
}

const char *loop_reader_peek(const struct loop_reader *reader, size_t *len)
{
    LOOP_CHECK_THREAD(loop_of(reader));
    *len = running(reader) ? 0 : buffered(reader);
    return *len > 0 ? loop_reader_buffer_first(&reader->buffer) : "";
}

int loop_reader_consume(struct loop_reader *reader, size_t len)
{
    LOOP_CHECK_THREAD(loop_of(reader));
    if (running(reader)) {
        return -EBUSY;
    }
    if (len > buffered(reader)) {
        return -EINVAL;
    }
    reader->buffer.start += len;
    return 0;
}

/* ---- the rest ---- */

static loop_job read_rest(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    return start(source->self, &(struct operation){.step = step_rest, .bytes = buf, .len = len}, fn, arg);
}

/* Bytes may be taken from the descriptor where nothing stands before them. */
static struct loop_fd *rest_fd(struct loop_source *source)
{
    const struct loop_reader *reader = source->self;
    bool is_direct = buffered(reader) == 0 && !reader->has_ended && !running(reader) && reader->source->ops->fd;
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
    give_nothing(reader);
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
    give_nothing(reader);
    return loop_scope_on_release(scope, drop_buffer, reader) ? reader : NULL;
}
