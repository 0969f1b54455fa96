/* SPDX-License-Identifier: ISC
 *
 * The two ways in which flows move bytes: readiness with system calls, and receives and sends of the ring. What a
 * program sees is the same.
 */
#include "way.h"

#include <sys/ioctl.h>

/* ---- which way ---- */

TEST(an_unknown_way_is_refused)
{
    CHECK_IS(run_with(&(struct loop_options){.way = LOOP_WAY_COMPLETIONS + 1}, NULL, NULL), -EINVAL);
}

static int end_at_once(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    return 7;
}

TEST(a_way_is_chosen_by_the_environment)
{
    CHECK_IS(setenv("LOOP_WAY", "sideways", 1), 0);
    CHECK_IS(run(end_at_once, NULL), -EINVAL);
    CHECK(strstr(log_text(), "sideways") != NULL);
    CHECK_IS(run_with(&(struct loop_options){COMPLETIONS}, end_at_once, NULL), 7);
    CHECK_IS(setenv("LOOP_WAY", "completions", 1), 0);
    CHECK_IS(run(end_at_once, NULL), 7);
}

LOOP_TEST_WITH(readiness_can_be_forced, .way = LOOP_WAY_READINESS)
{
    static struct loop_flow *flows[2];
    static struct record record;
    static char bytes[8];

    BEGIN;
    record = (struct record){.data = bytes, .room = sizeof bytes};
    make_flows(env->scope, flows);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(loop_write(&flows[1]->sink, "bytes", 5, GO));
    WAIT_UNTIL(record.length == 5);
    CHECK(stats_of(env).received_flows_now == 0 || is_hard("ways"));
    CHECK(stats_of(env).ring_sends == 0 || is_hard("ways"));
    loop_stop(env->loop, 0);
    END;
}

LOOP_TEST_WITH(completions_serve_streams_and_writes, COMPLETIONS)
{
    static struct loop_flow *flows[2];
    static struct record record;
    static char bytes[8];
    static loop_job stream;

    BEGIN;
    record = (struct record){.data = bytes, .room = sizeof bytes};
    make_flows(env->scope, flows);
    stream = START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(loop_write(&flows[1]->sink, "bytes", 5, GO));
    WAIT_UNTIL(record.length == 5);
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, 1));
    CHECK(stats_of(env).ring_sends == expected_flows(env, 1) || getenv("NORIA_HARD")); /* with room in the queue */
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    WAIT_UNTIL(record.ends);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(stats_of(env).received_flows_now, 0);
    END;
}

/* ---- what the ring has received belongs to the descriptor ---- */

