/* SPDX-License-Identifier: ISC
 *
 * Buffered reading: every operation over every kind of source, limits and ends to the byte, cancels at each step, what
 * is left for others, and a reader played by the dice against a plain copy of the bytes.
 */
#include "harness.h"

#include <loop/bytes.h>
#include <loop/reader.h>

#include <stdio.h>

/* ---- sources ---- */

/* Gives a few bytes at a time, and at the end says `end` for ever; counts who reads on after that. */
struct drip {
    struct loop_source source;
    const char *data;
    size_t len, at, step;
    int64_t end;
    unsigned reads, reads_after_end;
    bool has_ended;
};

static loop_job drip_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct drip *drip = source->self;
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);
    size_t left = drip->len - drip->at;
    size_t n = left < drip->step ? left : drip->step;

    n = n < len ? n : len;
    CHECK(len > 0);
    drip->reads++;
    drip->reads_after_end += drip->has_ended;
    drip->has_ended = n == 0;
    memcpy(buf, drip->data + drip->at, n);
    drip->at += n;
    loop_resolve(loop_scope_loop(source->scope), job, n > 0 ? (int64_t)n : drip->end);
    return job;
}

static const struct loop_source_ops drip_ops = {.read = drip_read};

static struct loop_source *make_drip(struct drip *drip, struct loop_scope *scope, const void *data, size_t len,
                                     size_t step)
{
    *drip = (struct drip){.data = data, .len = len, .step = step};
    drip->source = (struct loop_source){.ops = &drip_ops, .scope = scope, .self = drip};
    return &drip->source;
}

/* Gives what the test says, when it says so. */
struct gate {
    struct loop_source source;
    char *buf;
    size_t len;
    loop_job job; /* the read that waits, or 0 */
    unsigned reads;
};

static void on_gate_cancel(void *arg, loop_job job)
{
    struct gate *gate = arg;

    CHECK(job == gate->job);
    gate->job = 0;
    loop_resolve(loop_scope_loop(gate->source.scope), job, -ECANCELED);
}

static loop_job gate_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct gate *gate = source->self;

    CHECK(gate->job == 0);
    gate->buf = buf;
    gate->len = len;
    gate->reads++;
    gate->job = loop_promise(source->scope, on_gate_cancel, gate, fn, arg);
    return gate->job;
}

static const struct loop_source_ops gate_ops = {.read = gate_read};

static struct loop_source *make_gate(struct gate *gate, struct loop_scope *scope)
{
    *gate = (struct gate){.reads = 0};
    gate->source = (struct loop_source){.ops = &gate_ops, .scope = scope, .self = gate};
    return &gate->source;
}

static void gate_end(struct gate *gate, int64_t result)
{
    loop_job job = gate->job;

    CHECK(job != 0);
    gate->job = 0;
    loop_resolve(loop_scope_loop(gate->source.scope), job, result);
}

static void gate_give(struct gate *gate, const char *text)
{
    size_t len = strlen(text);

    CHECK(gate->job != 0 && len <= gate->len);
    memcpy(gate->buf, text, len);
    gate_end(gate, (int64_t)len);
}

enum kind { MEMORY, DRIP, DRIPS, REGULAR_FILE, SOCKET, PIPE, TCP, KINDS };

/* A source of that kind with these bytes in it. */
static struct loop_source *source_of(struct loop_scope *scope, enum kind kind, const void *data, size_t len)
{
    static struct drip drip;
    struct loop_flow *to;
    struct loop_source *source;
    struct loop_sink *sink;
    int fds[2];

    switch (kind) {
    case MEMORY: return loop_memory_source(scope, data, len);
    case DRIP: return make_drip(&drip, scope, data, len, 1);
    case DRIPS: return make_drip(&drip, scope, data, len, 7);
    case REGULAR_FILE: return &flow_of(scope, make_file(data, len))->source;
    case PIPE: CHECK_IS(loop_pipe(scope, &source, &sink), 0); break;
    default:
        if (kind == TCP) {
            make_tcp_pair(fds);
        } else {
            make_pair(fds);
        }
        source = &flow_of(scope, fds[0])->source;
        to = flow_of(scope, fds[1]);
        sink = &to->sink;
    }
    START(loop_write(sink, data, len, NULL, NULL));
    START(loop_shutdown(sink, NULL, NULL));
    return source;
}

