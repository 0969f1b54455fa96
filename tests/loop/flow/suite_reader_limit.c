/* SPDX-License-Identifier: ISC
 *
 * Readers at their limits, and at the end of their source.
 */
#include "buffered.h"
#include "reading.h"

#include <loop/reader.h>

/* ---- the limit ---- */

LOOP_TEST(the_limit_of_lines_is_exact)
{
    static const char text[] = "1234567\n12345678\n123456\r\n1234567\r\n";
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, text, sizeof text - 1), 8);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 8);
        CHECK(GAVE_TEXT(reader, "1234567"));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, -EMSGSIZE);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, -EMSGSIZE);
        AWAIT(loop_reader_exact(reader, 8, GO)); /* nothing was lost */
        CHECK(GAVE(reader, "12345678"));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 1);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 8);
        CHECK(GAVE_TEXT(reader, "123456"));
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, -EMSGSIZE);
    }
    END;
}

LOOP_TEST(the_limit_of_a_last_line_is_exact)
{
    static struct loop_reader *reader;
    static int kind;
    static size_t len;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        for (len = 7; len <= 9; len++) {
            reader = reader_of(source_of(env->scope, (enum kind)kind, "123456789", len), 8);
            AWAIT(loop_reader_line(reader, GO));
            CHECK_IS(result, len <= 8 ? (int64_t)len : -EMSGSIZE);
            CHECK(gave(reader, "12345678", len <= 8 ? len : 0));
        }
    }
    END;
}

LOOP_TEST(the_limit_of_other_operations_is_exact)
{
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, "12345678abcdefgh..ABCDEFGH..+", 29), 8);
        AWAIT(loop_reader_exact(reader, 9, GO));
        CHECK_IS(result, -EMSGSIZE);
        AWAIT(loop_reader_exact(reader, 8, GO));
        CHECK_IS(result, 8);
        CHECK(GAVE(reader, "12345678"));
        AWAIT(loop_reader_fill(reader, 9, GO));
        CHECK_IS(result, -EMSGSIZE);
        AWAIT(loop_reader_fill(reader, 8, GO));
        CHECK(result >= 8);
        AWAIT(loop_reader_until(reader, "..", 2, GO));
        CHECK_IS(result, -EMSGSIZE);
        AWAIT(loop_reader_exact(reader, 2, GO));
        AWAIT(loop_reader_until(reader, "..", 2, GO));
        CHECK_IS(result, 8);
        CHECK(GAVE_TEXT(reader, "cdefgh"));
        AWAIT(loop_reader_until(reader, "0123456789", 10, GO));
        CHECK_IS(result, -EMSGSIZE);
        AWAIT(loop_reader_all(reader, GO));
        CHECK_IS(result, -EMSGSIZE);
        AWAIT(loop_reader_exact(reader, 3, GO));
        AWAIT(loop_reader_all(reader, GO));
        CHECK_IS(result, 8);
        CHECK(GAVE_TEXT(reader, "DEFGH..+"));
    }
    END;
}

LOOP_TEST(a_reader_of_one_byte_works)
{
    static struct loop_reader *reader;

    BEGIN;
    reader = reader_of(loop_memory_source(env->scope, "a\n\nb", 4), 1);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, -EMSGSIZE);
    AWAIT(loop_reader_take(reader, 9, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 1);
    CHECK(GAVE_TEXT(reader, ""));
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 1);
    CHECK(GAVE_TEXT(reader, "b"));
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(a_peer_that_claims_much_gets_memory_for_what_it_sends)
{
    static struct loop_reader *reader;
    static struct gate gate;

    BEGIN;
    reader = reader_of(make_gate(&gate, env->scope), SIZE_MAX);
    START(loop_reader_exact(reader, (size_t)1 << 40, NULL, NULL));
    CHECK(gate.len <= 65536);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    END;
}

/* ---- the end and errors ---- */

