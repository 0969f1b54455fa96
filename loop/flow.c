/* SPDX-License-Identifier: ISC
 *
 * Sources and sinks: the calls of <loop/flow.h>, and the descriptor's own source and sink. A descriptor's reads wait in
 * its readers and its writes in its writers, in the order of the calls. What is written in one continuation leaves
 * together when it has returned (loop_ready_send): one system call, and no waiting for the rest of the turn, so that
 * peers don't fall into step. Files can't be waited for: their reads and writes are operations of the backend, one of
 * each kind at a time.
 */
#include <loop/core.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GATHER_MAX 64 /* vectors in one call: what is beyond is the next call's */

static const struct loop_source_ops fd_source;
static const struct loop_sink_ops fd_sink;

static loop_job ended_with(struct loop *loop, struct job *job, bool ended, int64_t result)
{
    loop_job id = job->id;
    if (!ended) {
        loop_job_complete(loop, job, result);
    }
    return id;
}

/* ---- a descriptor's reads ---- */

static void cancel_waiting(struct loop *loop, struct job *job)
{
    loop_job_complete(loop, job, -ECANCELED);
}

static enum loop_attempt attempt_read(struct loop *loop, struct job *job)
{
    (void)loop;
    job->result = loop_io_read(job->fd, &job->u.read, 1);
    return job->result == -EAGAIN ? LOOP_ATTEMPT_AGAIN : LOOP_ATTEMPT_DONE;
}

static const struct loop_job_kind read_kind = {.name = "read", .cancel = cancel_waiting, .attempt = attempt_read};

/* ---- files: one operation at a time ---- */

/* Starts the next operation of a file's line (`line`: fd->readers or fd->writers), if none is in flight. */
static void start_next(struct loop *loop, struct loop_fd *fd, struct loop_list *line, struct job **in_flight);

static void cancel_file_job(struct loop *loop, struct job *job)
{
    if (job->fd->reading == job || job->fd->writing == job) {
        loop->backend->cancel(loop, job);
    } else {
        loop_job_complete(loop, job, -ECANCELED);
    }
}

/* The continuation of a file's read or write has been resumed: the next one's turn. */
static void file_read_resumed(struct loop_fd *fd)
{
    start_next(fd->scope->loop, fd, &fd->readers, &fd->reading);
}

static void file_write_resumed(struct loop_fd *fd)
{
    start_next(fd->scope->loop, fd, &fd->writers, &fd->writing);
}

static void file_read_done(struct loop *loop, struct job *job, int64_t result)
{
    job->fd->reading = NULL;
    loop_job_finish(loop, job, result);
}

static const struct loop_job_kind file_read_kind = {
    .name = "file read", .cancel = cancel_file_job, .backend_done = file_read_done, .resumed = file_read_resumed};

/* How far a write to a file got. */
struct file_write {
    const struct iovec *iov;
    struct iovec single;
    size_t n_iov, at, at_offset;
    size_t total, done;
    struct loop_chunk *chunk;
};

/* The next piece: as many whole vectors as one call takes, or the rest of one that was cut. */
static void prepare_piece(struct job *job)
{
    struct file_write *write = job->u.args.extra;
    const struct iovec *at = write->iov + write->at;
    job->u.args.offset = LOOP_CURRENT;
    if (write->at_offset > 0) {
        job->op = LOOP_OP_WRITE;
        job->u.args.data = (char *)at->iov_base + write->at_offset;
        job->u.args.len = at->iov_len - write->at_offset;
    } else {
        job->op = LOOP_OP_WRITEV;
        job->u.args.data = (void *)(uintptr_t)at;
        job->u.args.len = write->n_iov - write->at < IOV_MAX ? write->n_iov - write->at : IOV_MAX;
    }
}

static void advance(const struct iovec *iov, size_t n_iov, size_t *at, size_t *at_offset, size_t n)
{
    while (*at < n_iov && n >= iov[*at].iov_len - *at_offset) {
        n -= iov[*at].iov_len - *at_offset;
        *at_offset = 0;
        ++*at;
    }
    *at_offset += n;
}

