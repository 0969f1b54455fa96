/* SPDX-License-Identifier: ISC
 *
 * How a writer is made, held back and ended.
 *
 * The object is in a slab of the loop and in the scope's `kept`. It is freed after loop_writer_destroy, or when the
 * scope's on_end has returned. A write in flight and functions of the program on the stack keep it until they are done.
 * A writer pins the sink's descriptor and has a pointer of its own to the scope: it finds a sink that is gone closed,
 * and never finds another connection in its place. Jobs that wait refer to the writer by its id.
 */
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/flow/buffered/writer_life.h>
#include <loop/flow/buffered/writer_send.h>
#include <loop/flow/buffered/writer_state.h>
#include <loop/flow/own/check.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/part.h>

#include <errno.h>

#define LIMIT_BYTES ((size_t)1 << 20)

/* ---- holding back ---- */

void loop_writer_cork(struct loop_writer *writer)
{
    if (loop_writer_is_good(writer, __func__)) {
        writer->is_corked = true;
    }
}

void loop_writer_uncork(struct loop_writer *writer)
{
    if (!loop_writer_is_good(writer, __func__)) {
        return;
    }
    writer->is_corked = false;
    if (writer->filling.n_pieces > 0 && loop_scope_takes_work(writer->scope)) {
        loop_writer_look_soon(writer);
    }
}

/* ---- ending ---- */

void loop_writer_abort(struct loop_writer *writer)
{
    if (loop_writer_is_good(writer, __func__)) {
        loop_writer_enter(writer);
        loop_writer_give_up(writer);
        loop_writer_leave(writer);
    }
}

/* Cancels the jobs that wait for the sink's shutdown. */
static void cancel_closers(struct loop_writer *writer)
{
    struct loop_list *node;
    while ((node = loop_list_pop_front(&writer->closers))) {
        (void)loop_job_cancel(writer->loop, LOOP_CONTAINER(node, struct loop_job, link));
    }
}

void loop_writer_destroy(struct loop_writer *writer)
{
    if (!writer || !loop_writer_is_good(writer, __func__)) {
        return;
    }
#if NORIA_DEBUG
    writer->destroyed = LOOP_THIS_CALL;
#endif
    writer->is_destroyed = true;
    loop_writer_enter(writer);
    loop_writer_give_up(writer);
    cancel_closers(writer);
    loop_writer_leave(writer);
}

/* ---- making ---- */

/* Frees a writer whose scope has ended. */
static void drop(struct loop_kept *kept)
{
    struct loop_writer *writer = LOOP_CONTAINER(kept, struct loop_writer, kept);
    assert(!writer->inner && writer->calls == 0);
    writer->is_destroyed = true;
    loop_writer_let_go(writer);
}

void loop_writers_init(struct loop *loop)
{
    loop_slab_init(&loop->writers, sizeof(struct loop_writer), 0);
}

struct loop_writer *loop_writer_create(struct loop_sink *sink, size_t limit_bytes)
{
    if (!loop_sink_is_good(sink, __func__)) {
        return NULL;
    }
    struct loop_scope *scope = sink->scope;
    struct loop *loop = scope->loop;
    struct loop_scope_more *more = loop_scope_takes_work(scope) ? loop_scope_get_more(scope) : NULL;
    struct loop_writer *writer = more ? loop_slab_get(&loop->writers) : NULL;
    if (!writer) {
        return NULL;
    }
    writer->loop = loop;
    writer->scope = scope;
    writer->sink = sink;
    writer->fd = sink->ops->fd ? sink->ops->fd(sink) : NULL;
    if (writer->fd) {
        loop_fd_pin(writer->fd);
    }
    writer->limit_bytes = limit_bytes > 0 ? limit_bytes : LIMIT_BYTES;
    writer->after.fn = loop_writer_look_after;
    loop_list_init(&writer->after.link);
    loop_list_init(&writer->waiters);
    loop_list_init(&writer->drainers);
    loop_list_init(&writer->closers);
    writer->kept.drop = drop;
    loop_hlist_push(&more->kept, &writer->kept.link);
    return writer;
}
