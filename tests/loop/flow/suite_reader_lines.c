/* SPDX-License-Identifier: ISC
 *
 * loop_reader_lines: returns all lines of a source, one after the other.
 */
#include "reading.h"

#include <loop/reader.h>

#include <stdio.h>

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
        CHECK_IS(loop_pause(loop_scope_loop(loop_reader_source(lines->reader)->scope), lines->job), 0);
        CHECK_IS(loop_pause(loop_scope_loop(loop_reader_source(lines->reader)->scope), lines->job), 0);
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
    CHECK_IS(loop_resume(env->loop, lines.job), 0);
    CHECK_IS(loop_resume(env->loop, lines.job), 0);
    CHECK_IS(lines.count, 2);
    WAIT_UNTIL(lines.ends);
    CHECK_TEXT(lines.text, "a|b|c|d|");
    CHECK_IS(loop_pause(env->loop, lines.job), -ENOENT);
    CHECK_IS(loop_resume(env->loop, lines.job), -ENOENT);
    CHECK_IS(drip.reads, 2);
    END;
}

LOOP_TEST(paused_lines_read_no_more_than_they_had_begun)
{
    static struct lines lines;
    static struct gate gate;

    BEGIN;
    start_all_lines(&lines, make_gate(&gate, env->scope), 0);
    CHECK_IS(loop_pause(env->loop, lines.job), 0);
    gate_give(&gate, "a\nb");
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(lines.count, 0);
    CHECK_IS(gate.reads, 1);
    CHECK_IS(loop_resume(env->loop, lines.job), 0);
    WAIT_UNTIL(lines.count == 1);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(gate.reads, 2);
    CHECK_IS(loop_pause(env->loop, lines.job), 0);
    CHECK_IS(loop_resume(env->loop, lines.job), 0); /* while it reads: goes on by itself */
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
            CHECK_IS(loop_resume(env->loop, lines.job), 0);
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
    enum { LEN = 200000 / SLOWNESS };
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
        scopes[i] = loop_scope_open(env->scope, ONCE(&ended[i]));
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
