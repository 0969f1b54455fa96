/* SPDX-License-Identifier: ISC
 *
 * Low-level operations that wait for the same socket: they receive in the order of the calls, whichever of them the
 * kernel would wake first.
 */
#include "show.h"

#include <loop/part.h>

#define WAITERS 6
#define PIECE 32768
static struct once waits[WAITERS];
static loop_job jobs[WAITERS];
static struct loop_fd *fd;
static int peer;
static char bytes[WAITERS][8];

static unsigned n_done(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < WAITERS; i++) {
        n += waits[i].count;
    }
    return n;
}

static bool are_in_order(void)
{
    for (unsigned i = 1; i < WAITERS; i++) {
        if (waits[i].order < waits[i - 1].order) {
            return false;
        }
    }
    return true;
}

/* ---- accepts ---- */

static void finish_accepts(void)
{
    CHECK(are_in_order());
    for (unsigned i = 0; i < WAITERS; i++) {
        CHECK_IS(waits[i].count, 1);
        CHECK(waits[i].result >= 0);
        close((int)waits[i].result);
    }
}

static void start_accepts(struct loop_scope *scope, struct sockaddr_in *address)
{
    fd = adopt(scope, make_listener(address));
    for (unsigned i = 0; i < WAITERS; i++) {
        jobs[i] = START(loop_op_accept(NULL, fd, NULL, NULL, ONCE(&waits[i])));
    }
}

LOOP_TEST(accepts_get_connections_in_the_order_of_the_calls)
{
    static struct sockaddr_in address;
    static unsigned i;
    static int clients[WAITERS];

    BEGIN;
    start_accepts(env->scope, &address);
    AWAIT(turns(env->scope, 2, GO));
    for (i = 0; i < WAITERS; i++) {
        clients[i] = connect_to(&address);
        WAIT_UNTIL(n_done() == i + 1);
        CHECK_IS(waits[i].count, 1);
    }
    finish_accepts();
    for (i = 0; i < WAITERS; i++) {
        close(clients[i]);
    }
    END;
}

LOOP_TEST(accepts_of_connections_that_come_together_keep_their_order)
{
    static struct sockaddr_in address;
    static unsigned i;
    static int clients[WAITERS];

    BEGIN;
    start_accepts(env->scope, &address);
    AWAIT(turns(env->scope, 2, GO));
    for (i = 0; i < WAITERS; i++) {
        clients[i] = connect_to(&address);
    }
    WAIT_UNTIL(n_done() == WAITERS);
    finish_accepts();
    for (i = 0; i < WAITERS; i++) {
        close(clients[i]);
    }
    END;
}

LOOP_TEST(accept_that_is_cancelled_lets_the_next_have_its_turn)
{
    static struct sockaddr_in address;
    static int client;

    BEGIN;
    start_accepts(env->scope, &address);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    CHECK_IS(loop_cancel(env->loop, jobs[2]), 0);
    WAIT_UNTIL(n_done() == 2);
    ONCE_IS(waits[0], -ECANCELED);
    ONCE_IS(waits[2], -ECANCELED);
    client = connect_to(&address);
    WAIT_UNTIL(n_done() == 3);
    CHECK(waits[1].count == 1 && waits[1].result >= 0);
    close((int)waits[1].result);
    close(client);
    loop_fd_close(fd);
    WAIT_UNTIL(n_done() == WAITERS);
    ONCE_IS(waits[5], -ECANCELED);
    END;
}

/* ---- receives ---- */

static struct iovec vectors[WAITERS];
static struct loop_message messages[WAITERS];

static loop_job receive(unsigned i)
{
    return loop_op_recv(NULL, fd, bytes[i], 1, 0, ONCE(&waits[i]));
}

static loop_job receive_message(unsigned i)
{
    vectors[i] = (struct iovec){bytes[i], 1};
    messages[i] = (struct loop_message){.iov = &vectors[i], .n_iov = 1};
    return loop_op_recv_msg(NULL, fd, &messages[i], ONCE(&waits[i]));
}

static loop_job read_one(unsigned i)
{
    return loop_op_read(NULL, fd, bytes[i], 1, LOOP_CURRENT, ONCE(&waits[i]));
}

static loop_job read_vector(unsigned i)
{
    vectors[i] = (struct iovec){bytes[i], 1};
    return loop_op_readv(NULL, fd, &vectors[i], 1, LOOP_CURRENT, ONCE(&waits[i]));
}

