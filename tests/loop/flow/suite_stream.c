/* SPDX-License-Identifier: ISC
 *
 * loop_stream: bytes in their order, the end, cancels, and the chunks that it does not hold.
 */
#include "harness.h"

/* ---- P1: exactly once, on the loop's thread, never from inside the call ---- */

LOOP_TEST(p01_stream_ends_once_after_its_data)
{
    static struct loop_flow *flows[2];
    static char bytes[20000];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};
    static char sent[20000];

    BEGIN;
    make_flows(env->scope, flows);
    fill_pattern(sent, sizeof sent, 1);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(loop_write(&flows[1]->sink, sent, sizeof sent, GO));
    CHECK_IS(result, sizeof sent);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(record.length, sizeof sent);
    CHECK(is_pattern(bytes, sizeof bytes, 1));
    AWAIT(turns(env->scope, 5, GO));
    END;
}

LOOP_TEST(p01_stream_on_error_ends_once)
{
    static struct loop_flow *flows[2];
    static struct record record;

    BEGIN;
    make_flows(env->scope, flows);
    loop_fd_close(flows[0]->fd);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    CHECK_IS(record.ends, 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    END;
}

LOOP_TEST(p01_cancelled_stream_ends_once)
{
    static struct loop_flow *flows[2];
    static char bytes[100];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};
    static loop_job stream;

    BEGIN;
    make_flows(env->scope, flows);
    stream = START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    CHECK_IS(record.ends, 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    CHECK_IS(loop_cancel(env->loop, stream), -ENOENT);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "left", 4, 0), 4);
    AWAIT(loop_read_exact(&flows[0]->source, bytes, 4, GO));
    CHECK_IS(result, 4);
    END;
}

/* ---- P10: chunks ---- */

LOOP_TEST_WITH(p10_idle_streams_hold_no_chunk, .n_blocks = 2)
{
    enum { N = 20 };
    static struct loop_flow *flows[N][2];
    static char bytes[N][16];
    static struct record records[N];
    static int at;

    BEGIN;
    for (int i = 0; i < N; i++) {
        make_flows(env->scope, flows[i]);
        records[i] = (struct record){bytes[i], sizeof bytes[i], 0, 0, 0, 0};
        START(loop_stream(&flows[i][0]->source, RECORD(&records[i])));
    }
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    for (int i = 0; i < N; i++) {
        CHECK_IS(send(loop_fd_peek(flows[i][1]->fd), "x", 1, 0), 1);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(records[at].length == 1);
    }
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    for (int i = 0; i < N; i++) {
        loop_flow_close(flows[i][0]);
    }
    END;
}
