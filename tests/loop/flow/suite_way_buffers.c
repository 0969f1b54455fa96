/* SPDX-License-Identifier: ISC
 *
 * The buffers into which the ring receives for flows: there are fewer than flows, and none waits for another's.
 */
#include "way.h"

/* Whether at least half of the buffers are free. */
static bool has_free_buffers(const struct loop_env *env)
{
    struct loop_stats stats = stats_of(env);
    return 2 * stats.filled_buffers_now <= stats.receive_buffers_now;
}

static void ignore_bytes(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    (void)chunk;
    CHECK(result >= 0 || result == -ECANCELED);
}

/* Starts a stream in a new scope. What is left of it at the end of the test is cancelled. */
static int start_stream(struct loop_scope *scope)
{
    int fds[2];
    make_pair(fds);
    START(loop_stream(&flow_of(scope, fds[0])->source, ignore_bytes, NULL));
    return fds[1];
}

/* ---- flows that do not take what has come ---- */

enum { FLOWS = 300, SIZE = 1000 }; /* more than there are buffers, and bytes for several chunks */

static struct loop *the_loop;
static int peers[FLOWS];
static size_t n_begun, n_whole;
static bool goes_on;
static struct taker {
    loop_job stream;
    unsigned seed;
    size_t length;
} takers[FLOWS];

static void take_and_pause(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct taker *taker = arg;
    if (chunk) {
        CHECK(is_pattern_at(loop_chunk_data(chunk), (size_t)result, taker->seed, taker->length));
        n_begun += taker->length == 0;
        taker->length += (size_t)result;
        n_whole += taker->length == SIZE;
        if (!goes_on) {
            CHECK_IS(loop_pause(the_loop, taker->stream), 0);
        }
    }
    script_poke();
}

static void send_pattern(int peer, unsigned seed)
{
    char bytes[SIZE];
    fill_pattern(bytes, SIZE, seed);
    CHECK_IS(send(peer, bytes, SIZE, 0), SIZE);
}

static void close_peers(void)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        close(peers[i]);
    }
}

LOOP_TEST_WITH(flows_that_pause_leave_buffers_to_others, COMPLETIONS, .block_size = 64)
{
    static int other;

    BEGIN;
    the_loop = env->loop;
    for (unsigned i = 0; i < FLOWS; i++) {
        int fds[2];
        make_pair(fds);
        peers[i] = fds[1];
        takers[i].seed = i;
        takers[i].stream = START(loop_stream(&flow_of(env->scope, fds[0])->source, take_and_pause, &takers[i]));
    }
    AWAIT(turns(env->scope, 3, GO));
    for (unsigned i = 0; i < FLOWS; i++) {
        send_pattern(peers[i], i);
    }
    WAIT_UNTIL(n_begun == FLOWS);
    AWAIT(turns(env->scope, 5, GO));
    CHECK(has_free_buffers(env));
    other = start_stream(env->scope);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, 1));
    goes_on = true;
    for (unsigned i = 0; i < FLOWS; i++) {
        CHECK_IS(loop_resume(env->loop, takers[i].stream), 0);
    }
    WAIT_UNTIL(n_whole == FLOWS);
    close_peers();
    close(other);
    loop_stop(env->loop, 0);
    END;
}

LOOP_TEST_WITH(copies_whose_sink_is_full_leave_buffers_to_others, COMPLETIONS)
{
    static struct loop_flow *to;
    static struct tally copies;
    static int fds[2], other;
    static size_t n_stuffed, n_passed;

    BEGIN;
    make_pair(fds);
    to = flow_of(env->scope, fds[0]);
    n_stuffed = stuff(fds[0]);
    for (unsigned i = 0; i < FLOWS; i++) {
        int ends[2];
        make_pair(ends);
        peers[i] = ends[1];
        START(loop_copy(&flow_of(env->scope, ends[0])->source, &to->sink, TALLY(&copies)));
    }
    AWAIT(turns(env->scope, 3, GO));
    for (unsigned i = 0; i < FLOWS; i++) {
        send_pattern(peers[i], i);
        close(peers[i]);
    }
    AWAIT(turns(env->scope, 2 * FLOWS, GO));
    CHECK(has_free_buffers(env));
    other = start_stream(env->scope);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, 1));
    while (copies.count < FLOWS) {
        n_passed += drain(fds[1]);
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK_IS(n_passed + drain(fds[1]), n_stuffed + (size_t)FLOWS * SIZE);
    CHECK_IS(copies.others, 0);
    close(fds[1]);
    close(other);
    loop_stop(env->loop, 0);
    END;
}

/* ---- more busy flows than buffers, and than blocks of the region ---- */

enum { BUSY = 1000, ROUNDS = 20, MESSAGE = 64, BLOCKS = 64, LARGE_BUSY = 300, LARGE_MESSAGE = 16384 };

static int busy[BUSY];

static void echo_to_peers(struct loop_scope *scope, unsigned count)
{
    (void)limit_fds(2 * BUSY + 100);
    for (unsigned i = 0; i < count; i++) {
        int fds[2];
        make_pair(fds);
        busy[i] = fds[1];
        struct loop_flow *flow = flow_of(scope, fds[0]);
        START(loop_copy(&flow->source, &flow->sink, NULL, NULL));
    }
}

