/* SPDX-License-Identifier: ISC
 *
 * Limits (P9 to P14): a full submission queue, no free chunk, a full write queue, no descriptor left, a flood of one
 * kind of work, and no allocation once the loop is warm.
 */
#include "harness.h"

#include <stdio.h>
#include <sys/resource.h>

/* ---- P9: the submission queue ---- */

static int start_many(struct loop_env *env, void *unused)
{
    static struct once done[3000];

    (void)unused;
    memset(done, 0, sizeof done);
    for (unsigned i = 0; i < COUNT_OF(done); i++) {
        START(loop_op_nop(env->scope, ONCE(&done[i])));
    }
    return 0;
}

TEST(p09_any_depth_works)
{
    const unsigned depths[] = {0, 1, 2, 3, 5, 7, 16, 33, 100, 1000, 4096};

    for (unsigned i = 0; i < COUNT_OF(depths); i++) {
        CHECK_IS(run_with(&(struct loop_options){.queue_depth = depths[i]}, start_many, NULL), 0);
    }
}

LOOP_TEST_WITH(p09_sq_full_is_invisible, .queue_depth = 2)
{
    enum { N = 5000 };
    static struct once done[N];

    BEGIN;
    for (int i = 0; i < N; i++) {
        START(loop_op_nop(env->scope, ONCE(&done[i])));
    }
    WAIT_UNTIL(done[N - 1].count);
    for (int i = 0; i < N; i++) {
        ONCE_IS(done[i], 0);
        CHECK(i == 0 || done[i].order == done[i - 1].order + 1);
    }
    END;
}

LOOP_TEST_WITH(p09_a_job_in_line_can_be_cancelled, .queue_depth = 1)
{
    enum { N = 50 };
    static struct loop_fd *fd;
    static struct once done[N];
    static loop_job jobs[N];
    static int fds[2];
    static char bytes[N];

    BEGIN;
    make_pair(fds);
    fd = adopt(env->scope, fds[0]);
    for (int i = 0; i < N; i++) {
        jobs[i] = START(loop_op_recv(NULL, fd, &bytes[i], 1, 0, ONCE(&done[i])));
    }
    for (int i = 0; i < N; i++) {
        if (i % 2) {
            CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
        }
    }
    for (int i = 0; i < N; i++) {
        CHECK_IS(done[i].count, 0);
    }
    WAIT_UNTIL(done[N - 1].count && done[1].count);
    AWAIT(turns(env->scope, N, GO));
    for (int i = 0; i < N; i++) {
        CHECK_IS(done[i].count, i % 2);
        CHECK(i % 2 == 0 || done[i].result == -ECANCELED);
    }
    for (int i = 0; i < N; i += 2) {
        CHECK_IS(send(fds[1], "x", 1, 0), 1);
    }
    close(fds[1]);
    WAIT_UNTIL(done[N - 2].count && done[0].count);
    AWAIT(turns(env->scope, N, GO));
    for (int i = 0; i < N; i += 2) {
        ONCE_IS(done[i], 1);
    }
    END;
}

