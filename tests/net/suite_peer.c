/* SPDX-License-Identifier: ISC
 *
 * Peers that reset, stall, trickle or half-close, and the results that the loop reports.
 */
#include "sockets.h"

enum { FEW = HAS_SANITIZER ? 200 : 1000 };

/* ---- peers ---- */

static void tcp_flow(struct loop_scope *scope, struct loop_flow **flow, int *peer)
{
    int fds[2];

    make_tcp_pair(fds);
    *flow = flow_of(scope, fds[0]);
    *peer = fds[1];
}

static struct once received;

static void on_received(void *unused, int64_t result, void *data)
{
    (void)unused;
    CHECK(!data);
    once_resumed(&received, result);
}

LOOP_TEST(peer_that_resets_is_heard_by_whatever_waits)
{
    enum { READ, EXACT, STREAM, COPY, POLL, RECEIVE, MULTISHOT, N };
    static struct loop_flow *flows[N], *sinks[2];
    static struct once ends[N];
    static struct record record;
    static char bytes[N][8];
    static int peers[N];

    BEGIN;
    make_flows(env->scope, sinks);
    for (int i = 0; i < N; i++) {
        tcp_flow(env->scope, &flows[i], &peers[i]);
    }
    START(loop_read(&flows[READ]->source, bytes[READ], 8, ONCE(&ends[READ])));
    START(loop_read_exact(&flows[EXACT]->source, bytes[EXACT], 8, ONCE(&ends[EXACT])));
    START(loop_stream(&flows[STREAM]->source, RECORD(&record)));
    START(loop_copy(&flows[COPY]->source, &sinks[0]->sink, ONCE(&ends[COPY])));
    START(loop_poll(flows[POLL]->fd, POLLIN, ONCE(&ends[POLL])));
    START(loop_op_recv(NULL, flows[RECEIVE]->fd, bytes[RECEIVE], 8, 0, ONCE(&ends[RECEIVE])));
    START(
        loop_op_recv_multishot(NULL, flows[MULTISHOT]->fd, loop_buffers_create(env->scope, 4, 64), on_received, NULL));
    AWAIT(turns(env->scope, 3, GO));
    for (int i = 0; i < N; i++) {
        close_with_reset(peers[i]);
    }
    WAIT_UNTIL(ends[READ].count && ends[EXACT].count && record.ends && ends[COPY].count && ends[POLL].count &&
               ends[RECEIVE].count && received.count);
    CHECK_IS(record.end, -ECONNRESET);
    CHECK_IS(ends[POLL].result & (POLLIN | POLLERR | POLLHUP), POLLIN | POLLERR | POLLHUP);
    ONCE_IS(received, -ECONNRESET);
    ONCE_IS(ends[READ], -ECONNRESET);
    ONCE_IS(ends[EXACT], -ECONNRESET);
    ONCE_IS(ends[COPY], -ECONNRESET);
    ONCE_IS(ends[RECEIVE], -ECONNRESET);
    END;
}

static size_t received_bytes;

static void count_received(void *buffers, int64_t result, void *data)
{
    if (data) {
        received_bytes += (size_t)result;
        CHECK_IS(loop_buffers_recycle(buffers, data), 0);
    } else {
        once_resumed(&received, result);
    }
}

enum { RESET_STREAM, RESET_COPY, RESET_MULTISHOT, RESET_FLOWS };

static struct {
    struct loop_flow *flows[RESET_FLOWS];
    int peers[RESET_FLOWS];
    struct loop_sink *sink;
    struct loop_buffers *buffers;
    struct loop_copy_outcome outcome;
    struct once copied;
    struct record record;
    char room[200];
} unread;

static void make_unread(struct loop_scope *scope)
{
    unread.sink = loop_memory_sink(scope, 0);
    unread.buffers = loop_buffers_create(scope, 4, 64);
    unread.record = (struct record){.data = unread.room, .room = sizeof unread.room};
    for (int i = 0; i < RESET_FLOWS; i++) {
        int pair[2];
        make_pair(pair);
        CHECK_IS(write(pair[0], "unread", 6), 6);
        unread.flows[i] = flow_of(scope, pair[0]);
        unread.peers[i] = pair[1];
    }
}

