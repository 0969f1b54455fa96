/* SPDX-License-Identifier: ISC
 *
 * Writers whose sink fails: every affected flush returns the error. Includes results that no sink or source may return.
 */
#include "buffered.h"
#include "writing.h"

#include <loop/reader.h>
#include <loop/writer.h>

/* ---- failing ---- */

LOOP_TEST(a_failing_sink_is_heard_of_by_every_flush_it_concerns)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once before, first, second, drained, shut;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    basin.fails_at = 4;
    basin.error = -ENOSPC;
    loop_writer_print(writer, "abcd");
    START(loop_writer_flush(writer, ONCE(&before)));
    loop_writer_print(writer, "ef");
    START(loop_writer_flush(writer, ONCE(&first)));
    START(loop_writer_flush(writer, ONCE(&second)));
    START(loop_writer_shutdown(writer, ONCE(&shut)));
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    WAIT_UNTIL(before.count && first.count && second.count && shut.count);
    ONCE_IS(before, 0);
    ONCE_IS(first, -ENOSPC);
    ONCE_IS(second, -ENOSPC);
    ONCE_IS(shut, -ENOSPC);
    CHECK_IS(basin.shutdowns, 0);
    CHECK(HAS(basin, "abcd"));
    /* And for ever. */
    CHECK_IS(loop_writer_print(writer, "g"), -ENOSPC);
    CHECK_IS(loop_writer_pending(writer), 0);
    AWAIT(loop_writer_wait_drained(writer, GO));
    CHECK_IS(result, -ENOSPC);
    AWAIT(loop_writer_shutdown(writer, GO));
    CHECK_IS(result, -ENOSPC);
    CHECK_IS(basin.shutdowns, 0);
    CHECK_IS(basin.writes, 2);
    END;
}

LOOP_TEST(p02_a_failure_that_nobody_hears_is_the_scopes)
{
    static struct loop_scope *scope;
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once drained, ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    writer = fill_basin(&basin, scope, 4);
    basin.error = -EPIPE;
    loop_writer_print(writer, "abcdef");
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EPIPE);
    CHECK(drained.count == 1 && drained.result < 0);
    END;
}

LOOP_TEST(a_sink_that_takes_nothing_and_says_nothing_has_failed)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once flushed;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    basin.step = 2;
    basin.waits = true;
    loop_writer_print(writer, "abc");
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 2, GO));
    basin_go(&basin);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(basin.writes, 2);
    loop_resolve(env->loop, basin.job, 0);
    WAIT_UNTIL(flushed.count);
    ONCE_IS(flushed, -EIO);
    END;
}

LOOP_TEST(a_peer_that_is_gone_fails_the_writer)
{
    static struct loop_flow *flows[2];
    static struct loop_writer *writer;

    BEGIN;
    make_flows(env->scope, flows);
    writer = writer_of(&flows[0]->sink, 0);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 3, GO));
    loop_writer_print(writer, "hello?");
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -EPIPE);
    CHECK_IS(loop_writer_print(writer, "hello?"), -EPIPE);
    END;
}

LOOP_TEST(p06_closing_the_sink_fails_the_writer)
{
    static struct loop_flow *flows[2];
    static struct loop_writer *writer;
    static struct once flushed;

    BEGIN;
    make_flows(env->scope, flows);
    writer = writer_of(&flows[0]->sink, 0);
    stuff(loop_fd_peek(flows[0]->fd));
    loop_writer_print(writer, "never read");
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(flushed.count, 0);
    loop_flow_close(flows[0]);
    WAIT_UNTIL(flushed.count);
    CHECK(flushed.result == -ECANCELED || flushed.result == -EBADF);
    CHECK_IS(loop_writer_print(writer, "x"), flushed.result);
    END;
}

/* ---- a sink that takes some of a write ---- */

struct partial {
    struct loop_sink sink;
    int64_t answers[4]; /* to its writes, one after the other; LATER: none yet */
    unsigned writes, shutdowns;
    loop_job job;
};

#define LATER INT64_MIN