static struct loop_reader *reader_of(struct loop_source *source, size_t max_bytes)
{
    struct loop_reader *reader = loop_reader_create(source, max_bytes);

    CHECK(reader != NULL);
    return reader;
}

/* What has been given out is this text; and a NUL behind it, where it is one. */
#define GAVE(reader, expected) gave(reader, expected, sizeof(expected) - 1)

static bool gave(const struct loop_reader *reader, const char *expected, size_t expected_len)
{
    size_t len;
    const char *data = loop_reader_data(reader, &len);

    return len == expected_len && memcmp(data, expected, len) == 0;
}

#define GAVE_TEXT(reader, expected)                                                                                    \
    (GAVE(reader, expected) && loop_reader_data(reader, NULL)[sizeof(expected) - 1] == 0)

static bool window_is(const struct loop_reader *reader, const char *expected)
{
    size_t len;
    const char *data = loop_reader_peek(reader, &len);

    return len == strlen(expected) && memcmp(data, expected, len) == 0;
}

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
    enum { LEN = 1 << 20 };
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

static void on_scope_end(void *arg, int64_t error)
{
    once_resumed(arg, error);
}

LOOP_TEST(p02_an_error_that_nobody_hears_is_the_scopes)
{
    static struct loop_scope *scope;
    static struct drip drip;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, on_scope_end, &ended);
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

/* ---- cancelling ---- */

typedef loop_job start_fn(struct loop_reader *reader, loop_fn *fn, void *arg);

static char rest_buffer[8];

static loop_job start_line(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return loop_reader_line(reader, fn, arg);
}

static loop_job start_until(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return loop_reader_until(reader, "\n", 1, fn, arg);
}

static loop_job start_exact(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return loop_reader_exact(reader, 6, fn, arg);
}

static loop_job start_all(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return loop_reader_all(reader, fn, arg);
}

static loop_job start_fill(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return loop_reader_fill(reader, 6, fn, arg);
}

static loop_job start_lines(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return loop_reader_lines(reader, fn, arg);
}

static loop_job start_take(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return loop_reader_take(reader, 6, fn, arg);
}

static loop_job start_rest(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    return loop_read(loop_reader_source(reader), rest_buffer, sizeof rest_buffer, fn, arg);
}

/* Those that wait for more than one byte. */
static start_fn *const patient[] = {start_line, start_until, start_exact, start_all, start_fill, start_lines};

LOOP_TEST(cancelled_at_each_step_nothing_is_lost)
{
    static const char *const bytes[] = {"a", "b", "c", "d", "e"};
    static struct loop_reader *reader;
    static struct gate gate;
    static struct once first, second;
    static unsigned op, steps, given;
    static loop_job job;

    BEGIN;
    for (op = 0; op < COUNT_OF(patient); op++) {
        for (steps = 0; steps <= 5; steps++) {
            reader = reader_of(make_gate(&gate, env->scope), 0);
            first = second = (struct once){0};
            job = START(patient[op](reader, ONCE(&first)));
            for (given = 0; given < steps; given++) {
                gate_give(&gate, bytes[given]);
                AWAIT(turns(env->scope, 2, GO));
                CHECK(gate.job != 0 && first.count == 0);
            }
            CHECK_IS(loop_cancel(env->loop, job), 0);
            CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
            WAIT_UNTIL(first.count);
            ONCE_IS(first, -ECANCELED);
            CHECK(window_is(reader, "abcde") == (steps == 5));
            START(loop_reader_line(reader, ONCE(&second)));
            gate_give(&gate, "fghi\n");
            WAIT_UNTIL(second.count);
            ONCE_IS(second, (int)steps + 5);
            CHECK(memcmp(loop_reader_data(reader, NULL), "abcde", steps) == 0);
            CHECK_TEXT(loop_reader_data(reader, NULL) + steps, "fghi");
        }
    }
    END;
}