static void ask_all(unsigned count, size_t size)
{
    static const char message[LARGE_MESSAGE];
    for (unsigned i = 0; i < count; i++) {
        CHECK_IS(send(busy[i], message, size, 0), size);
    }
}

static size_t drain_all(unsigned count)
{
    size_t n = 0;
    for (unsigned i = 0; i < count; i++) {
        n += drain(busy[i]);
    }
    return n;
}

static void close_busy(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        close(busy[i]);
    }
}

/* Each gets its answer in each round, so none starves; and all together need no more calls than messages. */
LOOP_TEST_WITH(a_thousand_busy_flows_are_served_with_64_blocks, COMPLETIONS, .n_blocks = BLOCKS)
{
    static unsigned round;
    static size_t n_answered;
    static uint64_t n_enters;

    BEGIN;
    echo_to_peers(env->scope, BUSY);
    for (round = 0; round < ROUNDS; round++) {
        n_enters = round == ROUNDS / 2 ? stats_of(env).enters : n_enters;
        AWAIT(turns(env->scope, 3, GO));
        ask_all(BUSY, MESSAGE);
        for (n_answered = 0; n_answered < (size_t)BUSY * MESSAGE; n_answered += drain_all(BUSY)) {
            AWAIT(turns(env->scope, 1, GO));
        }
        CHECK_IS(n_answered, (size_t)BUSY * MESSAGE);
    }
    CHECK(stats_of(env).enters - n_enters < (uint64_t)BUSY * ROUNDS / 2 || getenv("NORIA_HARD"));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, BUSY));
    CHECK_IS(stats_of(env).filled_buffers_now, 0);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    close_busy(BUSY);
    loop_stop(env->loop, 0);
    END;
}

/* A message that finds no buffer is read and written by calls. Few do, although a round has more messages than there
 * are large buffers. The ring of a loop with a host does not defer its work, and receives all of them at once. */
LOOP_TEST_WITH(messages_larger_than_a_small_buffer_find_large_ones, COMPLETIONS)
{
    static unsigned round;
    static size_t n_answered;
    static uint64_t n_sent;

    BEGIN;
    echo_to_peers(env->scope, LARGE_BUSY);
    for (round = 0; round < ROUNDS; round++) {
        n_sent = round == ROUNDS / 2 ? stats_of(env).ring_sends : n_sent;
        AWAIT(turns(env->scope, 3, GO));
        ask_all(LARGE_BUSY, LARGE_MESSAGE);
        for (n_answered = 0; n_answered < (size_t)LARGE_BUSY * LARGE_MESSAGE; n_answered += drain_all(LARGE_BUSY)) {
            AWAIT(turns(env->scope, 1, GO));
        }
        CHECK_IS(n_answered, (size_t)LARGE_BUSY * LARGE_MESSAGE);
    }
    n_sent = stats_of(env).ring_sends - n_sent;
    CHECK(n_sent >= expected_flows(env, LARGE_BUSY * ROUNDS / 2 * 9 / 10) || getenv("NORIA_HARD") || is_hosted());
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, LARGE_BUSY) || is_hosted());
    CHECK_IS(stats_of(env).filled_buffers_now, 0);
    close_busy(LARGE_BUSY);
    loop_stop(env->loop, 0);
    END;
}

/* ---- a program that has all chunks ---- */

static size_t n_received;

static void count_bytes(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    n_received += chunk ? (size_t)result : 0;
    script_poke();
}

LOOP_TEST_WITH(flows_without_a_chunk_keep_no_buffer_from_others, COMPLETIONS, .n_blocks = BLOCKS)
{
    static struct loop_chunk *chunks[BLOCKS];
    static int other;

    BEGIN;
    for (unsigned i = 0; i < BLOCKS; i++) {
        chunks[i] = loop_chunk_alloc(env->loop);
        CHECK(chunks[i] || is_hard("onechunk"));
    }
    for (unsigned i = 0; i < FLOWS; i++) {
        int fds[2];
        make_pair(fds);
        peers[i] = fds[1];
        START(loop_stream(&flow_of(env->scope, fds[0])->source, count_bytes, NULL));
    }
    AWAIT(turns(env->scope, 3, GO));
    for (unsigned i = 0; i < FLOWS; i++) {
        send_pattern(peers[i], i);
    }
    AWAIT(turns(env->scope, 2 * FLOWS, GO));
    CHECK_IS(n_received, 0);
    CHECK(has_free_buffers(env));
    other = start_stream(env->scope);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, 1));
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK_IS(loop_chunk_free(env->loop, chunks[i]), 0);
    }
    WAIT_UNTIL(n_received == (size_t)FLOWS * SIZE);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, FLOWS + 1) || is_hard("onechunk"));
    CHECK_IS(stats_of(env).filled_buffers_now, 0);
    close_peers();
    close(other);
    loop_stop(env->loop, 0);
    END;
}