LOOP_TEST_WITH(bytes_that_no_stream_takes_stay_in_the_socket, COMPLETIONS)
{
    static struct loop_flow *flow;
    static struct record record;
    static loop_job stream;
    static int fds[2], waiting;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stream = START(loop_stream(&flow->source, RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    CHECK_IS(send(fds[1], "later", 5, 0), 5);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(ioctl(fds[0], FIONREAD, &waiting), 0);
    CHECK_IS(waiting, 5);
    close(fds[1]);
    END;
}

static struct loop *stopped_loop;
static loop_job stopped_stream;
static struct record stopped_record;

static void stop_after_one(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    record_stream(&stopped_record, result, chunk);
    if (chunk) {
        (void)loop_cancel(stopped_loop, stopped_stream);
    }
}

LOOP_TEST_WITH(bytes_behind_a_cancelled_stream_come_to_the_next_read, COMPLETIONS)
{
    enum { SIZE = 20000 };
    static char sent[SIZE], bytes[SIZE];
    static struct loop_flow *flow;
    static int fds[2];
    static struct once read;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    fill_pattern(sent, SIZE, 5);
    stopped_loop = env->loop;
    stopped_record = (struct record){.data = bytes, .room = SIZE};
    stopped_stream = START(loop_stream(&flow->source, stop_after_one, NULL));
    AWAIT(turns(env->scope, 3, GO));
    for (size_t at = 0; at < SIZE; at += 500) {
        CHECK_IS(send(fds[1], sent + at, 500, 0), 500);
    }
    WAIT_UNTIL(stopped_record.ends);
    CHECK(stopped_record.length < SIZE);
    START(loop_read_exact(&flow->source, bytes + stopped_record.length, SIZE - stopped_record.length, ONCE(&read)));
    WAIT_UNTIL(read.count);
    CHECK(is_pattern(bytes, SIZE, 5));
    close(fds[1]);
    END;
}

LOOP_TEST_WITH(bytes_behind_a_cancelled_stream_go_along_with_a_take, COMPLETIONS)
{
    enum { SIZE = 20000 };
    static char sent[SIZE], bytes[SIZE];
    static struct loop_flow *flow;
    static struct loop_fd *fd;
    static int fds[2];
    static struct once take;
    static size_t length;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    fd = flow->fd;
    fill_pattern(sent, SIZE, 6);
    stopped_loop = env->loop;
    stopped_record = (struct record){.data = bytes, .room = SIZE};
    stopped_stream = START(loop_stream(&flow->source, stop_after_one, NULL));
    AWAIT(turns(env->scope, 3, GO));
    for (size_t at = 0; at < SIZE; at += 500) {
        CHECK_IS(send(fds[1], sent + at, 500, 0), 500);
    }
    WAIT_UNTIL(stopped_record.ends);
    START(loop_fd_take(fd, ONCE(&take)));
    WAIT_UNTIL(take.count);
    CHECK(take.result >= 0);
    length = stopped_record.length;
    length += loop_fd_take_unread(fd, bytes + length, SIZE - length);
    if (length < SIZE) {
        CHECK_IS(recv((int)take.result, bytes + length, SIZE - length, MSG_DONTWAIT), SIZE - length);
    }
    CHECK(is_pattern(bytes, SIZE, 6));
    close((int)take.result);
    close(fds[1]);
    END;
}

static struct loop_flow *closed_flow;

static void close_after_one(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    record_stream(&stopped_record, result, chunk);
    if (chunk) {
        loop_flow_close(closed_flow);
    }
}

LOOP_TEST_WITH(a_close_with_bytes_that_nobody_has_read_resets, COMPLETIONS)
{
    enum { SIZE = 20000 };
    static char bytes[SIZE], byte;
    static int fds[2];

    BEGIN;
    make_tcp_pair(fds);
    closed_flow = flow_of(env->scope, fds[0]);
    stopped_record = (struct record){.data = bytes, .room = SIZE};
    START(loop_stream(&closed_flow->source, close_after_one, NULL));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(fds[1], bytes, SIZE, 0), SIZE);
    WAIT_UNTIL(stopped_record.ends);
    CHECK(stopped_record.length < SIZE);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(recv(fds[1], &byte, 1, 0), -1);
    CHECK_IS(errno, ECONNRESET);
    close(fds[1]);
    END;
}

/* ---- what waits behind a copy ---- */

static struct {
    struct loop *loop;
    loop_job copy;
    struct loop_sink *sink; /* written to as well, if not NULL */
    struct loop_fd *fd;     /* of the sink */
    struct once copied, written, shut;
} behind;

/* Resumed after the copy has read, in the same turn: a send of the ring is still to be submitted. */
static void cancel_behind(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    (void)result;
    if (chunk) {
        (void)loop_cancel(behind.loop, behind.copy);
        if (behind.sink) {
            START(loop_write(behind.sink, "cd", 2, ONCE(&behind.written)));
        }
    }
}

/* Has `trigger` cancel a copy between two flows. */
static void copy_until_cancelled(struct loop_env *env, struct loop_flow *source, struct loop_flow *sink,
                                 struct loop_flow *trigger)
{
    memset(&behind, 0, sizeof behind);
    behind.loop = env->loop;
    behind.copy = START(loop_copy(&source->source, &sink->sink, ONCE(&behind.copied)));
    START(loop_stream(&trigger->source, cancel_behind, NULL));
}

LOOP_TEST_WITH(a_read_behind_a_copy_that_is_cancelled_while_it_sends_goes_on, COMPLETIONS)
{
    static struct loop_flow *flows[3];
    static int pairs[3][2], i;
    static struct once read;
    static char bytes[4];

    BEGIN;
    for (i = 0; i < 3; i++) {
        i == 0 ? make_tcp_pair(pairs[i]) : make_pair(pairs[i]);
        flows[i] = flow_of(env->scope, pairs[i][0]);
    }
    copy_until_cancelled(env, flows[0], flows[1], flows[2]);
    START(loop_read(&flows[0]->source, bytes, sizeof bytes, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(pairs[0][1], "ab", 2, 0), 2);
    CHECK_IS(shutdown(pairs[0][1], SHUT_WR), 0);
    CHECK_IS(send(pairs[2][1], "!", 1, 0), 1);
    WAIT_UNTIL(behind.copied.count && read.count);
    CHECK(read.result + (behind.copied.result > 0 ? behind.copied.result : 0) == 2 || is_hard("short"));
    for (i = 0; i < 3; i++) {
        close(pairs[i][1]);
    }
    loop_stop(env->loop, 0);
    END;
}

LOOP_TEST_WITH(a_write_behind_a_copy_that_is_cancelled_while_it_sends_goes_on, COMPLETIONS)
{
    static struct loop_flow *flows[3];
    static int pairs[3][2], i;
    static char much[4096];

    BEGIN;
    for (i = 0; i < 3; i++) {
        make_pair(pairs[i]);
        flows[i] = flow_of(env->scope, pairs[i][0]);
    }
    copy_until_cancelled(env, flows[0], flows[1], flows[2]);
    behind.sink = &flows[1]->sink;
    while (send(pairs[1][0], much, sizeof much, MSG_DONTWAIT) > 0) {
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(pairs[0][1], "ab", 2, 0), 2);
    CHECK_IS(send(pairs[2][1], "!", 1, 0), 1);
    WAIT_UNTIL(behind.copied.count);
    ONCE_IS(behind.copied, -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    while (recv(pairs[1][1], much, sizeof much, MSG_DONTWAIT) > 0) {
    }
    WAIT_UNTIL(behind.written.count);
    ONCE_IS(behind.written, 2);
    for (i = 0; i < 3; i++) {
        close(pairs[i][1]);
    }
    loop_stop(env->loop, 0);
    END;
}

LOOP_TEST_WITH(bytes_behind_a_copy_that_is_cancelled_while_it_sends_stay_in_the_socket, COMPLETIONS)
{
    static struct loop_flow *flows[3];
    static int pairs[3][2], i, waiting;

    BEGIN;
    for (i = 0; i < 3; i++) {
        make_pair(pairs[i]);
        flows[i] = flow_of(env->scope, pairs[i][0]);
    }
    copy_until_cancelled(env, flows[0], flows[1], flows[2]);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(pairs[0][1], "a", 1, 0), 1);
    CHECK_IS(send(pairs[2][1], "!", 1, 0), 1);
    WAIT_UNTIL(behind.copied.count);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(pairs[0][1], "later", 5, 0), 5);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(ioctl(pairs[0][0], FIONREAD, &waiting), 0);
    CHECK_IS(waiting, 5);
    for (i = 0; i < 3; i++) {
        close(pairs[i][1]);
    }
    loop_stop(env->loop, 0);
    END;
}

enum followed { BY_SHUTDOWN, BY_WRITE, BY_OPERATION }; /* and by a shutdown */

/* Resumed after the copy has read, in the same turn. */
static void follow(void *arg, int64_t result, struct loop_chunk *chunk)
{
    enum followed *by = arg;

    (void)result;
    if (chunk && *by == BY_WRITE) {
        START(loop_write(behind.sink, "c", 1, ONCE(&behind.written)));
    }
    if (chunk && *by == BY_OPERATION) {
        START(loop_op_send(loop_fd_scope(behind.fd), behind.fd, "c", 1, MSG_NOSIGNAL, ONCE(&behind.written)));
    }
    if (chunk) {
        START(loop_shutdown(behind.sink, ONCE(&behind.shut)));
    }
}

/* Copies from the first flow to the second. What comes on the third has something follow the copy. */
static void follow_copy(struct loop_flow *const flows[3], enum followed by)
{
    static enum followed followed;

    followed = by;
    behind.sink = &flows[1]->sink;
    behind.fd = flows[1]->fd;
    START(loop_copy(&flows[0]->source, behind.sink, ONCE(&behind.copied)));
    START(loop_stream(&flows[2]->source, follow, &followed));
}

LOOP_TEST_WITH(p11_a_shutdown_behind_a_copy_that_sends_follows_its_bytes, COMPLETIONS)
{
    static struct loop_flow *flows[3];
    static int pairs[3][2], i;
    static char got[8];

    BEGIN;
    for (i = 0; i < 3; i++) {
        make_tcp_pair(pairs[i]);
        flows[i] = flow_of(env->scope, pairs[i][0]);
    }
    follow_copy(flows, BY_SHUTDOWN);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(pairs[0][1], "ab", 2, 0), 2);
    CHECK_IS(send(pairs[2][1], "!", 1, 0), 1);
    WAIT_UNTIL(behind.shut.count);
    ONCE_IS(behind.shut, 0);
    CHECK_IS(recv(pairs[1][1], got, sizeof got, MSG_WAITALL), 2);
    CHECK_TEXT(got, "ab");
    for (i = 0; i < 3; i++) {
        close(pairs[i][1]);
    }
    loop_stop(env->loop, 0);
    END;
}

