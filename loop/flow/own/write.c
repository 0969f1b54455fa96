/* SPDX-License-Identifier: ISC
 *
 * Writes to sinks of the program's own, and their shutdowns. They wait in the sink's queue. The sink's function is
 * called for the first of them, and for the next when that one has ended.
 */
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/region.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/own.h>
#include <loop/flow/own/sink.h>
#include <loop/flow/own/write.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/kernel/memory.h>

#include <errno.h>
#include <string.h>

/* A write that is in the queue. */
struct own_write {
    struct loop_own *own;    /* NULL once it has left the queue */
    const struct iovec *iov; /* what is left: `single`, where it has a length or `n_iov` is 0; then these */
    size_t n_iov;
    struct iovec single;
    size_t left, done;        /* bytes */
    struct loop_chunk *chunk; /* given back at the end; or NULL */
    union {
        void *moved;   /* from malloc: what was in the chunk before it was given back; or NULL */
        int64_t error; /* of a shutdown: that of a write in front of it, which has failed; or 0 */
    };
    loop_job inner; /* the sink's, while it is in flight */
};

static_assert(sizeof(struct own_write) <= sizeof(((struct loop_job *)0)->u.large), "fits into a large job");

static struct own_write *write_of(struct loop_job *job)
{
    return (struct own_write *)(void *)job->u.large;
}

static struct loop_sink *sink_of(const struct loop_own *own)
{
    return (struct loop_sink *)(uintptr_t)own->end;
}

static const struct loop_job_kind shutdown_kind;
static void start_first(struct loop_own *own);

/* ---- leaving the queue ---- */

/* Has the shutdowns of the queue, which are behind a write that has failed, end with its error. */
static void spoil_shutdowns(struct loop_own *own, int64_t error)
{
    for (struct loop_list *node = own->queue.next; node != &own->queue; node = node->next) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        struct own_write *shutdown = write_of(job);
        if (job->kind == &shutdown_kind && !shutdown->error) {
            shutdown->error = error;
        }
    }
}

/* Takes the job out of the queue. Returns its result: the count where bytes were written and there is a continuation,
 * else `result`. */
static int64_t leave(struct loop_job *job, int64_t result)
{
    struct own_write *write = write_of(job);
    struct loop_own *own = write->own;
    write->own = NULL;
    loop_list_remove(&job->link);
    if (job->kind == &shutdown_kind) {
        return result;
    }
    bool is_part = result > 0 && write->left > 0; /* the next write returns why it stopped */
    if (result >= 0) {
        result = write->left == 0 ? (int64_t)write->done : job->is_cancelled ? -ECANCELED : -EIO;
    }
    if (result < 0 && !job->is_cancelled) {
        spoil_shutdowns(own, result);
    }
    loop_own_leave(own, write->left, result < 0 && !is_part ? result : 0);
    if (write->chunk) {
        loop_region_give(own->loop, write->chunk);
    }
    loop_kernel_free(write->moved);
    return write->done > 0 && job->fn ? (int64_t)write->done : result;
}

/* Ends the first job of the queue. The next is handed to the sink before the continuation is resumed, which may close
 * the sink or end its scope. */
static void end_first(struct loop_job *job, int64_t result)
{
    struct loop_own *own = write_of(job)->own;
    struct loop *loop = own->loop;
    assert(own->is_busy && own->queue.next == &job->link);
    own->is_busy = false;
    result = leave(job, result);
    start_first(own);
    loop_own_settle(own);
    loop_job_finish(loop, job, result);
}

/* Cancels a write or a shutdown: one that is in flight ends when the sink's job has, one in the queue ends here. */
static void cancel(struct loop *loop, struct loop_job *job)
{
    struct own_write *write = write_of(job);
    struct loop_own *own = write->own;
    if (!own) {
        return; /* end_first is ending it */
    }
    if (own->is_busy && own->queue.next == &job->link) {
        loop_cancel(loop, write->inner); /* `inner` is 0 while the sink's function runs: start() cancels it then */
        return;
    }
    loop_job_complete(loop, job, leave(job, -ECANCELED));
    loop_own_settle(own);
}

/* ---- in flight ---- */