LOOP_TEST(a_cancelled_take_loses_nothing)
{
    static start_fn *const starts[] = {start_take, start_rest};
    static struct loop_reader *reader;
    static struct gate gate;
    static struct once first, second;
    static unsigned op;
    static loop_job job;

    BEGIN;
    for (op = 0; op < COUNT_OF(starts); op++) {
        reader = reader_of(make_gate(&gate, env->scope), 0);
        first = second = (struct once){0};
        job = START(starts[op](reader, ONCE(&first)));
        CHECK_IS(loop_cancel(env->loop, job), 0);
        WAIT_UNTIL(first.count);
        ONCE_IS(first, -ECANCELED);
        START(starts[op](reader, ONCE(&second)));
        gate_give(&gate, "xyz");
        WAIT_UNTIL(second.count);
        ONCE_IS(second, 3);
    }
    END;
}

LOOP_TEST(a_cancelled_skip_tells_how_far_it_came)
{
    static struct loop_reader *reader;
    static struct gate gate;
    static struct once skipped;
    static loop_job job;

    BEGIN;
    reader = reader_of(make_gate(&gate, env->scope), 0);
    job = START(loop_reader_skip(reader, 100, ONCE(&skipped)));
    gate_give(&gate, "1234");
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(gate.reads, 2);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(skipped.count);
    ONCE_IS(skipped, 4);
    END;
}

LOOP_TEST(p04_a_cancel_that_comes_too_late_finds_the_result)
{
    static struct loop_reader *reader;
    static struct gate gate;
    static struct once line, next;
    static loop_job job;

    BEGIN;
    reader = reader_of(make_gate(&gate, env->scope), 0);
    job = START(loop_reader_line(reader, ONCE(&line)));
    gate_give(&gate, "abc\nde\n");
    loop_cancel(env->loop, job); /* the bytes are on their way already */
    WAIT_UNTIL(line.count);
    ONCE_IS(line, 4);
    CHECK(GAVE_TEXT(reader, "abc"));
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    job = START(loop_reader_line(reader, ONCE(&next)));
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    WAIT_UNTIL(next.count);
    ONCE_IS(next, 3);
    CHECK(GAVE_TEXT(reader, "de"));
    END;
}

LOOP_TEST(a_cancel_that_races_with_too_few_bytes_keeps_them)
{
    static struct loop_reader *reader;
    static struct gate gate;
    static struct once line, next;
    static loop_job job;

    BEGIN;
    reader = reader_of(make_gate(&gate, env->scope), 0);
    job = START(loop_reader_line(reader, ONCE(&line)));
    gate_give(&gate, "abc");
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(line.count);
    ONCE_IS(line, -ECANCELED);
    CHECK_IS(gate.reads, 1);
    START(loop_reader_line(reader, ONCE(&next)));
    gate_give(&gate, "d\n");
    WAIT_UNTIL(next.count);
    CHECK(GAVE_TEXT(reader, "abcd"));
    END;
}

LOOP_TEST(a_deadline_ends_an_operation_with_its_reason)
{
    static struct loop_scope *scope;
    static struct loop_reader *reader;
    static struct gate gate;
    static struct once line, ended;

    BEGIN;
    scope = loop_scope_open(env->scope, on_scope_end, &ended);
    reader = reader_of(make_gate(&gate, scope), 0);
    START(loop_reader_line(reader, ONCE(&line)));
    loop_scope_deadline(scope, loop_now(env->loop) + 5 * LOOP_MILLISECOND);
    WAIT_UNTIL(ended.count);
    ONCE_IS(line, -ETIMEDOUT);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(p07_no_reader_is_made_in_a_scope_that_has_ended)
{
    static struct loop_reader *reader;

    BEGIN;
    loop_scope_cancel(env->scope);
    reader = loop_reader_create(loop_null_source(env->scope), 0);
    CHECK(reader != NULL); /* cancelled is not ended */
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, -ECANCELED);
    script.expected = -ECANCELED;
    END;
}