static loop_job partial_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct partial *partial = sink->self;
    int64_t answer = partial->answers[partial->writes < 4 ? partial->writes : 3];

    (void)iov;
    (void)n_iov;
    partial->writes++;
    partial->job = loop_promise(sink->scope, NULL, NULL, fn, arg);
    if (answer != LATER) {
        loop_resolve(loop_scope_loop(sink->scope), partial->job, answer);
    }
    return partial->job;
}

static loop_job partial_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct partial *partial = sink->self;
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);

    partial->shutdowns++;
    loop_resolve(loop_scope_loop(sink->scope), job, 0);
    return job;
}

static const struct loop_sink_ops partial_ops = {.write = partial_write, .shutdown = partial_shutdown};

static struct loop_writer *partial_writer(struct partial *partial, struct loop_scope *scope)
{
    partial->sink = (struct loop_sink){.ops = &partial_ops, .scope = scope, .self = partial};
    return loop_writer_create(&partial->sink, 0);
}

/* ---- cancelled scopes ---- */

LOOP_TEST(nothing_that_is_pending_in_a_cancelled_scope_is_written)
{
    static struct partial partial;
    static struct once ended, flushed, shut_down;
    static struct loop_scope *scope;
    static struct loop_writer *writer, *to_socket;
    static int peer, is_corked;

    BEGIN;
    for (is_corked = 0; is_corked < 2; is_corked++) {
        ended = flushed = shut_down = (struct once){0};
        partial = (struct partial){.answers = {4, 4, 4, 4}};
        scope = loop_scope_open(env->scope, ONCE(&ended));
        writer = partial_writer(&partial, scope);
        to_socket = writer_to(connection(scope, &peer));
        if (is_corked) {
            loop_writer_cork(writer);
            loop_writer_cork(to_socket);
        }
        CHECK_IS(loop_writer_append(writer, "text", 4), 0);
        CHECK_IS(loop_writer_append(to_socket, "text", 4), 0);
        START(loop_writer_flush(writer, ONCE(&flushed)));
        START(loop_writer_shutdown(to_socket, ONCE(&shut_down)));
        loop_scope_cancel(scope);
        CHECK_IS(loop_writer_append(writer, "more", 4), -ECANCELED);
        loop_writer_uncork(writer);
        loop_writer_uncork(to_socket);
        WAIT_UNTIL(ended.count);
        ONCE_IS(flushed, -ECANCELED);
        ONCE_IS(shut_down, -ECANCELED);
        CHECK_IS(partial.writes, 0);
        CHECK_IS(drain(peer), 0);
        close(peer);
    }
    END;
}

LOOP_TEST(no_more_is_written_when_the_scope_is_cancelled_between_two_parts)
{
    static struct partial partial;
    static struct once ended, flushed;
    static struct loop_scope *scope;
    static struct loop_writer *writer;

    BEGIN;
    partial = (struct partial){.answers = {LATER, 6, 6, 6}};
    scope = loop_scope_open(env->scope, ONCE(&ended));
    writer = partial_writer(&partial, scope);
    CHECK_IS(loop_writer_append(writer, "abcdefgh", 8), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(partial.writes, 1);
    loop_resolve(env->loop, partial.job, 2);
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(flushed, -ECANCELED);
    CHECK_IS(partial.writes, 1);
    END;
}

/* ---- partial writes ---- */

LOOP_TEST(what_a_sink_has_taken_of_a_write_counts_and_the_error_behind_it_is_told)
{
    static struct partial partial;
    static struct once flushed, ended;
    static struct loop_scope *scope;
    static struct loop_writer *writer;
    static int is_heard;

    BEGIN;
    for (is_heard = 0; is_heard < 2; is_heard++) {
        ended = flushed = (struct once){0};
        partial = (struct partial){.answers = {3, 2, -ENOSPC, -ENOSPC}};
        scope = loop_scope_open(env->scope, ONCE(&ended));
        writer = partial_writer(&partial, scope);
        CHECK_IS(loop_writer_append(writer, "abcdefgh", 8), 0);
        if (is_heard) {
            START(loop_writer_flush(writer, ONCE(&flushed)));
        }
        WAIT_UNTIL(ended.count);
        CHECK_IS(partial.writes, 3);
        CHECK_IS(ended.result, is_heard ? 0 : -ENOSPC);
        CHECK_IS(flushed.result, is_heard ? -ENOSPC : 0);
    }
    END;
}

LOOP_TEST(a_full_disk_fails_a_writer_that_nobody_flushes)
{
    static struct once ended;
    static struct loop_scope *scope;
    static struct loop_writer *writer;
    static struct loop_fd *fd;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    fd = adopt(scope, open("/dev/full", O_WRONLY | O_CLOEXEC));
    writer = writer_to(fd);
    CHECK_IS(loop_writer_append(writer, "abcdefgh", 8), 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ENOSPC);
    END;
}

LOOP_TEST(an_append_of_nothing_at_all_leaves_no_gap)
{
    static struct loop_sink *sink;
    static struct loop_writer *writer;
    static size_t len;

    BEGIN;
    sink = loop_memory_sink(env->scope, 0);
    writer = loop_writer_create(sink, 0);
    CHECK_IS(loop_writer_append(writer, NULL, 0), 0);
    CHECK_IS(loop_writer_append(writer, "a", 1), 0);
    CHECK_IS(loop_writer_append(writer, NULL, 1), -EINVAL);
    CHECK_IS(loop_writer_append(writer, "b", 1), -EINVAL);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(loop_writer_append(writer, "c", 1), 0);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, 0);
    loop_memory_data(sink, &len);
    CHECK_IS(len, 2);
    END;
}