LOOP_TEST_WITH(p11_what_is_sent_behind_a_copy_that_finds_no_room_follows_its_bytes, COMPLETIONS)
{
    static struct loop_flow *flows[3];
    static int pairs[3][2], i, by;
    static size_t n_stuffed;
    static char got[8];

    BEGIN;
    for (by = BY_WRITE; by <= BY_OPERATION; by++) {
        behind.copied = behind.written = behind.shut = (struct once){0};
        for (i = 0; i < 3; i++) {
            make_pair(pairs[i]);
            flows[i] = flow_of(env->scope, pairs[i][0]);
        }
        follow_copy(flows, (enum followed)by);
        n_stuffed = stuff(pairs[1][0]);
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(send(pairs[0][1], "ab", 2, 0), 2);
        CHECK_IS(send(pairs[2][1], "!", 1, 0), 1);
        AWAIT(turns(env->scope, 5, GO));
        CHECK_IS(behind.shut.count, 0);
        CHECK_IS(drain(pairs[1][1]), n_stuffed);
        WAIT_UNTIL(behind.shut.count);
        ONCE_IS(behind.written, 1);
        ONCE_IS(behind.shut, 0);
        CHECK_IS(recv(pairs[1][1], got, sizeof got, MSG_WAITALL), 3);
        CHECK_TEXT(got, "abc");
        for (i = 0; i < 3; i++) {
            close(pairs[i][1]);
        }
        WAIT_UNTIL(behind.copied.count);
    }
    loop_stop(env->loop, 0);
    END;
}

