/* SPDX-License-Identifier: ISC
 *
 * Reads into the program's buffer that the ring serves.
 */
#include "way.h"

static struct once kept_read;

LOOP_TEST_WITH(completions_serve_reads, COMPLETIONS)
{
    static struct loop_flow *flows[2];
    static char bytes[8];
    static struct once read;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read(&flows[0]->source, bytes, sizeof bytes, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).ring_reads, 1) || getenv("NORIA_HARD")); /* with room in the queue */
    AWAIT(loop_write(&flows[1]->sink, "bytes", 5, GO));
    WAIT_UNTIL(read.count);
    CHECK(read.result == 5 || getenv("NORIA_HARD"));
    CHECK(memcmp(bytes, "bytes", 1) == 0);
    END;
}

LOOP_TEST_WITH(completions_serve_pipes, COMPLETIONS)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct record record;
    static char bytes[8];
    static struct once read;

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    START(loop_read_exact(source, bytes, 5, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).ring_reads, 1) || getenv("NORIA_HARD")); /* with room in the queue */
    AWAIT(loop_write(sink, "first", 5, GO));
    CHECK(is_done_by_ring(env, stats_of(env).ring_sends, 1) || getenv("NORIA_HARD"));
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 5);
    CHECK(memcmp(bytes, "first", 5) == 0);
    record = (struct record){.data = bytes, .room = sizeof bytes};
    START(loop_stream(source, RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_write(sink, "second", 6, GO));
    WAIT_UNTIL(record.length == 6);
    CHECK(memcmp(bytes, "second", 6) == 0);
    AWAIT(loop_shutdown(sink, GO));
    WAIT_UNTIL(record.ends);
    END;
}

LOOP_TEST_WITH(reads_that_the_ring_serves_keep_their_order, COMPLETIONS)
{
    static struct loop_flow *flow;
    static int fds[2];
    static char bytes[3][2];
    static struct once reads[3];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_read_exact(&flow->source, bytes[0], 2, ONCE(&reads[0])));
    START(loop_read_exact(&flow->source, bytes[1], 2, ONCE(&reads[1])));
    AWAIT(turns(env->scope, 3, GO));
    START(loop_op_recv(env->scope, flow->fd, bytes[2], 2, MSG_WAITALL, ONCE(&reads[2])));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(fds[1], "abcdef", 6, 0), 6);
    WAIT_UNTIL(reads[0].count && reads[1].count && reads[2].count);
    CHECK(memcmp(bytes, "abcdef", 6) == 0);
    close(fds[1]);
    END;
}

LOOP_TEST_WITH(bytes_given_back_come_before_what_the_ring_reads, COMPLETIONS)
{
    static struct loop_flow *flow;
    static int fds[2];
    static char bytes[8];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    kept_read = (struct once){0};
    START(loop_read_exact(&flow->source, bytes, 4, ONCE(&kept_read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(fds[1], "cd", 2, 0), 2); /* the ring may have it before the next turn, and after it */
    CHECK_IS(loop_fd_unread(flow->fd, "ab", 2), 0);
    WAIT_UNTIL(kept_read.count);
    ONCE_IS(kept_read, 4);
    CHECK(memcmp(bytes, "abcd", 4) == 0);
    close(fds[1]);
    END;
}

static struct {
    struct loop_flow *flow;
    struct once read;
    char bytes[8];
} given;

static void give_back(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 1);
    CHECK_IS(loop_fd_unread(given.flow->fd, "ab", 2), 0);
}

/* Has a read of `flow` end with the peer in the same turn as a read of `trigger`, which comes first and gives back. */
static void read_at_the_end(struct loop_flow *trigger, struct loop_flow *flow)
{
    static char byte;

    memset(&given, 0, sizeof given);
    given.flow = flow;
    START(loop_read(&trigger->source, &byte, 1, give_back, NULL));
    START(loop_read(&flow->source, given.bytes, sizeof given.bytes, ONCE(&given.read)));
}

LOOP_TEST_WITH(p17_bytes_given_back_come_before_an_end_that_the_ring_reads, COMPLETIONS)
{
    static struct loop_flow *flows[2];
    static int pairs[2][2], reset;

    BEGIN;
    for (reset = 0; reset < 2; reset++) {
        for (int i = 0; i < 2; i++) {
            make_pair(pairs[i]);
            flows[i] = flow_of(env->scope, pairs[i][0]);
        }
        read_at_the_end(flows[0], flows[1]);
        AWAIT(turns(env->scope, 3, GO));
        if (reset) {
            CHECK_IS(send(pairs[1][0], "x", 1, 0), 1); /* what a peer has not read makes its close a reset */
        }
        CHECK_IS(send(pairs[0][1], "!", 1, 0), 1);
        close(pairs[1][1]);
        WAIT_UNTIL(given.read.count);
        ONCE_IS(given.read, 2);
        CHECK(memcmp(given.bytes, "ab", 2) == 0);
        AWAIT(loop_read(&flows[1]->source, given.bytes, sizeof given.bytes, GO));
        CHECK_IS(result, reset ? -ECONNRESET : 0);
        close(pairs[0][1]);
    }
    END;
}

static loop_job cancelled_read;
static bool has_taken;

static void give_back_and_cancel(void *env, int64_t result)
{
    give_back(NULL, result);
    (void)loop_cancel(((struct loop_env *)env)->loop, cancelled_read);
}

static void take_all(void *unused, int64_t result)
{
    char bytes[8];
    (void)unused;
    CHECK_IS(result, 1);
    has_taken = loop_fd_take_unread(given.flow->fd, bytes, sizeof bytes) > 0;
    script_poke();
}

/* What the ring has read for a cancelled job is put behind bytes that were given back, and taken with them. */
LOOP_TEST_WITH(p01_a_cancelled_read_ends_where_its_bytes_are_taken, COMPLETIONS)
{
    static struct loop_flow *flows[3];
    static int pairs[3][2];
    static char triggers[2];

    BEGIN;
    memset(&given, 0, sizeof given);
    has_taken = false;
    for (int i = 0; i < 3; i++) {
        make_pair(pairs[i]);
        flows[i] = flow_of(env->scope, pairs[i][0]);
    }
    given.flow = flows[1];
    START(loop_read(&flows[0]->source, &triggers[0], 1, give_back_and_cancel, env));
    cancelled_read = START(loop_read(&flows[1]->source, given.bytes, sizeof given.bytes, ONCE(&given.read)));
    START(loop_read(&flows[2]->source, &triggers[1], 1, take_all, NULL));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(pairs[0][1], "!", 1, 0), 1);
    CHECK_IS(send(pairs[1][1], "cd", 2, 0), 2);
    CHECK_IS(send(pairs[2][1], "!", 1, 0), 1);
    WAIT_UNTIL(given.read.count && has_taken);
    ONCE_IS(given.read, -ECANCELED);
    for (int i = 0; i < 3; i++) {
        close(pairs[i][1]);
    }
    END;
}

