/* SPDX-License-Identifier: ISC
 *
 * loop_write and its forms (P5): what a write says of what went out, however it ends.
 */
#include "harness.h"

/* ---- P5: what a write says ---- */

LOOP_TEST(p05_a_cancelled_write_says_how_much_went_out)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write;
    static char *bytes, *got;
    static loop_job job;
    static int fds[2];
    static size_t length;

    BEGIN;
    make_pair(fds);
    bytes = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(bytes, SIZE, 5);
    flow = flow_of(env->scope, fds[0]);
    job = START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(write.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    CHECK(write.result > 0 && write.result < SIZE);
    set_nonblocking(fds[1]);
    while (length < SIZE) {
        ssize_t n = read(fds[1], got + length, SIZE - length);
        if (n <= 0) {
            break;
        }
        length += (size_t)n;
    }
    CHECK_IS(length, write.result);
    CHECK(is_pattern(got, length, 5));
    AWAIT(loop_write(&flow->sink, "after", 5, GO));
    CHECK_IS(result, 5);
    CHECK_IS(read(fds[1], got, 16), 5);
    close(fds[1]);
    free(bytes);
    free(got);
    END;
}

LOOP_TEST(p05_a_write_cancelled_before_it_began_wrote_nothing)
{
    static struct loop_flow *flow;
    static struct once write;
    static loop_job job;
    static int fds[2];
    static size_t stuffed;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    job = START(loop_write(&flow->sink, "never", 5, ONCE(&write)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    ONCE_IS(write, -ECANCELED);
    CHECK_IS(drain(fds[1]), stuffed);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(drain(fds[1]), 0);
    close(fds[1]);
    END;
}

LOOP_TEST(p05_a_queued_write_can_be_cancelled_between_two_others)
{
    static struct loop_flow *flow;
    static struct once writes[3];
    static loop_job jobs[3];
    static int fds[2];
    static size_t stuffed;
    static char tail[8];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    jobs[0] = START(loop_write(&flow->sink, "one", 3, ONCE(&writes[0])));
    jobs[1] = START(loop_write(&flow->sink, "two", 3, ONCE(&writes[1])));
    jobs[2] = START(loop_write(&flow->sink, "six", 3, ONCE(&writes[2])));
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(writes[1], -ECANCELED);
    CHECK_IS(drain(fds[1]), stuffed);
    WAIT_UNTIL(writes[0].count && writes[2].count);
    ONCE_IS(writes[0], 3);
    ONCE_IS(writes[2], 3);
    CHECK_IS(recv(fds[1], tail, 6, MSG_WAITALL), 6);
    CHECK(memcmp(tail, "onesix", 6) == 0);
    close(fds[1]);
    END;
}

LOOP_TEST(p05_a_peer_that_goes_in_between_leaves_a_count_or_an_error)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write, later;
    static char *bytes;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    bytes = calloc(1, SIZE);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, SIZE_MAX), 0);
    CHECK_IS(loop_sink_limit(&flow->sink, 4 * SIZE), 0);
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&later)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(write.count, 0);
    close(fds[1]);
    WAIT_UNTIL(write.count && later.count);
    CHECK(write.result > 0 && write.result < SIZE);
    CHECK(later.result == -EPIPE || later.result == -ECONNRESET);
    free(bytes);
    END;
}

LOOP_TEST(p05_close_leaves_a_count)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write, later;
    static char *bytes;
    static int fds[2];
    static size_t length;

    BEGIN;
    make_pair(fds);
    bytes = calloc(1, SIZE);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, SIZE_MAX), 0);
    CHECK_IS(loop_sink_limit(&flow->sink, 4 * SIZE), 0);
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&later)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(loop_flow_close(flow), 0);
    WAIT_UNTIL(write.count && later.count);
    CHECK(write.result > 0 && write.result < SIZE);
    ONCE_IS(later, -ECANCELED);
    length = drain(fds[1]);
    CHECK_IS(length, write.result);
    close(fds[1]);
    free(bytes);
    END;
}

LOOP_TEST(p05_a_cancelled_gather_counts_over_its_vectors)
{
    enum { N = 64, PIECE = 65536 };
    static struct iovec vectors[N];
    static struct loop_flow *flow;
    static struct once write;
    static char *bytes;
    static loop_job job;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    bytes = malloc((size_t)N * PIECE);
    fill_pattern(bytes, (size_t)N * PIECE, 9);
    for (int i = 0; i < N; i++) {
        vectors[i] = (struct iovec){bytes + (size_t)i * PIECE, PIECE};
    }
    flow = flow_of(env->scope, fds[0]);
    job = START(loop_writev(&flow->sink, vectors, N, ONCE(&write)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    CHECK(write.result > 0 && write.result < (int64_t)N * PIECE);
    CHECK_IS(drain(fds[1]), write.result);
    close(fds[1]);
    free(bytes);
    END;
}

/* ---- P23: bad arguments ---- */

LOOP_TEST(p23_nothing_to_write_is_written)
{
    static struct loop_flow *flows[2];
    static struct iovec empty[3];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_write(&flows[0]->sink, NULL, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_writev(&flows[0]->sink, empty, 3, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_writev(&flows[0]->sink, NULL, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read_exact(&flows[0]->source, NULL, 0, GO));
    CHECK(result == 0 || result == -EINVAL);
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
