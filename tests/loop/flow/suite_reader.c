/* SPDX-License-Identifier: ISC
 *
 * Readers: every operation on every kind of source, and the bytes that it returns.
 */
#include "reading.h"

#include <loop/bytes.h>
#include <loop/reader.h>

/* ---- every operation, on every kind of source ---- */

LOOP_TEST(lines_end_with_lf_or_crlf_and_the_last_needs_none)
{
    static const char text[] = "one\ntwo\r\n\n\r\nan \r in it\nlast";
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, text, sizeof text - 1), 0);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 4);
        CHECK(GAVE_TEXT(reader, "one"));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 5);
        CHECK(GAVE_TEXT(reader, "two"));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 1);
        CHECK(GAVE_TEXT(reader, ""));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 2);
        CHECK(GAVE_TEXT(reader, ""));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 11);
        CHECK(GAVE_TEXT(reader, "an \r in it"));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 4);
        CHECK(GAVE_TEXT(reader, "last"));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 0);
        CHECK(GAVE_TEXT(reader, ""));
    }
    END;
}

LOOP_TEST(a_cr_without_its_lf_belongs_to_the_last_line)
{
    static struct loop_reader *reader;

    BEGIN;
    reader = reader_of(loop_memory_source(env->scope, "a\r", 2), 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 2);
    CHECK(GAVE_TEXT(reader, "a\r"));
    END;
}

LOOP_TEST(until_finds_delimiters_that_come_in_pieces)
{
    static const char text[] = "GET /\r\nHost: x\r\r\n\r\n\r\n\r\r\n\rrest";
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, text, sizeof text - 1), 0);
        AWAIT(loop_reader_until(reader, "\r\n\r\n", 4, GO));
        CHECK_IS(result, 19);
        CHECK(GAVE_TEXT(reader, "GET /\r\nHost: x\r"));
        AWAIT(loop_reader_until(reader, "\n\r\r", 3, GO));
        CHECK_IS(result, 4);
        CHECK(GAVE_TEXT(reader, "\r"));
        AWAIT(loop_reader_until(reader, "\r\n\r\n", 4, GO));
        CHECK_IS(result, 6);
        CHECK(GAVE_TEXT(reader, "\n\rrest"));
        AWAIT(loop_reader_until(reader, "\r\n\r\n", 4, GO));
        CHECK_IS(result, 0);
    }
    END;
}

LOOP_TEST(until_takes_any_byte_for_a_delimiter)
{
    static const char names[] = "a\0\0bc\0";
    static struct loop_reader *reader;

    BEGIN;
    reader = reader_of(loop_memory_source(env->scope, names, 6), 0);
    AWAIT(loop_reader_until(reader, "", 1, GO));
    CHECK_IS(result, 2);
    CHECK(GAVE(reader, "a"));
    AWAIT(loop_reader_until(reader, "", 1, GO));
    CHECK_IS(result, 1);
    CHECK(GAVE(reader, ""));
    AWAIT(loop_reader_until(reader, "", 1, GO));
    CHECK_IS(result, 3);
    CHECK(GAVE(reader, "bc"));
    AWAIT(loop_reader_until(reader, "", 1, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(exact_gives_all_or_says_that_the_source_ended_in_the_middle)
{
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, "0123456789", 10), 0);
        AWAIT(loop_reader_exact(reader, 1, GO));
        CHECK_IS(result, 1);
        CHECK(GAVE(reader, "0"));
        AWAIT(loop_reader_exact(reader, 5, GO));
        CHECK_IS(result, 5);
        CHECK(GAVE(reader, "12345"));
        AWAIT(loop_reader_exact(reader, 5, GO));
        CHECK_IS(result, -ENODATA);
        CHECK(GAVE(reader, ""));
        AWAIT(loop_reader_exact(reader, 4, GO));
        CHECK_IS(result, 4);
        CHECK(GAVE(reader, "6789"));
        AWAIT(loop_reader_exact(reader, 1, GO));
        CHECK_IS(result, 0);
    }
    END;
}

