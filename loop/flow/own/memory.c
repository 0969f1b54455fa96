/* SPDX-License-Identifier: ISC
 *
 * Sources and sinks without a descriptor: memory, nothing, and random bytes. They complete what they are asked for in
 * the call; the dispatch resumes the continuation.
 */
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/scope.h>
#include <loop/flow/own/check.h>
#include <loop/flow/own/memory.h>
#include <loop/ground/hard.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/process.h>
#include <loop/part.h>

#include <errno.h>
#include <string.h>

/* ---- jobs that are completed in the call ---- */

/* Without a cancel: such a job has its result before it can be cancelled. */
static const struct loop_job_kind answer_kind = {.name = "answer"};

/* Returns how many bytes the vectors have, or -EINVAL where that is more than a result can tell. */
static int64_t total_length(const struct iovec *iov, size_t n_iov)
{
    size_t total = 0;
    for (size_t i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > (size_t)INT64_MAX - total) {
            return -EINVAL;
        }
        total += iov[i].iov_len;
    }
    return (int64_t)total;
}

/* ---- nothing ---- */

static loop_job null_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    (void)buf;
    (void)len;
    return loop_job_instant(source->scope, 0, fn, arg);
}

static loop_job null_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    return loop_job_instant(sink->scope, total_length(iov, n_iov), fn, arg);
}

static int64_t null_try_read(struct loop_source *source, void *buf, size_t len)
{
    (void)source;
    (void)buf;
    (void)len;
    return 0;
}

/* The `wait_readable` of memory: ends at once, for bytes or for the end. */
static loop_job is_readable(struct loop_source *source, loop_fn *fn, void *arg)
{
    return loop_job_instant(source->scope, 0, fn, arg);
}

static const struct loop_source_ops null_source_ops = {
    .read = null_read, .try_read = null_try_read, .wait_readable = is_readable};
static const struct loop_sink_ops null_sink_ops = {.write = null_write};

void loop_null_source_init(struct loop_source *source, struct loop_scope *scope)
{
    *source = (struct loop_source){.ops = &null_source_ops, .scope = scope};
}

struct loop_source *loop_null_source(struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    struct loop_source *source = loop_scope_takes_work(scope) ? loop_scope_alloc(scope, sizeof *source) : NULL;
    if (source) {
        loop_null_source_init(source, scope);
    }
    return source;
}

struct loop_sink *loop_null_sink(struct loop_scope *scope)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    struct loop_sink *sink = loop_scope_takes_work(scope) ? loop_scope_alloc(scope, sizeof *sink) : NULL;
    if (sink) {
        *sink = (struct loop_sink){.ops = &null_sink_ops, .scope = scope};
    }
    return sink;
}

/* ---- a sink that was closed before the loop began ---- */

static loop_job closed_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)iov;
    (void)n_iov;
    return loop_job_instant(sink->scope, -EBADF, fn, arg);
}

static loop_job closed_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    return loop_job_instant(sink->scope, -EBADF, fn, arg);
}

static int closed_close(struct loop_sink *sink)
{
    (void)sink;
    return -EBADF;
}

static const struct loop_sink_ops closed_sink_ops = {
    .write = closed_write, .shutdown = closed_shutdown, .close = closed_close};

void loop_closed_sink_init(struct loop_sink *sink, struct loop_scope *scope)
{
    *sink = (struct loop_sink){.ops = &closed_sink_ops, .scope = scope};
}

/* ---- a source of bytes in memory ---- */

struct memory_source {
    struct loop_source source;
    const char *data;
    size_t len, at;
    bool is_closed;
};

static int64_t take_bytes(struct memory_source *memory, void *buf, size_t len)
{
    if (memory->is_closed) {
        return -EBADF;
    }
    assert(memory->at <= memory->len);
    size_t left = memory->len - memory->at;
    size_t n = loop_hard_length(len < left ? len : left);
    if (n > 0) {
        memcpy(buf, memory->data + memory->at, n);
        memory->at += n;
    }
    return (int64_t)n;
}

static loop_job memory_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(source->scope, NULL, &answer_kind, fn, arg, &id);
    if (job) {
        loop_job_complete(source->scope->loop, job, take_bytes(source->self, buf, len));
    }
    return id;
}

static int memory_source_close(struct loop_source *source)
{
    struct memory_source *memory = source->self;
    bool was_closed = memory->is_closed;
    memory->is_closed = true;
    return was_closed ? -EBADF : 0;
}

static int memory_source_unread(struct loop_source *source, const void *bytes, size_t len)
{
    struct memory_source *memory = source->self;
    if (memory->is_closed) {
        return -EBADF;
    }
    if (len > memory->at || memcmp(memory->data + memory->at - len, bytes, len) != 0) {
        return -EINVAL;
    }
    memory->at -= len;
    return 0;
}