LOOP_TEST_WITH(p09_far_more_jobs_than_places, .queue_depth = 4, .n_blocks = 4)
{
    enum { PAIRS = 100 };
    static struct loop_flow *flows[PAIRS][2];
    static struct once reads[PAIRS], writes[PAIRS];
    static char bytes[PAIRS][8];
    static struct tally closing;
    static int at;

    BEGIN;
    for (int i = 0; i < PAIRS; i++) {
        make_flows(env->scope, flows[i]);
        START(loop_read_exact(&flows[i][0]->source, bytes[i], 8, ONCE(&reads[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    for (int i = PAIRS - 1; i >= 0; i--) {
        START(loop_write(&flows[i][1]->sink, "12345678", 8, ONCE(&writes[i])));
    }
    START(loop_sleep(env->scope, 0, TALLY(&closing)));
    for (at = 0; at < PAIRS; at++) {
        WAIT_UNTIL(reads[at].count && writes[at].count);
        ONCE_IS(reads[at], 8);
        ONCE_IS(writes[at], 8);
    }
    END;
}

/* ---- P10: chunks ---- */

static unsigned take_all_chunks(struct loop *loop, struct loop_chunk **chunks)
{
    unsigned n = 0;

    while ((chunks[n] = loop_chunk_alloc(loop)) != NULL) {
        n++;
    }
    return n;
}

LOOP_TEST_WITH(p10_alloc_says_null_when_none_is_free, .n_blocks = 4)
{
    static struct loop_chunk *chunks[100];
    static unsigned n;

    BEGIN;
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    n = take_all_chunks(env->loop, chunks);
    CHECK_IS(n, loop_region_count(env->loop));
    CHECK(is_hard("onechunk") ? n == 1 : n == 4);
    CHECK_IS(loop_region_avail(env->loop), 0);
    CHECK(!loop_chunk_alloc(env->loop));
    for (unsigned i = 0; i < n; i++) {
        CHECK_IS(loop_chunk_free(env->loop, chunks[i]), 0);
        CHECK_IS(loop_region_avail(env->loop), i + 1);
    }
    END;
}

LOOP_TEST_WITH(p10_waiters_are_served_in_line, .n_blocks = 2)
{
    enum { N = 5 };
    static struct loop_chunk *chunks[100], *got[N];
    static struct once waits[N];
    static unsigned n;
    static int at;

    BEGIN;
    n = take_all_chunks(env->loop, chunks);
    for (int i = 0; i < N; i++) {
        START(loop_chunk_alloc_wait(env->scope, &got[i], ONCE(&waits[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(waits[0].count, 0);
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    /* It is the first waiter's already: nobody jumps the line. */
    CHECK(!loop_chunk_alloc(env->loop));
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(waits[at].count);
        ONCE_IS(waits[at], 0);
        CHECK(got[at] != NULL);
        CHECK(at == N - 1 || waits[at + 1].count == 0);
        CHECK_IS(loop_chunk_free(env->loop, got[at]), 0);
    }
    for (unsigned i = 1; i < n; i++) {
        CHECK_IS(loop_chunk_free(env->loop, chunks[i]), 0);
    }
    CHECK_IS(loop_region_avail(env->loop), n);
    END;
}

LOOP_TEST_WITH(p10_cancelled_waiters_swallow_nothing, .n_blocks = 1)
{
    static struct loop_chunk *chunks[100], *got[3];
    static struct once waits[3];
    static loop_job jobs[3];

    BEGIN;
    take_all_chunks(env->loop, chunks);
    for (int i = 0; i < 3; i++) {
        jobs[i] = START(loop_chunk_alloc_wait(env->scope, &got[i], ONCE(&waits[i])));
    }
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    WAIT_UNTIL(waits[0].count && waits[1].count && waits[2].count);
    ONCE_IS(waits[0], -ECANCELED);
    ONCE_IS(waits[1], -ECANCELED);
    ONCE_IS(waits[2], 0);
    CHECK(!got[0] && !got[1] && got[2]);
    CHECK_IS(loop_chunk_free(env->loop, got[2]), 0);
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}

LOOP_TEST_WITH(p10_a_waiter_cancelled_after_its_chunk_came_has_it, .n_blocks = 1)
{
    static struct loop_chunk *chunks[100], *got;
    static struct once wait;
    static loop_job job;

    BEGIN;
    take_all_chunks(env->loop, chunks);
    job = START(loop_chunk_alloc_wait(env->scope, &got, ONCE(&wait)));
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    loop_cancel(env->loop, job);
    WAIT_UNTIL(wait.count);
    if (wait.result == 0) {
        CHECK_IS(loop_chunk_free(env->loop, got), 0);
    } else {
        CHECK_IS(wait.result, -ECANCELED);
        CHECK(!got);
    }
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}

LOOP_TEST_WITH(p10_a_stream_waits_for_a_chunk, .n_blocks = 2)
{
    static struct loop_chunk *chunks[100];
    static struct loop_flow *flows[2];
    static char bytes[64];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};
    static struct loop_stats stats;
    static uint64_t waits;

    BEGIN;
    make_flows(env->scope, flows);
    take_all_chunks(env->loop, chunks);
    loop_get_stats(env->loop, &stats);
    waits = stats.chunk_waits;
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "wait", 4, 0), 4);
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(record.chunks + record.ends, 0);
    loop_get_stats(env->loop, &stats);
    CHECK(stats.chunk_waits > waits);
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    WAIT_UNTIL(record.length == 4);
    CHECK(memcmp(bytes, "wait", 4) == 0);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}

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

LOOP_TEST_WITH(p10_a_cancelled_stream_in_line_swallows_no_chunk, .n_blocks = 1)
{
    static struct loop_chunk *chunks[100];
    static struct loop_flow *flows[2];
    static struct record record;
    static loop_job stream;

    BEGIN;
    make_flows(env->scope, flows);
    take_all_chunks(env->loop, chunks);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    stream = START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    CHECK_IS(loop_chunk_free(env->loop, chunks[0]), 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    CHECK_IS(loop_region_avail(env->loop), 1);
    END;
}

/* ---- P11: a sink's queue ---- */

/* Peers that never read must not keep the chunks that were written to them from everybody else. */
LOOP_TEST(p10_chunks_of_blocked_writes_come_back_for_others)
{
    enum { N = 100, SIZE = 100 };
    static struct loop_flow *flows[N];
    static int peers[N], at;
    static struct tally tally;
    static struct loop_chunk *chunk;
    static char got[SIZE];

    BEGIN;
    for (int i = 0; i < N; i++) {
        int fds[2];
        make_pair(fds);
        flows[i] = flow_of(env->scope, fds[0]);
        peers[i] = fds[1];
        stuff(fds[0]);
    }
    for (at = 0; at < N; at++) {
        AWAIT(loop_chunk_alloc_wait(env->scope, &chunk, GO));
        CHECK_IS(result, 0);
        fill_pattern(loop_chunk_data(chunk), SIZE, (unsigned)at);
        START(loop_write_chunk(&flows[at]->sink, chunk, SIZE, TALLY(&tally)));
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(tally.count, 0);
    CHECK(loop_region_avail(env->loop) >= loop_region_count(env->loop) / 2);
    for (int i = 0; i < N; i++) {
        drain(peers[i]);
    }
    WAIT_UNTIL(tally.count == N);
    for (int i = 0; i < N; i++) {
        CHECK_IS(recv(peers[i], got, SIZE, MSG_WAITALL), SIZE);
        CHECK(is_pattern(got, SIZE, (unsigned)i));
        close(peers[i]);
    }
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(p11_a_full_queue_refuses_and_leaves_no_gap)
{
    static struct loop_flow *flow;
    static struct once writes[3], refused[2];
    static int fds[2];
    static char bytes[400], got[2000];
    static size_t stuffed;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, 1000), 0);
    fill_pattern(bytes, sizeof bytes, 1);
    for (int i = 0; i < 3; i++) {
        CHECK(!loop_sink_is_full(&flow->sink));
        START(loop_write(&flow->sink, bytes, i < 2 ? 400 : 200, ONCE(&writes[i])));
    }
    CHECK_IS(loop_sink_queued(&flow->sink), 1000);
    CHECK(loop_sink_is_full(&flow->sink));
    START(loop_write(&flow->sink, bytes, 10, ONCE(&refused[0])));
    START(loop_write(&flow->sink, bytes, 1, ONCE(&refused[1])));
    WAIT_UNTIL(refused[0].count && refused[1].count);
    ONCE_IS(refused[0], -ENOBUFS);
    ONCE_IS(refused[1], -ENOBUFS);
    CHECK_IS(writes[0].count, 0);
    CHECK_IS(drain(fds[1]), stuffed);
    WAIT_UNTIL(writes[2].count);
    ONCE_IS(writes[0], 400);
    ONCE_IS(writes[1], 400);
    ONCE_IS(writes[2], 200);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    CHECK_IS(recv(fds[1], got, sizeof got, 0), 1000);
    CHECK(is_pattern(got, 400, 1) && is_pattern(got + 400, 400, 1) && is_pattern(got + 800, 200, 1));
    close(fds[1]);
    END;
}

LOOP_TEST(p11_after_a_refusal_later_writes_are_refused_until_it_was_heard)
{
    static struct loop_flow *flow;
    static struct once first, refused, small;
    static int fds[2];
    static char bytes[100];
    static loop_job job;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuff(fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, 100), 0);
    job = START(loop_write(&flow->sink, bytes, sizeof bytes, ONCE(&first)));
    START(loop_write(&flow->sink, bytes, 50, ONCE(&refused)));
    START(loop_write(&flow->sink, bytes, 5, ONCE(&small)));
    WAIT_UNTIL(refused.count && small.count);
    ONCE_IS(refused, -ENOBUFS);
    ONCE_IS(small, -ENOBUFS);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(first.count);
    ONCE_IS(first, -ECANCELED);
    drain(fds[1]);
    AWAIT(loop_write(&flow->sink, bytes, 5, GO));
    CHECK_IS(result, 5);
    close(fds[1]);
    END;
}

LOOP_TEST(p11_one_write_larger_than_the_limit_is_taken)
{
    static struct loop_flow *flow;
    static struct once write;
    static int fds[2];
    static char bytes[50000];
    static size_t got;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, 10), 0);
    AWAIT(loop_write(&flow->sink, bytes, sizeof bytes, GO));
    CHECK_IS(result, sizeof bytes);
    stuff(fds[0]);
    START(loop_write(&flow->sink, bytes, 11, ONCE(&write)));
    CHECK(loop_sink_is_full(&flow->sink));
    drain(fds[1]);
    WAIT_UNTIL(write.count);
    ONCE_IS(write, 11);
    got = drain(fds[1]);
    CHECK_IS(got, 11);
    close(fds[1]);
    END;
}

LOOP_TEST(p11_drained_comes_at_half_of_the_limit)
{
    static struct loop_flow *flow;
    static struct once writes[4], drained, at_once;
    static int fds[2];
    static char bytes[250];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_sink_wait_drained(&flow->sink, ONCE(&at_once)));
    CHECK_IS(at_once.count, 0);
    WAIT_UNTIL(at_once.count);
    ONCE_IS(at_once, 0);
    stuff(fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, 1000), 0);
    for (int i = 0; i < 4; i++) {
        START(loop_write(&flow->sink, bytes, sizeof bytes, ONCE(&writes[i])));
    }
    START(loop_sink_wait_drained(&flow->sink, ONCE(&drained)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(drained.count, 0);
    drain(fds[1]);
    WAIT_UNTIL(drained.count);
    ONCE_IS(drained, 0);
    CHECK(loop_sink_queued(&flow->sink) <= 500);
    close(fds[1]);
    END;
}

LOOP_TEST(p11_drained_forgets_a_failure_that_was_overcome)
{
    static char large[1 << 20];
    static struct loop_flow *flow;
    static int fds[2];

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
    flow = flow_of(env->scope, fds[0]);
    AWAIT(loop_write(&flow->sink, large, sizeof large, GO));
    CHECK_IS(result, -EMSGSIZE);
    AWAIT(loop_sink_wait_drained(&flow->sink, GO));
    CHECK_IS(result, -EMSGSIZE);
    AWAIT(loop_write(&flow->sink, large, 1, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_sink_wait_drained(&flow->sink, GO));
    CHECK_IS(result, 0);
    close(fds[1]);
    END;
}

LOOP_TEST(p11_drained_hears_of_a_failure)
{
    static struct loop_flow *flow;
    static struct once write, drained;
    static int fds[2];
    static char bytes[1000];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuff(fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, 1000), 0);
    START(loop_write(&flow->sink, bytes, sizeof bytes, ONCE(&write)));
    START(loop_sink_wait_drained(&flow->sink, ONCE(&drained)));
    AWAIT(turns(env->scope, 2, GO));
    close(fds[1]);
    WAIT_UNTIL(write.count && drained.count);
    CHECK(write.result == -EPIPE || write.result == -ECONNRESET);
    CHECK(drained.result == -EPIPE || drained.result == -ECONNRESET);
    END;
}

/* More of them than fit into a page of jobs: the last in a page has nothing behind it to look at. */
LOOP_TEST(p11_many_wait_for_one_queue_to_drain)
{
    static struct loop_flow *flow;
    static struct once write;
    static struct tally drained;
    static int fds[2];
    static char bytes[1000];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuff(fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, sizeof bytes), 0);
    START(loop_write(&flow->sink, bytes, sizeof bytes, ONCE(&write)));
    for (int i = 0; i < 200; i++) {
        START(loop_sink_wait_drained(&flow->sink, TALLY(&drained)));
    }
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(drained.count, 0);
    drain(fds[1]);
    WAIT_UNTIL(write.count);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(drained.ended_well, 200);
    close(fds[1]);
    END;
}

LOOP_TEST(p11_drained_can_be_cancelled_and_closed)
{
    static struct loop_flow *flow;
    static struct once write, drained[2];
    static loop_job job;
    static int fds[2];
    static char bytes[1000];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuff(fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, 1000), 0);
    START(loop_write(&flow->sink, bytes, sizeof bytes, ONCE(&write)));
    job = START(loop_sink_wait_drained(&flow->sink, ONCE(&drained[0])));
    START(loop_sink_wait_drained(&flow->sink, ONCE(&drained[1])));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(drained[0].count);
    ONCE_IS(drained[0], -ECANCELED);
    loop_flow_close(flow);
    WAIT_UNTIL(drained[1].count);
    CHECK(drained[1].result < 0);
    close(fds[1]);
    END;
}

LOOP_TEST(p11_writes_leave_in_the_order_of_the_calls)
{
    enum { N = 500 };
    static struct loop_flow *flows[2];
    static struct once writes[N];
    static uint32_t numbers[N], got[N];

    BEGIN;
    make_flows(env->scope, flows);
    for (uint32_t i = 0; i < N; i++) {
        numbers[i] = i;
        START(loop_write(&flows[0]->sink, &numbers[i], 4, ONCE(&writes[i])));
        if (i % 50 == 49) {
            loop_fd_is_open(flows[0]->fd);
        }
    }
    AWAIT(loop_read_exact(&flows[1]->source, got, sizeof got, GO));
    CHECK_IS(result, sizeof got);
    CHECK(memcmp(numbers, got, sizeof got) == 0);
    WAIT_UNTIL(writes[N - 1].count);
    for (int i = 0; i < N; i++) {
        ONCE_IS(writes[i], 4);
        CHECK(i == 0 || writes[i].order > writes[i - 1].order);
    }
    END;
}

/* Alone or between others: no packet that the peer would take for the end. */
LOOP_TEST(p11_a_write_of_nothing_sends_nothing)
{
    static struct loop_flow *flow;
    static struct once writes[3];
    static int fds[2];
    static char got[4];

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    flow = flow_of(env->scope, fds[0]);
    AWAIT(loop_write(&flow->sink, "", 0, GO));
    CHECK_IS(result, 0);
    CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), -1);
    CHECK_IS(errno, EAGAIN);
    START(loop_write(&flow->sink, "", 0, ONCE(&writes[0])));
    START(loop_write(&flow->sink, "x", 1, ONCE(&writes[1])));
    START(loop_write(&flow->sink, "", 0, ONCE(&writes[2])));
    WAIT_UNTIL(writes[2].count);
    ONCE_IS(writes[0], 0);
    ONCE_IS(writes[1], 1);
    ONCE_IS(writes[2], 0);
    CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), 1);
    CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), -1);
    close(fds[1]);
    AWAIT(loop_write(&flow->sink, "", 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(p11_order_holds_when_the_peer_is_slow)
{
    enum { N = 200, PIECE = 5000 };
    static struct loop_flow *flow;
    static struct once writes[N];
    static char(*pieces)[PIECE], got[PIECE];
    static int fds[2];
    static unsigned at, offset;

    BEGIN;
    make_pair(fds);
    set_small_buffers(fds[0]);
    flow = flow_of(env->scope, fds[0]);
    pieces = malloc(sizeof *pieces * N);
    CHECK_IS(loop_sink_limit(&flow->sink, sizeof *pieces * N), 0);
    for (unsigned i = 0; i < N; i++) {
        fill_pattern(pieces[i], PIECE, i);
        START(loop_write(&flow->sink, pieces[i], PIECE, ONCE(&writes[i])));
    }
    set_nonblocking(fds[1]);
    for (at = 0, offset = 0; at < N;) {
        ssize_t n = read(fds[1], got, PIECE - offset);
        if (n > 0) {
            CHECK(is_pattern_at(got, (size_t)n, at, offset));
            offset += (unsigned)n;
            if (offset == PIECE) {
                offset = 0;
                at++;
            }
        } else {
            AWAIT(loop_op_nop(env->scope, GO));
        }
    }
    WAIT_UNTIL(writes[N - 1].count);
    for (int i = 0; i < N; i++) {
        ONCE_IS(writes[i], PIECE);
    }
    close(fds[1]);
    free(pieces);
    END;
}

LOOP_TEST(p11_only_descriptors_have_a_queue)
{
    static struct loop_sink *memory, *null;

    BEGIN;
    memory = loop_memory_sink(env->scope, 0);
    null = loop_null_sink(env->scope);
    CHECK_IS(loop_sink_limit(memory, 10), -EOPNOTSUPP);
    CHECK_IS(loop_sink_limit(null, 10), -EOPNOTSUPP);
    CHECK_IS(loop_sink_queued(memory), 0);
    CHECK(!loop_sink_is_full(null));
    END;
}

/* ---- P12: descriptors ---- */

/* From now on every new descriptor fails with EMFILE, until one with a low number is closed. */
static struct loop_listener *listen_on_loopback(struct loop_scope *scope, struct loop_address *address)
{
    struct loop_listener *listener = NULL;

    CHECK_IS(loop_address_parse(address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(scope, address, NULL, &listener), 0);
    CHECK_IS(loop_listener_address(listener, address), 0);
    return listener;
}

LOOP_TEST(p12_accept_waits_at_the_limit)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct loop_fd *ballast;
    static struct loop_stats before, after;
    static struct once accepted;
    static int client;
    static char byte;

    BEGIN;
    listener = listen_on_loopback(env->scope, &address);
    client = connect_to(&address.u.ipv4);
    ballast = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    AWAIT(turns(env->scope, 2, GO));
    forbid_fds();
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 100 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(accepted.count, 0);
    CHECK(after.turns - before.turns < 50);
    CHECK(after.descriptor_waits > 0);
    CHECK(strlen(log_text()) > 0);
    loop_fd_close(ballast);
    WAIT_UNTIL(accepted.count);
    ONCE_IS(accepted, 0);
    CHECK(flow != NULL);
    limit_fds(4096);
    CHECK_IS(send(client, "x", 1, 0), 1);
    AWAIT(loop_read(&flow->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    close(client);
    END;
}

LOOP_TEST(p12_a_waiting_accept_can_be_cancelled)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;
    static loop_job job;
    static int client;

    BEGIN;
    listener = listen_on_loopback(env->scope, &address);
    client = connect_to(&address.u.ipv4);
    AWAIT(turns(env->scope, 2, GO));
    forbid_fds();
    job = START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(accepted.count);
    ONCE_IS(accepted, -ECANCELED);
    CHECK(!flow);
    limit_fds(4096);
    /* The listener is not lost, nor the connection in its backlog. */
    AWAIT(loop_accept(env->scope, listener, &flow, GO));
    CHECK_IS(result, 0);
    close(client);
    END;
}

LOOP_TEST(p12_descriptor_wait_hears_of_a_close)
{
    static struct loop_fd *fd;
    static struct once waited, timed;
    static int64_t began;

    BEGIN;
    fd = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    began = now_ns();
    START(loop_descriptor_wait(env->scope, 30 * LOOP_SECOND, ONCE(&waited)));
    START(loop_descriptor_wait(env->scope, LOOP_MILLISECOND, ONCE(&timed)));
    WAIT_UNTIL(timed.count);
    ONCE_IS(timed, 0);
    CHECK(now_ns() - began >= LOOP_MILLISECOND);
    CHECK_IS(waited.count, 0);
    loop_fd_close(fd);
    WAIT_UNTIL(waited.count);
    ONCE_IS(waited, 0);
    CHECK(now_ns() - began < 10 * LOOP_SECOND);
    END;
}

/* ---- P13: every turn is bounded ---- */

static bool stop_flood;
static unsigned long floods;

static void zero_timer(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    floods++;
    if (result == 0 && !stop_flood) {
        loop_sleep(env->scope, 0, zero_timer, env);
    }
}

static void endless_nop(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    floods++;
    if (result == 0 && !stop_flood) {
        loop_op_nop(env->scope, endless_nop, env);
    }
}

/* Round trips over a pair of sockets, while something else keeps the loop busy: a job that ends with 0 after the last.
 */
static struct trips {
    struct loop *loop;
    struct loop_flow *flows[2];
    unsigned left;
    char buffer[4];
    loop_job job;
} trips;

static void trip_read(void *unused, int64_t result);

static void trip_written(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 4);
    CHECK(loop_read_exact(&trips.flows[1]->source, trips.buffer, 4, trip_read, NULL) != 0);
}

static void trip_read(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 4);
    if (--trips.left > 0) {
        CHECK(loop_write(&trips.flows[0]->sink, "ping", 4, trip_written, NULL) != 0);
    } else {
        stop_flood = true;
        loop_resolve(trips.loop, trips.job, 0);
    }
}

static loop_job make_round_trips(struct loop_env *env, unsigned count, loop_fn *fn, void *arg)
{
    trips = (struct trips){.loop = env->loop, .left = count, .job = loop_promise(env->scope, NULL, NULL, fn, arg)};
    make_flows(env->scope, trips.flows);
    CHECK(loop_write(&trips.flows[0]->sink, "ping", 4, trip_written, NULL) != 0);
    return trips.job;
}

LOOP_TEST(p13_zero_timers_starve_nobody)
{
    BEGIN;
    for (int i = 0; i < 10; i++) {
        START(loop_sleep(env->scope, 0, zero_timer, env));
    }
    AWAIT(make_round_trips(env, 50, GO));
    CHECK(floods > 50);
    END;
}

LOOP_TEST(p13_endless_nops_starve_nobody)
{
    BEGIN;
    for (int i = 0; i < 10; i++) {
        START(loop_op_nop(env->scope, endless_nop, env));
    }
    AWAIT(make_round_trips(env, 50, GO));
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK(floods > 50);
    END;
}

static struct loop_inbox *flooded;

static void endless_post(void *arg, int64_t result)
{
    (void)result;
    floods++;
    if (!stop_flood) {
        loop_post(flooded, endless_post, arg);
    }
}

LOOP_TEST(p13_a_flood_of_posts_starves_nobody)
{
    BEGIN;
    flooded = loop_inbox_ref(env->loop);
    for (int i = 0; i < 100; i++) {
        CHECK_IS(loop_post(flooded, endless_post, NULL), 0);
    }
    AWAIT(make_round_trips(env, 50, GO));
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    loop_inbox_unref(flooded);
    CHECK(floods > 50);
    END;
}

/* Scopes of which each starts the next when it ends. */
static void endless_scope(void *arg, int64_t error)
{
    struct loop_env *env = arg;

    CHECK_IS(error, 0);
    floods++;
    if (!stop_flood) {
        CHECK(loop_scope_open(env->scope, endless_scope, env) != NULL);
    }
}

LOOP_TEST(p13_endless_scopes_starve_nobody)
{
    BEGIN;
    CHECK(loop_scope_open(env->scope, endless_scope, env) != NULL);
    AWAIT(make_round_trips(env, 50, GO));
    CHECK(floods > 50);
    END;
}

/* The same, and each lives for as long as it takes to send something that nobody waits for. */
static void endless_sender(void *arg, int64_t error)
{
    static int peer = -1;
    int fds[2];
    struct loop_env *env = arg;

    CHECK_IS(error, 0);
    if (peer >= 0) {
        close(peer);
        peer = -1;
    }
    floods++;
    if (!stop_flood) {
        struct loop_scope *scope = loop_scope_open(env->scope, endless_sender, env);
        make_pair(fds);
        peer = fds[1];
        CHECK(loop_write(&flow_of(scope, fds[0])->sink, "x", 1, NULL, NULL) != 0);
    }
}

LOOP_TEST(p13_endless_writes_that_nobody_waits_for_starve_nobody)
{
    BEGIN;
    endless_sender(env, 0);
    AWAIT(make_round_trips(env, 50, GO));
    CHECK(floods > 50);
    END;
}

LOOP_TEST(p13_an_endless_copy_starves_nobody)
{
    static struct once copy;
    static loop_job job;

    BEGIN;
    job = START(loop_copy(env->secure_random, loop_null_sink(env->scope), ONCE(&copy)));
    AWAIT(make_round_trips(env, 50, GO));
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(copy.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(copy.count);
    CHECK(copy.result > 0 || copy.result == -ECANCELED);
    END;
}

/* Sends to itself for ever: a socket that is always ready on both sides. */
static struct loop_flow *busy[2];
static unsigned long busy_bytes;

static void busy_data(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    if (chunk && !stop_flood) {
        busy_bytes += (unsigned long)result;
        loop_write_chunk(&busy[0]->sink, chunk, (size_t)result, NULL, NULL);
    }
}

LOOP_TEST(p13_a_busy_connection_starves_nobody)
{
    static char start[30000];

    BEGIN;
    make_flows(env->scope, busy);
    START(loop_stream(&busy[1]->source, busy_data, NULL));
    START(loop_write(&busy[0]->sink, start, sizeof start, NULL, NULL));
    AWAIT(make_round_trips(env, 50, GO));
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK(busy_bytes > sizeof start);
    loop_flow_close(busy[0]);
    END;
}

/* ---- P14: nothing is allocated on the hot path ---- */

#if !HAS_SANITIZER

LOOP_TEST(p14_reads_and_writes_allocate_nothing)
{
    static struct loop_flow *flows[2];
    static char buffer[100];
    static unsigned long before;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    for (i = 0; i < 1200; i++) {
        if (i == 200) {
            before = allocations();
        }
        AWAIT(loop_write(&flows[0]->sink, "0123456789", 10, GO));
        AWAIT(loop_read_exact(&flows[1]->source, buffer, 10, GO));
    }
    CHECK_IS(allocations() - before, 0);
    END;
}

static void echo_chunk(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_flow *flow = arg;

    if (chunk) {
        loop_write_chunk(&flow->sink, chunk, (size_t)result, NULL, NULL);
    }
}

LOOP_TEST(p14_an_echo_of_chunks_allocates_nothing)
{
    static struct loop_flow *flows[2];
    static char buffer[100];
    static unsigned long before;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_stream(&flows[1]->source, echo_chunk, flows[1]));
    for (i = 0; i < 1200; i++) {
        if (i == 200) {
            before = allocations();
        }
        AWAIT(loop_write(&flows[0]->sink, "0123456789", 10, GO));
        AWAIT(loop_read_exact(&flows[0]->source, buffer, 10, GO));
    }
    CHECK_IS(allocations() - before, 0);
    loop_flow_close(flows[0]);
    END;
}

LOOP_TEST(p14_a_copy_allocates_nothing)
{
    static struct loop_flow *flows[2];
    static char buffer[100];
    static unsigned long before;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_copy(&flows[1]->source, &flows[1]->sink, NULL, NULL));
    for (i = 0; i < 1200; i++) {
        if (i == 200) {
            before = allocations();
        }
        AWAIT(loop_write(&flows[0]->sink, "0123456789", 10, GO));
        AWAIT(loop_read_exact(&flows[0]->source, buffer, 10, GO));
    }
    CHECK_IS(allocations() - before, 0);
    loop_flow_close(flows[0]);
    END;
}

