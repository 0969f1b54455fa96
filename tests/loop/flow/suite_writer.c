/* SPDX-License-Identifier: ISC
 *
 * Buffered writing: what leaves together, who waits for it, limits without gaps, failing sinks, peers that never read,
 * and what becomes of pending bytes at each kind of end.
 */
#include "harness.h"

#include <loop/reader.h>
#include <loop/writer.h>

#include <stdio.h>

/* ---- a sink ---- */

/* Keeps what it is given, some at a time, and fails or waits when the test says so. */
struct basin {
    struct loop_sink sink;
    char *data;
    size_t room, length;
    size_t step;     /* the most it takes by one write; 0: all */
    size_t fails_at; /* from that length on writes end with `error`, where that is < 0 */
    int64_t error;
    bool waits; /* a write waits for basin_go */
    unsigned writes, shutdowns;
    loop_job job; /* the write that waits */
    const struct iovec *iov;
    size_t n_iov;
};

static int64_t basin_take(struct basin *basin, const struct iovec *iov, size_t n_iov)
{
    size_t left = basin->step ? basin->step : SIZE_MAX, total = 0;

    if (basin->error < 0 && left > basin->fails_at - basin->length) {
        left = basin->fails_at - basin->length;
    }
    for (size_t i = 0; i < n_iov && left > 0; i++) {
        size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
        CHECK(iov[i].iov_len > 0 && basin->length + n <= basin->room);
        memcpy(basin->data + basin->length, iov[i].iov_base, n);
        basin->length += n;
        total += n;
        left -= n;
    }
    return total > 0 ? (int64_t)total : basin->error;
}

static void on_basin_cancel(void *arg, loop_job job)
{
    struct basin *basin = arg;

    CHECK(job == basin->job);
    if (basin->waits) {
        basin->job = 0;
        loop_resolve(loop_scope_loop(basin->sink.scope), job, -ECANCELED);
    }
}

static loop_job basin_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct basin *basin = sink->self;
    loop_job job = loop_promise(sink->scope, on_basin_cancel, basin, fn, arg);

    CHECK(basin->job == 0);
    basin->writes++;
    if (basin->waits) {
        basin->job = job;
        basin->iov = iov;
        basin->n_iov = n_iov;
    } else {
        loop_resolve(loop_scope_loop(sink->scope), job, basin_take(basin, iov, n_iov));
    }
    return job;
}

static loop_job basin_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct basin *basin = sink->self;
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);

    basin->shutdowns++;
    if (!basin->waits) {
        loop_resolve(loop_scope_loop(sink->scope), job, 0);
    }
    return job;
}

static const struct loop_sink_ops basin_ops = {.write = basin_write, .shutdown = basin_shutdown};

static struct loop_writer *writer_of(struct loop_sink *sink, size_t limit_bytes)
{
    struct loop_writer *writer = loop_writer_create(sink, limit_bytes);

    CHECK(writer != NULL);
    return writer;
}

static struct loop_writer *fill_basin(struct basin *basin, struct loop_scope *scope, size_t limit_bytes)
{
    enum { ROOM = 1 << 20 };

    *basin = (struct basin){.room = ROOM, .data = loop_scope_alloc(scope, ROOM)};
    CHECK(basin->data != NULL);
    basin->sink = (struct loop_sink){.ops = &basin_ops, .scope = scope, .self = basin};
    return writer_of(&basin->sink, limit_bytes);
}

/* The write that waits is done now. */
static void basin_go(struct basin *basin)
{
    loop_job job = basin->job;

    CHECK(job != 0);
    basin->job = 0;
    loop_resolve(loop_scope_loop(basin->sink.scope), job, basin_take(basin, basin->iov, basin->n_iov));
}

#define HAS(basin, expected)                                                                                           \
    ((basin).length == sizeof(expected) - 1 && memcmp((basin).data, expected, sizeof(expected) - 1) == 0)

static void on_scope_end(void *arg, int64_t error)
{
    once_resumed(arg, error);
}

/* ---- appending ---- */