/* `n` bytes of the queue are gone; `result` < 0: because a write failed. */
static void leave_queue(struct loop *loop, struct loop_fd *fd, size_t n, int64_t result)
{
    if (result < 0 && result != -ECANCELED) {
        fd->write_error = (int32_t)result;
    }
    assert(fd->queued_bytes >= n);
    fd->queued_bytes -= n;
    if (!loop_list_is_empty(&fd->pollers)) {
        loop_ready_activate(loop, fd); /* somebody may wait for it to drain */
    }
}

static int64_t close_file_write(struct loop *loop, struct job *job, int64_t result)
{
    struct file_write *write = job->u.args.extra;
    leave_queue(loop, job->fd, write->total - write->done, result);
    if (write->chunk) {
        loop_region_give(loop, write->chunk);
    }
    return write->done > 0 || result >= 0 ? (int64_t)write->done : result;
}

static void file_write_done(struct loop *loop, struct job *job, int64_t result)
{
    struct file_write *write = job->u.args.extra;
    if (result > 0) {
        write->done += (size_t)result;
        leave_queue(loop, job->fd, (size_t)result, 0);
        advance(write->iov, write->n_iov, &write->at, &write->at_offset, (size_t)result);
        if (write->done < write->total && !job->is_cancelled) {
            prepare_piece(job);
            loop->backend->start(loop, job);
            return;
        }
    }
    job->fd->writing = NULL;
    loop_job_finish(loop, job, close_file_write(loop, job, result));
}

static void cancel_file_write(struct loop *loop, struct job *job)
{
    if (job->fd->writing == job) {
        loop->backend->cancel(loop, job);
    } else {
        loop_job_complete(loop, job, close_file_write(loop, job, -ECANCELED));
    }
}

static const struct loop_job_kind file_write_kind = {
    .name = "file write", .cancel = cancel_file_write, .backend_done = file_write_done, .resumed = file_write_resumed};

static void start_next(struct loop *loop, struct loop_fd *fd, struct loop_list *line, struct job **in_flight)
{
    struct loop_list *node = *in_flight ? NULL : loop_list_pop_front(line);
    if (!node) {
        return;
    }
    struct job *job = LOOP_CONTAINER(node, struct job, link);
    *in_flight = job;
    assert(job->fd == fd);
    (void)fd;
    loop->backend->start(loop, job);
}

static void join_file_line(struct loop *loop, struct job *job, struct loop_list *line, struct job **in_flight)
{
    job->where = LOOP_AT_WAIT;
    loop_list_push_back(line, &job->link);
    start_next(loop, job->fd, line, in_flight);
}

static loop_job read_fd(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct loop_fd *fd = source->self;
    struct loop *loop = fd->scope->loop;
    bool ended, is_file = fd->read_by == LOOP_IO_BLOCKING;
    struct job *job = loop_job_start(fd->scope, fd, is_file ? &file_read_kind : &read_kind, fn, arg, &ended);
    if (!job || ended) {
        return job ? job->id : 0;
    }
    loop_job id = job->id;
    if (is_file) {
        job->op = LOOP_OP_READ;
        job->u.args = (struct loop_op_args){.data = buf, .len = len, .offset = LOOP_CURRENT};
        join_file_line(loop, job, &fd->readers, &fd->reading);
    } else {
        job->u.read = (struct iovec){buf, len};
        loop_ready_wait_read(loop, fd, job);
    }
    return id;
}

/* ---- a descriptor's writes ---- */

/* Takes a write out of the queue with what it has to say: the count where bytes went out, else `result`. */
static int64_t close_write(struct loop *loop, struct job *job, int64_t result)
{
    leave_queue(loop, job->fd, job->u.write.total - job->u.write.done, result);
    if (job->u.write.chunk) {
        loop_region_give(loop, job->u.write.chunk);
    }
    return job->u.write.done > 0 || result >= 0 ? (int64_t)job->u.write.done : result;
}

