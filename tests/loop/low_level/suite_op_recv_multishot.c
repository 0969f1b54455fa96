/* SPDX-License-Identifier: ISC
 *
 * loop_op_recv_multishot: bytes that arrive while buffers are available, while none are, and together with the end.
 */
#include "descriptors.h"

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)
#include <loop/kernel/fail.h>
#endif

/* ---- sockets ---- */

static struct pieces {
    void *buffers[64];
    size_t lengths[64];
    unsigned count, ends;
    int64_t end;
} pieces;

static void on_piece(void *unused, int64_t result, void *data)
{
    (void)unused;
    CHECK_IS(pieces.ends, 0);
    if (data) {
        CHECK(result > 0);
        pieces.buffers[pieces.count] = data;
        pieces.lengths[pieces.count++] = (size_t)result;
    } else {
        CHECK(result <= 0);
        pieces.ends++;
        pieces.end = result;
    }
    script_poke();
}

static size_t total_pieces(void)
{
    size_t total = 0;

    for (unsigned i = 0; i < pieces.count; i++) {
        total += pieces.lengths[i];
    }
    return total;
}

LOOP_TEST(multishot_recv_delivers_until_the_end)
{
    static struct loop_flow *flows[2];
    static struct loop_buffers *buffers;

    BEGIN;
    make_flows(env->scope, flows);
    buffers = loop_buffers_create(env->scope, 8, 100);
    CHECK(buffers != NULL);
    CHECK_IS(loop_buffers_avail(buffers), 8);
    START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_piece, NULL));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(pieces.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "first", 5, 0), 5);
    WAIT_UNTIL(total_pieces() == 5);
    CHECK_IS(((char *)pieces.buffers[0])[0], 'f');
    CHECK_IS(loop_buffers_avail(buffers), 8 - pieces.count);
    CHECK_IS(loop_buffers_recycle(buffers, pieces.buffers[0]), 0);
    CHECK_IS(loop_buffers_avail(buffers), 9 - pieces.count);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(total_pieces() == 6);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(pieces.ends);
    CHECK_IS(pieces.end, 0);
    END;
}

LOOP_TEST(multishot_recv_without_buffers_says_enobufs_and_loses_nothing)
{
    static struct loop_flow *flows[2];
    static struct loop_buffers *buffers;
    static unsigned i;

    BEGIN;
    make_flows(env->scope, flows);
    buffers = loop_buffers_create(env->scope, 2, 4);
    START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_piece, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "0123456789ab", 12, 0), 12);
    WAIT_UNTIL(pieces.ends);
    CHECK_IS(pieces.end, -ENOBUFS);
    CHECK_IS(pieces.count, 2);
    CHECK_IS(loop_buffers_avail(buffers), 0);
    for (i = 0; total_pieces() < 12; i++) {
        CHECK_IS(loop_buffers_recycle(buffers, pieces.buffers[i]), 0);
        if (pieces.ends) {
            pieces.ends = 0;
            START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_piece, NULL));
        }
        WAIT_UNTIL(pieces.count > i + 2 || total_pieces() == 12);
    }
    loop_flow_close(flows[1]);
    WAIT_UNTIL(pieces.ends);
    CHECK(pieces.end == 0 || pieces.end == -ENOBUFS);
    END;
}

LOOP_TEST(multishot_recv_can_be_cancelled)
{
    static struct loop_flow *flows[2];
    static struct loop_buffers *buffers;
    static loop_job job;
    static char got[4];

    BEGIN;
    make_flows(env->scope, flows);
    buffers = loop_buffers_create(env->scope, 4, 64);
    job = START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_piece, NULL));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(pieces.ends);
    CHECK_IS(pieces.end, -ECANCELED);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "left", 4, 0), 4);
    AWAIT(loop_read_exact(&flows[0]->source, got, 4, GO));
    CHECK_IS(result, 4);
    CHECK_IS(loop_buffers_avail(buffers), 4);
    END;
}

/* ---- material ---- */