LOOP_TEST(what_one_continuation_appends_leaves_in_one_write)
{
    static struct basin basin;
    static struct loop_writer *writer;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    for (int i = 0; i < 10; i++) {
        CHECK_IS(loop_writer_print(writer, "%d,", i), 0);
    }
    CHECK_IS(loop_writer_pending(writer), 20);
    CHECK_IS(basin.writes, 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(basin.writes, 1);
    CHECK(HAS(basin, "0,1,2,3,4,5,6,7,8,9,"));
    CHECK_IS(loop_writer_pending(writer), 0);
    CHECK_IS(loop_writer_append(writer, "x", 1), 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(basin.writes, 2);
    END;
}

LOOP_TEST(what_comes_while_a_write_is_on_its_way_leaves_together_after_it)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static int i;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    basin.waits = true;
    for (i = 0; i < 10; i++) {
        loop_writer_print(writer, "%d", i);
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK_IS(basin.writes, 1);
    CHECK_IS(loop_writer_pending(writer), 10);
    basin_go(&basin);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(basin.writes, 2);
    CHECK(HAS(basin, "0"));
    basin_go(&basin);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(basin.writes, 2);
    CHECK(HAS(basin, "0123456789"));
    END;
}

LOOP_TEST(copies_and_references_keep_their_order)
{
    static const size_t steps[] = {0, 1, 2, 3, 5};
    static struct basin basin;
    static struct loop_writer *writer;
    static char own[] = "own";
    static unsigned i;

    BEGIN;
    for (i = 0; i < COUNT_OF(steps); i++) {
        writer = fill_basin(&basin, env->scope, 0);
        basin.step = steps[i];
        loop_writer_append_borrowed(writer, "[ref]", 5);
        loop_writer_append(writer, own, 3);
        loop_writer_append(writer, "+", 1);
        memcpy(own, "OWN", 3); /* it was copied */
        loop_writer_append_borrowed(writer, "[a]", 3);
        loop_writer_append_borrowed(writer, "[b]", 3);
        loop_writer_append_borrowed(writer, NULL, 0);
        loop_writer_append(writer, NULL, 0);
        loop_writer_print(writer, "%s", "");
        loop_writer_print(writer, "%s-%d", own, 7);
        memcpy(own, "own", 3);
        AWAIT(loop_writer_flush(writer, GO));
        CHECK_IS(result, 0);
        CHECK(HAS(basin, "[ref]own+[a][b]OWN-7"));
        CHECK_IS(basin.writes, steps[i] ? (20 + steps[i] - 1) / steps[i] : 1);
    }
    END;
}

LOOP_TEST(numbers_are_written_in_both_byte_orders)
{
    static struct basin basin;
    static struct loop_writer *writer;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    loop_writer_u8(writer, 0x81);
    loop_writer_i8(writer, -1);
    loop_writer_u16_be(writer, 0x0102);
    loop_writer_u16_le(writer, 0x0102);
    loop_writer_u32_be(writer, 0x01020304);
    loop_writer_u32_le(writer, 0x01020304);
    loop_writer_u64_be(writer, UINT64_C(0x0102030405060708));
    loop_writer_u64_le(writer, UINT64_C(0x0102030405060708));
    loop_writer_i16_be(writer, -2);
    loop_writer_i16_le(writer, -2);
    loop_writer_i32_be(writer, -2);
    loop_writer_i32_le(writer, -2);
    loop_writer_i64_be(writer, -2);
    loop_writer_i64_le(writer, -2);
    loop_writer_f32_be(writer, 1.0f);
    loop_writer_f32_le(writer, 1.0f);
    loop_writer_f64_be(writer, 1.0);
    loop_writer_f64_le(writer, 1.0);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK(HAS(basin, "\x81\xff"
                     "\1\2\2\1"
                     "\1\2\3\4\4\3\2\1"
                     "\1\2\3\4\5\6\7\10\10\7\6\5\4\3\2\1"
                     "\xff\xfe\xfe\xff"
                     "\xff\xff\xff\xfe\xfe\xff\xff\xff"
                     "\xff\xff\xff\xff\xff\xff\xff\xfe\xfe\xff\xff\xff\xff\xff\xff\xff"
                     "\x3f\x80\0\0\0\0\x80\x3f"
                     "\x3f\xf0\0\0\0\0\0\0\0\0\0\0\0\0\xf0\x3f"));
    END;
}

LOOP_TEST(prints_of_any_length_are_whole)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static size_t expected;
    static int i;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    for (i = 0; i < 1200; i++) {
        CHECK_IS(loop_writer_print(writer, "%*d", i, 1), 0); /* one of them fits exactly, the next one doesn't */
        expected += i > 0 ? (size_t)i : 1;
        if (i % 7 == 0) {
            AWAIT(loop_writer_flush(writer, GO));
            CHECK_IS(basin.length, expected);
        }
    }
    CHECK_IS(loop_writer_print(writer, "a%cb", 0), 0);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK(memcmp(basin.data + expected, "a\0b", 3) == 0);
    for (i = 0; (size_t)i < expected; i++) {
        CHECK(basin.data[i] == ' ' || basin.data[i] == '1');
    }
    END;
}

LOOP_TEST(what_cannot_be_printed_is_refused_and_leaves_no_gap)
{
    static const wchar_t not_a_character[] = {(wchar_t)0x7fffffff, 0};
    static struct basin basin;
    static struct loop_writer *writer;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    CHECK_IS(loop_writer_print(writer, "before "), 0);
    CHECK_IS(loop_writer_print(writer, "%ls", not_a_character), -EINVAL);
    CHECK_IS(loop_writer_print(writer, "behind "), -EINVAL);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(loop_writer_print(writer, "again"), 0);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, 0);
    CHECK(HAS(basin, "before again"));
    END;
}

LOOP_TEST(p07_what_was_appended_holds_the_scope_open_until_it_has_left)
{
    static struct loop_scope *scope;
    static struct basin basin;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, on_scope_end, &ended);
    loop_writer_print(fill_basin(&basin, scope, 0), "the last words");
    basin.waits = true;
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(ended.count, 0);
    CHECK_IS(basin.writes, 1);
    basin_go(&basin);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