static void cancel_write(struct loop *loop, struct job *job)
{
    struct loop_fd *fd = job->fd;
    loop_job_complete(loop, job, close_write(loop, job, -ECANCELED));
    if (!loop_list_is_empty(&fd->writers)) {
        fd->ready |= POLLOUT; /* what comes next need not wait for the same thing: a shutdown waits for nothing */
        loop_ready_activate(loop, fd);
    }
}

static enum loop_attempt attempt_write(struct loop *loop, struct job *job);
static const struct loop_job_kind write_kind = {.name = "write", .cancel = cancel_write, .attempt = attempt_write};

static const struct iovec *vectors(const struct job *job)
{
    return job->u.write.iov ? job->u.write.iov : &job->u.write.single;
}

/* Adds what is left of a write to `iov`; returns the new count. */
static int gather_job(const struct job *job, struct iovec *iov, int n)
{
    const struct iovec *from = vectors(job);
    size_t offset = job->u.write.at_offset;
    for (size_t i = job->u.write.at; i < job->u.write.n_iov && n < GATHER_MAX; i++, offset = 0) {
        if (from[i].iov_len > offset) {
            iov[n++] = (struct iovec){(char *)from[i].iov_base + offset, from[i].iov_len - offset};
        }
    }
    return n;
}

static int gather(const struct loop_fd *fd, struct iovec *iov)
{
    int n = 0;
    for (struct loop_list *node = fd->writers.next; node != &fd->writers && n < GATHER_MAX; node = node->next) {
        struct job *job = LOOP_CONTAINER(node, struct job, link);
        if (job->kind != &write_kind) {
            break;
        }
        n = gather_job(job, iov, n);
    }
    return n;
}

/* Tells the first writes that `n` bytes went out: those that have all of theirs end, in order. */
static void distribute(struct loop *loop, struct loop_fd *fd, size_t n)
{
    struct loop_list *node;
    while ((node = loop_list_first(&fd->writers))) {
        struct job *job = LOOP_CONTAINER(node, struct job, link);
        size_t left = job->kind == &write_kind ? job->u.write.total - job->u.write.done : SIZE_MAX;
        size_t taken = n < left ? n : left;
        if (job->kind != &write_kind || (taken == 0 && left > 0)) {
            return;
        }
        job->u.write.done += taken;
        n -= taken;
        leave_queue(loop, fd, taken, 0);
        if (taken < left) {
            advance(vectors(job), job->u.write.n_iov, &job->u.write.at, &job->u.write.at_offset, taken);
            return;
        }
        loop_job_complete(loop, job, close_write(loop, job, 0));
    }
}

static enum loop_attempt attempt_write(struct loop *loop, struct job *job)
{
    struct iovec iov[GATHER_MAX];
    struct loop_fd *fd = job->fd;
    int n_iov = gather(fd, iov);
    int64_t n = n_iov > 0 ? loop_io_write(fd, iov, n_iov) : 0;
    if (n == -EAGAIN) {
        return LOOP_ATTEMPT_AGAIN;
    }
    if (n < 0) {
        loop_job_complete(loop, job, close_write(loop, job, n));
        return LOOP_ATTEMPT_MOVED;
    }
    distribute(loop, fd, (size_t)n);
    return LOOP_ATTEMPT_MOVED;
}

static void refused_resumed(struct loop_fd *fd)
{
    fd->has_overflowed = false;
}

static const struct loop_job_kind refused_kind = {
    .name = "refused write", .cancel = cancel_waiting, .resumed = refused_resumed};

static void mark_dirty(struct loop *loop, struct loop_fd *fd)
{
    if (!loop_list_is_linked(&fd->dirty)) {
        loop_list_push_back(&loop->dirty, &fd->dirty);
    }
}

static bool is_full(const struct loop_fd *fd)
{
    return fd->has_overflowed || (fd->queued_bytes > 0 && fd->queued_bytes >= fd->limit_bytes);
}