/* Counts `n` bytes as written. */
static void advance(struct own_write *write, size_t n)
{
    assert(n <= write->left);
    write->done += n;
    write->left -= n;
    if (write->left == 0) {
        return;
    }
    if (write->single.iov_len > 0) {
        size_t gone = n < write->single.iov_len ? n : write->single.iov_len;
        write->single.iov_base = (char *)write->single.iov_base + gone;
        write->single.iov_len -= gone;
        n -= gone;
    }
    for (; write->n_iov > 0 && n >= write->iov->iov_len; write->iov++, write->n_iov--) {
        n -= write->iov->iov_len;
    }
    if (n > 0) {
        write->single = (struct iovec){(char *)write->iov->iov_base + n, write->iov->iov_len - n};
        write->iov++;
        write->n_iov--;
    }
}

/* Returns the sink's answer. One of more bytes than it was given stops a debug build, and otherwise becomes -EINVAL. */
static int64_t checked(const struct loop_job *job, const struct own_write *write, int64_t result)
{
    if (result <= 0 || (uint64_t)result <= write->left) {
        return result;
    }
    loop_misuse(job->scope->loop, "write of a sink of one's own", "it resumed with more bytes than it was given",
                "resume with the length of all vectors, with less after an error, or a negative errno");
    return -EINVAL;
}

static bool start(struct loop_job *job);

/* Ends the write after the sink's. Without a continuation, to which the count of a part would tell that it stopped, it
 * writes the rest instead: that succeeds or gives the error. */
static void on_written(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct own_write *write = write_of(job);
    write->inner = 0;
    result = checked(job, write, result);
    if (result > 0) {
        advance(write, (size_t)result);
        loop_own_leave(write->own, (size_t)result, 0);
    }
    bool goes_on = result > 0 && write->left > 0 && !job->fn && !job->is_cancelled;
    if (!goes_on || !start(job)) {
        end_first(job, goes_on ? -ENOMEM : result);
    }
}

static void on_shut_down(void *arg, int64_t result)
{
    end_first(arg, result);
}

static loop_job call_sink(struct loop_job *job)
{
    struct own_write *write = write_of(job);
    struct loop_sink *sink = sink_of(write->own);
    if (job->kind == &shutdown_kind) {
        return sink->ops->shutdown(sink, on_shut_down, job);
    }
    if (write->n_iov == 0 || write->single.iov_len > 0) {
        return sink->ops->write(sink, &write->single, 1, on_written, job);
    }
    return sink->ops->write(sink, write->iov, write->n_iov, on_written, job);
}

/* Hands the first job of the queue to the sink, whose function may cancel it. False where the sink has started none. */
static bool start(struct loop_job *job)
{
    struct loop *loop = job->scope->loop;
    struct own_write *write = write_of(job);
    write->inner = loop_job_inner(loop, call_sink(job), job->scope);
    if (write->inner && job->is_cancelled) {
        loop_cancel(loop, write->inner);
    }
    return write->inner != 0;
}

/* Starts the first job of the queue unless it is in flight. One that can't be started ends, and the next is tried. */
static void start_first(struct loop_own *own)
{
    struct loop_list *node;
    while (!own->is_busy && (node = loop_list_first(&own->queue))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        own->is_busy = true;
        int64_t error = job->is_cancelled ? -ECANCELED : -ENOMEM;
        if (job->kind == &shutdown_kind && (write_of(job)->error || !sink_of(own)->ops->shutdown)) {
            error = write_of(job)->error;
        } else if (start(job)) {
            return;
        }
        own->is_busy = false;
        own->unstarted = error == -ENOMEM ? job->id : own->unstarted;
        loop_job_complete(own->loop, job, leave(job, error));
    }
}

/* ---- joining the queue ---- */

static const struct loop_job_kind write_kind = {.name = "write", .cancel = cancel, .size = LOOP_JOB_LARGE};
static const struct loop_job_kind shutdown_kind = {.name = "shutdown", .cancel = cancel, .size = LOOP_JOB_LARGE};

static void refused(struct loop *loop, struct loop_job *job, int64_t result)
{
    uint64_t id = (uint64_t)job->u.small[0];
    loop_job_finish(loop, job, result);
    struct loop_own *own = loop_slab_find(&loop->owns.slab, id);
    if (own) {
        own->has_overflowed = --own->n_refused > 0;
        loop_own_settle(own);
    }
}

static const struct loop_job_kind refused_kind = {
    .name = "refused write", .cancel = loop_job_cancel_here, .backend_done = refused};