LOOP_TEST(take_gives_what_is_there)
{
    static struct loop_reader *reader;
    static struct gate gate;
    static struct once taken;

    BEGIN;
    reader = reader_of(make_gate(&gate, env->scope), 0);
    START(loop_reader_take(reader, SIZE_MAX, ONCE(&taken)));
    gate_give(&gate, "abc");
    WAIT_UNTIL(taken.count);
    ONCE_IS(taken, 3);
    CHECK(GAVE(reader, "abc"));
    START(loop_reader_exact(reader, 1, ONCE((taken = (struct once){0}, &taken))));
    gate_give(&gate, "defgh");
    WAIT_UNTIL(taken.count);
    AWAIT(loop_reader_take(reader, 3, GO));
    CHECK_IS(result, 3);
    CHECK(GAVE(reader, "efg"));
    AWAIT(loop_reader_take(reader, 3, GO));
    CHECK_IS(result, 1);
    CHECK(GAVE(reader, "h"));
    CHECK_IS(gate.reads, 2);
    END;
}

LOOP_TEST(all_gives_everything_that_is_left)
{
    enum { LEN = 300000 };
    static char data[LEN];
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    fill_pattern(data, LEN, 1);
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, LEN), 0);
        AWAIT(loop_reader_exact(reader, 10, GO));
        AWAIT(loop_reader_all(reader, GO));
        CHECK_IS(result, LEN - 10);
        CHECK(gave(reader, data + 10, LEN - 10));
        CHECK_IS(loop_reader_data(reader, NULL)[LEN - 10], 0);
        AWAIT(loop_reader_all(reader, GO));
        CHECK_IS(result, 0);
    }
    END;
}

LOOP_TEST(skip_drops_more_than_the_buffer_holds)
{
    enum { LEN = 300000 };
    static char data[LEN];
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    fill_pattern(data, LEN, 2);
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, LEN), 100);
        AWAIT(loop_reader_skip(reader, 3, GO));
        CHECK_IS(result, 3);
        AWAIT(loop_reader_skip(reader, LEN - 10, GO));
        CHECK_IS(result, LEN - 10);
        CHECK(GAVE(reader, ""));
        AWAIT(loop_reader_exact(reader, 2, GO));
        CHECK(gave(reader, data + LEN - 7, 2));
        AWAIT(loop_reader_skip(reader, 6, GO));
        CHECK_IS(result, 5);
        AWAIT(loop_reader_skip(reader, 6, GO));
        CHECK_IS(result, 0);
    }
    END;
}

LOOP_TEST(a_window_for_parsers_of_ones_own)
{
    static struct loop_reader *reader;
    static struct drip drip;

    BEGIN;
    reader = reader_of(make_drip(&drip, env->scope, "0123456789", 10, 4), 0);
    CHECK(window_is(reader, ""));
    CHECK_IS(loop_reader_consume(reader, 1), -EINVAL);
    AWAIT(loop_reader_fill(reader, 3, GO));
    CHECK_IS(result, 4);
    CHECK(GAVE(reader, ""));
    CHECK(window_is(reader, "0123"));
    CHECK_IS(loop_reader_consume(reader, 3), 0);
    CHECK(window_is(reader, "3"));
    AWAIT(loop_reader_fill(reader, 1, GO));
    CHECK_IS(result, 1);
    CHECK_IS(drip.reads, 1);
    AWAIT(loop_reader_fill(reader, 7, GO));
    CHECK_IS(result, 7);
    CHECK(window_is(reader, "3456789"));
    AWAIT(loop_reader_fill(reader, 8, GO));
    CHECK_IS(result, -ENODATA);
    CHECK(window_is(reader, "3456789"));
    CHECK_IS(loop_reader_consume(reader, 8), -EINVAL);
    CHECK_IS(loop_reader_consume(reader, 7), 0);
    CHECK_IS(loop_reader_consume(reader, 0), 0);
    AWAIT(loop_reader_fill(reader, 1, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(lines_of_a_megabyte)
{
    enum { LEN = (1 << 20) / SLOWNESS };
    static char *data;
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    data = loop_scope_alloc(env->scope, 2 * LEN + 2);
    CHECK(data != NULL);
    memset(data, 'x', 2 * LEN + 2);
    data[LEN] = data[2 * LEN + 1] = '\n';
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, 2 * LEN + 2), LEN + 1);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, LEN + 1);
        CHECK(gave(reader, data, LEN));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, LEN + 1);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 0);
    }
    END;
}

/* ---- P1 ---- */

