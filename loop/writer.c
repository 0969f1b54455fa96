/* SPDX-License-Identifier: ISC
 *
 * Buffered writing. Two batches take turns: one is filled while the other is on its way. What is appended has the
 * writer looked at when the continuation has returned (loop->after); it then swaps the two and starts one write. That
 * write's end starts the next one, where more has come meanwhile.
 */
#include <loop/writer.h>

#include <loop/core.h>
#include <loop/writer_batch.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_BYTES ((size_t)1 << 20)

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
struct waiter {
    struct loop_writer *writer;
    uint64_t target; /* how much is to be written */
    loop_job inner;  /* the sink's shutdown */
    int32_t refusal; /* of an append before it */
};

static_assert(sizeof(struct waiter) <= sizeof(((struct job *)0)->u.small), "fits into a job");

static struct waiter *waiter_of(struct job *job)
{
    return (struct waiter *)(void *)job->u.small;
}

static struct loop *loop_of(const struct loop_writer *writer)
{
    return writer->sink->scope->loop;
}

static void empty_batch(const struct loop_writer *writer, struct loop_writer_batch *batch)
{
    loop_writer_batch_empty(batch, writer->limit_bytes);
}

/* ---- who waits ---- */

static uint64_t pending(const struct loop_writer *writer)
{
    return writer->error ? 0 : writer->appended - writer->written;
}

/* Has the job told from the dispatch, which is when a refusal counts as heard. */
static void tell(const struct loop_writer *writer, struct job *job, int64_t result)
{
    loop_job_backend_complete(loop_of(writer), job, result);
}

/* What a waiter hears; 1 when it has to wait on. Where the writer has failed it waits for the write in flight all the
 * same: that still uses memory. */
static int64_t answer(const struct loop_writer *writer, const struct waiter *waiter)
{
    if (waiter->target <= writer->written) {
        return waiter->refusal;
    }
    return writer->error && !writer->inner ? writer->error : 1;
}

static void tell_waiters(struct loop_writer *writer)
{
    struct loop_list *node;
    while ((node = loop_list_first(&writer->waiters))) {
        struct job *job = LOOP_CONTAINER(node, struct job, link);
        int64_t result = answer(writer, waiter_of(job));
        if (result > 0) {
            break;
        }
        tell(writer, job, result);
    }
    bool is_over = writer->error && !writer->inner, has_room = pending(writer) <= writer->limit_bytes / 2;
    while ((is_over || (has_room && !writer->error)) && (node = loop_list_first(&writer->drainers))) {
        tell(writer, LOOP_CONTAINER(node, struct job, link), writer->error);
    }
}

/* ---- writing ---- */

static void on_written(void *arg, int64_t result);

/* Nothing goes on from here. */
static void fail(struct loop_writer *writer, int64_t error)
{
    bool is_heard = !loop_list_is_empty(&writer->waiters);
    writer->error = (int32_t)error;
    empty_batch(writer, &writer->filling);
    if (!is_heard && error != -ECANCELED) {
        loop_scope_fail(writer->sink->scope, error);
    }
}

static void write_rest(struct loop_writer *writer)
{
    const struct loop_writer_batch *batch = &writer->leaving;
    writer->inner =
        loop_writev(writer->sink, batch->pieces + writer->at, batch->n_pieces - writer->at, on_written, writer);
    if (!writer->inner) {
        fail(writer, loop_scope_takes_work(writer->sink->scope) ? -ENOMEM : -ECANCELED);
        empty_batch(writer, &writer->leaving);
    }
}

static bool is_held_back(const struct loop_writer *writer)
{
    return writer->is_corked && loop_list_is_empty(&writer->waiters) && loop_list_is_empty(&writer->drainers);
}

/* Sends what has been gathered, unless something is on its way already. */
static void send_batch(struct loop_writer *writer)
{
    if (writer->inner || writer->filling.n_pieces == 0 || is_held_back(writer)) {
        return;
    }
    struct loop_writer_batch batch = writer->leaving;
    writer->leaving = writer->filling;
    writer->filling = batch;
    writer->at = 0;
    loop_writer_batch_resolve(&writer->leaving);
    write_rest(writer);
}

/* `n` bytes of what leaves have gone. */
static void advance(struct loop_writer *writer, size_t n)
{
    writer->written += n;
    writer->at = loop_writer_batch_advance(&writer->leaving, writer->at, n);
}

/* There is room in the sink's own queue again, or never will be. */
static void on_room(void *arg, int64_t result)
{
    struct loop_writer *writer = arg;
    writer->inner = 0;
    if (result < 0 && !writer->error) {
        fail(writer, result);
    }
    if (!writer->error) {
        write_rest(writer);
    } else {
        empty_batch(writer, &writer->leaving);
    }
    tell_waiters(writer);
}