static int64_t memory_try_read(struct loop_source *source, void *buf, size_t len)
{
    return take_bytes(source->self, buf, len);
}

static const struct loop_source_ops memory_source_ops = {.read = memory_read,
                                                         .close = memory_source_close,
                                                         .try_read = memory_try_read,
                                                         .wait_readable = is_readable,
                                                         .unread = memory_source_unread};

struct loop_source *loop_memory_source(struct loop_scope *scope, const void *data, size_t len)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    struct memory_source *memory = loop_scope_takes_work(scope) ? loop_scope_alloc(scope, sizeof *memory) : NULL;
    if (!memory) {
        return NULL;
    }
    memory->source = (struct loop_source){.ops = &memory_source_ops, .scope = scope, .self = memory};
    memory->data = data;
    memory->len = len;
    return &memory->source;
}

/* ---- a sink that keeps bytes in memory ---- */

/* The bytes have to be valid in the scope's on_end, so the scope owns them. Blocks that were outgrown stay until then:
 * together they are no larger than the last one. */
struct memory_sink {
    struct loop_sink sink;
    char *data;
    size_t len, capacity, limit; /* a `limit` of 0: none */
    loop_job failed;             /* the last write that has failed; or 0 */
    int error;                   /* why */
    bool has_ended, is_closed;
};

#define FIRST_CAPACITY 256u

/* Makes room for `len` more bytes. 0 or -ENOMEM. */
static int make_room(struct memory_sink *memory, size_t len)
{
    if (len <= memory->capacity - memory->len) {
        return 0;
    }
    size_t capacity = memory->capacity <= SIZE_MAX / 2 ? memory->capacity * 2 : SIZE_MAX;
    if (capacity < FIRST_CAPACITY) {
        capacity = FIRST_CAPACITY;
    }
    if (capacity < memory->len + len) {
        capacity = memory->len + len;
    }
    char *data = loop_scope_alloc(memory->sink.scope, capacity);
    if (!data) {
        return -ENOMEM;
    }
    if (memory->len > 0) {
        memcpy(data, memory->data, memory->len);
    }
    memory->data = data;
    memory->capacity = capacity;
    assert(memory->len + len <= memory->capacity);
    return 0;
}

/* Returns 0, with room for them, when the sink takes `len` more bytes; else -errno. */
static int accept_bytes(struct memory_sink *memory, size_t len)
{
    if (memory->is_closed) {
        return -EBADF;
    }
    if (memory->has_ended) {
        return -EPIPE;
    }
    size_t limit = memory->limit ? memory->limit : (size_t)INT64_MAX;
    return len > limit - memory->len ? -ENOSPC : make_room(memory, len);
}

static int64_t keep_bytes(struct memory_sink *memory, const struct iovec *iov, size_t n_iov)
{
    int64_t total = total_length(iov, n_iov);
    int error = total < 0 ? (int)total : accept_bytes(memory, (size_t)total);
    if (error) {
        return error;
    }
    for (size_t i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > 0) {
            memcpy(memory->data + memory->len, iov[i].iov_base, iov[i].iov_len);
            memory->len += iov[i].iov_len;
        }
    }
    return total;
}

/* Returns the error of a write that has failed and whose continuation has not been resumed, or 0. What follows it would
 * follow a gap. */
static int error_ahead(const struct memory_sink *memory)
{
    bool is_unheard = memory->failed && loop_job_find(memory->sink.scope->loop, memory->failed);
    return is_unheard ? memory->error : 0;
}

static loop_job memory_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    loop_job id;
    struct memory_sink *memory = sink->self;
    struct loop_job *job = loop_job_start(sink->scope, NULL, &answer_kind, fn, arg, &id);
    if (job) {
        int error = error_ahead(memory);
        int64_t result = error ? error : keep_bytes(memory, iov, n_iov);
        if (result < 0) {
            memory->failed = id;
            memory->error = (int)result;
        }
        loop_job_complete(sink->scope->loop, job, result);
    }
    return id;
}

static loop_job memory_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    loop_job id;
    struct memory_sink *memory = sink->self;
    struct loop_job *job = loop_job_start(sink->scope, NULL, &answer_kind, fn, arg, &id);
    if (job) {
        int error = memory->is_closed ? -EBADF : error_ahead(memory);
        memory->has_ended |= !error;
        loop_job_complete(sink->scope->loop, job, error);
    }
    return id;
}

