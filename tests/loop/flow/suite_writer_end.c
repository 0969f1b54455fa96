/* SPDX-License-Identifier: ISC
 *
 * The end of writers: shutdown, abort, and cancelled scopes.
 */
#include "writing.h"

#include <loop/reader.h>
#include <loop/writer.h>

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
    AWAIT(loop_writer_shutdown(writer, GO)); /* a second shutdown is allowed after the error */
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
    scope = loop_scope_open(env->scope, ONCE(&ended));
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
    static struct loop_writer *writer;
    static struct once ended, flushed;
    static int fds[2];
    char byte;

    BEGIN;
    make_pair(fds);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    writer = writer_of(&flow_of(scope, fds[0])->sink, 0);
    loop_scope_cancel(scope);
    loop_writer_print(writer, "nothing");
    START(loop_writer_flush(writer, ONCE(&flushed)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(flushed, -ECANCELED);
    ONCE_IS(ended, -ECANCELED);
    CHECK_IS(recv(fds[1], &byte, 1, MSG_DONTWAIT), 0);
    close(fds[1]);
    END;
}

/* ---- scopes that end in a row ---- */

static struct scope_row {
    struct loop_scope *parent;
    struct loop_writer *writers[2];
    unsigned left;
} row;

/* Opens the next scope, which is empty and ends at once. What the last two write is sent when a row is at its end. */
static void end_next(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    if (row.left > 0) {
        CHECK(loop_scope_open(row.parent, end_next, NULL));
    }
    if (row.left < 2) {
        CHECK_IS(loop_writer_print(row.writers[row.left], "x"), 0);
    }
    row.left--;
}

/* The loop ends many scopes behind one continuation, and leaves the rest for later: also what is written then. */
LOOP_TEST(what_is_written_when_many_scopes_end_in_a_row_is_sent)
{
    static struct basin basins[2];
    static unsigned length;

    BEGIN;
    row.parent = env->scope;
    row.writers[0] = fill_basin(&basins[0], env->scope, 0);
    row.writers[1] = fill_basin(&basins[1], env->scope, 0);
    for (length = 1; length <= 300; length++) {
        row.left = length;
        CHECK(loop_scope_open(env->scope, end_next, NULL));
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(basins[0].length, length);
        CHECK_IS(basins[1].length, length);
    }
    END;
}