static void print_at_the_end(void *arg, int64_t error)
{
    (void)error;
    CHECK_IS(loop_writer_print(arg, "the last words"), 0);
}

LOOP_TEST(p07_what_the_end_of_an_inner_scope_appends_is_not_lost)
{
    static struct loop_scope *outer, *inner;
    static struct loop_flow *flows[2];
    static struct once ended;
    static char words[20];

    BEGIN;
    outer = loop_scope_open(env->scope, on_scope_end, &ended);
    make_flows(outer, flows);
    inner = loop_scope_open(outer, print_at_the_end, writer_of(&flows[0]->sink, 0));
    CHECK(inner != NULL);
    START(loop_read_exact(&flows[1]->source, words, 14, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK_TEXT(words, "the last words");
    END;
}

static struct loop_sink *dying_sink;

static void append_too_late(void *writer)
{
    CHECK_IS(loop_writer_print(writer, "too late"), -ECANCELED);
    CHECK_IS(loop_writer_append_borrowed(writer, "x", 1), -ECANCELED);
    CHECK_IS(loop_writer_flush(writer, GO), 0);
    CHECK_IS(loop_writer_shutdown(writer, GO), 0);
    loop_writer_uncork(writer);
    loop_writer_abort(writer);
    CHECK(loop_writer_create(dying_sink, 0) == NULL);
}

LOOP_TEST(p07_hooks_append_nothing_and_corked_bytes_are_dropped)
{
    static struct basin basin;
    static struct loop_scope *scope;
    static struct loop_writer *writer;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, on_scope_end, &ended);
    writer = fill_basin(&basin, scope, 0);
    dying_sink = &basin.sink;
    loop_writer_cork(writer);
    CHECK_IS(loop_writer_print(writer, "corked"), 0);
    CHECK(loop_scope_defer(scope, append_too_late, writer) != NULL);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK_IS(basin.writes, 0);
    END;
}

LOOP_TEST(p23_a_reference_to_nothing_is_refused)
{
    static struct basin basin;
    static struct loop_writer *writer;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    CHECK_IS(loop_writer_append_borrowed(writer, NULL, 1), -EINVAL);
    CHECK_IS(loop_writer_append(writer, "x", SIZE_MAX), -EINVAL);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(basin.writes, 0);
    END;
}

/* ---- flushing ---- */

LOOP_TEST(p01_a_flush_never_resumes_from_inside_the_call)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once flushed, drained, shut;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    START(loop_writer_shutdown(writer, ONCE(&shut)));
    CHECK_IS(flushed.count + drained.count + shut.count, 0);
    WAIT_UNTIL(shut.count);
    ONCE_IS(flushed, 0);
    ONCE_IS(drained, 0);
    ONCE_IS(shut, 0);
    CHECK_IS(basin.writes, 0);
    END;
}

