/* SPDX-License-Identifier: ISC
 *
 * Closing a descriptor (P6): what is in flight ends first, what comes later is refused, and the number is given back
 * last.
 */
#include "harness.h"

/* ---- P6: descriptors ---- */

LOOP_TEST(p06_a_closed_fd_takes_nothing_new)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *fd;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    fd = flows[0]->fd;
    CHECK(loop_fd_is_open(fd));
    CHECK(loop_fd_peek(fd) >= 0);
    CHECK_IS(loop_fd_close(fd), 0);
    CHECK(!loop_fd_is_open(fd));
    CHECK_IS(loop_fd_peek(fd), -1);
    CHECK_IS(loop_fd_use(fd), -EBADF);
    AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_write(&flows[0]->sink, "x", 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_poll(fd, POLLIN, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_shutdown(&flows[0]->sink, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_send(NULL, fd, "x", 1, 0, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(p06_a_second_close_is_harmless)
{
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    CHECK_IS(loop_flow_close(flows[0]), -EBADF);
    CHECK_IS(loop_source_close(&flows[0]->source), -EBADF);
    CHECK_IS(loop_sink_close(&flows[0]->sink), -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    CHECK_IS(loop_source_close(&flows[1]->source), 0);
    CHECK_IS(loop_sink_close(&flows[1]->sink), -EBADF);
    AWAIT(loop_op_close(env->scope, flows[1]->fd, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_fd_take(flows[1]->fd, GO));
    CHECK_IS(result, -EBADF);
    END;
}

static int closing_number;
static bool was_open_when_resumed;
static struct once closing_read;

static void note_open(void *unused, int64_t result)
{
    (void)unused;
    was_open_when_resumed = is_open(closing_number);
    once_resumed(&closing_read, result);
}

LOOP_TEST(p06_what_is_in_flight_ends_before_the_number_is_given_back)
{
    static struct loop_flow *flows[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    closing_number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, note_open, NULL));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK(is_open(closing_number));
    CHECK_IS(closing_read.count, 0);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    ONCE_IS(closing_read, -ECANCELED);
    CHECK(was_open_when_resumed);
    CHECK(!is_open(closing_number));
    END;
}

LOOP_TEST(p06_what_is_not_yet_submitted_counts_as_use)
{
    static struct loop_flow *flows[2];
    static struct once op, send;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_op_recv(NULL, flows[0]->fd, &byte, 1, 0, ONCE(&op)));
    START(loop_op_send(NULL, flows[0]->fd, "x", 1, 0, ONCE(&send)));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK(is_open(number));
    WAIT_UNTIL(op.count && send.count);
    ONCE_IS(op, -ECANCELED);
    CHECK(send.result == 1 || send.result == -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(p06_a_used_number_stays_open)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_use(flows[0]->fd);
    CHECK_IS(number, loop_fd_peek(flows[0]->fd));
    START(loop_read(&flows[1]->source, &byte, 1, ONCE(&read)));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK(is_open(number));
    CHECK_IS(read.count, 0);
    CHECK_IS(send(number, "x", 1, 0), 1);
    loop_fd_unuse(flows[0]->fd);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 1);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(p06_closing_a_borrowed_one_ends_what_is_in_flight)
{
    static struct loop_fd *fd;
    static struct once pending;
    static int fds[2];
    static char byte;

    BEGIN;
    make_pipe(fds);
    fd = loop_fd_borrow(env->scope, fds[0]);
    START(loop_read(&loop_fd_flow(fd)->source, &byte, 1, ONCE(&pending)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(fd), 0);
    WAIT_UNTIL(pending.count);
    ONCE_IS(pending, -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_open(fds[0]));
    CHECK_IS(write(fds[1], "z", 1), 1);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(p06_the_next_file_with_the_same_number_is_left_alone)
{
    static struct loop_flow *flows[2], *next;
    static int number, fds[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    loop_fd_close(flows[0]->fd);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    make_pair(fds);
    CHECK(fds[0] == number || fds[1] == number);
    next = flow_of(env->scope, number);
    CHECK_IS(send(fds[0] == number ? fds[1] : fds[0], "n", 1, 0), 1);
    AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_read(&next->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    close(fds[0] == number ? fds[1] : fds[0]);
    END;
}

LOOP_TEST(p06_close_ends_every_waiter_in_order)
{
    enum { N = 20 };
    static struct loop_flow *flows[2];
    static struct once reads[N];
    static char bytes[N];

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        START(loop_read(&flows[0]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    WAIT_UNTIL(reads[N - 1].count);
    for (int i = 0; i < N; i++) {
        ONCE_IS(reads[i], -ECANCELED);
        CHECK(i == 0 || reads[i].order > reads[i - 1].order);
    }
    END;
}

static struct loop_flow *self_flow;
static struct once self_read;

static void close_own(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(loop_flow_close(self_flow), 0);
    once_resumed(&self_read, result);
}

LOOP_TEST(p06_a_continuation_closes_its_own_fd)
{
    static struct loop_flow *flows[2];
    static char bytes[2];

    BEGIN;
    make_flows(env->scope, flows);
    self_flow = flows[0];
    START(loop_read(&flows[0]->source, bytes, 1, close_own, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(self_read.count);
    ONCE_IS(self_read, 1);
    AWAIT(loop_read(&flows[1]->source, bytes, 1, GO));
    CHECK_IS(result, 0);
    END;
}

static struct record own_record;

static void close_own_stream(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    record_stream(&own_record, result, chunk);
    if (chunk) {
        CHECK_IS(loop_flow_close(self_flow), 0);
    }
}

LOOP_TEST(p06_a_stream_closes_its_own_fd)
{
    static struct loop_flow *flows[2];
    static char bytes[16];

    BEGIN;
    own_record.data = bytes;
    own_record.room = sizeof bytes;
    make_flows(env->scope, flows);
    self_flow = flows[0];
    START(loop_stream(&flows[0]->source, close_own_stream, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "some", 4, 0), 4);
    WAIT_UNTIL(own_record.ends);
    CHECK_IS(own_record.end, -ECANCELED);
    CHECK_IS(own_record.chunks, 1);
    END;
}