static struct loop_source *dying_source;

static void make_reader_too_late(void *arg)
{
    (void)arg;
    CHECK(loop_reader_create(dying_source, 0) == NULL);
}

LOOP_TEST(p07_no_reader_is_made_while_hooks_run)
{
    BEGIN;
    dying_source = loop_null_source(env->scope);
    CHECK(loop_scope_defer(env->scope, make_reader_too_late, NULL) != NULL);
    END;
}

/* ---- all lines ---- */

struct lines {
    struct loop_reader *reader;
    loop_job job;
    unsigned count, ends, pause_at, cancel_at;
    int64_t end;
    char text[65536];
};

static void on_line(void *arg, int64_t result)
{
    struct lines *lines = arg;
    size_t length = strlen(lines->text), len;
    const char *data = loop_reader_data(lines->reader, &len);

    CHECK_IS(lines->ends, 0);
    CHECK(script.starting == 0);
    if (result <= 0) {
        CHECK_IS(len, 0);
        lines->ends++;
        lines->end = result;
        script_poke();
        return;
    }
    CHECK((size_t)result >= len && (size_t)result <= len + 2 && data[len] == 0);
    if (length + len + 2 < sizeof lines->text) {
        snprintf(lines->text + length, sizeof lines->text - length, "%s|", data);
    }
    lines->count++;
    if (lines->count == lines->pause_at) {
        CHECK_IS(loop_reader_pause(lines->reader), 0);
        CHECK_IS(loop_reader_pause(lines->reader), 0);
    }
    if (lines->count == lines->cancel_at) {
        CHECK_IS(loop_cancel(loop_scope_loop(loop_reader_source(lines->reader)->scope), lines->job), 0);
    }
    script_poke();
}

static void start_all_lines(struct lines *lines, struct loop_source *source, size_t max_bytes)
{
    lines->reader = reader_of(source, max_bytes);
    lines->job = START(loop_reader_lines(lines->reader, on_line, lines));
}

LOOP_TEST(lines_come_one_after_the_other)
{
    static struct lines lines;
    static int kind;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        lines = (struct lines){0};
        start_all_lines(&lines, source_of(env->scope, (enum kind)kind, "a\n\nbc\r\nlast", 11), 0);
        WAIT_UNTIL(lines.ends);
        CHECK_IS(lines.end, 0);
        CHECK_TEXT(lines.text, "a||bc|last|");
    }
    END;
}

LOOP_TEST(lines_that_are_there_already_come_from_the_loop)
{
    static struct lines lines;

    BEGIN;
    lines.reader = reader_of(loop_memory_source(env->scope, "a\nb\nc\n", 6), 0);
    AWAIT(loop_reader_line(lines.reader, GO));
    START(loop_reader_lines(lines.reader, on_line, &lines));
    CHECK_IS(lines.count, 0);
    WAIT_UNTIL(lines.ends);
    CHECK_TEXT(lines.text, "b|c|");
    END;
}

LOOP_TEST(a_line_too_long_ends_lines_and_is_still_there)
{
    static struct lines lines;

    BEGIN;
    start_all_lines(&lines, loop_memory_source(env->scope, "abc\nabcd\nabcde\n", 15), 5);
    WAIT_UNTIL(lines.ends);
    CHECK_IS(lines.end, -EMSGSIZE);
    CHECK_TEXT(lines.text, "abc|abcd|");
    AWAIT(loop_reader_take(lines.reader, 5, GO));
    CHECK(result > 0 && memcmp(loop_reader_data(lines.reader, NULL), "abcde", (size_t)result) == 0);
    END;
}