/* Others, who write to the same descriptor, have filled its queue: waits until it drains. False when that isn't it. */
static bool wait_for_room(struct loop_writer *writer, int64_t result)
{
    struct loop_sink *sink = writer->sink;
    if (result == -ENOBUFS && !writer->error && sink->ops->fd && sink->ops->fd(sink)) {
        writer->inner = loop_sink_drained(sink, on_room, writer);
    }
    return writer->inner != 0;
}

static void on_written(void *arg, int64_t result)
{
    struct loop_writer *writer = arg;
    writer->inner = 0;
    advance(writer, result > 0 ? (size_t)result : 0);
    bool has_rest = writer->at < writer->leaving.n_pieces;
    if (has_rest && wait_for_room(writer, result)) {
        return;
    }
    if (has_rest && result <= 0 && !writer->error) {
        fail(writer, result < 0 ? result : -EIO);
    }
    if (has_rest && !writer->error) {
        write_rest(writer); /* the sink stopped in the middle without saying why: the next write says it */
    } else {
        empty_batch(writer, &writer->leaving);
        send_batch(writer);
    }
    tell_waiters(writer);
}

/* ---- when the continuation has returned ---- */

static void look_after(struct loop_after *after)
{
    struct loop_writer *writer = LOOP_CONTAINER(after, struct loop_writer, after.link);
    send_batch(writer);
    tell_waiters(writer);
    loop_scope_drop_hold(writer->sink->scope, false); /* loop_after_continuation has made it */
}

static void look_soon(struct loop_writer *writer)
{
    loop_after_continuation(loop_of(writer), &writer->after, writer->sink->scope);
}

/* ---- appending ---- */

static int refuse(struct loop_writer *writer, int error)
{
    writer->refusal = error;
    return error;
}

/* 0 when `len` bytes more are taken. */
static int admit(struct loop_writer *writer, size_t len)
{
    LOOP_CHECK_THREAD(loop_of(writer));
    if (writer->error) {
        return writer->error;
    }
    if (!loop_scope_takes_work(writer->sink->scope)) {
        return -ECANCELED;
    }
    if (writer->is_closed) {
        return -EPIPE;
    }
    if (writer->refusal) {
        return writer->refusal;
    }
    if (pending(writer) >= writer->limit_bytes) {
        return refuse(writer, -ENOBUFS);
    }
    return len > INT64_MAX / 2 ? refuse(writer, -EINVAL) : 0;
}

/* `len` bytes have been appended. */
static int appended(struct loop_writer *writer, size_t len)
{
    writer->appended += len;
    if (!writer->inner && !is_held_back(writer)) {
        look_soon(writer);
    }
    return 0;
}

int loop_writer_put(struct loop_writer *writer, const void *data, size_t len)
{
    struct loop_writer_batch *batch = &writer->filling;
    int error = admit(writer, len);
    if (error || len == 0) {
        return error;
    }
    if (!loop_writer_batch_make_room(batch, len)) {
        return refuse(writer, -ENOMEM);
    }
    memcpy(batch->data + batch->len, data, len);
    return loop_writer_batch_add_copied(batch, len) ? appended(writer, len) : refuse(writer, -ENOMEM);
}

int loop_writer_put_ref(struct loop_writer *writer, const void *data, size_t len)
{
    int error = admit(writer, len);
    if (error || len == 0) {
        return error;
    }
    if (!data) {
        return refuse(writer, -EINVAL);
    }
    struct iovec piece = {(void *)(uintptr_t)data, len};
    return loop_writer_batch_add(&writer->filling, piece) ? appended(writer, len) : refuse(writer, -ENOMEM);
}

/* Prints into the room that there is, and returns what vsnprintf says. */
__attribute__((format(printf, 2, 0))) static int print_into(struct loop_writer_batch *batch, const char *format,
                                                            va_list args)
{
    size_t room = batch->capacity - batch->len;
    return vsnprintf(room > 0 ? batch->data + batch->len : NULL, room, format, args);
}

int loop_writer_vprint(struct loop_writer *writer, const char *format, va_list args)
{
    struct loop_writer_batch *batch = &writer->filling;
    int error = admit(writer, 0);
    if (error) {
        return error;
    }
    va_list again;
    va_copy(again, args);
    int len = print_into(batch, format, args);
    if (len >= 0 && (size_t)len >= batch->capacity - batch->len) { /* its NUL wants room as well */
        error = loop_writer_batch_make_room(batch, (size_t)len + 1) ? 0 : -ENOMEM;
        len = error ? len : print_into(batch, format, again);
    }
    va_end(again);
    if (error || len < 0) {
        return refuse(writer, error ? error : -EINVAL);
    }
    if (len == 0) {
        return 0;
    }
    return loop_writer_batch_add_copied(batch, (size_t)len) ? appended(writer, (size_t)len) : refuse(writer, -ENOMEM);
}

int loop_writer_print(struct loop_writer *writer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int error = loop_writer_vprint(writer, format, args);
    va_end(args);
    return error;
}