/* Empties a pipe or socket and compares. */
static bool holds(struct loop_fd *from, const char *text)
{
    char bytes[256];
    size_t length = 0;
    ssize_t n;

    while ((n = read(loop_fd_peek(from), bytes + length, sizeof bytes - length)) > 0) {
        length += (size_t)n;
    }
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

/* A child scope that doesn't end before the test lets it. */
static struct loop_scope *open_held(struct loop_scope *parent)
{
    struct loop_scope *scope = loop_scope_open(parent, NULL, NULL);

    CHECK(scope != NULL);
    loop_scope_hold(scope);
    return scope;
}

/* ---- receiving into provided buffers ---- */

static struct received {
    struct loop_buffers *buffers;
    bool keeps; /* buffers are not given back */
    void *kept[16];
    unsigned n_kept, pieces, ends;
    int64_t end;
    size_t length;
    char bytes[200000];
} received;

static void on_received(void *unused, int64_t result, void *data)
{
    (void)unused;
    CHECK_IS(received.ends, 0);
    if (data) {
        CHECK(result > 0 && received.length + (size_t)result <= sizeof received.bytes);
        memcpy(received.bytes + received.length, data, (size_t)result);
        received.length += (size_t)result;
        received.pieces++;
        if (received.keeps) {
            CHECK(received.n_kept < COUNT_OF(received.kept));
            received.kept[received.n_kept++] = data;
        } else {
            CHECK_IS(loop_buffers_recycle(received.buffers, data), 0);
        }
    } else {
        CHECK(result <= 0);
        received.ends++;
        received.end = result;
    }
    script_poke();
}

static loop_job receive(struct loop_scope *scope, struct loop_fd *fd)
{
    received.ends = 0;
    return loop_op_recv_multishot(scope, fd, received.buffers, on_received, NULL);
}

LOOP_TEST(recv_multishot_delivers_all_and_then_the_end)
{
    static struct loop_fd *pair[2];

    BEGIN;
    open_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 4, 8);
    START(receive(env->scope, pair[0]));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(received.pieces, 0);
    say(pair[1], "first");
    WAIT_UNTIL(received.length == 5);
    say(pair[1], "more than one buffer");
    WAIT_UNTIL(received.length == 25);
    CHECK(memcmp(received.bytes, "firstmore than one buffer", 25) == 0);
    CHECK_IS(loop_buffers_avail(received.buffers), 4);
    CHECK_IS(received.ends, 0);
    CHECK_IS(shutdown(loop_fd_peek(pair[1]), SHUT_WR), 0);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, 0);
    END;
}

LOOP_TEST(recv_multishot_out_of_buffers_loses_nothing)
{
    static struct loop_fd *pair[2];
    static unsigned i;

    BEGIN;
    open_tcp_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 2, 4);
    received.keeps = true;
    say(pair[1], "0123456789abcdef");
    START(receive(env->scope, pair[0]));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ENOBUFS);
    CHECK_IS(received.n_kept, 2);
    CHECK_IS(loop_buffers_avail(received.buffers), 0);
    START(receive(env->scope, pair[0]));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ENOBUFS);
    CHECK_IS(received.n_kept, 2);
    for (i = 0; received.length < 16; i++) {
        CHECK(i < 16);
        CHECK_IS(loop_buffers_recycle(received.buffers, received.kept[--received.n_kept]), 0);
        CHECK_IS(loop_buffers_avail(received.buffers), 1);
        START(receive(env->scope, pair[0]));
        WAIT_UNTIL(received.ends || received.length == 16);
        CHECK(!received.ends || received.end == -ENOBUFS);
    }
    CHECK(memcmp(received.bytes, "0123456789abcdef", 16) == 0);
    if (received.ends == 0) {
        loop_fd_close(pair[0]);
        WAIT_UNTIL(received.ends);
    }
    END;
}

LOOP_TEST(recv_multishot_with_an_empty_group_waits_for_bytes_first)
{
    static struct loop_fd *pair[2];

    BEGIN;
    open_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 1, 64);
    received.keeps = true;
    START(receive(env->scope, pair[0]));
    say(pair[1], "one");
    WAIT_UNTIL(received.pieces == 1);
    CHECK_IS(shutdown(loop_fd_peek(pair[1]), SHUT_WR), 0);
    WAIT_UNTIL(received.ends);
    CHECK(received.end == 0 || received.end == -ENOBUFS);
    CHECK_IS(loop_buffers_recycle(received.buffers, received.kept[0]), 0);
    START(receive(env->scope, pair[0]));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, 0);
    CHECK_IS(received.length, 3);
    END;
}

