/* SPDX-License-Identifier: ISC
 *
 * Buffered writing. Two batches take turns: one is filled while the other is on its way. What is appended has the
 * writer looked at when the continuation has returned (loop->after); it then swaps the two and starts one write. That
 * write's end starts the next one, where more has come meanwhile.
 */
#include <loop/writer_state.h>

#include <errno.h>

#define LIMIT_BYTES ((size_t)1 << 20)

static void empty_batch(const struct loop_writer *writer, struct loop_writer_batch *batch)
{
    loop_writer_batch_empty(batch, writer->limit_bytes);
}

/* ---- who waits ---- */

/* Has the job told from the dispatch, which is when a refusal counts as heard. */
static void tell(const struct loop_writer *writer, struct job *job, int64_t result)
{
    loop_job_backend_complete(writer->sink->scope->loop, job, result);
}

/* What a waiter hears; 1 when it has to wait on. Where the writer has failed it waits for the write in flight all the
 * same: that still uses memory. */
static int64_t answer(const struct loop_writer *writer, const struct loop_writer_waiter *waiter)
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
        int64_t result = answer(writer, loop_writer_waiter(job));
        if (result > 0) {
            break;
        }
        tell(writer, job, result);
    }
    bool is_over = writer->error && !writer->inner,
         has_room = loop_writer_pending_bytes(writer) <= writer->limit_bytes / 2;
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

/* Sends what has been gathered, unless something is on its way already. */
static void send_batch(struct loop_writer *writer)
{
    if (writer->inner || writer->filling.n_pieces == 0 || loop_writer_is_held_back(writer)) {
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

void loop_writer_look_soon(struct loop_writer *writer)
{
    loop_after_continuation(writer->sink->scope->loop, &writer->after, writer->sink->scope);
}

/* ---- holding back ---- */

void loop_writer_cork(struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(writer->sink->scope->loop);
    writer->is_corked = true;
}

void loop_writer_uncork(struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(writer->sink->scope->loop);
    writer->is_corked = false;
    if (writer->filling.n_pieces > 0 && loop_scope_takes_work(writer->sink->scope)) {
        loop_writer_look_soon(writer);
    }
}

/* ---- ending ---- */

void loop_writer_abort(struct loop_writer *writer)
{
    LOOP_CHECK_THREAD(writer->sink->scope->loop);
    if (writer->error) {
        return;
    }
    fail(writer, -ECANCELED);
    if (writer->inner) {
        loop_cancel(writer->sink->scope->loop, writer->inner);
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