LOOP_TEST(lines_can_be_paused_and_go_on)
{
    static struct lines lines;
    static struct drip drip;

    BEGIN;
    lines.pause_at = 2;
    start_all_lines(&lines, make_drip(&drip, env->scope, "a\nb\nc\nd\n", 8, 8), 0);
    WAIT_UNTIL(lines.count == 2);
    AWAIT(turns(env->scope, 10, GO));
    CHECK_TEXT(lines.text, "a|b|");
    AWAIT(loop_reader_line(lines.reader, GO));
    CHECK_IS(result, -EBUSY);
    CHECK_IS(loop_reader_resume(lines.reader), 0);
    CHECK_IS(loop_reader_resume(lines.reader), 0);
    CHECK_IS(lines.count, 2);
    WAIT_UNTIL(lines.ends);
    CHECK_TEXT(lines.text, "a|b|c|d|");
    CHECK_IS(loop_reader_pause(lines.reader), -ENOENT);
    CHECK_IS(loop_reader_resume(lines.reader), -ENOENT);
    CHECK_IS(drip.reads, 2);
    END;
}

LOOP_TEST(paused_lines_read_no_more_than_they_had_begun)
{
    static struct lines lines;
    static struct gate gate;

    BEGIN;
    start_all_lines(&lines, make_gate(&gate, env->scope), 0);
    CHECK_IS(loop_reader_pause(lines.reader), 0);
    gate_give(&gate, "a\nb");
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(lines.count, 0);
    CHECK_IS(gate.reads, 1);
    CHECK_IS(loop_reader_resume(lines.reader), 0);
    WAIT_UNTIL(lines.count == 1);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(gate.reads, 2);
    CHECK_IS(loop_reader_pause(lines.reader), 0);
    CHECK_IS(loop_reader_resume(lines.reader), 0); /* while it reads: goes on by itself */
    gate_give(&gate, "c\n");
    WAIT_UNTIL(lines.count == 2);
    CHECK_TEXT(lines.text, "a|bc|");
    AWAIT(turns(env->scope, 2, GO));
    gate_end(&gate, 0);
    WAIT_UNTIL(lines.ends);
    CHECK_IS(lines.end, 0);
    END;
}

LOOP_TEST(paused_lines_can_be_cancelled_before_and_after_they_are_resumed)
{
    static struct lines lines;
    static struct drip drip;
    static int way;

    BEGIN;
    for (way = 0; way < 2; way++) {
        lines = (struct lines){.pause_at = 1};
        start_all_lines(&lines, make_drip(&drip, env->scope, "a\nb\n", 4, 4), 0);
        WAIT_UNTIL(lines.count == 1);
        AWAIT(turns(env->scope, 3, GO));
        if (way == 1) {
            CHECK_IS(loop_reader_resume(lines.reader), 0);
        }
        CHECK_IS(loop_cancel(env->loop, lines.job), 0);
        CHECK_IS(lines.ends, 0);
        WAIT_UNTIL(lines.ends);
        CHECK_IS(lines.end, -ECANCELED);
        CHECK_TEXT(lines.text, "a|");
        AWAIT(loop_reader_line(lines.reader, GO));
        CHECK_IS(result, 2);
        CHECK(GAVE_TEXT(lines.reader, "b"));
    }
    END;
}

LOOP_TEST(lines_cancelled_from_inside_leave_the_body)
{
    static struct lines lines;
    static int kind;

    BEGIN;
    for (kind = 0; kind < KINDS; kind++) {
        lines = (struct lines){.cancel_at = 3};
        start_all_lines(&lines, source_of(env->scope, (enum kind)kind, "a\nb\n\nbody\nx", 11), 0);
        WAIT_UNTIL(lines.ends);
        CHECK_IS(lines.end, -ECANCELED);
        CHECK_TEXT(lines.text, "a|b||");
        AWAIT(loop_reader_all(lines.reader, GO));
        CHECK(GAVE_TEXT(lines.reader, "body\nx"));
    }
    END;
}