/* What a write consists of, before it is a job. */
struct write_request {
    const struct iovec *iov; /* NULL: `single` */
    struct iovec single;
    size_t n_iov, total;
    struct loop_chunk *chunk;
};

static loop_job queue_stream_write(struct loop_fd *fd, struct job *job, const struct write_request *request)
{
    struct loop *loop = fd->scope->loop;
    loop_job id = job->id;
    job->u.write.iov = request->iov;
    job->u.write.single = request->single;
    job->u.write.n_iov = request->n_iov;
    job->u.write.total = request->total;
    job->u.write.chunk = request->chunk;
    fd->queued_bytes += request->total;
    if (fd->ready & POLLOUT) {
        job->where = LOOP_AT_WAIT;
        loop_list_push_back(&fd->writers, &job->link);
        mark_dirty(loop, fd); /* sent when the continuation has returned: no turn of the loop for it */
    } else {
        loop_ready_wait_write(loop, fd, job);
    }
    return id;
}

static loop_job queue_file_write(struct loop_fd *fd, struct job *job, const struct write_request *request)
{
    struct loop *loop = fd->scope->loop;
    loop_job id = job->id;
    struct file_write *write = calloc(1, sizeof *write);
    if (!write) {
        if (request->chunk) {
            loop_region_give(loop, request->chunk);
        }
        loop_job_complete(loop, job, -ENOMEM);
        return id;
    }
    *write = (struct file_write){
        .single = request->single, .n_iov = request->n_iov, .total = request->total, .chunk = request->chunk};
    write->iov = request->iov ? request->iov : &write->single;
    job->op = LOOP_OP_WRITEV;
    job->u.args = (struct loop_op_args){.extra = write};
    fd->queued_bytes += request->total;
    prepare_piece(job);
    join_file_line(loop, job, &fd->writers, &fd->writing);
    return id;
}

/* `*took_chunk` says whether the job looks after the chunk from now on. */
static loop_job write_request(struct loop_fd *fd, const struct write_request *request, loop_fn *fn, void *arg,
                              bool *took_chunk)
{
    bool ended, is_file = fd->write_by == LOOP_IO_BLOCKING, is_refused = is_full(fd);
    const struct loop_job_kind *kind = is_refused ? &refused_kind : is_file ? &file_write_kind : &write_kind;
    struct job *job = loop_job_start(fd->scope, fd, kind, fn, arg, &ended);
    *took_chunk = job && !ended && !is_refused;
    if (*took_chunk) {
        return is_file ? queue_file_write(fd, job, request) : queue_stream_write(fd, job, request);
    }
    if (job && !ended) {
        fd->has_overflowed = true;
        return ended_with(fd->scope->loop, job, false, -ENOBUFS);
    }
    return job ? job->id : 0;
}

static loop_job write_fd(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    bool took_chunk;
    struct write_request request = {.iov = iov, .n_iov = n_iov};
    for (size_t i = 0; i < n_iov; i++) {
        request.total += iov[i].iov_len;
    }
    return write_request(sink->self, &request, fn, arg, &took_chunk);
}

/* ---- a descriptor's end ---- */

static int64_t shut_down(struct loop_fd *fd)
{
    if (fd->write_by == LOOP_IO_SOCKET) {
        int error = shutdown(fd->number, SHUT_WR) ? errno : 0;
        return error == ENOTCONN ? 0 : -error; /* the peer is gone already: nothing more will come, as asked */
    }
    return 0;
}

static bool is_closed_by_shutdown(const struct loop_fd *fd)
{
    return fd->write_by != LOOP_IO_SOCKET && fd->write_by != LOOP_IO_BLOCKING;
}

static void do_shutdown(struct loop *loop, struct job *job)
{
    struct loop_fd *fd = job->fd;
    loop_job_complete(loop, job, shut_down(fd));
    if (is_closed_by_shutdown(fd)) {
        loop_fd_close(fd);
    }
}

