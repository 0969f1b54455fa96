/* SPDX-License-Identifier: ISC
 *
 * loop_shutdown: runs after the queued writes, shuts down one direction, and ends the jobs that wait for it.
 */
#include "harness.h"

#include <loop/writer.h>

#include <linux/tcp.h>

/* ---- shutdown ---- */

LOOP_TEST(shutdown_comes_after_the_writes)
{
    static struct loop_flow *flows[2];
    static struct once write, shut, late;
    static char *sent, *got;
    enum { SIZE = 1 << 20 };

    BEGIN;
    sent = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(sent, SIZE, 3);
    make_flows(env->scope, flows);
    CHECK_IS(loop_sink_limit(&flows[0]->sink, SIZE_MAX), 0);
    START(loop_write(&flows[0]->sink, sent, SIZE, ONCE(&write)));
    START(loop_shutdown(&flows[0]->sink, ONCE(&shut)));
    START(loop_write(&flows[0]->sink, "late", 4, ONCE(&late)));
    AWAIT(loop_read_exact(&flows[1]->source, got, SIZE, GO));
    CHECK_IS(result, SIZE);
    CHECK(is_pattern(got, SIZE, 3));
    AWAIT(loop_read(&flows[1]->source, got, 1, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(write.count && shut.count && late.count);
    ONCE_IS(write, SIZE);
    ONCE_IS(shut, 0);
    ONCE_IS(late, -EPIPE);
    CHECK(write.order < shut.order);
    free(sent);
    free(got);
    END;
}

LOOP_TEST(half_closed_the_other_way_goes_on)
{
    static struct loop_flow *flows[2];
    static char got[6];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_shutdown(&flows[0]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(&flows[1]->source, got, 1, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_write(&flows[1]->sink, "answer", 6, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_read_exact(&flows[0]->source, got, 6, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(&flows[0]->source, got, 1, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(shutdown_of_tcp_with_a_peer_that_is_gone)
{
    static struct loop_flow *flow;
    static int fds[2];

    BEGIN;
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
    close(fds[1]);
    AWAIT(loop_poll(flow->fd, POLLIN, GO));
    AWAIT(loop_shutdown(&flow->sink, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(shutdown_of_a_pipe_closes_it)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static char byte;

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    AWAIT(loop_write(sink, "x", 1, GO));
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(source, &byte, 1, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_read(source, &byte, 1, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_write(sink, "x", 1, GO));
    CHECK(result == -EBADF || result == -EPIPE);
    END;
}

LOOP_TEST(a_cancelled_shutdown_does_not_shut)
{
    static struct loop_flow *flows[2];
    static struct once write, shut;
    static loop_job job;
    static size_t stuffed;
    static char byte;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    flows[0] = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    START(loop_write(&flows[0]->sink, "w", 1, ONCE(&write)));
    job = START(loop_shutdown(&flows[0]->sink, ONCE(&shut)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(shut.count);
    ONCE_IS(shut, -ECANCELED);
    CHECK_IS(drain(fds[1]), stuffed);
    WAIT_UNTIL(write.count);
    AWAIT(loop_write(&flows[0]->sink, "x", 1, GO));
    CHECK_IS(result, 1);
    CHECK_IS(recv(fds[1], &byte, 1, 0), 1);
    CHECK_IS(byte, 'w');
    close(fds[1]);
    END;
}

enum { SIZE = 100000 };
static char bytes[SIZE], got[100];
enum way { WRITE, WRITEV, COPY, SEND, SEND_MSG, OP_WRITE, OP_WRITEV, WAYS };

static loop_job write_to(struct loop_scope *scope, struct loop_flow *flow, enum way way, struct once *once)
{
    static struct iovec iov[2] = {{bytes, SIZE / 2}, {bytes + SIZE / 2, SIZE / 2}};
    static struct loop_message message = {.iov = iov, .n_iov = 2};
    struct loop_fd *fd = flow->fd;

    switch (way) {
    case WRITE: return loop_write(&flow->sink, bytes, SIZE, ONCE(once));
    case WRITEV: return loop_writev(&flow->sink, iov, 2, ONCE(once));
    case COPY: return loop_copy(loop_memory_source(scope, bytes, SIZE), &flow->sink, ONCE(once));
    case SEND: return loop_op_send(NULL, fd, bytes, SIZE, 0, ONCE(once));
    case SEND_MSG: return loop_op_send_msg(NULL, fd, &message, ONCE(once));
    case OP_WRITE: return loop_op_write(NULL, fd, bytes, SIZE, LOOP_CURRENT, ONCE(once));
    case OP_WRITEV: return loop_op_writev(NULL, fd, iov, 2, LOOP_CURRENT, ONCE(once));
    case WAYS: break;
    }
    return 0;
}

static struct loop_flow *ours;

static void make_full(struct loop_scope *scope, bool is_tcp, int fds[2])
{
    if (is_tcp) {
        make_tcp_pair(fds);
    } else {
        make_pair(fds);
    }
    set_small_buffers(fds[0]);
    set_small_buffers(fds[1]);
    ours = flow_of(scope, fds[0]);
    while (stuff(fds[0]) > 0) {
        poll(NULL, 0, 1); /* until the peer's side of a TCP connection is full too */
    }
}

LOOP_TEST(p17_writes_that_wait_for_room_end_when_the_program_shuts_down)
{
    static enum way way;
    static int is_tcp, how, fds[2];
    static struct once write;

    BEGIN;
    for (is_tcp = 0; is_tcp < 2; is_tcp++) {
        for (how = SHUT_WR; how <= SHUT_RDWR; how++) {
            for (way = 0; way < WAYS; way++) {
                make_full(env->scope, is_tcp, fds);
                write = (struct once){0};
                START(write_to(env->scope, ours, way, &write));
                AWAIT(turns(env->scope, 5, GO));
                CHECK_IS(write.count, 0);
                AWAIT(loop_op_shutdown(NULL, ours->fd, how, GO));
                CHECK_IS(result, 0);
                WAIT_UNTIL(write.count);
                ONCE_IS(write, -EPIPE);
                loop_fd_close(ours->fd);
                close(fds[1]);
            }
        }
    }
    END;
}

/* Several at once, of both levels; and one that is started afterwards. */
LOOP_TEST(p17_all_writes_end_when_the_program_shuts_down)
{
    static enum way way;
    static int fds[2];
    static struct once writes[WAYS], drained;
    static struct loop_writer *writer;

    BEGIN;
    make_full(env->scope, false, fds);
    for (way = 0; way < WAYS; way++) {
        START(write_to(env->scope, ours, way, &writes[way]));
    }
    loop_sink_limit(&ours->sink, SIZE / 2);
    START(loop_sink_wait_drained(&ours->sink, ONCE(&drained)));
    AWAIT(turns(env->scope, 5, GO));
    AWAIT(loop_op_shutdown(NULL, ours->fd, SHUT_WR, GO));
    for (way = 0; way < WAYS; way++) {
        WAIT_UNTIL(writes[way].count);
        ONCE_IS(writes[way], -EPIPE);
    }
    WAIT_UNTIL(drained.count);
    ONCE_IS(drained, -EPIPE);
    AWAIT(loop_write(&ours->sink, "late", 4, GO));
    CHECK_IS(result, -EPIPE);
    writer = loop_writer_create(&ours->sink, 0);
    loop_writer_append(writer, "late", 4);
    AWAIT(loop_writer_flush(writer, GO));
    CHECK_IS(result, -EPIPE);
    close(fds[1]);
    END;
}

/* A shutdown of the flow waits for its writes; an operation of the low level is not one of them. */
LOOP_TEST(p17_send_that_waits_for_room_ends_when_the_flow_shuts_down)
{
    static int is_tcp, fds[2];
    static struct once send;

    BEGIN;
    for (is_tcp = 0; is_tcp < 2; is_tcp++) {
        make_full(env->scope, is_tcp, fds);
        send = (struct once){0};
        START(write_to(env->scope, ours, SEND, &send));
        AWAIT(turns(env->scope, 5, GO));
        START(loop_shutdown(&ours->sink, NULL, NULL));
        while (send.count == 0) {
            drain(fds[1]);
            AWAIT(turns(env->scope, 1, GO));
        }
        CHECK(send.result == -EPIPE || send.result > 0);
        close(fds[1]);
    }
    END;
}

LOOP_TEST(p17_reads_end_when_the_program_shuts_down)
{
    static int is_tcp, how, fds[2];
    static struct once read, receive;

    BEGIN;
    for (is_tcp = 0; is_tcp < 2; is_tcp++) {
        for (how = SHUT_RD; how <= SHUT_RDWR; how += SHUT_RDWR) {
            if (is_tcp) {
                make_tcp_pair(fds);
            } else {
                make_pair(fds);
            }
            ours = flow_of(env->scope, fds[0]);
            read = receive = (struct once){0};
            START(loop_op_recv(NULL, ours->fd, got, 50, 0, ONCE(&receive)));
            START(loop_read(&ours->source, got + 50, 50, ONCE(&read)));
            AWAIT(turns(env->scope, 5, GO));
            CHECK_IS(read.count + receive.count, 0);
            AWAIT(loop_op_shutdown(NULL, ours->fd, how, GO));
            CHECK_IS(result, 0);
            WAIT_UNTIL(read.count && receive.count);
            ONCE_IS(read, 0);
            ONCE_IS(receive, 0);
            loop_fd_close(ours->fd);
            close(fds[1]);
        }
    }
    END;
}

/* Returns how many segments a TCP socket has sent, or 0 where the kernel does not tell. */
static unsigned segments_of(int number)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;

    return getsockopt(number, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_segs_out : 0;
}

/* The end of a connection is no segment of its own, for which the peer would wake once more. */
LOOP_TEST(end_leaves_with_the_last_bytes)
{
    static struct once written[2], shut;
    static unsigned before;
    static int fds[2];

    BEGIN;
    make_tcp_pair(fds);
    ours = flow_of(env->scope, fds[0]);
    before = segments_of(fds[0]);
    START(loop_write(&ours->sink, "ab", 2, ONCE(&written[0])));
    START(loop_write(&ours->sink, "cd", 2, ONCE(&written[1])));
    START(loop_shutdown(&ours->sink, ONCE(&shut)));
    WAIT_UNTIL(written[0].count && written[1].count && shut.count);
    ONCE_IS(shut, 0);
    CHECK_IS(recv(fds[1], got, sizeof got, MSG_WAITALL), 4);
    CHECK(memcmp(got, "abcd", 4) == 0);
    CHECK(before == 0 || is_hard("short") || segments_of(fds[0]) == before + 1);
    close(fds[1]);
    END;
}

/* Returns how many bytes a TCP socket keeps back, or 0 where the kernel does not tell. */
static unsigned kept_back(int number)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;

    return getsockopt(number, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_notsent_bytes : 0;
}

/* More writes than are sent in a turn, or just as many. Where those behind are cancelled with the shutdown, what has
 * been sent does not wait for it. */
LOOP_TEST_ROWS(p05_bytes_before_a_cancelled_shutdown_leave_at_once, 2)
{
    enum { MOST = 1100, IN_A_TURN = 16 * 64 };
    static struct once first, shut;
    static loop_job jobs[MOST], job;
    static int fds[2], n;

    BEGIN;
    make_tcp_pair(fds);
    CHECK_IS(setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    ours = flow_of(env->scope, fds[0]);
    n = script.row == 0 ? MOST : IN_A_TURN;
    START(loop_write(&ours->sink, "a", 1, ONCE(&first)));
    for (int i = 1; i < n; i++) {
        CHECK(jobs[i] = loop_write(&ours->sink, "b", 1, NULL, NULL));
    }
    job = START(loop_shutdown(&ours->sink, ONCE(&shut)));
    WAIT_UNTIL(first.count);
    for (int i = 1; i < n; i++) {
        loop_cancel(env->loop, jobs[i]);
    }
    loop_cancel(env->loop, job);
    WAIT_UNTIL(shut.count);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(kept_back(fds[0]), 0);
    close(fds[1]);
    END;
}
