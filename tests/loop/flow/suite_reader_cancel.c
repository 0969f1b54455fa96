/* SPDX-License-Identifier: ISC
 *
 * Reader operations cancelled at each step: no byte is lost.
 */
#include "reading.h"

#include <loop/reader.h>

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

/* The operations that wait for more than one byte. */
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
    scope = loop_scope_open(env->scope, ONCE(&ended));
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
