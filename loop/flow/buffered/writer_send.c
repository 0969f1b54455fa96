/* SPDX-License-Identifier: ISC
 *
 * How a writer sends. Two batches take turns: one is filled while the other is being written. An append has the writer
 * looked at when the continuation has returned (loop->after): the writer then swaps the batches and starts one write.
 * When that ends, it starts the next, where more was appended meanwhile.
 */
#include <loop/core/check.h>
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/flow/buffered/writer_batch.h>
#include <loop/flow/buffered/writer_send.h>
#include <loop/flow/buffered/writer_state.h>
#include <loop/ground/list.h>
#include <loop/ground/poison.h>
#include <loop/ground/slab.h>
#include <loop/part.h>

#include <errno.h>

/* Empties a batch, and keeps as much memory as the writer may need. */
static void empty_batch(const struct loop_writer *writer, struct loop_writer_batch *batch)
{
    loop_writer_batch_empty(batch, writer->limit_bytes);
}

/* ---- checks ---- */

__attribute__((cold)) LOOP_LOOKS_AT_FREED static bool bad_writer(const struct loop_writer *writer, const char *function)
{
#if NORIA_DEBUG
    if (writer) {
        struct loop_place destroyed = writer->destroyed;
        loop_stop_destroyed(function, "writer", writer->id, &destroyed);
    }
#endif
    return writer ? false : loop_bad_null(function, "writer");
}

bool loop_writer_is_good(const struct loop_writer *writer, const char *function)
{
    if (!writer || loop_is_freed(writer) || writer->is_destroyed) {
        return bad_writer(writer, function);
    }
    loop_check_thread(writer->loop, function);
    return true;
}

/* ---- lifetime ---- */

void loop_writer_let_go(struct loop_writer *writer)
{
    if (!writer->is_destroyed || writer->inner || writer->calls > 0) {
        return;
    }
    assert(loop_list_is_empty(&writer->waiters) && loop_list_is_empty(&writer->drainers));
    assert(loop_list_is_empty(&writer->closers));
    if (loop_list_is_linked(&writer->after.link)) {
        loop_list_remove(&writer->after.link);
        loop_scope_drop_hold(writer->scope, false);
    }
    loop_hlist_remove(&writer->kept.link);
    loop_writer_batch_finish(&writer->filling);
    loop_writer_batch_finish(&writer->leaving);
    if (writer->fd) {
        loop_fd_unpin(writer->fd);
    }
    loop_slab_put(&writer->loop->writers, writer);
}

/* ---- jobs that wait ---- */

/* Returns the result of a job that waits, or 1 when it goes on waiting. Even after a failure it waits for the write in
 * flight, which still uses memory. */
static int64_t answer(const struct loop_writer *writer, const struct loop_writer_waiter *waiter)
{
    if (waiter->target <= writer->written) {
        return waiter->refusal;
    }
    return writer->error && !writer->inner ? writer->error : 1;
}

/* Completes the jobs that have their result. Their kinds clear a refusal when the dispatch resumes them. */
static void tell_waiters(struct loop_writer *writer)
{
    struct loop_list *node;
    while ((node = loop_list_first(&writer->waiters))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        int64_t result = answer(writer, loop_writer_waiter(job));
        if (result > 0) {
            break;
        }
        loop_job_backend_complete(writer->loop, job, result);
    }
    bool is_over = writer->error && !writer->inner,
         has_room = loop_writer_pending_bytes(writer) <= writer->limit_bytes / 2;
    while ((is_over || (has_room && !writer->error)) && (node = loop_list_first(&writer->drainers))) {
        loop_job_backend_complete(writer->loop, LOOP_CONTAINER(node, struct loop_job, link), writer->error);
    }
}

void loop_writer_leave(struct loop_writer *writer)
{
    assert(writer->calls > 0);
    if (--writer->calls == 0) {
        tell_waiters(writer);
        loop_writer_let_go(writer);
    }
}

/* ---- writing: between enter and leave ---- */

static void on_written(void *arg, int64_t result);

/* Ends the writer with an error. Where no job waits to return it, the error fails the scope. */
static void fail(struct loop_writer *writer, int64_t error)
{
    bool is_heard = !loop_list_is_empty(&writer->waiters);
    writer->error = (int32_t)error;
    empty_batch(writer, &writer->filling);
    if (!is_heard && error != -ECANCELED) {
        loop_scope_fail(writer->scope, error);
    }
}

/* Returns where a proxy has the id of the job for which it stands. */
static loop_job *stands_for(struct loop_job *job)
{
    return (loop_job *)(void *)job->u.small;
}

static void cancel_proxy(struct loop *loop, struct loop_job *job)
{
    loop_cancel(loop, *stands_for(job));
}

static const struct loop_job_kind proxy_kind = {.name = "buffered write", .cancel = cancel_proxy};

/* Starts a job in the writer's scope that stands for the write, where a sink of the program's own writes by a job of
 * another scope: the write is cancelled with the writer's scope. False when there is no memory. */
static bool make_proxy(struct loop_writer *writer)
{
    loop_job id;
    const struct loop_job *inner = loop_job_find(writer->loop, writer->inner);
    if (!inner || inner->scope == writer->scope || writer->scope->is_cancelled) {
        return true;
    }
    struct loop_job *proxy = loop_job_start(writer->scope, NULL, &proxy_kind, NULL, NULL, &id);
    if (!proxy) {
        return false;
    }
    proxy->where = LOOP_AT_OWNER;
    *stands_for(proxy) = writer->inner;
    writer->proxy = id;
    return true;
}