LOOP_TEST(a_flush_waits_until_what_was_before_it_has_been_written)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once first, second, third;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    basin.waits = true;
    loop_writer_print(writer, "abc");
    START(loop_writer_flush(writer, ONCE(&first)));
    AWAIT(turns(env->scope, 2, GO));
    loop_writer_print(writer, "def");
    START(loop_writer_flush(writer, ONCE(&second)));
    loop_writer_print(writer, "ghi");
    START(loop_writer_flush(writer, ONCE(&third)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(first.count, 0);
    basin_go(&basin);
    WAIT_UNTIL(first.count);
    ONCE_IS(first, 0);
    CHECK(HAS(basin, "abc"));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(second.count, 0);
    basin.step = 4;
    basin_go(&basin);
    WAIT_UNTIL(second.count);
    ONCE_IS(second, 0);
    CHECK(HAS(basin, "abcdefg"));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(third.count, 0);
    basin_go(&basin);
    WAIT_UNTIL(third.count);
    CHECK(HAS(basin, "abcdefghi"));
    END;
}

LOOP_TEST(cancelling_a_flush_cancels_the_waiting_only)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once first, second;
    static loop_job job;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    basin.waits = true;
    loop_writer_print(writer, "abc");
    job = START(loop_writer_flush(writer, ONCE(&first)));
    START(loop_writer_flush(writer, ONCE(&second)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(first.count);
    ONCE_IS(first, -ECANCELED);
    basin_go(&basin);
    WAIT_UNTIL(second.count);
    ONCE_IS(second, 0);
    CHECK(HAS(basin, "abc"));
    END;
}

LOOP_TEST(over_sockets_files_and_pipes_everything_arrives)
{
    enum { PIECES = 30000 };
    static struct loop_flow *flows[2];
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_writer *writer;
    static struct loop_reader *reader;
    static struct once drained;
    static int kind, sent, seen, fds[2];
    static char line[16];

    BEGIN;
    for (kind = 0; kind < 4; kind++) {
        if (kind == 0) {
            CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
        } else if (kind == 3) {
            flows[0] = flow_of(env->scope, make_file("", 0));
            sink = &flows[0]->sink;
        } else {
            (kind == 1 ? make_pair : make_tcp_pair)(fds);
            flows[0] = flow_of(env->scope, fds[0]);
            flows[1] = flow_of(env->scope, fds[1]);
            sink = &flows[0]->sink;
            source = &flows[1]->source;
        }
        writer = writer_of(sink, 20000);
        reader = kind < 3 ? loop_reader_create(source, 0) : NULL;
        for (sent = seen = 0; sent < PIECES;) {
            while (sent < PIECES && !loop_writer_is_full(writer)) {
                CHECK_IS(loop_writer_print(writer, "%d\n", sent++), 0);
            }
            drained = (struct once){0};
            START(loop_writer_wait_drained(writer, ONCE(&drained)));
            while (reader && !drained.count) {
                AWAIT(loop_reader_line(reader, GO));
                snprintf(line, sizeof line, "%d", seen++);
                CHECK_TEXT(loop_reader_data(reader, NULL), line);
            }
            WAIT_UNTIL(drained.count);
            ONCE_IS(drained, 0);
        }
        if (reader) {
            START(loop_writer_shutdown(writer, NULL, NULL));
            for (; seen < PIECES; seen++) {
                AWAIT(loop_reader_line(reader, GO));
                CHECK_IS(atoi(loop_reader_data(reader, NULL)), seen);
            }
            AWAIT(loop_reader_line(reader, GO));
            CHECK_IS(result, 0);
        } else {
            AWAIT(loop_writer_flush(writer, GO));
            CHECK_IS(result, 0);
            CHECK_IS(lseek(loop_fd_peek(flows[0]->fd), 0, SEEK_END), 168890);
        }
    }
    END;
}

static struct loop_reader *numbered;
static struct loop_writer *numbering;

static void number_line(void *arg, int64_t result)
{
    if (result > 0) {
        CHECK_IS(loop_writer_print(numbering, "%s;", loop_reader_data(numbered, NULL)), 0);
    } else {
        once_resumed(arg, result);
    }
}

LOOP_TEST(what_lines_that_came_together_append_leaves_together)
{
    static struct basin basin;
    static struct once ended;

    BEGIN;
    numbering = fill_basin(&basin, env->scope, 0);
    numbered = loop_reader_create(loop_memory_source(env->scope, "a\nb\nc\nd\n", 8), 0);
    START(loop_reader_lines(numbered, number_line, &ended));
    WAIT_UNTIL(ended.count);
    AWAIT(loop_writer_flush(numbering, GO));
    CHECK(HAS(basin, "a;b;c;d;"));
    CHECK(basin.writes == 1 || is_hard("short"));
    END;
}

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
    scope = loop_scope_open(env->scope, on_scope_end, &ended);
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

/* ---- limits ---- */

LOOP_TEST(p11_the_limit_is_exact_and_leaves_no_gap)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once drained, flushed;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 10);
    basin.waits = true;
    CHECK_IS(loop_writer_append(writer, "123456789", 9), 0);
    CHECK(!loop_writer_is_full(writer));
    CHECK_IS(loop_writer_append(writer, "a", 1), 0);
    CHECK(loop_writer_is_full(writer));
    CHECK_IS(loop_writer_append(writer, "b", 1), -ENOBUFS);
    CHECK_IS(loop_writer_append_borrowed(writer, "c", 1), -ENOBUFS);
    AWAIT(turns(env->scope, 2, GO));
    basin_go(&basin);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_writer_pending(writer), 0);
    CHECK(loop_writer_is_full(writer)); /* nobody has heard of it yet: what comes now would come behind a gap */
    CHECK_IS(loop_writer_print(writer, "d"), -ENOBUFS);
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    CHECK_IS(loop_writer_print(writer, "e"), -ENOBUFS);
    WAIT_UNTIL(drained.count);
    ONCE_IS(drained, 0);
    CHECK_IS(loop_writer_print(writer, "b"), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 2, GO));
    basin_go(&basin);
    WAIT_UNTIL(flushed.count);
    ONCE_IS(flushed, 0);
    CHECK(HAS(basin, "123456789ab"));
    END;
}

LOOP_TEST(p11_a_flush_tells_of_a_refusal_before_it_and_of_none_behind_it)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once before, behind;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 3);
    loop_writer_print(writer, "abc");
    START(loop_writer_flush(writer, ONCE(&before)));
    CHECK_IS(loop_writer_print(writer, "de"), -ENOBUFS);
    START(loop_writer_flush(writer, ONCE(&behind)));
    WAIT_UNTIL(before.count);
    ONCE_IS(before, 0);
    CHECK_IS(behind.count, 0);
    CHECK_IS(loop_writer_print(writer, "fg"), -ENOBUFS);
    WAIT_UNTIL(behind.count);
    ONCE_IS(behind, -ENOBUFS);
    CHECK_IS(loop_writer_print(writer, "de"), 0);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, 0);
    CHECK(HAS(basin, "abcde"));
    END;
}

/* Hears of the refusal, appends once more, and has another append refused. */
static void hear_and_go_on(void *arg, int64_t result)
{
    CHECK_IS(result, -ENOBUFS);
    CHECK_IS(loop_writer_print(arg, "fgh"), 0);
    CHECK_IS(loop_writer_print(arg, "ij"), -ENOBUFS);
}

