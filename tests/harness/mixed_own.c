/* SPDX-License-Identifier: ISC
 *
 * The part of the mixed program with a source and a sink of its own. The sink completes each write later, so that
 * others wait in its queue.
 */
#include "mixed.h"

enum { SOURCE_BYTES = 50000, SINK_BYTES = 200000, EXACT = 1000, WRITES = 10, WRITTEN = 700 };

static struct {
    struct part *part;
    struct loop_source source;
    struct loop_sink sink;
    char out[SOURCE_BYTES], exact[EXACT], in[SINK_BYTES];
    size_t at, taken;
    loop_job write;
    int64_t answer;
    unsigned writes_ended;
} own;

/* ---- the source ---- */

static loop_job own_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    size_t left = sizeof own.out - own.at, n = len < left ? len : left;
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);

    n = n < 3000 ? n : 3000;
    if (job) {
        memcpy(buf, own.out + own.at, n);
        own.at += n;
        loop_resolve(loop_scope_loop(source->scope), job, (int64_t)n);
    }
    return job;
}

static int own_unread(struct loop_source *source, const void *bytes, size_t len)
{
    (void)source;
    MIXED_MUST(len <= own.at && memcmp(own.out + own.at - len, bytes, len) == 0);
    own.at -= len;
    return 0;
}

/* ---- the sink ---- */

static void on_moment(void *unused, int64_t result)
{
    loop_job job = own.write;

    (void)unused;
    own.write = 0;
    loop_resolve(own.part->env->loop, job, result < 0 ? result : own.answer);
}

static loop_job own_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    MIXED_MUST(own.write == 0);
    own.write = loop_promise(sink->scope, NULL, NULL, fn, arg);
    own.answer = 0;
    loop_job job = own.write;
    if (!job) {
        return 0;
    }
    if (!loop_sleep(sink->scope, 1, on_moment, NULL)) {
        own.write = 0;
        loop_resolve(own.part->env->loop, job, -ENOMEM);
        return job;
    }
    for (size_t i = 0; i < n_iov; i++) {
        MIXED_MUST(own.taken + iov[i].iov_len <= sizeof own.in);
        memcpy(own.in + own.taken, iov[i].iov_base, iov[i].iov_len);
        own.taken += iov[i].iov_len;
        own.answer += (int64_t)iov[i].iov_len;
    }
    return job;
}

static loop_job own_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);

    MIXED_MUST(own.write == 0);
    loop_resolve(own.part->env->loop, job, 0);
    return job;
}

static const struct loop_source_ops source_ops = {.read = own_read, .unread = own_unread};
static const struct loop_sink_ops sink_ops = {.write = own_write, .shutdown = own_shutdown};

/* ---- the part ---- */

static void on_copied(void *part, int64_t result)
{
    if (!mixed_failed(part, result)) {
        MIXED_MUST(loop_sink_queued(&own.sink) == 0);
        mixed_started(loop_shutdown(&own.sink, MIXED(part, mixed_done, part)));
    }
}

static void on_exact(void *part, int64_t result)
{
    if (!mixed_failed(part, result)) {
        MIXED_MUST(is_pattern(own.exact, (size_t)result, 4));
        mixed_started(loop_copy(&own.source, &own.sink, MIXED(part, on_copied, part)));
    }
}

static void on_written(void *part, int64_t result)
{
    if (!mixed_failed(part, result)) {
        MIXED_MUST(result == WRITTEN);
        own.writes_ended++;
    }
}

static void begin_own(struct part *part)
{
    memset(&own, 0, sizeof own);
    own.part = part;
    own.source = (struct loop_source){.ops = &source_ops, .scope = part->scope};
    own.sink = (struct loop_sink){.ops = &sink_ops, .scope = part->scope};
    fill_pattern(own.out, sizeof own.out, 4);
    if (mixed_failed(part, loop_sink_limit(&own.sink, (size_t)WRITES * WRITTEN))) {
        return;
    }
    for (int i = 0; i < WRITES; i++) {
        struct loop_chunk *chunk = i % 2 ? loop_chunk_alloc(part->env->loop) : NULL;
        if (chunk) {
            memcpy(loop_chunk_data(chunk), own.out, WRITTEN);
            mixed_started(loop_write_chunk(&own.sink, chunk, WRITTEN, MIXED(part, on_written, part)));
        } else {
            mixed_started(loop_write(&own.sink, own.out, WRITTEN, MIXED(part, on_written, part)));
        }
    }
    mixed_started(loop_sink_wait_drained(&own.sink, MIXED(part, mixed_done, part)));
    mixed_started(loop_read_exact(&own.source, own.exact, EXACT, MIXED(part, on_exact, part)));
}

static void own_ended(void)
{
    MIXED_MUST(loop_sink_queued(&own.sink) == 0);
}

struct part mixed_own_parts[] = {{.name = "own", .begin = begin_own, .ended = own_ended}, {.name = NULL}};