static struct loop_fd *at_once_pair[2];

static void finish_stream(struct loop_fd *end)
{
    say(end, "the last words");
    CHECK_IS(loop_fd_close(end), 0);
}

LOOP_TEST(recv_multishot_gets_data_and_end_that_came_together)
{
    static int i;

    BEGIN;
    received.buffers = loop_buffers_create(env->scope, 8, 64);
    for (i = 0; i < 40; i++) {
        if (i % 2 == 0) {
            open_pair(env->scope, at_once_pair);
        } else {
            open_tcp_pair(env->scope, at_once_pair);
        }
        received.length = 0;
        if (i % 4 < 2) {
            START(receive(env->scope, at_once_pair[0]));
            AWAIT(turns(env->scope, 2, GO));
            finish_stream(at_once_pair[1]);
        } else {
            finish_stream(at_once_pair[1]);
            AWAIT(turns(env->scope, 2, GO));
            START(receive(env->scope, at_once_pair[0]));
        }
        WAIT_UNTIL(received.ends);
        CHECK_IS(received.end, 0);
        CHECK_IS(received.length, 14);
        loop_fd_destroy(at_once_pair[0]);
        loop_fd_destroy(at_once_pair[1]);
    }
    END;
}

LOOP_TEST(recv_multishot_of_much_stays_in_order)
{
    enum { SIZE = 150000 };
    static struct loop_flow *flow;
    static struct loop_fd *reader;
    static struct once written, shut;
    static char sent[SIZE];
    static int fds[2];

    BEGIN;
    make_tcp_pair(fds);
    reader = adopt(env->scope, fds[0]);
    flow = flow_of(env->scope, fds[1]);
    fill_pattern(sent, SIZE, 9);
    received.buffers = loop_buffers_create(env->scope, 16, 512);
    START(loop_write(&flow->sink, sent, SIZE, ONCE(&written)));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    do {
        START(receive(env->scope, reader));
        WAIT_UNTIL(received.ends);
    } while (received.end == -ENOBUFS); /* the group may run empty between two deliveries */
    CHECK_IS(received.end, 0);
    ONCE_IS(written, SIZE);
    ONCE_IS(shut, 0);
    CHECK_IS(received.length, SIZE);
    CHECK(is_pattern(received.bytes, SIZE, 9));
    CHECK_IS(loop_buffers_avail(received.buffers), 16);
    END;
}

LOOP_TEST(recv_multishot_cancelled_leaves_the_rest_in_the_socket)
{
    static struct loop_fd *pair[2];
    static loop_job job;

    BEGIN;
    open_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 4, 64);
    job = START(receive(env->scope, pair[0]));
    say(pair[1], "taken");
    WAIT_UNTIL(received.pieces == 1);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ECANCELED);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    say(pair[1], "left");
    AWAIT(turns(env->scope, 3, GO));
    CHECK(holds(pair[0], "left"));
    END;
}

LOOP_TEST(recv_multishot_of_a_reset_connection)
{
    static struct loop_fd *pair[2];
    static struct linger linger = {1, 0};

    BEGIN;
    open_tcp_pair(env->scope, pair);
    received.buffers = loop_buffers_create(env->scope, 4, 64);
    START(receive(env->scope, pair[0]));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(setsockopt(loop_fd_peek(pair[1]), SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    loop_fd_close(pair[1]);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ECONNRESET);
    END;
}

static struct loop_fd *reset_fd;

static void give_back_first(void *unused, int64_t result, void *data)
{
    if (data && received.pieces == 0) {
        CHECK_IS(loop_fd_unread(reset_fd, "ab", 2), 0);
    }
    on_received(unused, result, data);
}

/* In the second row the peer has left bytes unread, and its close is a reset. The kernel reports that once. */
LOOP_TEST_ROWS(p17_bytes_given_back_to_a_multishot_recv_come_before_the_end, 2)
{
    static int fds[2];

    BEGIN;
    make_pair(fds);
    reset_fd = adopt(env->scope, fds[0]);
    received.buffers = loop_buffers_create(env->scope, 4, 64);
    START(loop_op_recv_multishot(NULL, reset_fd, received.buffers, give_back_first, NULL));
    AWAIT(turns(env->scope, 2, GO));
    if (script.row == 1) {
        CHECK_IS(write(fds[0], "unread", 6), 6);
    }
    CHECK_IS(write(fds[1], "x", 1), 1);
    close(fds[1]);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.length, 3);
    CHECK(memcmp(received.bytes, "xab", 3) == 0);
    CHECK_IS(received.end, script.row == 1 ? -ECONNRESET : 0);
    END;
}