/* ---- sources and sinks that answer wrongly ---- */

struct liar {
    struct loop_source source;
    int64_t answer;
};

static loop_job lie(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    const struct liar *liar = source->self;
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);

    memset(buf, 'x', len);
    loop_resolve(loop_scope_loop(source->scope), job, liar->answer == INT64_MAX ? (int64_t)len + 1 : liar->answer);
    return job;
}

static const struct loop_source_ops liar_ops = {.read = lie};
enum lie { READS_TOO_MUCH, REST_TOO_MUCH, WRITES_TOO_MUCH };
static enum lie lie_to_tell;
static int64_t answer_to_lie;

static void on_answer(void *unused, int64_t result)
{
    (void)unused;
    answer_to_lie = result;
}

static int tell_lie(struct loop_env *env, void *unused)
{
    static struct liar liar;
    static struct partial partial;
    static char buf[10];

    (void)unused;
    liar = (struct liar){.answer = INT64_MAX};
    liar.source = (struct loop_source){.ops = &liar_ops, .scope = env->scope, .self = &liar};
    partial = (struct partial){.answers = {5, 5, 5, 5}};
    if (lie_to_tell == WRITES_TOO_MUCH) {
        struct loop_writer *writer = partial_writer(&partial, env->scope);
        loop_writer_append(writer, "four", 4);
        loop_writer_flush(writer, on_answer, NULL);
        return 0;
    }
    struct loop_reader *reader = loop_reader_create(&liar.source, 0);
    if (lie_to_tell == READS_TOO_MUCH) {
        loop_reader_line(reader, on_answer, NULL);
    } else {
        loop_read(loop_reader_source(reader), buf, sizeof buf, on_answer, NULL);
    }
    return 0;
}

static int run_lie(void *unused)
{
    int result = loop_run(0, 0, 0, NULL, tell_lie, unused);

    return result ? result : (int)answer_to_lie;
}

TEST(p23_more_bytes_than_there_can_be_are_not_believed)
{
    for (lie_to_tell = READS_TOO_MUCH; lie_to_tell <= WRITES_TOO_MUCH; lie_to_tell++) {
        expect_stop(run_lie, NULL, lie_to_tell == WRITES_TOO_MUCH ? "write" : "read", -EINVAL);
    }
}

LOOP_TEST(an_error_that_is_none_is_no_clean_end)
{
    static struct liar liar;
    static struct loop_reader *reader;

    BEGIN;
    liar = (struct liar){.answer = INT64_MIN};
    liar.source = (struct loop_source){.ops = &liar_ops, .scope = env->scope, .self = &liar};
    reader = loop_reader_create(&liar.source, 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_reader_take(reader, 1, GO));
    CHECK_IS(result, -EINVAL);
    END;
}