LOOP_TEST(p14_timers_nops_and_posts_allocate_nothing)
{
    enum { ROUNDS = 60, N = 100 };
    static struct loop_inbox *inbox;
    static struct tally tally;
    static unsigned long before;
    static int round;

    BEGIN;
    inbox = loop_inbox_ref(env->loop);
    for (round = 0; round < ROUNDS; round++) {
        if (round == 10) {
            before = allocations();
        }
        memset(&tally, 0, sizeof tally);
        for (int i = 0; i < N; i++) {
            loop_cancel(env->loop, START(loop_sleep(env->scope, LOOP_NEVER, TALLY(&tally))));
            START(loop_sleep(env->scope, i * 100, TALLY(&tally)));
            START(loop_op_nop(env->scope, TALLY(&tally)));
            CHECK_IS(loop_post(inbox, TALLY(&tally)), 0);
        }
        WAIT_UNTIL(tally.count == 4 * N);
    }
    CHECK_IS(allocations() - before, 0);
    loop_inbox_unref(inbox);
    END;
}

#endif

/* ---- a thousand busy connections on 64 blocks ---- */

enum { CONNECTIONS = HAS_SANITIZER ? 200 : 1000, TRIPS = 5, MESSAGE = 500 };

static struct client {
    struct loop_flow *flow;
    unsigned trips;
    char message[MESSAGE];
} clients[CONNECTIONS];
static unsigned clients_done;