static void read_all(void)
{
    START(loop_stream(&unread.flows[RESET_STREAM]->source, RECORD(&unread.record)));
    START(loop_copy_report(&unread.flows[RESET_COPY]->source, unread.sink, &unread.outcome, ONCE(&unread.copied)));
    START(loop_op_recv_multishot(NULL, unread.flows[RESET_MULTISHOT]->fd, unread.buffers, count_received,
                                 unread.buffers));
}

/* A Unix socket that closes with unread bytes resets its peer, behind what it has sent. In the last two rows the peer
 * reads before that, in the second and the fourth there are bytes. */
LOOP_TEST_ROWS(unix_peer_that_leaves_bytes_unread_resets, 4)
{
    static const char bytes[100];
    static size_t n;

    BEGIN;
    n = script.row % 2 ? sizeof bytes : 0;
    make_unread(env->scope);
    if (script.row >= 2) {
        read_all();
        AWAIT(turns(env->scope, 3, GO));
    }
    for (int i = 0; i < RESET_FLOWS; i++) {
        CHECK_IS(write(unread.peers[i], bytes, n), n);
        close(unread.peers[i]);
    }
    if (script.row < 2) {
        read_all();
    }
    WAIT_UNTIL(unread.record.ends && unread.copied.count && received.count);
    CHECK_IS(unread.record.length, n);
    CHECK_IS(unread.record.end, -ECONNRESET);
    CHECK_IS(unread.outcome.bytes, n);
    CHECK_IS(unread.outcome.error, -ECONNRESET);
    CHECK_IS(received_bytes, n);
    ONCE_IS(received, -ECONNRESET);
    END;
}

static void make_tcp(struct loop_scope *scope)
{
    unread.sink = loop_memory_sink(scope, 0);
    unread.buffers = loop_buffers_create(scope, 4, 64);
    unread.record = (struct record){.data = unread.room, .room = sizeof unread.room};
    for (int i = 0; i < RESET_FLOWS; i++) {
        tcp_flow(scope, &unread.flows[i], &unread.peers[i]);
    }
}

static void reset_behind(size_t n)
{
    static const char bytes[100];

    for (int i = 0; i < RESET_FLOWS; i++) {
        int number = loop_fd_peek(unread.flows[i]->fd);
        CHECK_IS(write(unread.peers[i], bytes, n), n);
        close_with_reset(unread.peers[i]);
        CHECK_IS(poll(&(struct pollfd){.fd = number, .events = 0}, 1, -1), 1); /* POLLERR and POLLHUP */
    }
}

/* A TCP peer resets the connection behind some bytes. In the second row it does so while they are waited for. */
LOOP_TEST_ROWS(tcp_peer_that_resets_behind_bytes_is_heard, 2)
{
    BEGIN;
    make_tcp(env->scope);
    if (script.row == 1) {
        read_all();
        AWAIT(turns(env->scope, 3, GO));
    }
    reset_behind(100);
    if (script.row == 0) {
        read_all();
    }
    WAIT_UNTIL(unread.record.ends && unread.copied.count && received.count);
    CHECK_IS(unread.record.length, 100);
    CHECK_IS(unread.record.end, -ECONNRESET);
    CHECK_IS(unread.outcome.bytes, 100);
    CHECK_IS(unread.outcome.error, -ECONNRESET);
    CHECK_IS(received_bytes, 100);
    ONCE_IS(received, -ECONNRESET);
    END;
}

