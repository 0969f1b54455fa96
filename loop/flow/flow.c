/* SPDX-License-Identifier: ISC
 *
 * The calls of <loop/flow.h> on sources and sinks of any kind.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/region.h>
#include <loop/core/scope.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/check.h>
#include <loop/flow/own/join.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/own/own.h>
#include <loop/flow/own/read.h>
#include <loop/flow/own/sink.h>
#include <loop/flow/own/write.h>
#include <loop/part.h>

#include <errno.h>

/* Reads nothing, or from a source that is not a good one of a descriptor. */
__attribute__((noinline)) static loop_job read_checked(struct loop_source *source, void *buf, size_t len, loop_fn *fn,
                                                       void *arg)
{
    if (!loop_source_is_good(source, "loop_read")) {
        return 0;
    }
    if (len == 0) {
        return loop_job_instant(source->scope, -EINVAL, fn, arg);
    }
    bool is_own = source->ops != &loop_fd_source && loop_source_is_own(source);
    return is_own ? loop_own_read(source, (struct iovec){buf, len}, false, fn, arg)
                  : loop_source_read(source, buf, len, fn, arg);
}

loop_job loop_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    bool is_common = len > 0 && loop_source_is_good_fd(source, __func__);
    return is_common ? loop_fd_read_some(loop_fd_of_source(source), buf, len, fn, arg)
                     : read_checked(source, buf, len, fn, arg);
}

loop_job loop_read_exact(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    if (!loop_source_is_good(source, __func__)) {
        return 0;
    }
    if (len == 0) {
        return loop_job_instant(source->scope, -EINVAL, fn, arg);
    }
    return source->ops == &loop_fd_source
               ? loop_fd_read(loop_fd_of_source(source), (struct iovec){buf, len}, true, fn, arg)
               : loop_own_read(source, (struct iovec){buf, len}, true, fn, arg);
}

int64_t loop_try_read(struct loop_source *source, void *buf, size_t len)
{
    if (!loop_source_is_good(source, __func__)) {
        return -EINVAL;
    }
    if (len == 0) {
        return -EINVAL;
    }
    if (loop_own_is_over(source->scope)) {
        return source->scope->is_cancelled ? loop_scope_reason(source->scope) : -ECANCELED;
    }
    int64_t kept = source->ops == &loop_fd_source ? 0 : loop_source_take_kept(source, buf, len);
    if (kept) {
        return kept;
    }
    int64_t result = source->ops->try_read ? source->ops->try_read(source, buf, len) : -EAGAIN;
    return loop_own_checked(source->scope->loop, "try_read of a source of one's own", result, len);
}

bool loop_source_is_readable(struct loop_source *source)
{
    if (!loop_source_is_good(source, __func__) || loop_own_is_over(source->scope) || loop_source_has_kept(source)) {
        return true; /* a read would not wait */
    }
    return !source->ops->is_readable || source->ops->is_readable(source);
}

loop_job loop_wait_readable(struct loop_source *source, loop_fn *fn, void *arg)
{
    if (!loop_source_is_good(source, __func__)) {
        return 0;
    }
    bool can_wait = source->ops->wait_readable && !loop_own_is_over(source->scope);
    if (loop_source_has_kept(source)) {
        return loop_job_instant(source->scope, 0, fn, arg);
    }
    return can_wait ? source->ops->wait_readable(source, fn, arg)
                    : loop_job_instant(source->scope, -EOPNOTSUPP, fn, arg);
}

int loop_source_unread(struct loop_source *source, const void *bytes, size_t len)
{
    if (!loop_source_is_good(source, __func__)) {
        return -EINVAL;
    }
    if (len == 0 || !bytes) {
        return len == 0 ? 0 : -EINVAL;
    }
    return source->ops == &loop_fd_source ? loop_fd_unread(loop_fd_of_source(source), bytes, len)
                                          : loop_own_unread(source, bytes, len);
}

/* Whether the vectors have more bytes than a result can count. */
static bool is_too_long(const struct iovec *iov, size_t n_iov)
{
    size_t room = INT64_MAX;
    for (size_t i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > room) {
            return true;
        }
        room -= iov[i].iov_len;
    }
    return false;
}