LOOP_TEST(p11_a_flush_lifts_no_refusal_that_came_after_it)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once second;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 3);
    loop_writer_print(writer, "abc");
    CHECK_IS(loop_writer_print(writer, "de"), -ENOBUFS);
    START(loop_writer_flush(writer, hear_and_go_on, writer));
    START(loop_writer_flush(writer, ONCE(&second)));
    WAIT_UNTIL(second.count);
    ONCE_IS(second, -ENOBUFS);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_writer_print(writer, "k"), -ENOBUFS); /* it would stand behind the gap that "ij" has left */
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -ENOBUFS);
    CHECK(HAS(basin, "abcfgh"));
    END;
}

LOOP_TEST(p11_a_wait_for_room_that_fails_lifts_no_refusal)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once drained;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 3);
    loop_writer_print(writer, "abc");
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_writer_append_borrowed(writer, NULL, 1), -EINVAL);
    loop_writer_abort(writer);
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    WAIT_UNTIL(drained.count);
    ONCE_IS(drained, -ECANCELED);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(p11_one_append_larger_than_the_limit_is_taken)
{
    enum { LEN = 500000 };
    static char data[LEN];
    static struct basin basin;
    static struct loop_writer *writer;
    static int i;

    BEGIN;
    fill_pattern(data, LEN, 1);
    writer = fill_basin(&basin, env->scope, 10);
    for (i = 0; i < 2; i++) {
        CHECK_IS(loop_writer_append(writer, data, LEN), 0);
        CHECK_IS(loop_writer_append(writer, "x", 1), -ENOBUFS);
        AWAIT(loop_writer_wait_drained(writer, GO));
        CHECK_IS(basin.length, LEN * (i + 1));
    }
    CHECK(is_pattern(basin.data, LEN, 1) && is_pattern(basin.data + LEN, LEN, 1));
    END;
}

LOOP_TEST(p11_drained_comes_at_half_of_the_limit)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once drained, again;
    static loop_job job;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 10);
    basin.waits = true;
    loop_writer_append(writer, "12345", 5);
    AWAIT(turns(env->scope, 2, GO)); /* these are on their way */
    AWAIT(loop_writer_wait_drained(writer, GO));
    CHECK_IS(result, 0);
    loop_writer_append(writer, "678901", 6);
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    job = START(loop_writer_wait_drained(writer, ONCE(&again)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(again.count);
    ONCE_IS(again, -ECANCELED);
    basin_go(&basin); /* six are left */
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(drained.count, 0);
    basin.step = 1;
    basin_go(&basin); /* and now five */
    WAIT_UNTIL(drained.count);
    ONCE_IS(drained, 0);
    CHECK_IS(loop_writer_pending(writer), 5);
    basin.step = 0;
    AWAIT(turns(env->scope, 2, GO));
    basin_go(&basin);
    END;
}

LOOP_TEST(p11_a_peer_that_never_reads_costs_the_limit_and_no_more)
{
    enum { LIMIT = 50000 };
    static struct loop_scope *scope;
    static struct loop_flow *flows[2];
    static struct loop_writer *writer;
    static struct once flushed, drained, ended;
    static int i, refused;

    BEGIN;
    scope = loop_scope_open(env->scope, on_scope_end, &ended);
    make_flows(scope, flows);
    writer = writer_of(&flows[0]->sink, LIMIT);
    for (i = 0; i < 10000 && !refused; i++) {
        refused = loop_writer_print(writer, "%0500d", i);
        if (i % 50 == 0) {
            AWAIT(turns(scope, 1, GO));
        }
    }
    CHECK_IS(refused, -ENOBUFS);
    CHECK(loop_writer_pending(writer) >= LIMIT && loop_writer_pending(writer) < LIMIT + 500);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    AWAIT(turns(scope, 5, GO));
    CHECK_IS(flushed.count + drained.count, 0);
    loop_scope_deadline(scope, loop_now(env->loop) + LOOP_MILLISECOND);
    WAIT_UNTIL(ended.count);
    ONCE_IS(flushed, -ETIMEDOUT);
    ONCE_IS(drained, -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(p11_a_queue_that_others_have_filled_is_waited_for)
{
    enum { LEN = 600000 };
    static char data[LEN], received[LEN];
    static struct loop_flow *flows[2];
    static struct loop_writer *writer;
    static struct once flushed, read;
    static char words[6];

    BEGIN;
    make_flows(env->scope, flows);
    writer = writer_of(&flows[0]->sink, 0);
    loop_sink_limit(&flows[0]->sink, 1000);
    fill_pattern(data, LEN, 9);
    START(loop_write(&flows[0]->sink, data, LEN, NULL, NULL));
    loop_writer_print(writer, "behind");
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(flushed.count, 0);
    START(loop_read_exact(&flows[1]->source, received, LEN, ONCE(&read)));
    WAIT_UNTIL(flushed.count && read.count);
    ONCE_IS(flushed, 0);
    CHECK(is_pattern(received, LEN, 9));
    AWAIT(loop_read_exact(&flows[1]->source, words, 6, GO));
    CHECK(memcmp(words, "behind", 6) == 0);
    END;
}

LOOP_TEST(p11_waiting_for_a_queue_that_others_have_filled_can_be_aborted)
{
    static struct loop_flow *flows[2];
    static struct loop_writer *writer;
    static struct once flushed, written;
    static loop_job job;
    static char data[600000];

    BEGIN;
    make_flows(env->scope, flows);
    writer = writer_of(&flows[0]->sink, 0);
    loop_sink_limit(&flows[0]->sink, 1000);
    job = START(loop_write(&flows[0]->sink, data, sizeof data, ONCE(&written)));
    loop_writer_print(writer, "never");
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 5, GO));
    loop_writer_abort(writer);
    WAIT_UNTIL(flushed.count);
    ONCE_IS(flushed, -ECANCELED);
    loop_cancel(env->loop, job);
    WAIT_UNTIL(written.count);
    END;
}

/* ---- holding back ---- */

LOOP_TEST(a_corked_writer_sends_when_it_is_let_go)
{
    static struct basin basin;
    static struct loop_writer *writer;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    loop_writer_cork(writer);
    loop_writer_cork(writer);
    loop_writer_print(writer, "a");
    AWAIT(turns(env->scope, 3, GO));
    loop_writer_print(writer, "b");
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(basin.writes, 0);
    loop_writer_uncork(writer);
    loop_writer_uncork(writer);
    loop_writer_print(writer, "c");
    CHECK_IS(basin.writes, 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(basin.writes, 1);
    CHECK(HAS(basin, "abc"));
    loop_writer_print(writer, "d");
    loop_writer_cork(writer); /* holds back what hasn't left */
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(basin.writes, 1);
    loop_writer_uncork(writer);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(HAS(basin, "abcd"));
    END;
}

LOOP_TEST(a_flush_sends_what_is_corked)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once drained, flushed;
    static loop_job job;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 4);
    loop_writer_cork(writer);
    loop_writer_print(writer, "ab");
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, 0);
    CHECK(HAS(basin, "ab"));
    loop_writer_print(writer, "cd");
    AWAIT(turns(env->scope, 3, GO));
    CHECK(HAS(basin, "ab"));
    loop_writer_print(writer, "ef");
    CHECK_IS(loop_writer_print(writer, "gh"), -ENOBUFS);
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    WAIT_UNTIL(drained.count);
    ONCE_IS(drained, 0);
    CHECK(HAS(basin, "abcdef"));
    loop_writer_print(writer, "g");
    job = START(loop_writer_flush(writer, ONCE(&flushed)));
    CHECK_IS(loop_cancel(env->loop, job), 0); /* then it stays */
    WAIT_UNTIL(flushed.count);
    ONCE_IS(flushed, -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(HAS(basin, "abcdef"));
    END;
}