static int memory_sink_close(struct loop_sink *sink)
{
    struct memory_sink *memory = sink->self;
    bool was_closed = memory->is_closed;
    memory->is_closed = true;
    return was_closed ? -EBADF : 0;
}

static const struct loop_sink_ops memory_sink_ops = {
    .write = memory_write, .shutdown = memory_shutdown, .close = memory_sink_close};

struct loop_sink *loop_memory_sink(struct loop_scope *scope, size_t limit_bytes)
{
    if (!loop_scope_is_good(scope, __func__)) {
        return NULL;
    }
    struct memory_sink *memory = loop_scope_takes_work(scope) ? loop_scope_alloc(scope, sizeof *memory) : NULL;
    if (!memory) {
        return NULL;
    }
    memory->sink = (struct loop_sink){.ops = &memory_sink_ops, .scope = scope, .self = memory};
    memory->limit = limit_bytes;
    return &memory->sink;
}

const void *loop_memory_data(const struct loop_sink *memory_sink, size_t *len)
{
    bool is_good = loop_sink_is_good(memory_sink, __func__);
    const struct memory_sink *memory = is_good && memory_sink->ops == &memory_sink_ops ? memory_sink->self : NULL;
    if (is_good && !memory) {
        loop_misuse(memory_sink->scope->loop, __func__, "the sink is not from loop_memory_sink", "ask one that is");
    }
    if (!loop_check_pointer(len, "length", __func__)) {
        return NULL;
    }
    *len = memory ? memory->len : 0;
    return memory ? memory->data : NULL;
}

bool loop_sink_takes_all(const struct loop_sink *sink)
{
    const struct loop_sink_ops *ops = sink->ops;
    return ops == &memory_sink_ops || ops == &null_sink_ops || ops == &closed_sink_ops;
}

/* ---- random bytes ---- */

#define RANDOM_PIECE ((size_t)256 * 1024) /* generated in less than a millisecond */
#define RANDOM_PAUSE_NS (10 * LOOP_MILLISECOND)

/* A read that waits until the kernel's generator has been seeded, which happens once, early in boot. */
struct random_wait {
    struct loop_scope *scope;
    loop_job job;
    void *buf;
    size_t len;
};

static int64_t random_bytes(void *buf, size_t len)
{
    ssize_t n;
    do {
        n = loop_kernel_getrandom(buf, len < RANDOM_PIECE ? len : RANDOM_PIECE, GRND_NONBLOCK);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void on_random_pause(void *arg, int64_t result)
{
    struct random_wait *wait = arg;
    struct loop *loop = wait->scope->loop;
    if (loop_job_is_alive(loop, wait->job)) {
        int64_t n = result < 0 ? result : random_bytes(wait->buf, wait->len);
        if (n == -EAGAIN && loop_sleep(wait->scope, RANDOM_PAUSE_NS, on_random_pause, wait)) {
            return;
        }
        loop_resolve(loop, wait->job, n);
    }
    loop_kernel_free(wait);
}

static loop_job random_read_later(struct loop_scope *scope, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct random_wait *wait = loop_kernel_malloc(sizeof *wait);
    if (!wait) {
        return 0;
    }
    *wait = (struct random_wait){.scope = scope, .buf = buf, .len = len};
    wait->job = loop_promise(scope, NULL, NULL, fn, arg);
    if (!wait->job) {
        loop_kernel_free(wait);
        return 0;
    }
    loop_job id = wait->job;
    if (!loop_sleep(scope, RANDOM_PAUSE_NS, on_random_pause, wait)) {
        loop_resolve(scope->loop, id, -ENOMEM);
        loop_kernel_free(wait);
    }
    return id;
}

static loop_job random_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct loop_scope *scope = source->scope;
    if (scope->is_cancelled) {
        return loop_job_instant(scope, -ECANCELED, fn, arg);
    }
    int64_t n = random_bytes(buf, loop_hard_length(len));
    return n == -EAGAIN ? random_read_later(scope, buf, len, fn, arg) : loop_job_instant(scope, n, fn, arg);
}

/* Takes bytes back by forgetting them: other random bytes replace them. */
static int random_unread(struct loop_source *source, const void *bytes, size_t len)
{
    (void)source;
    (void)bytes;
    (void)len;
    return 0;
}

static const struct loop_source_ops random_source_ops = {.read = random_read, .unread = random_unread};

bool loop_source_is_ready_made(const struct loop_source *source)
{
    const struct loop_source_ops *ops = source->ops;
    return ops == &memory_source_ops || ops == &null_source_ops || ops == &random_source_ops;
}

void loop_random_source_init(struct loop_source *source, struct loop_scope *scope)
{
    *source = (struct loop_source){.ops = &random_source_ops, .scope = scope};
}