static void next_trip(void *client, int64_t result);

static void on_echoed(void *arg, int64_t result)
{
    struct client *client = arg;

    CHECK_IS(result, MESSAGE);
    CHECK(is_pattern(client->message, MESSAGE, (unsigned)(client - clients)));
    if (++client->trips == TRIPS) {
        clients_done++;
        loop_flow_close(client->flow);
    } else {
        next_trip(client, 0);
    }
}

static void on_sent(void *arg, int64_t result)
{
    struct client *client = arg;

    CHECK_IS(result, MESSAGE);
    memset(client->message, 0, MESSAGE);
    CHECK(loop_read_exact(&client->flow->source, client->message, MESSAGE, on_echoed, client) != 0);
}

static void next_trip(void *arg, int64_t result)
{
    struct client *client = arg;

    CHECK_IS(result, 0);
    fill_pattern(client->message, MESSAGE, (unsigned)(client - clients));
    CHECK(loop_write(&client->flow->sink, client->message, MESSAGE, on_sent, client) != 0);
}

static void serve_by_copy(struct loop_flow *flow)
{
    CHECK(loop_copy(&flow->source, &flow->sink, NULL, NULL) != 0);
}

static void echo_lent(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_flow *flow = arg;

    if (chunk) {
        loop_write_chunk(&flow->sink, chunk, (size_t)result, NULL, NULL);
    } else {
        CHECK_IS(result, 0);
    }
}