LOOP_TEST(p13_a_flood_of_lines_starves_nobody)
{
    enum { LEN = 200000 };
    static char data[LEN];
    static struct lines lines;
    static unsigned sleeps;

    BEGIN;
    memset(data, '\n', LEN);
    start_all_lines(&lines, loop_memory_source(env->scope, data, LEN), 0);
    while (!lines.ends) {
        AWAIT(loop_sleep(env->scope, 0, GO));
        sleeps++;
    }
    CHECK_IS(lines.count, LEN);
    CHECK(sleeps > LEN / 64 / 256);
    END;
}

LOOP_TEST(p07_a_scope_that_a_line_has_emptied_ends)
{
    static struct lines lines;
    static struct once ended[3];
    static struct loop_scope *scopes[3];

    BEGIN;
    for (int i = 0; i < 3; i++) {
        scopes[i] = loop_scope_open(env->scope, on_scope_end, &ended[i]);
        loop_scope_hold(scopes[i]);
    }
    start_all_lines(&lines, loop_memory_source(env->scope, "a\nb\n", 4), 0);
    WAIT_UNTIL(lines.count == 1);
    loop_scope_unhold(scopes[0]);
    WAIT_UNTIL(lines.count == 2);
    loop_scope_unhold(scopes[1]);
    WAIT_UNTIL(lines.ends);
    loop_scope_unhold(scopes[2]);
    WAIT_UNTIL(ended[0].count && ended[1].count && ended[2].count);
    END;
}

LOOP_TEST(lines_need_no_continuation)
{
    static struct loop_reader *reader;

    BEGIN;
    reader = reader_of(loop_memory_source(env->scope, "a\nb\n", 4), 0);
    START(loop_reader_lines(reader, NULL, NULL));
    AWAIT(turns(env->scope, 10, GO));
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 0);
    END;
}

/* ---- the rest as a source ---- */

LOOP_TEST(the_body_behind_a_header_can_be_copied)
{
    enum { LEN = 300000 };
    static char data[LEN];
    static struct loop_reader *reader;
    static struct loop_sink *sink;
    static size_t len;
    static int kind;

    BEGIN;
    fill_pattern(data, LEN, 3);
    memcpy(data, "header\n", 7);
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, LEN), 100);
        sink = loop_memory_sink(env->scope, 0);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 7);
        AWAIT(loop_copy(loop_reader_source(reader), sink, GO));
        CHECK_IS(result, LEN - 7);
        CHECK(memcmp(loop_memory_data(sink, &len), data + 7, LEN - 7) == 0);
        CHECK_IS(len, LEN - 7);
    }
    END;
}

LOOP_TEST(the_body_behind_a_header_can_be_copied_to_a_socket)
{
    enum { LEN = 300000 };
    static char data[LEN], received[LEN];
    static struct loop_flow *flows[2];
    static struct loop_reader *reader;
    static struct once copied, closed, read;
    static int kind;

    BEGIN;
    fill_pattern(data, LEN, 4);
    memcpy(data, "header\n", 7);
    for (kind = 0; kind < KINDS; kind++) {
        make_flows(env->scope, flows);
        copied = closed = read = (struct once){0};
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, LEN), 100);
        AWAIT(loop_reader_line(reader, GO));
        START(loop_copy(loop_reader_source(reader), &flows[0]->sink, ONCE(&copied)));
        START(loop_read_exact(&flows[1]->source, received, LEN - 7, ONCE(&read)));
        WAIT_UNTIL(copied.count && read.count);
        ONCE_IS(copied, LEN - 7);
        ONCE_IS(read, LEN - 7);
        CHECK(memcmp(received, data + 7, LEN - 7) == 0);
    }
    END;
}

