/* SPDX-License-Identifier: ISC
 *
 * Sources of a part of a file. Each has a position of its own, so many can read one file at the same time. Its reads
 * are done one after the other.
 */
#include <loop/core/backend.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>
#include <loop/flow/descriptor/send_file.h>
#include <loop/flow/own/check.h>
#include <loop/flow/range.h>
#include <loop/ground/list.h>
#include <loop/part.h>
#include <loop/syscall/attempt.h>
#include <loop/syscall/pool.h>

#include <errno.h>

struct loop_range {
    struct loop_source source;
    struct loop_fd *file;          /* pinned; NULL once closed */
    uint64_t offset, left, before; /* where the next byte is, and how many are behind and before it */
    struct loop_list line;         /* reads that wait for the one in flight */
    bool is_busy;                  /* one is in flight, or a send */
    loop_job sending;              /* the send in flight */
    loop_fn *sent;                 /* its continuation */
    void *sent_arg;
};

/* ---- reading ---- */

static void take(struct loop_range *range, int64_t n)
{
    if (n > 0) {
        range->offset += (uint64_t)n;
        range->before += (uint64_t)n;
        range->left -= (uint64_t)n;
    }
}

static void start_read(struct loop *loop, struct loop_job *job)
{
    struct loop_range *range = job->u.args.range.range;
    struct loop_move_args *args = &job->u.args.move;
    args->len = args->len < range->left ? args->len : (size_t)range->left;
    args->offset = (int64_t)range->offset;
    range->is_busy = true;
    int64_t result = args->len > 0 ? loop_attempt_read_now(job->fd, args->data, args->len, args->offset) : 0;
    if (result != -EAGAIN) {
        loop_job_backend_complete(loop, job, result);
    } else if (job->fd->is_direct) {
        loop_pool_submit(loop, job); /* it may have to be read in aligned pieces */
    } else {
        loop->backend->start(loop, job);
    }
}

static void start_next(struct loop *loop, struct loop_range *range)
{
    range->is_busy = false;
    struct loop_list *node = loop_list_pop_front(&range->line);
    if (node) {
        start_read(loop, LOOP_CONTAINER(node, struct loop_job, link));
    }
}

static void read_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    struct loop_range *range = job->u.args.range.range;
    take(range, result);
    start_next(loop, range);
    loop_job_finish(loop, job, result);
}

static void cancel_read(struct loop *loop, struct loop_job *job)
{
    if (job->where == LOOP_AT_OWNER) {
        loop_job_complete(loop, job, -ECANCELED); /* it waits in line */
    } else {
        loop->backend->cancel(loop, job);
    }
}

static const struct loop_job_kind read_kind = {.name = "read of a range",
                                               .cancel = cancel_read,
                                               .backend_done = read_done,
                                               .takes_unaligned = true,
                                               .size = LOOP_JOB_LARGE};

static loop_job read_range(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct loop_range *range = source->self;
    loop_job id;
    if (!range->file) {
        return loop_job_instant(source->scope, -EBADF, fn, arg);
    }
    struct loop_job *job = loop_job_start(source->scope, range->file, &read_kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    job->op = LOOP_OP_READ;
    job->u.args.range = (struct loop_range_args){.move = {.data = buf, .len = len}, .range = range};
    if (range->is_busy) {
        job->where = LOOP_AT_OWNER;
        loop_list_push_back(&range->line, &job->link);
    } else {
        start_read(source->scope->loop, job);
    }
    return id;
}

/* ---- giving back ---- */

static int unread_range(struct loop_source *source, const void *bytes, size_t len)
{
    struct loop_range *range = source->self;
    (void)bytes;
    if (!range->file) {
        return -EBADF;
    }
    if (range->is_busy) {
        return -EBUSY;
    }
    if (len > range->before) {
        return -EINVAL;
    }
    range->offset -= len;
    range->before -= len;
    range->left += len;
    return 0;
}

static void let_go(void *arg)
{
    struct loop_range *range = arg;
    if (range->file) {
        loop_fd_unpin(range->file);
        range->file = NULL;
    }
}

static int close_source(struct loop_source *source)
{
    struct loop_range *range = source->self;
    if (!range->file) {
        return -EBADF;
    }
    struct loop_list *node;
    while ((node = loop_list_pop_front(&range->line))) {
        loop_job_complete(source->scope->loop, LOOP_CONTAINER(node, struct loop_job, link), -ECANCELED);
    }
    loop_cancel(source->scope->loop, range->sending); /* it may wait for a peer that does not read */
    let_go(range);
    return 0;
}

static const struct loop_source_ops range_ops = {.read = read_range, .close = close_source, .unread = unread_range};

uint64_t loop_range_left(const struct loop_source *range_source)
{
    bool is_good = loop_source_is_good(range_source, __func__);
    const struct loop_range *range = is_good && range_source->ops == &range_ops ? range_source->self : NULL;
    if (is_good && !range) {
        loop_misuse(range_source->scope->loop, __func__, "the source is not from loop_range_source", "ask one that is");
    }
    return range ? range->left : 0;
}

/* ---- sending ---- */

struct loop_fd *loop_range_file(const struct loop_source *source)
{
    return source->ops == &range_ops ? ((const struct loop_range *)source->self)->file : NULL;
}

/* A send that ends because the range or its file is closed has sent nothing: a read tells the error. */
static void on_sent(void *arg, int64_t result)
{
    struct loop_range *range = arg;
    bool is_closed = !range->file || range->file->state != LOOP_FD_OPEN;
    result = result == -ECANCELED && is_closed ? 0 : result;
    range->sending = 0;
    take(range, result);
    start_next(range->source.scope->loop, range);
    range->sent(range->sent_arg, result);
}

loop_job loop_range_send(struct loop_source *source, struct loop_fd *to, loop_fn *fn, void *arg)
{
    struct loop_range *range = source->self;
    if (!range->file || range->is_busy || range->left == 0) {
        return loop_job_instant(to->scope, 0, fn, arg);
    }
    range->sent = fn;
    range->sent_arg = arg;
    range->is_busy = true;
    range->sending = loop_fd_send_file(to, range->file, (int64_t)range->offset, range->left, on_sent, range);
    range->is_busy = range->sending != 0;
    return range->sending;
}

/* ---- making ---- */

/* Returns 0, or the error of a range that cannot be. */
static int check(const struct loop_fd *file, uint64_t offset, uint64_t len)
{
    if (file->state != LOOP_FD_OPEN) {
        return -EBADF;
    }
    return !file->is_regular || offset > INT64_MAX || len > INT64_MAX - offset ? -EINVAL : 0;
}

int loop_range_source(struct loop_scope *scope, struct loop_fd *file, uint64_t offset, uint64_t len,
                      struct loop_source **source)
{
    if (!loop_check_pointer(source, "source", __func__)) {
        return -EINVAL;
    }
    *source = NULL;
    if (!loop_scope_is_good(scope, __func__) || !loop_fd_is_good(file, __func__)) {
        return -EINVAL;
    }
    int error = check(file, offset, len);
    if (error || !loop_scope_takes_work(scope)) {
        return error ? error : -ECANCELED;
    }
    struct loop_range *range = loop_scope_alloc(scope, sizeof *range);
    if (!range) {
        return -ENOMEM;
    }
    range->source = (struct loop_source){.ops = &range_ops, .scope = scope, .self = range};
    range->offset = offset;
    range->left = len;
    loop_list_init(&range->line);
    range->file = file;
    loop_fd_pin(file);
    if (!loop_scope_defer(scope, let_go, range)) {
        return -ENOMEM;
    }
    *source = &range->source;
    return 0;
}