static enum loop_attempt attempt_shutdown(struct loop *loop, struct job *job)
{
    do_shutdown(loop, job);
    return LOOP_ATTEMPT_MOVED;
}

static const struct loop_job_kind shutdown_kind = {
    .name = "shutdown", .cancel = cancel_waiting, .attempt = attempt_shutdown};

/* In a file's line there is nothing to do but to wait for one's turn: a nop does. */
static void file_shutdown_done(struct loop *loop, struct job *job, int64_t result)
{
    job->fd->writing = NULL;
    loop_job_finish(loop, job, result);
}

static const struct loop_job_kind file_shutdown_kind = {
    .name = "shutdown", .cancel = cancel_file_job, .backend_done = file_shutdown_done, .resumed = file_write_resumed};

static loop_job shutdown_fd(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct loop_fd *fd = sink->self;
    struct loop *loop = fd->scope->loop;
    bool ended, is_file = fd->write_by == LOOP_IO_BLOCKING;
    struct job *job = loop_job_start(fd->scope, fd, is_file ? &file_shutdown_kind : &shutdown_kind, fn, arg, &ended);
    if (!job || ended) {
        return job ? job->id : 0;
    }
    loop_job id = job->id;
    if (is_file) {
        job->op = LOOP_OP_NOP;
        join_file_line(loop, job, &fd->writers, &fd->writing);
    } else if (loop_list_is_empty(&fd->writers)) {
        do_shutdown(loop, job);
    } else {
        loop_ready_wait_write(loop, fd, job);
    }
    return id;
}

static struct loop_fd *source_fd(struct loop_source *source)
{
    return source->self;
}

static struct loop_fd *sink_fd(struct loop_sink *sink)
{
    return sink->self;
}

static int close_source(struct loop_source *source)
{
    return loop_fd_close(source->self);
}

static int close_sink(struct loop_sink *sink)
{
    return loop_fd_close(sink->self);
}

static const struct loop_source_ops fd_source = {.read = read_fd, .fd = source_fd, .close = close_source};
static const struct loop_sink_ops fd_sink = {
    .write = write_fd, .shutdown = shutdown_fd, .fd = sink_fd, .close = close_sink};

void loop_flow_init(struct loop_fd *fd)
{
    fd->flow.source = (struct loop_source){&fd_source, fd->scope, fd};
    fd->flow.sink = (struct loop_sink){&fd_sink, fd->scope, fd};
    fd->flow.scope = fd->scope;
    fd->flow.fd = fd;
}

/* ---- the calls ---- */

static const struct loop_job_kind instant_kind = {.name = "instant", .cancel = cancel_waiting};

/* A job that has its result from the start. */
static loop_job instant(struct loop_scope *scope, int64_t result, loop_fn *fn, void *arg)
{
    bool ended;
    struct job *job = loop_job_start(scope, NULL, &instant_kind, fn, arg, &ended);
    return job ? ended_with(scope->loop, job, ended, result) : 0;
}

loop_job loop_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    if (len == 0) {
        return instant(source->scope, -EINVAL, fn, arg);
    }
    return source->ops->read(source, buf, len, fn, arg);
}

loop_job loop_writev(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    return sink->ops->write(sink, iov, n_iov, fn, arg);
}

loop_job loop_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    return sink->ops->shutdown ? sink->ops->shutdown(sink, fn, arg) : instant(sink->scope, 0, fn, arg);
}

int loop_source_close(struct loop_source *source)
{
    return source->ops->close ? source->ops->close(source) : -EOPNOTSUPP;
}

int loop_sink_close(struct loop_sink *sink)
{
    return sink->ops->close ? sink->ops->close(sink) : -EOPNOTSUPP;
}

int loop_flow_close(struct loop_flow *flow)
{
    if (flow->fd) {
        return loop_fd_close(flow->fd);
    }
    int source_error = loop_source_close(&flow->source);
    int sink_error = loop_sink_close(&flow->sink);
    return source_error ? source_error : sink_error;
}