LOOP_TEST(p01_no_operation_resumes_from_inside_the_call)
{
    enum { N = 9 };
    static struct loop_reader *readers[N];
    static struct once done[N];
    static char byte;

    BEGIN;
    for (int i = 0; i < N; i++) {
        readers[i] = reader_of(loop_memory_source(env->scope, "line\nand another", 16), 0);
        START(loop_reader_fill(readers[i], 16, NULL, NULL));
    }
    AWAIT(turns(env->scope, 20, GO)); /* now all of it is in the readers */
    START(loop_reader_line(readers[0], ONCE(&done[0])));
    START(loop_reader_until(readers[1], " ", 1, ONCE(&done[1])));
    START(loop_reader_exact(readers[2], 3, ONCE(&done[2])));
    START(loop_reader_take(readers[3], 3, ONCE(&done[3])));
    START(loop_reader_skip(readers[4], 3, ONCE(&done[4])));
    START(loop_reader_fill(readers[5], 3, ONCE(&done[5])));
    START(loop_read(loop_reader_source(readers[6]), &byte, 1, ONCE(&done[6])));
    START(loop_reader_all(readers[7], ONCE(&done[7])));
    START(loop_reader_line(readers[7], ONCE(&done[8])));
    for (int i = 0; i < N; i++) {
        CHECK_IS(done[i].count, 0);
    }
    WAIT_UNTIL(done[7].count && done[8].count);
    ONCE_IS(done[0], 5);
    ONCE_IS(done[1], 9);
    ONCE_IS(done[2], 3);
    ONCE_IS(done[3], 3);
    ONCE_IS(done[4], 3);
    ONCE_IS(done[5], 16);
    ONCE_IS(done[6], 1);
    ONCE_IS(done[7], 16);
    ONCE_IS(done[8], -EBUSY);
    END;
}

LOOP_TEST(a_second_operation_is_refused_and_leaves_the_first_alone)
{
    static struct loop_reader *reader;
    static struct gate gate;
    static struct once first, again;
    static char byte;

    BEGIN;
    reader = reader_of(make_gate(&gate, env->scope), 0);
    START(loop_reader_line(reader, ONCE(&first)));
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, -EBUSY);
    AWAIT(loop_reader_lines(reader, GO));
    CHECK_IS(result, -EBUSY);
    AWAIT(loop_read(loop_reader_source(reader), &byte, 1, GO));
    CHECK_IS(result, -EBUSY);
    CHECK_IS(loop_reader_consume(reader, 0), -EBUSY);
    CHECK(window_is(reader, ""));
    gate_give(&gate, "abc\ndef\n");
    WAIT_UNTIL(first.count);
    ONCE_IS(first, 4);
    CHECK(GAVE_TEXT(reader, "abc"));
    /* Also while the continuation is due, and what it is to be given stays. */
    first = (struct once){0};
    START(loop_reader_line(reader, ONCE(&first)));
    START(loop_reader_take(reader, 1, ONCE(&again)));
    CHECK_IS(loop_reader_consume(reader, 1), -EBUSY);
    WAIT_UNTIL(first.count && again.count);
    ONCE_IS(first, 4);
    ONCE_IS(again, -EBUSY);
    CHECK(GAVE_TEXT(reader, "def"));
    END;
}