/* ---- ending ---- */

LOOP_TEST(shutdown_comes_behind_what_is_pending)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once shut;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 0);
    basin.waits = true;
    loop_writer_cork(writer);
    loop_writer_print(writer, "abc");
    START(loop_writer_shutdown(writer, ONCE(&shut)));
    CHECK_IS(loop_writer_print(writer, "d"), -EPIPE);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(basin.shutdowns, 0);
    basin.waits = false;
    basin_go(&basin);
    WAIT_UNTIL(shut.count);
    ONCE_IS(shut, 0);
    CHECK_IS(basin.shutdowns, 1);
    CHECK(HAS(basin, "abc"));
    CHECK_IS(loop_writer_print(writer, "d"), -EPIPE);
    END;
}

LOOP_TEST(the_peer_sees_everything_and_then_the_end)
{
    static struct loop_flow *flows[2];
    static struct loop_writer *writer;
    static struct loop_reader *reader;

    BEGIN;
    make_flows(env->scope, flows);
    writer = writer_of(&flows[0]->sink, 0);
    loop_writer_print(writer, "all of it");
    START(loop_writer_shutdown(writer, NULL, NULL));
    reader = loop_reader_create(&flows[1]->source, 0);
    AWAIT(loop_reader_all(reader, GO));
    CHECK_TEXT(loop_reader_data(reader, NULL), "all of it");
    CHECK(loop_fd_is_open(flows[0]->fd));
    END;
}

LOOP_TEST(half_of_something_is_not_shut_down_as_if_it_were_whole)
{
    static struct basin basin;
    static struct loop_writer *writer;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 3);
    loop_writer_print(writer, "abc");
    CHECK_IS(loop_writer_print(writer, "def"), -ENOBUFS);
    AWAIT(loop_writer_shutdown(writer, GO));
    CHECK_IS(result, -ENOBUFS);
    CHECK_IS(basin.shutdowns, 0);
    CHECK(HAS(basin, "abc"));
    AWAIT(loop_writer_shutdown(writer, GO)); /* for those who want it all the same */
    CHECK_IS(result, 0);
    CHECK_IS(basin.shutdowns, 1);
    END;
}

