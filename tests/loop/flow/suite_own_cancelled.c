/* SPDX-License-Identifier: ISC
 *
 * Sources, sinks and writers in a cancelled scope: their functions are not called, so that no byte is consumed that no
 * job would receive.
 */
#include "harness.h"

#include <loop/reader.h>
#include <loop/writer.h>

static struct own {
    struct loop_source source;
    struct loop_sink sink;
    unsigned calls; /* of any of their functions */
} own;

static loop_job answer(struct loop_scope *scope, int64_t result, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(scope, NULL, NULL, fn, arg);

    own.calls++;
    loop_resolve(loop_scope_loop(scope), job, result);
    return job;
}

static loop_job own_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    memset(buf, 'r', len);
    return answer(source->scope, (int64_t)len, fn, arg);
}

static int64_t own_try(struct loop_source *source, void *buf, size_t len)
{
    (void)source;
    own.calls++;
    memset(buf, 't', len);
    return (int64_t)len;
}

static loop_job own_wait(struct loop_source *source, loop_fn *fn, void *arg)
{
    return answer(source->scope, 0, fn, arg);
}

static loop_job own_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    int64_t total = 0;

    for (size_t i = 0; i < n_iov; i++) {
        total += (int64_t)iov[i].iov_len;
    }
    return answer(sink->scope, total, fn, arg);
}

static loop_job own_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    return answer(sink->scope, 0, fn, arg);
}

static const struct loop_source_ops plain_ops = {.read = own_read};
static const struct loop_source_ops trying_ops = {.read = own_read, .try_read = own_try, .wait_readable = own_wait};
static const struct loop_sink_ops sink_ops = {.write = own_write, .shutdown = own_shutdown};

static struct loop_scope *make_cancelled(struct loop_env *env, const struct loop_source_ops *ops, loop_fn *fn,
                                         void *arg)
{
    struct loop_scope *scope = loop_scope_open(env->scope, fn, arg);

    loop_scope_hold(scope);
    own = (struct own){.source = {.ops = ops, .scope = scope}, .sink = {.ops = &sink_ops, .scope = scope}};
    loop_scope_cancel(scope);
    return scope;
}

LOOP_TEST(p07_source_in_a_cancelled_scope_is_not_read)
{
    static const struct loop_source_ops *const tables[] = {&plain_ops, &trying_ops};
    static char got[100];
    static struct loop_scope *scope;
    static struct loop_sink *memory;
    static struct once end;
    static struct record record;
    static int i;

    BEGIN;
    for (i = 0; i < 2; i++) {
        end = (struct once){0};
        record = (struct record){.data = got, .room = sizeof got};
        scope = make_cancelled(env, tables[i], ONCE(&end));
        AWAIT(loop_read(&own.source, got, sizeof got, GO));
        CHECK_IS(result, -ECANCELED);
        AWAIT(loop_read_exact(&own.source, got, sizeof got, GO));
        CHECK_IS(result, -ECANCELED);
        CHECK_IS(loop_try_read(&own.source, got, sizeof got), -ECANCELED);
        AWAIT(loop_wait_readable(&own.source, GO));
        CHECK_IS(result, -ECANCELED);
        START(loop_stream(&own.source, RECORD(&record)));
        WAIT_UNTIL(record.ends);
        CHECK_IS(record.end, -ECANCELED);
        memory = loop_memory_sink(env->scope, 0);
        AWAIT(loop_copy(&own.source, memory, GO));
        CHECK_IS(result, -ECANCELED);
        AWAIT(loop_reader_take(loop_reader_create(&own.source, 0), 10, GO));
        CHECK_IS(result, -ECANCELED);
        CHECK_IS(own.calls, 0);
        loop_scope_unhold(scope);
        WAIT_UNTIL(end.count);
    }
    END;
}

LOOP_TEST(p07_sink_in_a_cancelled_scope_is_not_written)
{
    static struct loop_scope *scope;
    static struct once end;
    static struct loop_writer *writer;
    static struct loop_source *memory;
    static const struct iovec iov[2] = {{(char *)(uintptr_t) "ab", 2}, {(char *)(uintptr_t) "c", 1}};

    BEGIN;
    scope = make_cancelled(env, &plain_ops, ONCE(&end));
    AWAIT(loop_write(&own.sink, "abc", 3, GO));
    CHECK_IS(result, -ECANCELED);
    AWAIT(loop_writev(&own.sink, iov, 2, GO));
    CHECK_IS(result, -ECANCELED);
    AWAIT(loop_write_chunk(&own.sink, loop_chunk_alloc(env->loop), 10, GO));
    CHECK_IS(result, -ECANCELED);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    AWAIT(loop_shutdown(&own.sink, GO));
    CHECK_IS(result, -ECANCELED);
    AWAIT(loop_sink_wait_drained(&own.sink, GO));
    CHECK_IS(result, -ECANCELED);
    memory = loop_memory_source(env->scope, "abc", 3);
    AWAIT(loop_copy(memory, &own.sink, GO));
    CHECK_IS(result, -ECANCELED);
    writer = loop_writer_create(&own.sink, 0);
    loop_writer_append(writer, "abc", 3);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -ECANCELED);
    AWAIT(loop_writer_shutdown(writer, GO));
    CHECK_IS(result, -ECANCELED);
    CHECK_IS(own.calls, 0);
    loop_scope_unhold(scope);
    WAIT_UNTIL(end.count);
    END;
}

/* What was appended before the scope was cancelled is not handed to the sink after it. */
LOOP_TEST(p07_pending_bytes_of_a_writer_are_not_written_in_a_cancelled_scope)
{
    static struct loop_scope *scope;
    static struct once end, flush, shutdown;
    static struct loop_writer *writer;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    own = (struct own){.sink = {.ops = &sink_ops, .scope = scope}};
    writer = loop_writer_create(&own.sink, 0);
    loop_writer_append(writer, "abc", 3);
    START(loop_writer_flush(writer, ONCE(&flush)));
    START(loop_writer_shutdown(writer, ONCE(&shutdown)));
    loop_scope_cancel(scope);
    WAIT_UNTIL(end.count);
    ONCE_IS(flush, -ECANCELED);
    ONCE_IS(shutdown, -ECANCELED);
    CHECK_IS(own.calls, 0);
    END;
}
