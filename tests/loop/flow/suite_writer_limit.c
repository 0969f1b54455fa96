/* SPDX-License-Identifier: ISC
 *
 * The limit of a writer (P11): refused appends leave no gap, and waiting for room.
 */
#include "writing.h"

#include <loop/writer.h>

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
    CHECK(loop_writer_is_full(writer)); /* the refusal has not been reported yet: an append now would follow a gap */
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
    scope = loop_scope_open(env->scope, ONCE(&ended));
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