/* ---- waiting ---- */

/* The continuation is about to hear it. */
static void heard(struct loop *loop, struct job *job, int64_t result)
{
    struct waiter *waiter = waiter_of(job);
    if (waiter->refusal) {
        waiter->writer->refusal = 0;
    }
    loop_job_finish(loop, job, result);
}

static void drained_heard(struct loop *loop, struct job *job, int64_t result)
{
    waiter_of(job)->writer->refusal = 0;
    loop_job_finish(loop, job, result);
}

static const struct loop_job_kind flush_kind = {.name = "flush", .cancel = loop_job_cancel_here, .backend_done = heard};
static const struct loop_job_kind drained_kind = {
    .name = "writer drained", .cancel = loop_job_cancel_here, .backend_done = drained_heard};

static loop_job await(struct loop_writer *writer, struct loop_list *list, const struct loop_job_kind *kind, loop_fn *fn,
                      void *arg)
{
    bool ended;
    struct job *job = loop_job_start(writer->sink->scope, NULL, kind, fn, arg, &ended);
    if (!job || ended) {
        return job ? job->id : 0;
    }
    *waiter_of(job) = (struct waiter){.writer = writer, .target = writer->appended, .refusal = writer->refusal};
    job->where = LOOP_AT_OWNER;
    loop_list_push_back(list, &job->link);
    look_soon(writer);
    return job->id;
}

loop_job loop_writer_flush(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    return await(writer, &writer->waiters, &flush_kind, fn, arg);
}

loop_job loop_writer_drained(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    return await(writer, &writer->drainers, &drained_kind, fn, arg);
}

size_t loop_writer_pending(const struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(loop_of(writer));
    return (size_t)pending(writer);
}

bool loop_writer_is_full(const struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(loop_of(writer));
    return writer->refusal || pending(writer) >= writer->limit_bytes;
}

/* ---- holding back ---- */

void loop_writer_cork(struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(loop_of(writer));
    writer->is_corked = true;
}

void loop_writer_uncork(struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(loop_of(writer));
    writer->is_corked = false;
    if (writer->filling.n_pieces > 0 && loop_scope_takes_work(writer->sink->scope)) {
        look_soon(writer);
    }
}

/* ---- ending ---- */

static void on_shut_down(void *arg, int64_t result)
{
    struct job *job = arg;
    loop_job_finish(job->scope->loop, job, result);
}

/* All has been written, or can't be. From the dispatch. */
static void shut_down_sink(struct loop *loop, struct job *job, int64_t result)
{
    struct waiter *waiter = waiter_of(job);
    if (result < 0 || job->is_cancelled) {
        waiter->writer->refusal = 0;
        loop_job_finish(loop, job, job->is_cancelled ? -ECANCELED : result);
        return;
    }
    waiter->inner = loop_shutdown(waiter->writer->sink, on_shut_down, job);
    if (!waiter->inner) {
        loop_job_finish(loop, job, -ENOMEM);
    }
}

static void cancel_shutdown(struct loop *loop, struct job *job)
{
    if (waiter_of(job)->inner) {
        loop_cancel(loop, waiter_of(job)->inner);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

static const struct loop_job_kind shutdown_kind = {
    .name = "writer shutdown", .cancel = cancel_shutdown, .backend_done = shut_down_sink};

loop_job loop_writer_shutdown(struct loop_writer *writer, loop_fn *fn, void *arg)
{
    LOOP_CHECK_THREAD(loop_of(writer));
    writer->is_closed = true;
    return await(writer, &writer->waiters, &shutdown_kind, fn, arg);
}

void loop_writer_abort(struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(loop_of(writer));
    if (writer->error) {
        return;
    }
    fail(writer, -ECANCELED);
    if (writer->inner) {
        loop_cancel(loop_of(writer), writer->inner);
    } else {
        tell_waiters(writer);
    }
}

/* ---- making ---- */

static void drop_batches(void *arg)
{
    struct loop_writer *writer = arg;
    loop_writer_batch_finish(&writer->filling);
    loop_writer_batch_finish(&writer->leaving);
}

struct loop_writer *loop_writer_create(struct loop_sink *sink, size_t limit_bytes)
{
    struct loop_scope *scope = sink->scope;
    struct loop_writer *writer = loop_scope_takes_work(scope) ? loop_scope_alloc(scope, sizeof *writer) : NULL;
    if (!writer) {
        return NULL;
    }
    writer->sink = sink;
    writer->limit_bytes = limit_bytes > 0 ? limit_bytes : LIMIT_BYTES;
    writer->after.fn = look_after;
    loop_list_init(&writer->after.link);
    loop_list_init(&writer->waiters);
    loop_list_init(&writer->drainers);
    return loop_scope_on_release(scope, drop_batches, writer) ? writer : NULL;
}
