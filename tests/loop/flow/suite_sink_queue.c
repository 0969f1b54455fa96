/* SPDX-License-Identifier: ISC
 *
 * The queue of a sink (P11): its limit, refused writes, order, and waiting until it has drained.
 */
#include "harness.h"

/* ---- P11: a sink's queue ---- */

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

static struct {
    struct loop_sink *sink;
    struct once again[2];
} refusals;

static void write_again(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, -ENOBUFS);
    START(loop_write(refusals.sink, "1", 1, ONCE(&refusals.again[0])));
}

/* There is room now, but what was written again has been refused. */
static void make_room_and_write_again(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, -ENOBUFS);
    CHECK_IS(loop_sink_limit(refusals.sink, SIZE_MAX), 0);
    CHECK(loop_sink_is_full(refusals.sink));
    START(loop_write(refusals.sink, "2", 1, ONCE(&refusals.again[1])));
}

LOOP_TEST(p11_a_write_refused_again_is_not_overtaken)
{
    static struct once write;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    refusals.sink = &flow_of(env->scope, fds[0])->sink;
    stuff(fds[0]);
    CHECK_IS(loop_sink_limit(refusals.sink, 1), 0);
    START(loop_write(refusals.sink, "0", 1, ONCE(&write)));
    START(loop_write(refusals.sink, "1", 1, write_again, NULL));
    START(loop_write(refusals.sink, "2", 1, make_room_and_write_again, NULL));
    WAIT_UNTIL(refusals.again[0].count && refusals.again[1].count);
    ONCE_IS(refusals.again[0], -ENOBUFS);
    ONCE_IS(refusals.again[1], -ENOBUFS);
    CHECK(!loop_sink_is_full(refusals.sink));
    drain(fds[1]);
    WAIT_UNTIL(write.count);
    close(fds[1]);
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

/* ---- more completions at once than the completion queue holds ---- */

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