LOOP_TEST(shutdown_can_be_cancelled_at_each_step)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once shut;
    static loop_job job;
    static int step;

    BEGIN;
    for (step = 0; step < 3; step++) {
        writer = fill_basin(&basin, env->scope, 0);
        basin.waits = true;
        shut = (struct once){0};
        loop_writer_print(writer, "abc");
        job = START(loop_writer_shutdown(writer, ONCE(&shut)));
        if (step > 0) {
            AWAIT(turns(env->scope, 3, GO));
        }
        if (step > 1) {
            basin_go(&basin);
            AWAIT(turns(env->scope, 3, GO));
            CHECK_IS(basin.shutdowns, 1);
        }
        CHECK_IS(loop_cancel(env->loop, job), 0);
        CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
        WAIT_UNTIL(shut.count);
        ONCE_IS(shut, -ECANCELED);
        if (step < 2) {
            AWAIT(turns(env->scope, 3, GO));
            basin_go(&basin);
        }
        AWAIT(turns(env->scope, 3, GO));
        CHECK(HAS(basin, "abc"));
        CHECK_IS(basin.shutdowns, step == 2);
    }
    END;
}

LOOP_TEST(an_abort_drops_what_is_pending_and_tells_who_waits)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once flushed, drained, shut;

    BEGIN;
    writer = fill_basin(&basin, env->scope, 4);
    loop_writer_cork(writer);
    loop_writer_print(writer, "abcdef");
    START(loop_writer_flush(writer, ONCE(&flushed)));
    START(loop_writer_wait_drained(writer, ONCE(&drained)));
    START(loop_writer_shutdown(writer, ONCE(&shut)));
    loop_writer_abort(writer);
    loop_writer_abort(writer);
    CHECK_IS(flushed.count, 0);
    WAIT_UNTIL(flushed.count && drained.count && shut.count);
    ONCE_IS(flushed, -ECANCELED);
    ONCE_IS(drained, -ECANCELED);
    ONCE_IS(shut, -ECANCELED);
    CHECK_IS(loop_writer_print(writer, "x"), -ECANCELED);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -ECANCELED);
    CHECK_IS(basin.writes, 0);
    CHECK_IS(basin.shutdowns, 0);
    END;
}

LOOP_TEST(p03_after_an_abort_references_are_in_use_until_a_flush_has_been_heard)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once before, behind;
    static int way;

    BEGIN;
    for (way = 0; way < 2; way++) {
        writer = fill_basin(&basin, env->scope, 0);
        before = behind = (struct once){0};
        basin.waits = true;
        loop_writer_append_borrowed(writer, "reference", 9);
        START(loop_writer_flush(writer, ONCE(&before)));
        AWAIT(turns(env->scope, 3, GO));
        basin.waits = way == 0; /* in the second round the sink can't be hurried */
        loop_writer_abort(writer);
        START(loop_writer_flush(writer, ONCE(&behind)));
        AWAIT(turns(env->scope, 3, GO));
        if (way == 1) {
            CHECK_IS(before.count + behind.count, 0);
            CHECK(basin.job != 0);
            basin_go(&basin);
        }
        WAIT_UNTIL(before.count && behind.count);
        ONCE_IS(before, way == 1 ? 0 : -ECANCELED);
        ONCE_IS(behind, way == 1 ? 0 : -ECANCELED);
        CHECK_IS(loop_writer_print(writer, "x"), -ECANCELED);
    }
    END;
}

LOOP_TEST(a_cancelled_scope_flushes_nothing_on_the_way_out)
{
    static struct loop_scope *scope;
    static struct basin basin;
    static struct loop_writer *writer;
    static struct once flushed, ended;

    BEGIN;
    scope = loop_scope_open(env->scope, on_scope_end, &ended);
    writer = fill_basin(&basin, scope, 0);
    basin.waits = true;
    loop_writer_print(writer, "in flight");
    AWAIT(turns(env->scope, 3, GO));
    loop_writer_print(writer, "behind it");
    START(loop_writer_flush(writer, ONCE(&flushed)));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(flushed, -ECANCELED);
    ONCE_IS(ended, -ECANCELED);
    CHECK_IS(basin.writes, 1);
    CHECK_IS(basin.length, 0);
    END;
}