LOOP_TEST(the_end_is_remembered)
{
    static struct loop_reader *reader;
    static struct drip drip;
    static char byte;
    static int i;

    BEGIN;
    reader = reader_of(make_drip(&drip, env->scope, "abc", 3, 2), 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 3);
    for (i = 0; i < 3; i++) {
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_reader_until(reader, "x", 1, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_reader_exact(reader, 2, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_reader_take(reader, 2, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_reader_skip(reader, 2, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_reader_all(reader, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_reader_fill(reader, 2, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_reader_lines(reader, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_read(loop_reader_source(reader), &byte, 1, GO));
        CHECK_IS(result, 0);
    }
    CHECK_IS(drip.reads_after_end, 0);
    END;
}

LOOP_TEST(an_end_seen_by_a_read_of_the_rest_is_remembered)
{
    static struct loop_reader *reader;
    static struct drip drip;
    static char byte;

    BEGIN;
    reader = reader_of(make_drip(&drip, env->scope, "", 0, 2), 0);
    AWAIT(loop_read(loop_reader_source(reader), &byte, 1, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 0);
    CHECK_IS(drip.reads, 1);
    END;
}

LOOP_TEST(a_broken_source_is_no_end_and_its_bytes_are_not_lost)
{
    static struct loop_reader *reader;
    static struct drip drip;

    BEGIN;
    reader = reader_of(make_drip(&drip, env->scope, "one\nha", 6, 1), 0);
    drip.end = -ECONNRESET;
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 4);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, -ECONNRESET);
    AWAIT(loop_reader_until(reader, "x", 1, GO));
    CHECK_IS(result, -ECONNRESET);
    AWAIT(loop_reader_all(reader, GO));
    CHECK_IS(result, -ECONNRESET);
    AWAIT(loop_reader_exact(reader, 3, GO));
    CHECK_IS(result, -ECONNRESET);
    AWAIT(loop_reader_fill(reader, 3, GO));
    CHECK_IS(result, -ECONNRESET);
    CHECK(window_is(reader, "ha"));
    AWAIT(loop_reader_exact(reader, 1, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_reader_take(reader, 9, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_reader_take(reader, 9, GO));
    CHECK_IS(result, -ECONNRESET);
    AWAIT(loop_reader_skip(reader, 9, GO));
    CHECK_IS(result, -ECONNRESET);
    CHECK_IS(drip.reads_after_end, 0);
    END;
}

LOOP_TEST(skip_tells_what_it_dropped_before_an_error)
{
    static struct loop_reader *reader;
    static struct drip drip;

    BEGIN;
    reader = reader_of(make_drip(&drip, env->scope, "abcd", 4, 1), 0);
    drip.end = -EIO;
    AWAIT(loop_reader_skip(reader, 9, GO));
    CHECK_IS(result, 4);
    AWAIT(loop_reader_skip(reader, 9, GO));
    CHECK_IS(result, -EIO);
    END;
}

LOOP_TEST(p02_an_error_that_nobody_hears_is_the_scopes)
{
    static struct loop_scope *scope;
    static struct drip drip;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_reader_exact(reader_of(make_drip(&drip, scope, "abc", 3, 1), 0), 4, NULL, NULL));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ENODATA);
    END;
}

LOOP_TEST(p06_closing_ends_an_operation_and_later_ones)
{
    static struct loop_flow *flows[2];
    static struct loop_reader *reader;
    static struct once line;

    BEGIN;
    make_flows(env->scope, flows);
    reader = reader_of(&flows[0]->source, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "half", 4, 0), 4);
    START(loop_reader_line(reader, ONCE(&line)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_source_close(loop_reader_source(reader)), 0);
    WAIT_UNTIL(line.count);
    ONCE_IS(line, -ECANCELED);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_reader_take(reader, 9, GO));
    CHECK_IS(result, 4);
    CHECK(GAVE(reader, "half"));
    END;
}

/* ---- bytes, and then an error ---- */

LOOP_TEST(bytes_before_a_reset_are_delivered_and_then_the_reset)
{
    static struct loop_reader *reader;
    static char buf[16];
    static int pair[2], way;
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    BEGIN;
    for (way = 0; way < 3; way++) {
        make_tcp_pair(pair);
        send_text(pair[1], "0123456789");
        reader = reader_from(adopt(env->scope, pair[0]));
        do {
            AWAIT(loop_reader_fill(reader, 10, GO));
        } while (result < 10);
        CHECK_IS(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
        close(pair[1]);
        if (way == 0) {
            AWAIT(loop_reader_exact(reader, 100, GO));
            CHECK_IS(result, -ECONNRESET);
            AWAIT(loop_reader_take(reader, 100, GO));
            CHECK_IS(result, 10);
        } else if (way == 1) {
            AWAIT(loop_reader_skip(reader, 100, GO));
            CHECK_IS(result, 10);
        } else {
            AWAIT(loop_read_exact(loop_reader_source(reader), buf, sizeof buf, GO));
            CHECK_IS(result, 10);
        }
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, -ECONNRESET);
        AWAIT(loop_read(loop_reader_source(reader), buf, sizeof buf, GO));
        CHECK_IS(result, -ECONNRESET);
        AWAIT(loop_copy(loop_reader_source(reader), loop_null_sink(env->scope), GO));
        CHECK_IS(result, -ECONNRESET);
    }
    END;
}