/* ---- going over ---- */

static size_t n_received, n_ended;

static void count_bytes(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    n_received += chunk ? (size_t)result : 0;
    if (!chunk) {
        CHECK_IS(result, 0);
        n_ended++;
    }
    script_poke();
}

enum { FLOWS = 300, SIZE = 64 };

static int peers[FLOWS];

/* Makes flows and their peers, and streams what the peers send. */
static void stream_from_peers(struct loop_scope *scope)
{
    n_received = n_ended = 0;
    for (unsigned i = 0; i < FLOWS; i++) {
        int fds[2];
        make_pair(fds);
        peers[i] = fds[1];
        START(loop_stream(&flow_of(scope, fds[0])->source, count_bytes, NULL));
    }
}

static void send_from_peers(void)
{
    static const char message[SIZE];

    for (unsigned i = 0; i < FLOWS; i++) {
        CHECK_IS(send(peers[i], message, SIZE, 0), SIZE);
    }
}

static void close_peers(void)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        close(peers[i]);
    }
}

LOOP_TEST_WITH(flows_without_a_free_buffer_go_by_readiness_and_come_back, COMPLETIONS)
{
    static unsigned round;

    BEGIN;
    stream_from_peers(env->scope);
    for (round = 1; round <= 3; round++) {
        AWAIT(turns(env->scope, 3, GO));
        send_from_peers();
        WAIT_UNTIL(n_received == (size_t)round * FLOWS * SIZE);
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, FLOWS));
    close_peers();
    WAIT_UNTIL(n_ended == FLOWS);
    END;
}

/* In a submission queue with two entries the stream's receive gets the second, and waits in line for the next: the
 * watch for a hang-up. */