static void serve_by_stream(struct loop_flow *flow)
{
    CHECK(loop_stream(&flow->source, echo_lent, flow) != 0);
}

static int start_busy_connections(struct loop_env *env, void *serve)
{
    void (*const *served_by)(struct loop_flow *) = serve;

    clients_done = 0;
    memset(clients, 0, sizeof clients);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        struct loop_flow *flows[2];
        make_flows(env->scope, flows);
        clients[i].flow = flows[0];
        (*served_by)(flows[1]);
        next_trip(&clients[i], 0);
    }
    return 0;
}

static void check_busy_connections(void (*serve)(struct loop_flow *))
{
    int64_t began = now_ns();

    limit_fds(4096);
    CHECK_IS(run(start_busy_connections, &serve), 0);
    CHECK_IS(clients_done, CONNECTIONS);
    CHECK((now_ns() - began) / LOOP_SECOND < (HAS_SANITIZER ? 60 : 15));
}

TEST(p10_a_thousand_busy_connections_by_copy)
{
    check_busy_connections(serve_by_copy);
}

TEST(p10_a_thousand_busy_connections_by_lent_chunks)
{
    check_busy_connections(serve_by_stream);
}

static void keep_and_write(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_flow *flow = arg;

    if (chunk) {
        CHECK_IS(loop_chunk_keep(loop_scope_loop(flow->scope), chunk), 0);
        loop_write_chunk(&flow->sink, chunk, (size_t)result, NULL, NULL);
    }
}