LOOP_TEST(peer_that_resets_ends_a_blocked_write_with_its_count)
{
    static char data[1 << 20];
    static struct loop_flow *flow;
    static struct once write, later;
    static int peer;

    BEGIN;
    tcp_flow(env->scope, &flow, &peer);
    stuff(loop_fd_peek(flow->fd));
    START(loop_write(&flow->sink, data, sizeof data, ONCE(&write)));
    START(loop_shutdown(&flow->sink, ONCE(&later)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(write.count, 0);
    close_with_reset(peer);
    WAIT_UNTIL(write.count && later.count);
    CHECK(write.result == -ECONNRESET || write.result == -EPIPE ||
          (write.result > 0 && write.result < (int64_t)sizeof data));
    CHECK(later.result <= 0);
    AWAIT(loop_write(&flow->sink, data, 1, GO));
    CHECK(result == -ECONNRESET || result == -EPIPE);
    END;
}

LOOP_TEST(peers_that_reset_leave_the_server_serving)
{
    enum { N = 100 };
    static struct loop_flow *good;
    static struct loop_server_stats stats;
    static int fds[N];
    static char byte;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (int i = 0; i < N; i++) {
        fds[i] = connect_to(&serving.address.u.ipv4);
        CHECK_IS(send(fds[i], "bye", 3, 0), 3);
        if (i % 2) {
            close_with_reset(fds[i]);
        }
    }
    good = visit(env->scope);
    AWAIT(loop_write(&good->sink, "x", 1, GO));
    AWAIT(loop_read(&good->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    for (int i = 0; i < N; i += 2) {
        close_with_reset(fds[i]);
    }
    AWAIT(loop_write(&good->sink, "y", 1, GO));
    AWAIT(loop_read(&good->source, &byte, 1, GO));
    CHECK_IS(byte, 'y');
    while (served().connections_now > 1) {
        AWAIT(turns(env->scope, 1, GO));
    }
    loop_server_get_stats(serving.server, &stats);
    CHECK(stats.accepted > N / 2 && stats.failed >= N / 2 && stats.failed <= N);
    loop_flow_close(good);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

/* What a loop has at most to receive into for all flows together: 256 buffers of 4 KiB, and 64 of 64 KiB. */
#define LOOP_BUFFERS ((size_t)(256 * 4128 + 64 * 65568))

/* A hundred clients of an echo server write until they block and never read. Another client is not delayed. */
LOOP_TEST(peers_that_never_read_hold_nobody_up)
{
    enum { N = 100, TRIPS = 50 };
    static int fds[N], trip, quiet;
    static struct loop_flow *good;
    static size_t before, moved;
    static char sent[5000], got[5000];

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (int i = 0; i < N; i++) {
        fds[i] = connect_to(&serving.address.u.ipv4);
        set_small_buffers(fds[i]);
    }
    AWAIT(turns(env->scope, 10, GO));
    before = live_bytes();
    for (quiet = 0; quiet < 3; quiet = moved ? 0 : quiet + 1) {
        moved = 0;
        for (int i = 0; i < N; i++) {
            moved += stuff(fds[i]);
        }
        AWAIT(turns(env->scope, 5, GO));
    }
    good = visit(env->scope);
    for (trip = 0; trip < TRIPS; trip++) {
        fill_pattern(sent, sizeof sent, (unsigned)trip);
        START(loop_write(&good->sink, sent, sizeof sent, NULL, NULL));
        AWAIT(loop_read_exact(&good->source, got, sizeof got, GO));
        CHECK_IS(result, sizeof got);
        CHECK(memcmp(sent, got, sizeof got) == 0);
    }
    CHECK_IS(served().connections_now, N + 1);
    CHECK(HAS_SANITIZER || live_bytes() < before + N * (size_t)72000 + (1 << 20) + LOOP_BUFFERS);
    for (int i = 0; i < N; i++) {
        close(fds[i]);
    }
    loop_flow_close(good);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

static unsigned trickled;
static struct loop_flow *trickle_client;
static char trickle_byte;

static void trickle(void *arg, int64_t result)
{
    struct loop_flow *client = trickle_client;
    const unsigned *count = arg;

    CHECK_IS(result, 1);
    if (trickled > 0) {
        CHECK_IS((unsigned char)trickle_byte, trickled & 255);
    }
    if (++trickled > *count) {
        loop_flow_close(client);
        loop_server_stop(serving.server, LOOP_NEVER);
        return;
    }
    trickle_byte = (char)trickled;
    CHECK_IS(send(loop_fd_peek(client->fd), &trickle_byte, 1, 0), 1);
    trickle_byte = 0;
    CHECK(loop_read(&client->source, &trickle_byte, 1, trickle, arg) != 0);
}

static int start_trickle(struct loop_env *env, void *fn)
{
    static unsigned count = FEW;
    loop_connection_fn *const *echo = fn;

    trickled = 0;
    serve_well(env->scope, *echo);
    trickle_client = visit(env->scope);
    trickle(&count, 1);
    return 0;
}

TEST(peer_that_sends_one_byte_at_a_time_is_echoed)
{
    loop_connection_fn *fns[] = {echo_by_copy, echo_by_chunks};

    for (unsigned i = 0; i < COUNT_OF(fns); i++) {
        CHECK_IS(run(start_trickle, &fns[i]), 0);
        CHECK_IS(trickled, FEW + 1);
    }
}

LOOP_TEST(peer_that_sends_one_byte_at_a_time_fills_an_exact_read)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char bytes[300], pattern[300];
    static int at;

    BEGIN;
    make_flows(env->scope, flows);
    fill_pattern(pattern, sizeof pattern, 4);
    START(loop_read_exact(&flows[0]->source, bytes, sizeof bytes, ONCE(&read)));
    for (at = 0; at < (int)sizeof bytes; at++) {
        CHECK_IS(read.count, 0);
        CHECK_IS(send(loop_fd_peek(flows[1]->fd), &pattern[at], 1, 0), 1);
        AWAIT(turns(env->scope, 1, GO));
    }
    WAIT_UNTIL(read.count);
    ONCE_IS(read, sizeof bytes);
    CHECK(memcmp(bytes, pattern, sizeof bytes) == 0);
    END;
}

LOOP_TEST(peer_that_half_closes_gets_everything_back)
{
    enum { LENGTH = 100000 };
    static char sent[LENGTH], got[LENGTH + 1];
    static struct loop_flow *client;
    static struct once write, down;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    client = visit(env->scope);
    fill_pattern(sent, LENGTH, 5);
    START(loop_write(&client->sink, sent, LENGTH, ONCE(&write)));
    START(loop_shutdown(&client->sink, ONCE(&down)));
    AWAIT(loop_read_exact(&client->source, got, LENGTH + 1, GO));
    CHECK_IS(result, LENGTH);
    CHECK(memcmp(sent, got, LENGTH) == 0);
    ONCE_IS(write, LENGTH);
    ONCE_IS(down, 0);
    AWAIT(loop_write(&client->sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    while (served().connections_now > 0) {
        AWAIT(turns(env->scope, 1, GO));
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

LOOP_TEST(peer_that_has_closed_is_found_out_by_writing)
{
    static struct loop_flow *flow;
    static struct once writes[3], drained;
    static int peer, at;

    BEGIN;
    tcp_flow(env->scope, &flow, &peer);
    close(peer);
    for (at = 0; at < 50; at++) {
        AWAIT(loop_write(&flow->sink, "x", 1, GO));
        if (result < 0) {
            break;
        }
    }
    CHECK(result == -EPIPE || result == -ECONNRESET);
    CHECK(at > 0);
    for (int i = 0; i < 3; i++) {
        START(loop_write(&flow->sink, "y", 1, ONCE(&writes[i])));
    }
    START(loop_sink_wait_drained(&flow->sink, ONCE(&drained)));
    WAIT_UNTIL(writes[2].count && drained.count);
    for (int i = 0; i < 3; i++) {
        CHECK(writes[i].result == -EPIPE || writes[i].result == -ECONNRESET);
    }
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    END;
}