LOOP_TEST(what_is_appended_in_a_cancelled_scope_goes_nowhere)
{
    static struct loop_scope *scope;
    static struct loop_flow *flows[2];
    static struct loop_writer *writer;
    static struct once ended, flushed;

    BEGIN;
    scope = loop_scope_open(env->scope, on_scope_end, &ended);
    make_flows(scope, flows);
    writer = writer_of(&flows[0]->sink, 0);
    loop_scope_cancel(scope);
    loop_writer_print(writer, "nothing");
    START(loop_writer_flush(writer, ONCE(&flushed)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(flushed, -ECANCELED);
    ONCE_IS(ended, -ECANCELED);
    END;
}

/* ---- memory ---- */

#if !HAS_SANITIZER

LOOP_TEST(without_memory_an_append_is_refused_and_leaves_no_gap)
{
    static struct basin basin;
    static struct loop_writer *writer;
    static int way;

    BEGIN;
    AWAIT(turns(env->scope, 2, GO));
    for (way = 0; way < 6; way++) {
        writer = fill_basin(&basin, env->scope, 0);
        fail_allocation(way % 2 ? 2 : 1, false);
        int error = way < 2   ? loop_writer_append(writer, "abc", 3)
                    : way < 4 ? loop_writer_print(writer, "abc")
                              : loop_writer_append_borrowed(writer, "abc", 3);
        if (way < 5) {
            CHECK(allocation_failed());
            CHECK_IS(error, -ENOMEM);
            CHECK_IS(loop_writer_print(writer, "def"), -ENOMEM);
            CHECK_IS(loop_writer_pending(writer), 0);
        }
        fail_allocation(0, false);
        AWAIT(loop_writer_flush(writer, GO));
        CHECK_IS(result, way < 5 ? -ENOMEM : 0);
        CHECK_IS(loop_writer_print(writer, "def"), 0);
        AWAIT(loop_writer_flush(writer, GO));
        CHECK_IS(result, 0);
        CHECK(way < 5 ? HAS(basin, "def") : HAS(basin, "abcdef"));
    }
    END;
}

LOOP_TEST(without_memory_no_writer_is_made)
{
    static struct loop_sink *sink;

    BEGIN;
    sink = loop_null_sink(env->scope);
    fail_allocation(1, false);
    CHECK(loop_writer_create(sink, 0) == NULL);
    fail_allocation(2, false);
    CHECK(loop_writer_create(sink, 0) == NULL);
    fail_allocation(0, false);
    CHECK(loop_writer_create(sink, 0) != NULL);
    END;
}

LOOP_TEST(p14_warm_writers_allocate_nothing)
{
    static struct loop_flow *flows[2];
    static struct loop_writer *writer;
    static unsigned long before;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    writer = writer_of(&flows[0]->sink, 0);
    for (i = 0; i < 2000; i++) {
        if (i == 1000) {
            before = allocations();
        }
        loop_writer_print(writer, "answer %d", i);
        loop_writer_append_borrowed(writer, "\r\n", 2);
        loop_writer_u32_be(writer, 7);
        AWAIT(loop_writer_flush(writer, GO));
        CHECK_IS(result, 0);
        drain(loop_fd_peek(flows[1]->fd));
    }
    CHECK_IS(allocations(), before);
    END;
}

#endif

/* ---- by the dice ---- */

enum { PLAYED = 60000 };

static uint32_t dice_state;

static unsigned dice(unsigned sides)
{
    dice_state = dice_state * 1664525 + 1013904223;
    return (dice_state >> 8) % sides;
}

/* Appends something; returns how many bytes were taken. */
static size_t append_some(struct loop_writer *writer, const char *data, size_t left)
{
    size_t len = 1 + dice(dice(5) == 0 ? 5000 : 30);
    int error;

    len = len < left ? len : left;
    switch (dice(4)) {
    case 0: error = loop_writer_append_borrowed(writer, data, len); break;
    case 1: error = loop_writer_print(writer, "%.*s", (int)len, data); break;
    case 2:
        len = 1;
        error = loop_writer_u8(writer, (uint8_t)*data);
        break;
    default: error = loop_writer_append(writer, data, len); break;
    }
    CHECK(error == 0 || error == -ENOBUFS);
    CHECK(error == 0 || loop_writer_is_full(writer));
    return error == 0 ? len : 0;
}

LOOP_TEST(what_a_writer_writes_is_what_was_appended)
{
    static char data[PLAYED];
    static struct basin basin;
    static struct loop_writer *writer;
    static size_t sent;
    static unsigned seed, n;

    BEGIN;
    for (seed = 0; seed < 30; seed++) {
        dice_state = seed * 7919 + 5;
        for (size_t i = 0; i < PLAYED; i++) {
            data[i] = (char)('a' + dice(26));
        }
        writer = fill_basin(&basin, env->scope, 1 + dice(seed % 2 ? 20000 : 200));
        basin.step = seed % 3 ? 1 + dice(1000) : 0;
        for (sent = 0; sent < PLAYED;) {
            for (n = dice(6); n > 0 && sent < PLAYED; n--) {
                sent += append_some(writer, data + sent, PLAYED - sent);
            }
            if (dice(5) == 0) {
                loop_writer_cork(writer);
            }
            if (loop_writer_is_full(writer)) {
                AWAIT(loop_writer_wait_drained(writer, GO));
                CHECK_IS(result, 0);
            } else if (dice(5) == 0) {
                AWAIT(loop_writer_flush(writer, GO));
                CHECK_IS(result, 0);
                CHECK_IS(basin.length, sent);
            } else if (dice(2)) {
                AWAIT(turns(env->scope, 1, GO));
            }
            if (dice(3) == 0) {
                loop_writer_uncork(writer);
            }
        }
        AWAIT(loop_writer_shutdown(writer, GO));
        CHECK_IS(result, 0);
        CHECK_IS(basin.length, PLAYED);
        CHECK(memcmp(basin.data, data, PLAYED) == 0);
    }
    END;
}
