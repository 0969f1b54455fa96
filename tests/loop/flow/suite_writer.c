/* SPDX-License-Identifier: ISC
 *
 * Writers: which bytes leave in one write, flushes, and bytes that are held back.
 */
#include "writing.h"

#include <loop/reader.h>
#include <loop/writer.h>

#include <stdio.h>

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
    scope = loop_scope_open(env->scope, ONCE(&ended));
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
    outer = loop_scope_open(env->scope, ONCE(&ended));
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
    scope = loop_scope_open(env->scope, ONCE(&ended));
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