LOOP_TEST(the_body_behind_a_header_can_be_streamed)
{
    enum { LEN = 50000 };
    static char data[LEN], received[LEN];
    static struct record record;
    static struct loop_reader *reader;
    static int kind;

    BEGIN;
    fill_pattern(data, LEN, 5);
    memcpy(data, "header\n", 7);
    for (kind = 0; kind < KINDS; kind++) {
        reader = reader_of(source_of(env->scope, (enum kind)kind, data, LEN), 0);
        AWAIT(loop_reader_line(reader, GO));
        record = (struct record){.data = received, .room = LEN};
        START(loop_stream(loop_reader_source(reader), RECORD(&record)));
        WAIT_UNTIL(record.ends);
        CHECK_IS(record.end, 0);
        CHECK_IS(record.length, LEN - 7);
        CHECK(memcmp(received, data + 7, LEN - 7) == 0);
    }
    END;
}

LOOP_TEST_WITH(p10_idle_streams_of_an_empty_reader_hold_no_chunk, .n_blocks = 1)
{
    static struct loop_flow *flows[2];
    static struct loop_reader *reader;
    static struct record record;
    static char received[10];
    static struct once line;

    BEGIN;
    make_flows(env->scope, flows);
    reader = reader_of(&flows[0]->source, 0);
    START(loop_reader_line(reader, ONCE(&line)));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "header\n", 7, 0), 7);
    WAIT_UNTIL(line.count);
    record = (struct record){.data = received, .room = sizeof received};
    START(loop_stream(loop_reader_source(reader), RECORD(&record)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_region_avail(env->loop), 1);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "body", 4, 0), 4);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.length, 4);
    END;
}

LOOP_TEST(a_source_that_cannot_be_closed_says_so)
{
    static struct drip drip;

    BEGIN;
    CHECK_IS(loop_source_close(loop_reader_source(reader_of(make_drip(&drip, env->scope, "", 0, 1), 0))), -EOPNOTSUPP);
    END;
}

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

/* ---- by the dice ---- */

enum { PLAYED = 6000 };

struct game {
    struct loop_reader *reader;
    struct drip drip;
    char data[PLAYED];
    size_t at, max_bytes; /* what has been consumed */
    unsigned operation;
    size_t len;
    bool is_running, was_cancelled, is_over;
    char rest[64];
};

static uint32_t dice_state;

static unsigned dice(unsigned sides)
{
    dice_state = dice_state * 1664525 + 1013904223;
    return (dice_state >> 8) % sides;
}

enum { LINE, UNTIL, EXACT, TAKE, SKIP, ALL, FILL, REST, OPERATIONS };

/* What a delimiter at `end` (or none, at the end of the data) makes of an operation. */
static int64_t expect_text(const struct game *game, const char *end, size_t delimiter_len)
{
    size_t left = PLAYED - game->at;
    size_t consumed = end ? (size_t)(end - (game->data + game->at)) + delimiter_len : left;

    return consumed <= game->max_bytes ? (int64_t)consumed : -EMSGSIZE;
}

static int64_t expect_count(const struct game *game)
{
    size_t left = PLAYED - game->at;

    if (game->operation != SKIP && game->len > game->max_bytes) {
        return -EMSGSIZE;
    }
    if (left == 0 || left >= game->len) {
        return left == 0 ? 0 : (int64_t)game->len;
    }
    return game->operation == SKIP ? (int64_t)left : -ENODATA;
}

/* The result that a reader must have; for those that may give out less, the most. */
static int64_t expected(const struct game *game)
{
    size_t left = PLAYED - game->at;
    const char *data = game->data + game->at;

    switch (game->operation) {
    case LINE: return expect_text(game, memchr(data, '\n', left), 1);
    case UNTIL: return expect_text(game, memmem(data, left, "ab", 2), 2);
    case ALL: return expect_text(game, NULL, 0);
    case TAKE: return (int64_t)(left < game->len ? left : game->len);
    case REST: return (int64_t)(left < game->len ? left : game->len);
    default: return expect_count(game);
    }
}