static loop_job refuse(struct loop_own *own, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(own->scope, NULL, &refused_kind, fn, arg, &id);
    if (job) {
        bool is_full = own->queued_bytes > 0 && own->queued_bytes >= own->limit_bytes;
        job->u.small[0] = is_full ? (int64_t)own->id : 0; /* otherwise it is refused for one in front of it */
        own->n_refused += is_full;
        own->has_overflowed = true;
        loop_job_backend_complete(own->loop, job, -ENOBUFS);
    }
    return id;
}

/* Copies the bytes of a write and gives its chunk back to the region. Without memory the write keeps the chunk. */
static void move_out(struct loop *loop, struct own_write *write)
{
    void *moved = loop_kernel_malloc(write->left ? write->left : 1);
    if (!moved) {
        return;
    }
    memcpy(moved, write->single.iov_base, write->left);
    write->single.iov_base = moved;
    write->moved = moved;
    loop_region_give(loop, write->chunk);
    write->chunk = NULL;
}

static loop_job enqueue(struct loop_own *own, struct loop_job *job)
{
    loop_job id = job->id;
    write_of(job)->own = own;
    job->where = LOOP_AT_OWNER;
    loop_list_push_back(&own->queue, &job->link);
    start_first(own);
    loop_own_settle(own);
    return id;
}

loop_job loop_own_write(struct loop_sink *sink, const struct loop_own_bytes *bytes, loop_fn *fn, void *arg,
                        bool *took_chunk)
{
    loop_job id;
    struct loop_own *own = loop_own_get(sink->scope, sink);
    *took_chunk = false;
    if (!own || loop_own_is_full(own)) {
        return own ? refuse(own, fn, arg) : 0;
    }
    struct loop_job *job = loop_job_start(sink->scope, NULL, &write_kind, fn, arg, &id);
    if (!job) {
        loop_own_settle(own);
        return id;
    }
    *write_of(job) = (struct own_write){
        .iov = bytes->iov, .n_iov = bytes->n_iov, .single = bytes->single, .left = bytes->total, .chunk = bytes->chunk};
    if (bytes->chunk && loop_region_is_scarce(&own->loop->region)) {
        move_out(own->loop, write_of(job));
    }
    *took_chunk = true;
    own->queued_bytes += bytes->total;
    return enqueue(own, job);
}

/* Whether the last job of the queue, a shutdown, is the next behind a write that is in flight, and follows no gap. */
static bool is_behind_write(const struct loop_own *own)
{
    struct loop_job *first = LOOP_CONTAINER(own->queue.next, struct loop_job, link);
    struct loop_job *last = LOOP_CONTAINER(own->queue.prev, struct loop_job, link);
    return own->is_busy && first != last && first->link.next == &last->link && first->kind == &write_kind &&
           last->kind == &shutdown_kind && !write_of(last)->error;
}

/* Returns the error with which a new shutdown ends, or 0: a write has failed or was refused whose continuation has not
 * been resumed. */
static int64_t error_ahead(const struct loop_own *own)
{
    bool is_unstarted = own->unstarted && loop_job_find(own->loop, own->unstarted);
    return is_unstarted ? -ENOMEM : own->has_overflowed ? -ENOBUFS : 0;
}

loop_job loop_own_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_own *own = loop_own_get(sink->scope, sink);
    if (!own) {
        return 0;
    }
    struct loop_job *job = loop_job_start(sink->scope, NULL, &shutdown_kind, fn, arg, &id);
    if (!job) {
        loop_own_settle(own);
        return id;
    }
    write_of(job)->error = error_ahead(own);
    (void)enqueue(own, job);
    own = loop_own_find(sink->scope, sink);
    if (sink->ops->expect_shutdown && own && is_behind_write(own)) {
        sink->ops->expect_shutdown(sink);
    }
    return id;
}

/* ---- sinks of all kinds ---- */

bool loop_sink_is_over(const struct loop_sink *sink)
{
    return sink->ops != &loop_fd_sink && loop_own_is_over(sink->scope);
}

loop_job loop_sink_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    bool took_chunk;
    if (loop_sink_is_over(sink)) {
        return loop_job_instant(sink->scope, -ECANCELED, fn, arg);
    }
    if (!loop_sink_is_own(sink)) {
        return sink->ops->write(sink, iov, n_iov, fn, arg);
    }
    struct loop_own_bytes bytes = {.iov = iov, .n_iov = n_iov};
    for (size_t i = 0; i < n_iov; i++) {
        bytes.total += iov[i].iov_len;
    }
    return loop_own_write(sink, &bytes, fn, arg, &took_chunk);
}