static void give_back(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 1);
    CHECK_IS(loop_fd_unread(reset_fd, "ab", 2), 0);
}

/* The bytes are given back after the kernel has reported the error, and before the loop has heard it. */
LOOP_TEST(p17_bytes_given_back_to_a_multishot_recv_come_before_an_error_that_is_due)
{
    static struct loop_flow *trigger;
    static int pairs[2][2];
    static char byte;

    BEGIN;
    make_pair(pairs[0]);
    make_pair(pairs[1]);
    trigger = flow_of(env->scope, pairs[0][0]);
    reset_fd = adopt(env->scope, pairs[1][0]);
    received.buffers = loop_buffers_create(env->scope, 4, 64);
    START(loop_read(&trigger->source, &byte, 1, give_back, NULL));
    START(receive(env->scope, reset_fd));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(write(pairs[1][0], "unread", 6), 6);
    CHECK_IS(write(pairs[0][1], "!", 1), 1);
    close(pairs[1][1]);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.length, 2);
    CHECK_IS(received.end, -ECONNRESET);
    close(pairs[0][1]);
    END;
}

LOOP_TEST(p17_a_multishot_recv_without_buffers_does_not_swallow_a_reset)
{
    static struct loop_fd *fd;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    fd = adopt(env->scope, fds[0]);
    received.buffers = loop_buffers_create(env->scope, 1, 64);
    received.keeps = true;
    CHECK_IS(write(fds[0], "unread", 6), 6);
    START(receive(env->scope, fd));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(write(fds[1], "one", 3), 3);
    close(fds[1]);
    WAIT_UNTIL(received.ends);
    if (received.end == -ENOBUFS) {
        CHECK_IS(loop_buffers_recycle(received.buffers, received.kept[0]), 0);
        START(receive(env->scope, fd));
        WAIT_UNTIL(received.ends);
    }
    CHECK_IS(received.length, 3);
    CHECK_IS(received.end, -ECONNRESET);
    END;
}

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)

/* The reset comes before the turn ends that submits the receive. */
static void reset_before_submitted(struct loop_env *env, int64_t result)
{
    static const struct linger linger = {1, 0};
    static int pair[2];

    BEGIN;
    make_tcp_pair(pair);
    received.buffers = loop_buffers_create(env->scope, 4, 64);
    START(receive(env->scope, adopt(env->scope, pair[0])));
    CHECK_IS(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(pair[1]);
    CHECK_IS(poll(&(struct pollfd){.fd = pair[0], .events = POLLRDHUP}, 1, -1), 1);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ECONNRESET);
    END;
}

TEST(recv_multishot_that_the_ring_refuses_keeps_a_reset)
{
    (void)loop_kernel_fail_set("ring-recv:EINVAL:1"); /* a build without a ring knows no such call */
    script_run(&(struct loop_options){.queue_depth = 0}, reset_before_submitted);
    CHECK(loop_kernel_fail_set(NULL));
}

#endif

LOOP_TEST(recv_multishot_without_buffers_or_with_anothers)
{
    static struct loop_fd *pair[2], *unconnected;
    static struct loop_scope *inner;

    BEGIN;
    open_pair(env->scope, pair);
    received.buffers = NULL;
    START(receive(env->scope, pair[0]));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -EINVAL);
    inner = open_held(env->scope);
    received.buffers = loop_buffers_create(inner, 1, 64);
    START(receive(env->scope, pair[0])); /* would outlive them */
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -EINVAL);
    unconnected = open_tcp_socket(env->scope);
    START(receive(inner, unconnected));
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ENOTCONN);
    loop_scope_unhold(inner);
    END;
}