/* Returns the record of a sink, or NULL where nothing is kept for it. */
static struct loop_own *own_of(const struct loop_sink *sink)
{
    return sink->ops != &loop_fd_sink ? loop_own_find(sink->scope, sink) : NULL;
}

loop_job loop_writev(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    if (!loop_sink_is_good(sink, __func__)) {
        return 0;
    }
    bool is_good = n_iov == 0 || loop_check_pointer(iov, "vectors", __func__);
    return !is_good || is_too_long(iov, n_iov) ? loop_job_instant(sink->scope, -EINVAL, fn, arg)
                                               : loop_sink_write(sink, iov, n_iov, fn, arg);
}

loop_job loop_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    if (!loop_sink_is_good(sink, __func__)) {
        return 0;
    }
    if (loop_sink_is_over(sink)) {
        return loop_job_instant(sink->scope, -ECANCELED, fn, arg);
    }
    if (loop_sink_is_own(sink)) {
        return loop_own_shutdown(sink, fn, arg);
    }
    return sink->ops->shutdown ? sink->ops->shutdown(sink, fn, arg) : loop_job_instant(sink->scope, 0, fn, arg);
}

int loop_source_close(struct loop_source *source)
{
    if (!loop_source_is_good(source, __func__)) {
        return -EINVAL;
    }
    if (source->ops != &loop_fd_source) {
        loop_source_drop_kept(source);
        loop_own_end_source(source);
    }
    return source->ops->close ? source->ops->close(source) : -EOPNOTSUPP;
}

int loop_sink_close(struct loop_sink *sink)
{
    if (!loop_sink_is_good(sink, __func__)) {
        return -EINVAL;
    }
    if (sink->ops != &loop_fd_sink) {
        loop_own_end_sink(sink);
    }
    struct loop_own *own = own_of(sink);
    if (own) {
        loop_own_forget(own);
    }
    return sink->ops->close ? sink->ops->close(sink) : -EOPNOTSUPP;
}

int loop_flow_close(struct loop_flow *flow)
{
    if (!loop_flow_is_good(flow, __func__)) {
        return -EINVAL;
    }
    if (flow->fd) {
        return loop_fd_close(flow->fd);
    }
    int source_error = loop_source_close(&flow->source);
    int sink_error = loop_sink_close(&flow->sink);
    return source_error ? source_error : sink_error;
}

/* ---- writing one buffer ---- */

/* Writes to a sink that is not a descriptor's. */
__attribute__((noinline)) static loop_job write_other(struct loop_sink *sink, struct iovec iov,
                                                      struct loop_chunk *chunk, loop_fn *fn, void *arg,
                                                      bool *took_chunk)
{
    if (loop_sink_is_own(sink) && !loop_sink_is_over(sink)) {
        struct loop_own_bytes bytes = {.single = iov, .total = iov.iov_len, .chunk = chunk};
        return loop_own_write(sink, &bytes, fn, arg, took_chunk);
    }
    *took_chunk = false;
    return loop_sink_write(sink, &iov, 1, fn, arg); /* such a sink is done with the memory when it returns */
}

/* Writes one vector, and the chunk that it is in or NULL, to a sink of any kind. Sets `*took_chunk`: whether the job
 * gives the chunk back. */
static loop_job write_one(struct loop_sink *sink, struct iovec iov, struct loop_chunk *chunk, loop_fn *fn, void *arg,
                          bool *took_chunk)
{
    if (sink->ops != &loop_fd_sink) {
        return write_other(sink, iov, chunk, fn, arg, took_chunk);
    }
    return loop_fd_write_one(loop_fd_of_sink(sink), iov, chunk, fn, arg, took_chunk);
}

/* Writes a buffer that is too long, or to a sink that is not a good one of a descriptor. */
__attribute__((noinline)) static loop_job write_checked(struct loop_sink *sink, const void *buf, size_t len,
                                                        loop_fn *fn, void *arg)
{
    if (!loop_sink_is_good(sink, "loop_write")) {
        return 0;
    }
    if (len > INT64_MAX) {
        return loop_job_instant(sink->scope, -EINVAL, fn, arg);
    }
    bool took_chunk;
    return write_one(sink, (struct iovec){(void *)(uintptr_t)buf, len}, NULL, fn, arg, &took_chunk);
}