/* ---- reading exactly ---- */

/* A read until `len` bytes are there, made of reads of any source. */
struct exact {
    struct loop_source *source;
    char *buf;
    size_t len, done;
    loop_job inner;
};

static_assert(sizeof(struct exact) <= sizeof(((struct job *)0)->u.words), "fits into a job");

static struct exact *exact_of(struct job *job)
{
    return (struct exact *)(void *)job->u.words;
}

static void cancel_exact(struct loop *loop, struct job *job)
{
    loop_cancel(loop, exact_of(job)->inner);
}

static const struct loop_job_kind exact_kind = {.name = "read exactly", .cancel = cancel_exact};

static void on_exact_part(void *arg, int64_t result);

/* False when the inner read couldn't be made. */
static bool read_part(struct job *job)
{
    struct exact *exact = exact_of(job);
    exact->inner =
        exact->source->ops->read(exact->source, exact->buf + exact->done, exact->len - exact->done, on_exact_part, job);
    return exact->inner != 0;
}

static void on_exact_part(void *arg, int64_t result)
{
    struct job *job = arg;
    struct exact *exact = exact_of(job);
    struct loop *loop = job->scope->loop;
    if (result > 0) {
        exact->done += (size_t)result;
        if (exact->done < exact->len && !job->is_cancelled) {
            if (read_part(job)) {
                return;
            }
            result = -ENOMEM;
        }
    }
    loop_job_finish(loop, job, exact->done > 0 ? (int64_t)exact->done : result);
}

loop_job loop_read_exact(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    if (len == 0) {
        return instant(source->scope, -EINVAL, fn, arg);
    }
    bool ended;
    struct job *job = loop_job_start(source->scope, NULL, &exact_kind, fn, arg, &ended);
    if (!job || ended) {
        return job ? job->id : 0;
    }
    job->where = LOOP_AT_OWNER;
    *exact_of(job) = (struct exact){.source = source, .buf = buf, .len = len};
    loop_job id = job->id;
    if (!read_part(job)) {
        loop_job_complete(source->scope->loop, job, -ENOMEM);
    }
    return id;
}

/* ---- writing one buffer ---- */

/* A write of one buffer to a sink of another kind: keeps the one vector. */
struct single_write {
    struct iovec iov;
    struct loop_chunk *chunk;
    loop_job inner;
};

static struct single_write *single_of(struct job *job)
{
    return (struct single_write *)(void *)job->u.words;
}

static void cancel_single(struct loop *loop, struct job *job)
{
    loop_cancel(loop, single_of(job)->inner);
}

static const struct loop_job_kind single_kind = {.name = "write", .cancel = cancel_single};

static void on_single_written(void *arg, int64_t result)
{
    struct job *job = arg;
    struct loop *loop = job->scope->loop;
    if (single_of(job)->chunk) {
        loop_region_give(loop, single_of(job)->chunk);
    }
    loop_job_finish(loop, job, result);
}

static loop_job write_single(struct loop_sink *sink, struct iovec iov, struct loop_chunk *chunk, loop_fn *fn, void *arg,
                             bool *took_chunk)
{
    bool ended;
    struct job *job = loop_job_start(sink->scope, NULL, &single_kind, fn, arg, &ended);
    *took_chunk = false;
    if (!job || ended) {
        return job ? job->id : 0;
    }
    loop_job id = job->id;
    struct single_write *single = single_of(job);
    *single = (struct single_write){.iov = iov, .chunk = chunk};
    job->where = LOOP_AT_OWNER;
    single->inner = sink->ops->write(sink, &single->iov, 1, on_single_written, job);
    *took_chunk = single->inner != 0;
    if (!single->inner) {
        loop_job_complete(sink->scope->loop, job, -ENOMEM);
    }
    return id;
}