static loop_job take_turns(unsigned i)
{
    loop_job (*const ways[])(unsigned) = {receive, receive_message, read_one, read_vector};
    return ways[i % COUNT_OF(ways)](i);
}

static loop_job (*const receives[])(unsigned i) = {receive, receive_message, read_one, read_vector, take_turns};

static void make_packet_pair(int fds[2])
{
    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void (*const pairs[])(int fds[2]) = {make_tcp_pair, make_pair, make_packet_pair};

static void start_receives(struct loop_scope *scope, size_t c)
{
    int fds[2];
    pairs[c % COUNT_OF(pairs)](fds);
    fd = adopt(scope, fds[0]);
    peer = fds[1];
    memset(waits, 0, sizeof waits);
    for (unsigned i = 0; i < WAITERS; i++) {
        bytes[i][0] = 0;
        jobs[i] = START(receives[c / COUNT_OF(pairs)](i));
    }
}

static void check_receives(unsigned n)
{
    CHECK_IS(n_done(), n);
    for (unsigned i = 0; i < n; i++) {
        ONCE_IS(waits[i], 1);
        CHECK_IS(bytes[i][0], 'a' + (int)i);
    }
}

LOOP_TEST(receives_get_bytes_in_the_order_of_the_calls)
{
    static size_t c;
    static unsigned i;
    static char next;

    BEGIN;
    for (c = 0; c < COUNT_OF(pairs) * COUNT_OF(receives); c++) {
        start_receives(env->scope, c);
        AWAIT(turns(env->scope, 2, GO));
        for (i = 0; i < WAITERS; i++) {
            next = (char)('a' + (int)i);
            CHECK_IS(send(peer, &next, 1, 0), 1);
            if (i % 2) {
                WAIT_UNTIL(n_done() == i + 1);
                check_receives(i + 1);
            }
        }
        close(peer);
        loop_fd_destroy(fd);
    }
    END;
}

LOOP_TEST(receive_that_does_not_wait_need_not_stand_in_line)
{
    static int fds[2];
    static struct once waiting;
    static char byte;

    BEGIN;
    make_tcp_pair(fds);
    fd = adopt(env->scope, fds[0]);
    peer = fds[1];
    START(loop_op_recv(NULL, fd, bytes[0], 1, 0, ONCE(&waiting)));
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_op_recv(NULL, fd, &byte, 1, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    AWAIT(loop_op_recv(NULL, fd, &byte, 1, MSG_OOB, GO));
    CHECK_IS(result, -EINVAL); /* none has come */
    CHECK_IS(waiting.count, 0);
    loop_fd_destroy(fd);
    close(peer);
    END;
}

/* ---- sends ---- */

static char pieces[WAITERS][PIECE];

static loop_job send_piece(unsigned i)
{
    vectors[i] = (struct iovec){pieces[i], PIECE};
    messages[i] = (struct loop_message){.iov = &vectors[i], .n_iov = 1};
    switch (i % 3) {
    case 0: return loop_op_send(NULL, fd, pieces[i], PIECE, MSG_WAITALL, ONCE(&waits[i]));
    case 1: return loop_op_write(NULL, fd, pieces[i], PIECE, LOOP_CURRENT, ONCE(&waits[i]));
    default: return loop_op_send_msg(NULL, fd, &messages[i], ONCE(&waits[i]));
    }
}

/* Reads what is there; each byte is the number of its piece, and none may be less than one before it. */
static void drain_in_order(char *last)
{
    char buffer[4096];
    ssize_t n;
    while ((n = recv(peer, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            CHECK(buffer[i] >= *last);
            *last = buffer[i];
        }
    }
}

LOOP_TEST(sends_leave_in_the_order_of_the_calls)
{
    static int fds[2];
    static unsigned i;
    static char last;

    BEGIN;
    make_pair(fds);
    set_small_buffers(fds[0]);
    set_nonblocking(fds[1]);
    fd = adopt(env->scope, fds[0]);
    peer = fds[1];
    stuff(fds[0]);
    for (i = 0; i < WAITERS; i++) {
        memset(pieces[i], (int)i + 1, PIECE);
        START(send_piece(i));
    }
    AWAIT(turns(env->scope, 2, GO));
    drain(peer);
    while (n_done() < WAITERS) {
        drain_in_order(&last);
        AWAIT(turns(env->scope, 1, GO));
    }
    drain_in_order(&last);
    CHECK_IS(last, WAITERS);
    CHECK(are_in_order());
    loop_fd_destroy(fd);
    close(peer);
    END;
}

static loop_job send_unheard(unsigned i)
{
    vectors[i] = (struct iovec){pieces[i], PIECE};
    messages[i] = (struct loop_message){.iov = &vectors[i], .n_iov = 1};
    switch (i % 4) {
    case 0: return loop_op_send(NULL, fd, pieces[i], PIECE, 0, NULL, NULL);
    case 1: return loop_op_write(NULL, fd, pieces[i], PIECE, LOOP_CURRENT, NULL, NULL);
    case 2: return loop_op_writev(NULL, fd, &vectors[i], 1, LOOP_CURRENT, NULL, NULL);
    default: return loop_op_send_msg(NULL, fd, &messages[i], NULL, NULL);
    }
}

static size_t drained;

static void start_unheard(struct loop_scope *scope, int from, int to)
{
    fd = adopt(scope, from);
    peer = to;
    set_nonblocking(to);
    for (unsigned i = 0; i < WAITERS; i++) {
        memset(pieces[i], (int)i + 1, PIECE);
        START(send_unheard(i));
    }
}

static void drain_pieces(void)
{
    char buffer[1000];
    ssize_t n;
    while ((n = read(peer, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < n; i++, drained++) {
            CHECK_IS(buffer[i], drained / PIECE + 1);
        }
    }
}

/* Of one that moves a part the rest comes next. */
LOOP_TEST(sends_that_nobody_waits_for_are_not_mixed)
{
    static int fds[2];

    BEGIN;
    make_pair(fds);
    set_small_buffers(fds[0]);
    for (start_unheard(env->scope, fds[0], fds[1]); drained < sizeof pieces; drain_pieces()) {
        AWAIT(turns(env->scope, 1, GO));
    }
    loop_fd_destroy(fd);
    close(peer);
    END;
}

LOOP_TEST(writes_to_a_pipe_that_nobody_waits_for_are_not_mixed)
{
    static int fds[2];
    static unsigned i;

    BEGIN;
    make_pipe(fds);
    (void)fcntl(fds[1], F_SETPIPE_SZ, 4096);
    fd = adopt(env->scope, fds[1]);
    peer = fds[0];
    set_nonblocking(peer);
    for (i = 0; i < WAITERS; i++) {
        memset(pieces[i], (int)i + 1, PIECE);
        START(loop_op_write(NULL, fd, pieces[i], PIECE, LOOP_CURRENT, NULL, NULL));
    }
    for (; drained < sizeof pieces; drain_pieces()) {
        AWAIT(turns(env->scope, 1, GO));
    }
    loop_fd_destroy(fd);
    close(peer);
    END;
}

/* ---- polls ---- */

LOOP_TEST(polls_are_resumed_in_the_order_of_the_calls)
{
    static unsigned i, round;
    static int fds[2];
    static struct once priority;

    BEGIN;
    make_pair(fds);
    fd = adopt(env->scope, fds[0]);
    peer = fds[1];
    START(loop_poll(fd, POLLPRI, ONCE(&priority)));
    for (round = 0; round < 5; round++) {
        memset(waits, 0, sizeof waits);
        for (i = 0; i < WAITERS; i++) {
            jobs[i] = START(loop_poll(fd, i % 2 ? POLLIN : POLLIN | POLLRDHUP, ONCE(&waits[i])));
            if (i == round) {
                AWAIT(turns(env->scope, 2, GO));
            }
        }
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(n_done(), 0);
        CHECK_IS(loop_cancel(env->loop, jobs[round]), 0);
        WAIT_UNTIL(n_done() == 1);
        ONCE_IS(waits[round], -ECANCELED);
        waits[round].order = round ? waits[round - 1].order : 0;
        CHECK_IS(send(peer, "x", 1, 0), 1);
        WAIT_UNTIL(n_done() == WAITERS);
        for (i = 0; i < WAITERS; i++) {
            CHECK_IS(waits[i].result, i == round ? -ECANCELED : POLLIN);
            CHECK(i == round || i == 0 || i - 1 == round || waits[i].order > waits[i - 1].order);
        }
        CHECK_IS(drain(fds[0]), 1);
    }
    CHECK_IS(priority.count, 0);
    loop_fd_destroy(fd);
    close(peer);
    END;
}

/* ---- the order of what happens to one object ---- */

static const char order_text[] = "write 1: 3\n"
                                 "write of nothing: 0\n"
                                 "write 2: 5\n"
                                 "shutdown: 0\n"
                                 "write after the shutdown: EPIPE\n"
                                 "read 1: 4\n"
                                 "read 2: 3\n"
                                 "read 3: 1\n"
                                 "read 4: 0\n"
                                 "onethree\n"
                                 "queued 36, full 1\n"
                                 "refused 1: ENOBUFS\n"
                                 "refused 2: ENOBUFS\n"
                                 "queued 1: 6\n"
                                 "queued 2: 30\n"
                                 "drained: 0\n"
                                 "queued 0, full 0\n";

/* On both backends it is that of the calls, whatever waits where. */
LOOP_TEST(p17_order_of_reads_of_every_kind)
{
    static struct loop_flow *flows[2];
    static struct once first, second, third;
    static char got[3];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_op_recv(NULL, flows[1]->fd, &got[0], 1, 0, ONCE(&first)));
    START(loop_op_recv(NULL, flows[1]->fd, &got[1], 1, 0, ONCE(&second)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_unread(flows[1]->fd, "a", 1), 0);
    WAIT_UNTIL(first.count);
    ONCE_IS(first, 1);
    CHECK_IS(second.count, 0);
    START(loop_read(&flows[1]->source, &got[2], 1, ONCE(&third)));
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_write(&flows[0]->sink, "bc", 2, GO));
    WAIT_UNTIL(second.count && third.count);
    CHECK(memcmp(got, "abc", 3) == 0);
    END;
}

LOOP_TEST(p17_a_receive_comes_after_a_read_that_waits)
{
    static struct loop_flow *flows[2];
    static struct once first, second;
    static char got[2];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read(&flows[1]->source, &got[0], 1, ONCE(&first)));
    START(loop_op_recv(NULL, flows[1]->fd, &got[1], 1, 0, ONCE(&second)));
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_write(&flows[0]->sink, "ab", 2, GO));
    WAIT_UNTIL(first.count && second.count);
    CHECK(memcmp(got, "ab", 2) == 0);
    END;
}

LOOP_TEST(p17_order_on_one_sink_and_one_source)
{
    static struct loop_flow *flows[2];
    static struct iovec nothing;
    static struct slot waited;
    static char got[64];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_write(&flows[0]->sink, "one", 3, NAMED("write 1")));
    START(loop_writev(&flows[0]->sink, &nothing, 1, NAMED("write of nothing")));
    START(loop_write(&flows[0]->sink, "three", 5, NAMED("write 2")));
    START(loop_shutdown(&flows[0]->sink, NAMED("shutdown")));
    START(loop_write(&flows[0]->sink, "late", 4, NAMED("write after the shutdown")));
    WAIT_UNTIL(slots_filled == 5);
    START(loop_read_exact(&flows[1]->source, got, 4, NAMED("read 1")));
    START(loop_read_exact(&flows[1]->source, got + 4, 3, NAMED("read 2")));
    START(loop_read_exact(&flows[1]->source, got + 7, 3, NAMED("read 3")));
    START(loop_read(&flows[1]->source, got + 10, 3, NAMED("read 4")));
    WAIT_UNTIL(slots_filled == 9);
    trace("%s", got);
    stuff(loop_fd_peek(flows[1]->fd));
    CHECK_IS(loop_sink_limit(&flows[1]->sink, 10), 0);
    START(loop_write(&flows[1]->sink, got, 6, NAMED("queued 1")));
    START(loop_write(&flows[1]->sink, got, 30, NAMED("queued 2")));
    START(loop_write(&flows[1]->sink, got, 1, NAMED("refused 1")));
    START(loop_write(&flows[1]->sink, got, 1, NAMED("refused 2")));
    trace("queued %zu, full %d", loop_sink_queued(&flows[1]->sink), loop_sink_is_full(&flows[1]->sink));
    WAIT_UNTIL(slots_filled == 11);
    START(loop_sink_wait_drained(&flows[1]->sink, SLOT(&waited)));
    AWAIT(turns(env->scope, 2, GO));
    while (slots_filled < 14) {
        drain(loop_fd_peek(flows[0]->fd));
        AWAIT(turns(env->scope, 1, GO));
    }
    show("drained", waited.result);
    trace("queued %zu, full %d", loop_sink_queued(&flows[1]->sink), loop_sink_is_full(&flows[1]->sink));
    CHECK_TEXT(trace_text(), order_text);
    END;
}