static void serve_by_kept(struct loop_flow *flow)
{
    CHECK(loop_stream(&flow->source, keep_and_write, flow) != 0);
}

TEST(p10_a_thousand_busy_connections_by_kept_chunks)
{
    check_busy_connections(serve_by_kept);
}

/* ---- more completions at once than the completion queue holds ---- */

LOOP_TEST_WITH(p09_a_flood_of_completions_loses_none, .queue_depth = 1)
{
    enum { N = 30000 };
    static struct tally polled;
    static struct once read;
    static struct loop_flow *flows[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        START(loop_op_poll_add(NULL, flows[0]->fd, POLLIN, TALLY(&polled)));
    }
    START(loop_sleep(env->scope, LOOP_MILLISECOND, ONCE(&read)));
    WAIT_UNTIL(read.count);
    CHECK_IS(polled.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(polled.count == N);
    CHECK_IS(polled.ended_well, N);
    AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    END;
}

LOOP_TEST_WITH(p09_a_flood_of_cancels_loses_none, .queue_depth = 2)
{
    enum { N = 20000 };
    static struct loop_scope *scope;
    static struct tally polled;
    static struct once ended;
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    for (int i = 0; i < N; i++) {
        START(loop_op_poll_add(scope, flows[0]->fd, POLLIN, TALLY(&polled)));
    }
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    CHECK_IS(polled.cancelled, N);
    END;
}

LOOP_TEST_WITH(p11_the_default_limit_of_queues_is_an_option, .sink_limit_bytes = 10)
{
    static struct loop_flow *flow;
    static struct once write;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuff(fds[0]);
    START(loop_write(&flow->sink, "1234567890", 10, ONCE(&write)));
    CHECK(loop_sink_is_full(&flow->sink));
    AWAIT(loop_write(&flow->sink, "x", 1, GO));
    CHECK_IS(result, -ENOBUFS);
    drain(fds[1]);
    WAIT_UNTIL(write.count);
    close(fds[1]);
    END;
}