static void check_data(const struct game *game, int64_t result)
{
    size_t len, consumed = (size_t)result;
    const char *data = loop_reader_data(game->reader, &len), *was = game->data + game->at;

    if (game->operation == REST) {
        CHECK(memcmp(game->rest, was, consumed) == 0);
        return;
    }
    if (game->operation == SKIP || game->operation == FILL) {
        CHECK_IS(len, 0);
        return;
    }
    CHECK(len <= consumed && consumed <= len + 2 && memcmp(data, was, len) == 0);
    if (game->operation == LINE && was[consumed - 1] == '\n') {
        CHECK_IS(len, consumed - (consumed > 1 && was[consumed - 2] == '\r' ? 2 : 1));
    } else if (game->operation == UNTIL && consumed >= 2 && memcmp(was + consumed - 2, "ab", 2) == 0) {
        CHECK_IS(len, consumed - 2);
    } else {
        CHECK_IS(len, consumed);
    }
}

static void on_played(void *arg, int64_t result)
{
    struct game *game = arg;
    int64_t most = expected(game);
    bool may_be_less = game->operation == TAKE || game->operation == REST || game->operation == SKIP;

    CHECK(game->is_running);
    game->is_running = false;
    if (result == -ECANCELED) {
        CHECK(game->was_cancelled);
    } else if (game->operation == FILL && result > 0) {
        CHECK(result >= most && most > 0);
    } else if (may_be_less && result > 0) {
        CHECK(result <= most && (game->operation != SKIP || game->was_cancelled || result == most));
    } else {
        CHECK_IS(result, most);
    }
    if (result > 0) {
        check_data(game, result);
    }
    if (result > 0 && game->operation != FILL) {
        game->at += (size_t)result;
    }
    game->is_over = result == 0;
    script_poke();
}

static loop_job play(struct game *game)
{
    struct loop_reader *reader = game->reader;

    game->operation = dice(OPERATIONS);
    game->len = 1 + dice(game->operation == REST ? sizeof game->rest : 3 * (unsigned)game->max_bytes / 2);
    game->was_cancelled = false;
    game->is_running = true;
    switch (game->operation) {
    case LINE: return loop_reader_line(reader, on_played, game);
    case UNTIL: return loop_reader_until(reader, "ab", 2, on_played, game);
    case EXACT: return loop_reader_exact(reader, game->len, on_played, game);
    case TAKE: return loop_reader_take(reader, game->len, on_played, game);
    case SKIP: return loop_reader_skip(reader, game->len, on_played, game);
    case ALL: return loop_reader_all(reader, on_played, game);
    case FILL: return loop_reader_fill(reader, game->len, on_played, game);
    default: return loop_read(loop_reader_source(reader), game->rest, game->len, on_played, game);
    }
}

static void begin_game(struct game *game, struct loop_scope *scope, unsigned seed)
{
    static const char letters[] = "ab\n\rcd";

    dice_state = seed * 7919 + 17;
    *game = (struct game){.max_bytes = 1 + dice(seed % 3 == 0 ? 6000 : 60)};
    for (size_t i = 0; i < PLAYED; i++) {
        game->data[i] = letters[dice(6)];
    }
    make_drip(&game->drip, scope, game->data, PLAYED, 1 + dice(seed % 2 ? 10 : 9000));
    game->reader = reader_of(&game->drip.source, game->max_bytes);
}

LOOP_TEST(what_a_reader_gives_out_is_what_the_source_had)
{
    static struct game game;
    static unsigned seed;
    static loop_job job;

    BEGIN;
    for (seed = 0; seed < 60; seed++) {
        begin_game(&game, env->scope, seed);
        while (!game.is_over) {
            job = START(play(&game));
            if (dice(4) == 0) {
                AWAIT(turns(env->scope, 1, GO));
            }
            if (dice(4) == 0 && loop_cancel(env->loop, job) == 0) {
                game.was_cancelled = true;
            }
            WAIT_UNTIL(!game.is_running);
        }
        CHECK_IS(game.at, PLAYED);
        CHECK_IS(game.drip.reads_after_end, 0);
    }
    END;
}