loop_job loop_write(struct loop_sink *sink, const void *buf, size_t len, loop_fn *fn, void *arg)
{
    bool is_common = len <= INT64_MAX && loop_sink_is_good_fd(sink, __func__);
    return is_common ? loop_fd_write_buffer(loop_fd_of_sink(sink), buf, len, fn, arg)
                     : write_checked(sink, buf, len, fn, arg);
}

/* Checks the sink, and gives the chunk back where that is not good. */
static bool can_write_chunk(struct loop_sink *sink, struct loop_chunk *chunk, const char *function)
{
    if (!loop_sink_is_good(sink, function)) {
        if (chunk && chunk->state != LOOP_CHUNK_FREE) {
            loop_region_give(chunk->loop, chunk);
        }
        return false;
    }
    return true;
}

loop_job loop_write_chunk(struct loop_sink *sink, struct loop_chunk *chunk, size_t len, loop_fn *fn, void *arg)
{
    if (!can_write_chunk(sink, chunk, __func__)) {
        return 0;
    }
    struct loop *loop = sink->scope->loop;
    if (!loop_chunk_is_good(chunk, __func__)) {
        return loop_job_instant(sink->scope, -EINVAL, fn, arg);
    }
    if (chunk->loop != loop) {
        loop_misuse(loop, __func__, "the chunk is another loop's",
                    "write a chunk of the loop that the sink belongs to");
        return loop_job_instant(sink->scope, -EINVAL, fn, arg);
    }
    chunk->state = LOOP_CHUNK_OWNED;
    bool took_chunk = false;
    loop_job id = len > loop->region.block_size
                      ? loop_job_instant(sink->scope, -EINVAL, fn, arg)
                      : write_one(sink, (struct iovec){loop_chunk_memory(chunk), len}, chunk, fn, arg, &took_chunk);
    if (!took_chunk) {
        loop_region_give(loop, chunk);
    }
    return id;
}

/* ---- the queue ---- */

/* Returns the descriptor whose sink it is, or NULL. */
static const struct loop_fd *fd_of(const struct loop_sink *sink)
{
    return sink->ops == &loop_fd_sink ? loop_fd_of_sink(sink) : NULL;
}

size_t loop_sink_queued(const struct loop_sink *sink)
{
    if (!loop_sink_is_good(sink, __func__)) {
        return 0;
    }
    const struct loop_fd *fd = fd_of(sink);
    const struct loop_own *own = own_of(sink);
    return fd ? fd->queued_bytes : own ? own->queued_bytes : 0;
}

bool loop_sink_is_full(const struct loop_sink *sink)
{
    if (!loop_sink_is_good(sink, __func__)) {
        return true;
    }
    const struct loop_fd *fd = fd_of(sink);
    const struct loop_own *own = own_of(sink);
    return fd ? loop_fd_is_full(fd) : own && loop_own_is_full(own);
}

static int limit_fd(struct loop_fd *fd, size_t limit_bytes)
{
    struct loop_fd_more *more = loop_fd_get_more(fd);
    if (more) {
        more->limit_bytes = limit_bytes;
        fd->has_limit = true;
    }
    return more ? 0 : -ENOMEM;
}

int loop_sink_limit(struct loop_sink *sink, size_t limit_bytes)
{
    if (!loop_sink_is_good(sink, __func__)) {
        return -EINVAL;
    }
    if (sink->ops == &loop_fd_sink) {
        return limit_fd(loop_fd_of_sink(sink), limit_bytes);
    }
    if (!loop_sink_is_own(sink)) {
        return -EOPNOTSUPP;
    }
    struct loop_own *own = loop_scope_takes_work(sink->scope) ? loop_own_get(sink->scope, sink) : NULL;
    if (own) {
        own->limit_bytes = limit_bytes;
        own->has_limit = true;
    }
    return own ? 0 : loop_scope_takes_work(sink->scope) ? -ENOMEM : -ECANCELED;
}

loop_job loop_sink_wait_drained(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    if (!loop_sink_is_good(sink, __func__)) {
        return 0;
    }
    struct loop_own *own = own_of(sink);
    if (sink->ops == &loop_fd_sink) {
        return loop_fd_drained(loop_fd_of_sink(sink), fn, arg);
    }
    return own ? loop_own_drained(own, fn, arg) : loop_job_instant(sink->scope, 0, fn, arg);
}