static struct loop_flow *resumed_flow;
static struct once resumed_reads[2];
static char resumed_bytes[4];

/* Starts two reads, of which the ring serves the first, and gives a byte back. */
static void read_and_give_back(void *arg, int64_t result)
{
    (void)arg;
    CHECK_IS(result, 1);
    START(loop_read(&resumed_flow->source, resumed_bytes + 1, 1, ONCE(&resumed_reads[0])));
    START(loop_read(&resumed_flow->source, resumed_bytes + 2, 1, ONCE(&resumed_reads[1])));
    CHECK_IS(loop_fd_unread(resumed_flow->fd, "b", 1), 0);
}

LOOP_TEST_WITH(p17_a_read_does_not_overtake_one_that_the_ring_has_just_begun, COMPLETIONS)
{
    static int fds[2];

    BEGIN;
    make_pair(fds);
    resumed_flow = flow_of(env->scope, fds[0]);
    resumed_reads[0] = resumed_reads[1] = (struct once){0};
    START(loop_read(&resumed_flow->source, resumed_bytes, 1, read_and_give_back, NULL));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_unread(resumed_flow->fd, "a", 1), 0);
    WAIT_UNTIL(resumed_reads[0].count || resumed_reads[1].count);
    CHECK_IS(send(fds[1], "c", 1, 0), 1);
    WAIT_UNTIL(resumed_reads[0].count && resumed_reads[1].count);
    CHECK(memcmp(resumed_bytes, "abc", 3) == 0);
    close(fds[1]);
    END;
}

LOOP_TEST_WITH(a_cancelled_read_of_the_ring_loses_no_bytes, COMPLETIONS)
{
    static struct loop_flow *flow;
    static int fds[2];
    static char bytes[8], late[8];
    static loop_job read;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    kept_read = (struct once){0};
    read = START(loop_read_exact(&flow->source, bytes, 8, ONCE(&kept_read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(fds[1], "ab", 2, 0), 2);
    CHECK_IS(loop_cancel(env->loop, read), 0);
    CHECK_IS(send(fds[1], "cd", 2, 0), 2);
    WAIT_UNTIL(kept_read.count);
    if (kept_read.result < 0) {
        ONCE_IS(kept_read, -ECANCELED);
        kept_read.result = 0;
    }
    AWAIT(loop_read_exact(&flow->source, late, 4 - (size_t)kept_read.result, GO));
    CHECK_IS(result, 4 - kept_read.result);
    memcpy(bytes + kept_read.result, late, (size_t)result);
    CHECK(memcmp(bytes, "abcd", 4) == 0);
    close(fds[1]);
    END;
}