LOOP_TEST_WITH(a_flow_is_watched_for_a_hang_up_once_when_queues_are_full, COMPLETIONS, .queue_depth = 2)
{
    static struct loop_flow *flow;
    static struct record records[2];
    static struct once nothing;
    static loop_job stream;
    static int fds[2];
    char byte;

    BEGIN;
    stream_from_peers(env->scope);
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    AWAIT(turns(env->scope, 1, GO));
    START(loop_op_nop(env->scope, ONCE(&nothing)));
    stream = START(loop_stream(&flow->source, RECORD(&records[0])));
    AWAIT(turns(env->scope, 1, GO));
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    START(loop_stream(&flow->source, RECORD(&records[1])));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(shutdown(fds[1], SHUT_WR), 0);
    WAIT_UNTIL(records[1].ends);
    loop_fd_destroy(flow->fd);
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(recv(fds[1], &byte, 1, MSG_DONTWAIT), 0);
    close(fds[1]);
    close_peers();
    END;
}

static void many_at_once(struct loop_env *env, int64_t result)
{
    static unsigned round;

    BEGIN;
    stream_from_peers(env->scope);
    for (round = 1; round <= 30; round++) {
        AWAIT(turns(env->scope, 3, GO));
        send_from_peers();
        WAIT_UNTIL(n_received == (size_t)round * FLOWS * SIZE);
    }
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, FLOWS));
    close_peers();
    WAIT_UNTIL(n_ended == FLOWS);
    END;
}

TEST(many_flows_with_input_at_once_are_received_for_where_calls_are_cheap_too)
{
    CHECK_IS(unsetenv("LOOP_WAY"), 0);
    script_run(&(struct loop_options){.way = LOOP_WAY_AUTO}, many_at_once);
}

/* A pipe's poll for room stays armed, but not once the loop has gone over: the ring does not write beside it. */
static void full_pipe_before(struct loop_env *env, int64_t result)
{
    static struct loop_flow *flow;
    static struct once writes[2];
    static uint64_t before;
    static int fds[2], other;
    static unsigned round;

    BEGIN;
    make_pipe(fds);
    other = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
    flow = flow_of(env->scope, fds[1]);
    stuff(other);
    START(loop_write(&flow->sink, "a", 1, ONCE(&writes[0])));
    AWAIT(turns(env->scope, 3, GO));
    drain(fds[0]);
    WAIT_UNTIL(writes[0].count);
    stream_from_peers(env->scope);
    for (round = 1; round <= 30; round++) {
        AWAIT(turns(env->scope, 3, GO));
        send_from_peers();
        WAIT_UNTIL(n_received == (size_t)round * FLOWS * SIZE);
    }
    stuff(other);
    START(loop_write(&flow->sink, "b", 1, ONCE(&writes[1])));
    AWAIT(turns(env->scope, 3, GO));
    drain(fds[0]);
    WAIT_UNTIL(writes[1].count);
    AWAIT(turns(env->scope, 3, GO));
    before = stats_of(env).ring_sends;
    AWAIT(loop_write(&flow->sink, "c", 1, GO));
    CHECK(is_done_by_ring(env, stats_of(env).ring_sends - before, 1) ||
          getenv("NORIA_HARD")); /* with room in the queue */
    CHECK_IS(drain(fds[0]), 2);
    close(fds[0]);
    close(other);
    close_peers();
    WAIT_UNTIL(n_ended == FLOWS);
    END;
}

TEST(a_pipe_that_was_full_is_written_by_the_ring_once_many_flows_have_input)
{
    CHECK_IS(unsetenv("LOOP_WAY"), 0);
    script_run(&(struct loop_options){.way = LOOP_WAY_AUTO}, full_pipe_before);
}

LOOP_TEST_WITH(a_flow_with_much_to_read_gets_large_buffers_for_a_while, COMPLETIONS)
{
    enum { MUCH = 100000, MESSAGES = 70 };
    static struct loop_flow *flows[2];
    static struct record record;
    static char bytes[MUCH + MESSAGES], sent[MUCH];
    static unsigned n;

    BEGIN;
    record = (struct record){.data = bytes, .room = sizeof bytes};
    fill_pattern(sent, MUCH, 8);
    make_flows(env->scope, flows);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_write(&flows[1]->sink, sent, MUCH, GO));
    WAIT_UNTIL(record.length == MUCH);
    CHECK(is_pattern(bytes, MUCH, 8));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, 1));
    for (n = 0; n < MESSAGES; n++) {
        AWAIT(loop_write(&flows[1]->sink, sent, 1, GO));
        WAIT_UNTIL(record.length == MUCH + n + 1);
    }
    CHECK(is_done_by_ring(env, stats_of(env).received_flows_now, 1));
    loop_stop(env->loop, 0);
    END;
}