LOOP_TEST(p23_lengths_of_0_are_refused)
{
    static struct loop_reader *reader;
    static char byte;

    BEGIN;
    reader = reader_of(loop_memory_source(env->scope, "abc", 3), 0);
    AWAIT(loop_reader_until(reader, "x", 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_reader_exact(reader, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_reader_take(reader, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_reader_skip(reader, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_reader_skip(reader, UINT64_MAX, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_reader_fill(reader, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_read(loop_reader_source(reader), &byte, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_reader_exact(reader, SIZE_MAX, GO));
    CHECK_IS(result, -EMSGSIZE);
    AWAIT(loop_reader_all(reader, GO));
    CHECK_IS(result, 3);
    END;
}

/* ---- the rest as a source ---- */

LOOP_TEST(a_reader_can_stand_on_a_reader)
{
    static struct loop_reader *lower, *upper;

    BEGIN;
    lower = reader_of(loop_memory_source(env->scope, "header\nbody\n", 12), 0);
    AWAIT(loop_reader_line(lower, GO));
    upper = reader_of(loop_reader_source(lower), 0);
    AWAIT(loop_reader_line(upper, GO));
    CHECK_IS(result, 5);
    CHECK(GAVE_TEXT(upper, "body"));
    AWAIT(loop_reader_line(upper, GO));
    CHECK_IS(result, 0);
    END;
}

/* ---- numbers ---- */

LOOP_TEST(numbers_stand_in_both_byte_orders)
{
    static const unsigned char bytes[] = {0x80, 1, 2, 3, 4, 5, 6, 0x87};
    static struct loop_reader *reader;
    static char room[17];

    BEGIN;
    reader = reader_of(loop_memory_source(env->scope, bytes, 8), 0);
    AWAIT(loop_reader_exact(reader, 8, GO));
    const char *data = loop_reader_data(reader, NULL);
    CHECK(loop_get_u8(data) == 0x80 && loop_get_i8(data) == -128);
    CHECK(loop_get_u16_be(data) == 0x8001 && loop_get_u16_le(data) == 0x0180);
    CHECK(loop_get_i16_be(data) == -32767 && loop_get_i16_le(data) == 0x0180);
    CHECK(loop_get_u32_be(data) == 0x80010203 && loop_get_u32_le(data) == 0x03020180);
    CHECK(loop_get_i32_be(data) == -2147417597 && loop_get_i32_le(data + 4) == (int32_t)0x87060504);
    CHECK(loop_get_u64_be(data) == UINT64_C(0x8001020304050687));
    CHECK(loop_get_u64_le(data) == UINT64_C(0x8706050403020180));
    CHECK(loop_get_i64_be(data) == INT64_MIN + INT64_C(0x01020304050687));
    CHECK(loop_get_i64_le(data) < 0);
    loop_put_f32_be(room + 1, -1.5f); /* not aligned */
    CHECK(memcmp(room + 1, "\xbf\xc0\0\0", 4) == 0 && loop_get_f32_be(room + 1) == -1.5f);
    loop_put_f32_le(room + 1, -1.5f);
    CHECK(memcmp(room + 1, "\0\0\xc0\xbf", 4) == 0 && loop_get_f32_le(room + 1) == -1.5f);
    loop_put_f64_be(room + 3, 2.5);
    CHECK(memcmp(room + 3, "\x40\x04\0\0\0\0\0\0", 8) == 0 && loop_get_f64_be(room + 3) == 2.5);
    loop_put_f64_le(room + 3, 2.5);
    CHECK(memcmp(room + 3, "\0\0\0\0\0\0\x04\x40", 8) == 0 && loop_get_f64_le(room + 3) == 2.5);
    END;
}

/* ---- memory ---- */

#if !HAS_SANITIZER

LOOP_TEST(without_memory_an_operation_says_so_and_another_try_goes_on)
{
    static struct loop_reader *reader;
    static struct drip drip;
    static char line[20001];

    BEGIN;
    memset(line, 'x', sizeof line);
    line[20000] = '\n';
    reader = reader_of(make_drip(&drip, env->scope, line, sizeof line, 3000), 0);
    AWAIT(turns(env->scope, 2, GO)); /* there are jobs now */
    fail_allocation(1, false);
    AWAIT(loop_reader_line(reader, GO));
    CHECK(allocation_failed());
    CHECK_IS(result, -ENOMEM);
    fail_allocation(2, false); /* the first time that the buffer grows */
    AWAIT(loop_reader_line(reader, GO));
    while (result == -ENOMEM) {
        fail_allocation(2, false);
        AWAIT(loop_reader_line(reader, GO));
    }
    CHECK_IS(result, 20001);
    CHECK(gave(reader, line, 20000));
    fail_allocation(0, false);
    END;
}

LOOP_TEST(without_memory_no_reader_is_made)
{
    static struct loop_source *source;

    BEGIN;
    source = loop_null_source(env->scope);
    fail_allocation(1, false);
    CHECK(loop_reader_create(source, 0) == NULL);
    fail_allocation(2, false);
    CHECK(loop_reader_create(source, 0) == NULL);
    fail_allocation(0, false);
    CHECK(loop_reader_create(source, 0) != NULL);
    END;
}

LOOP_TEST(p14_warm_readers_allocate_nothing)
{
    static struct loop_flow *flows[2];
    static struct loop_reader *reader;
    static unsigned long before;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    reader = reader_of(&flows[0]->source, 0);
    for (i = 0; i < 2000; i++) {
        if (i == 1000) {
            before = allocations();
        }
        CHECK_IS(send(loop_fd_peek(flows[1]->fd), "a line\nand another one\n", 23, 0), 23);
        AWAIT(loop_reader_line(reader, GO));
        AWAIT(loop_reader_line(reader, GO));
    }
    CHECK_IS(allocations(), before);
    END;
}

#endif