/* Waits for `inner`, which holds the scope. Cancels it where the writer was given up while it was being started. */
static void begin_inner(struct loop_writer *writer, loop_job inner)
{
    if (!inner) {
        return;
    }
    assert(!writer->inner);
    writer->inner = inner;
    loop_scope_add_hold(writer->scope, false);
    if (!make_proxy(writer) && !writer->error) {
        fail(writer, -ENOMEM);
    }
    if (writer->error || writer->scope->is_cancelled) {
        loop_cancel(writer->loop, inner);
    }
}

/* Begins what follows when the continuation of `inner` is resumed. */
static void inner_has_ended(struct loop_writer *writer)
{
    struct loop_job *proxy = loop_job_find(writer->loop, writer->proxy);
    writer->inner = writer->proxy = 0;
    if (proxy) {
        loop_job_end_unheard(writer->loop, proxy, 0);
    }
    loop_writer_enter(writer);
}

/* Ends what follows from the end of `inner`. */
static void leave_inner(struct loop_writer *writer)
{
    struct loop_scope *scope = writer->scope;
    loop_writer_leave(writer);
    loop_scope_drop_hold(scope, false);
}

/* Starts a write of what is left of the batch. */
static void write_rest(struct loop_writer *writer)
{
    struct loop_writer_batch *batch = &writer->leaving;
    loop_job inner = 0;
    if (!writer->scope->is_cancelled) {
        inner = loop_writev(writer->sink, batch->pieces + writer->at, batch->n_pieces - writer->at, on_written, writer);
    }
    begin_inner(writer, inner);
    if (!inner && !writer->error) {
        bool is_ending = writer->scope->is_cancelled || !loop_scope_takes_work(writer->scope);
        fail(writer, is_ending ? -ECANCELED : -ENOMEM);
    }
    if (!inner) {
        empty_batch(writer, batch);
    }
}

/* Starts a write of what was appended, unless one is in flight. */
static void send_batch(struct loop_writer *writer)
{
    if (writer->inner || writer->filling.n_pieces == 0 || loop_writer_is_held_back(writer)) {
        return;
    }
    struct loop_writer_batch batch = writer->leaving;
    writer->leaving = writer->filling;
    writer->filling = batch;
    writer->at = 0;
    writer->left = (size_t)(writer->appended - writer->written);
    loop_writer_batch_resolve(&writer->leaving);
    write_rest(writer);
}

/* Counts what the sink has written. Returns its result, or -EINVAL for one that is no error number. */
static int64_t advance(struct loop_writer *writer, int64_t result)
{
    size_t n = result > 0 ? (size_t)result : 0;
    assert(n <= writer->left); /* loop_own_write has checked what a sink of the program's own answers */
    writer->written += n;
    writer->left -= n;
    writer->at = loop_writer_batch_advance(&writer->leaving, writer->at, n);
    return result < INT32_MIN ? -EINVAL : result;
}

/* Goes on when the sink's own queue has drained, or has failed. */
static void on_room(void *arg, int64_t result)
{
    struct loop_writer *writer = arg;
    inner_has_ended(writer);
    if (result < 0 && !writer->error) {
        fail(writer, result);
    }
    if (!writer->error) {
        write_rest(writer);
    } else {
        empty_batch(writer, &writer->leaving);
    }
    leave_inner(writer);
}

/* Waits until the sink's queue has drained, where the write was refused because others have filled that. Returns true
 * when it waits. */
static bool wait_for_room(struct loop_writer *writer, int64_t result)
{
    if (result == -ENOBUFS && !writer->error && loop_sink_is_full(writer->sink)) {
        begin_inner(writer, loop_sink_wait_drained(writer->sink, on_room, writer));
    }
    return writer->inner != 0;
}

/* Goes on after a write: with its rest, with what was appended meanwhile, or with the error. */
static void on_written(void *arg, int64_t result)
{
    struct loop_writer *writer = arg;
    inner_has_ended(writer);
    result = advance(writer, result);
    bool has_rest = writer->left > 0, waits = has_rest && wait_for_room(writer, result);
    if (has_rest && result <= 0 && !waits && !writer->error) {
        fail(writer, result < 0 ? result : -EIO);
    }
    if (has_rest && !waits && !writer->error) {
        write_rest(writer); /* a write that stopped half-way gave no reason: the next one does */
    } else if (!waits) {
        empty_batch(writer, &writer->leaving);
        send_batch(writer);
    }
    leave_inner(writer);
}

/* ---- when the continuation has returned ---- */

void loop_writer_look_after(struct loop_after *after)
{
    struct loop_writer *writer = LOOP_CONTAINER(after, struct loop_writer, after.link);
    struct loop_scope *scope = writer->scope;
    loop_writer_enter(writer);
    send_batch(writer);
    loop_writer_leave(writer);
    loop_scope_drop_hold(scope, false); /* that of loop_after_continuation */
}

void loop_writer_look_soon(struct loop_writer *writer)
{
    loop_after_continuation(writer->loop, &writer->after, writer->scope);
}

/* ---- giving up ---- */

void loop_writer_give_up(struct loop_writer *writer)
{
    if (!writer->error) {
        fail(writer, -ECANCELED);
    }
    loop_cancel(writer->loop, writer->inner);
}