static loop_job write_one(struct loop_sink *sink, struct iovec iov, struct loop_chunk *chunk, loop_fn *fn, void *arg,
                          bool *took_chunk)
{
    if (sink->ops != &fd_sink) {
        return write_single(sink, iov, chunk, fn, arg, took_chunk);
    }
    struct write_request request = {.single = iov, .n_iov = 1, .total = iov.iov_len, .chunk = chunk};
    return write_request(sink->self, &request, fn, arg, took_chunk);
}

loop_job loop_write(struct loop_sink *sink, const void *buf, size_t len, loop_fn *fn, void *arg)
{
    bool took_chunk;
    return write_one(sink, (struct iovec){(void *)(uintptr_t)buf, len}, NULL, fn, arg, &took_chunk);
}

loop_job loop_write_chunk(struct loop_sink *sink, struct loop_chunk *chunk, size_t len, loop_fn *fn, void *arg)
{
    struct loop *loop = sink->scope->loop;
    if (chunk->state == LOOP_CHUNK_FREE || chunk->loop != loop) {
        loop_misuse(loop, __func__, "the chunk is not the caller's",
                    "write a chunk that was allocated, or is being lent");
        return instant(sink->scope, -EINVAL, fn, arg);
    }
    chunk->state = LOOP_CHUNK_OWNED;
    bool took_chunk = false;
    loop_job id = len > loop->region.block_size
                      ? instant(sink->scope, -EINVAL, fn, arg)
                      : write_one(sink, (struct iovec){loop_chunk_data(chunk), len}, chunk, fn, arg, &took_chunk);
    if (!took_chunk) {
        loop_region_give(loop, chunk);
    }
    return id;
}

/* ---- the queue ---- */

size_t loop_sink_queued(const struct loop_sink *sink)
{
    const struct loop_fd *fd = sink->ops == &fd_sink ? sink->self : NULL;
    return fd ? fd->queued_bytes : 0;
}

bool loop_sink_is_full(const struct loop_sink *sink)
{
    const struct loop_fd *fd = sink->ops == &fd_sink ? sink->self : NULL;
    return fd && is_full(fd);
}

int loop_sink_limit(struct loop_sink *sink, size_t limit_bytes)
{
    if (sink->ops != &fd_sink) {
        return -EOPNOTSUPP;
    }
    struct loop_fd *fd = sink->self;
    fd->limit_bytes = limit_bytes;
    return 0;
}

static enum loop_attempt attempt_drained(struct loop *loop, struct job *job)
{
    (void)loop;
    job->result = job->fd->write_error;
    bool is_drained = job->fd->queued_bytes <= job->fd->limit_bytes / 2;
    return is_drained || job->result < 0 ? LOOP_ATTEMPT_DONE : LOOP_ATTEMPT_AGAIN;
}

static const struct loop_job_kind drained_kind = {
    .name = "drained", .cancel = cancel_waiting, .attempt = attempt_drained};

loop_job loop_sink_drained(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    if (sink->ops != &fd_sink) {
        return instant(sink->scope, 0, fn, arg);
    }
    bool ended;
    struct loop_fd *fd = sink->self;
    struct job *job = loop_job_start(fd->scope, fd, &drained_kind, fn, arg, &ended);
    if (job && !ended) {
        loop_ready_wait(fd->scope->loop, fd, job, 0);
    }
    return job ? job->id : 0;
}

/* ---- pipes ---- */

int loop_pipe(struct loop_scope *scope, struct loop_source **source, struct loop_sink **sink)
{
    int ends[2];
    if (!loop_scope_takes_work(scope)) {
        return -ECANCELED;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
        return -errno;
    }
    struct loop_fd *reader = loop_fd_adopt(scope, ends[0]);
    struct loop_fd *writer = loop_fd_adopt(scope, ends[1]);
    if (!reader || !writer) {
        loop_fd_destroy(reader);
        loop_fd_destroy(writer);
        return -ENOMEM;
    }
    *source = &reader->flow.source;
    *sink = &writer->flow.sink;
    return 0;
}
