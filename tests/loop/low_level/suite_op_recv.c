/* SPDX-License-Identifier: ISC
 *
 * loop_op_recv and loop_op_send: flags, errors, and the ends of streams and datagrams.
 */
#include "descriptors.h"
#include "show.h"

#include <loop/part.h>

/* ---- sockets ---- */

LOOP_TEST(send_and_recv_with_flags)
{
    static struct loop_flow *flows[2];
    static char got[4];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_op_send(NULL, flows[0]->fd, "a", 1, 0, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_recv(NULL, flows[1]->fd, got, 1, MSG_PEEK, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_recv(NULL, flows[1]->fd, got, 1, 0, GO));
    CHECK_IS(result, 1);
    CHECK_IS(got[0], 'a');
    AWAIT(loop_op_recv(NULL, flows[1]->fd, got, 1, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_op_recv(NULL, flows[0]->fd, got, 1, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_send(NULL, flows[0]->fd, "a", 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

/* ---- material ---- */

static void open_datagram_pair(struct loop_scope *scope, struct loop_fd *ends[2])
{
    int fds[2];

    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
    adopt_both(scope, fds, ends);
}

/* ---- recv, send ---- */

LOOP_TEST(peek_leaves_the_bytes_there)
{
    static struct loop_fd *pair[2];
    static char bytes[8];

    BEGIN;
    open_pair(env->scope, pair);
    say(pair[1], "x");
    AWAIT(loop_op_recv(env->scope, pair[0], bytes, 1, MSG_PEEK, GO));
    CHECK_IS(result, 1);
    CHECK_IS(bytes[0], 'x');
    bytes[0] = 0;
    AWAIT(loop_op_recv(env->scope, pair[0], bytes, 8, 0, GO));
    CHECK_IS(result, 1);
    CHECK_IS(bytes[0], 'x');
    END;
}

LOOP_TEST(waitall_waits_for_all_or_the_end)
{
    static struct loop_fd *pair[2];
    static struct once once;
    static char bytes[16];

    BEGIN;
    open_tcp_pair(env->scope, pair);
    START(loop_op_recv(env->scope, pair[0], bytes, 10, MSG_WAITALL, ONCE(&once)));
    say(pair[1], "01234");
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    say(pair[1], "56789abc");
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 10);
    CHECK(memcmp(bytes, "0123456789", 10) == 0);
    memset(&once, 0, sizeof once);
    START(loop_op_recv(env->scope, pair[0], bytes, 10, MSG_WAITALL, ONCE(&once)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    loop_fd_close(pair[1]);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 3);
    CHECK(memcmp(bytes, "abc", 3) == 0);
    END;
}

LOOP_TEST(waitall_cancelled_says_what_came)
{
    static struct loop_fd *pair[2];
    static struct once once;
    static char bytes[16];
    static loop_job job;

    BEGIN;
    open_pair(env->scope, pair);
    job = START(loop_op_recv(env->scope, pair[0], bytes, 10, MSG_WAITALL, ONCE(&once)));
    AWAIT(turns(env->scope, 2, GO));
    say(pair[1], "01234");
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 5);
    CHECK(memcmp(bytes, "01234", 5) == 0);
    END;
}

LOOP_TEST(dontwait_does_not_wait)
{
    static struct loop_fd *pair[2];
    static char byte;

    BEGIN;
    open_pair(env->scope, pair);
    AWAIT(loop_op_recv(env->scope, pair[0], &byte, 1, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    stuff(loop_fd_peek(pair[0]));
    AWAIT(loop_op_send(env->scope, pair[0], &byte, 1, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    END;
}

LOOP_TEST(errors_of_recv_and_send_are_the_system_calls)
{
    static struct loop_fd *pair[2], *unconnected;
    static char byte;

    BEGIN;
    open_pair(env->scope, pair);
    unconnected = open_tcp_socket(env->scope);
    AWAIT(loop_op_recv(env->scope, unconnected, &byte, 1, 0, GO));
    CHECK_IS(result, -ENOTCONN);
    AWAIT(loop_op_send(env->scope, unconnected, &byte, 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_recv(env->scope, pair[0], NULL, 1, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_send(env->scope, pair[0], NULL, 1, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_send(env->scope, pair[0], &byte, 1, MSG_OOB | MSG_MORE, GO));
    CHECK(result == 1 || result == -EOPNOTSUPP);
    loop_fd_close(pair[1]);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_op_send(env->scope, pair[0], &byte, 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

LOOP_TEST(recv_and_send_move_bytes_and_hear_the_end)
{
    static struct loop_fd *pair[2];
    static char bytes[8];
    static size_t sent;

    BEGIN;
    open_tcp_pair(env->scope, pair);
    AWAIT(loop_op_send(env->scope, pair[0], "abcdef", 6, 0, GO));
    CHECK_MOVED(result, 6);
    sent = (size_t)result;
    while (sent > 0) {
        AWAIT(loop_op_recv(env->scope, pair[1], bytes, 8, 0, GO));
        CHECK(result > 0 && (size_t)result <= sent);
        sent -= (size_t)result;
    }
    AWAIT(loop_op_send(env->scope, pair[0], "abcdef", 6, MSG_WAITALL, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 6, MSG_WAITALL, GO));
    CHECK_IS(result, 6);
    CHECK(memcmp(bytes, "abcdef", 6) == 0);
    AWAIT(loop_op_shutdown(env->scope, pair[0], SHUT_WR, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 8, 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(datagrams_keep_their_limits)
{
    static struct loop_fd *pair[2];
    static char bytes[16];

    BEGIN;
    open_datagram_pair(env->scope, pair);
    AWAIT(loop_op_send(env->scope, pair[0], "first", 5, 0, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_op_send(env->scope, pair[0], NULL, 0, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_send(env->scope, pair[0], "third", 5, 0, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 16, 0, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(bytes, "first", 5) == 0);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 16, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 2, MSG_TRUNC, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(bytes, "th", 2) == 0);
    AWAIT(loop_op_recv(env->scope, pair[1], bytes, 16, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    END;
}

/* ---- sockets ---- */

static const char gone_text[] = "accept on a datagram socket: EOPNOTSUPP\n"
                                "send an empty datagram: 0\n"
                                "recv it: 0\n"
                                "recv_msg of a byte of a datagram: 1\n"
                                "truncated 1\n"
                                "send a datagram to nobody: ECONNREFUSED\n"
                                "read when the peer has gone: 0\n"
                                "write when the peer has gone: EPIPE\n"
                                "write again: EPIPE\n"
                                "drained after that: EPIPE\n"
                                "shutdown after that: 0\n"
                                "send when the peer has gone: EPIPE\n"
                                "send_msg when the peer has gone: EPIPE\n"
                                "copy to a peer that has gone: EPIPE\n";

LOOP_TEST(p17_datagrams_and_peers_that_have_gone)
{
    static struct loop_flow *flows[2], *pair[2];
    static int fds[2];

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
    pair[0] = flow_of(env->scope, fds[0]);
    pair[1] = flow_of(env->scope, fds[1]);
    SHOW("accept on a datagram socket", loop_op_accept(NULL, pair[0]->fd, NULL, NULL, GO));
    SHOW("send an empty datagram", loop_op_send(NULL, pair[0]->fd, shown_bytes, 0, 0, GO));
    SHOW("recv it", loop_op_recv(NULL, pair[1]->fd, shown_bytes, 10, 0, GO));
    CHECK_IS(send(fds[0], "datagram", 8, 0), 8);
    one_message = (struct loop_message){.iov = &one_byte, .n_iov = 1};
    SHOW("recv_msg of a byte of a datagram", loop_op_recv_msg(NULL, pair[1]->fd, &one_message, GO));
    trace("truncated %d", (one_message.flags & MSG_TRUNC) != 0);
    loop_flow_close(pair[1]);
    AWAIT(turns(env->scope, 3, GO));
    SHOW("send a datagram to nobody", loop_op_send(NULL, pair[0]->fd, "x", 1, 0, GO));
    make_flows(env->scope, flows);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 3, GO));
    SHOW("read when the peer has gone", loop_read(&flows[0]->source, shown_bytes, 1, GO));
    SHOW("write when the peer has gone", loop_write(&flows[0]->sink, "x", 1, GO));
    SHOW("write again", loop_write(&flows[0]->sink, "x", 1, GO));
    SHOW("drained after that", loop_sink_wait_drained(&flows[0]->sink, GO));
    SHOW("shutdown after that", loop_shutdown(&flows[0]->sink, GO));
    SHOW("send when the peer has gone", loop_op_send(NULL, flows[0]->fd, "x", 1, 0, GO));
    SHOW("send_msg when the peer has gone", loop_op_send_msg(NULL, flows[0]->fd, &one_message, GO));
    SHOW("copy to a peer that has gone", loop_copy(loop_memory_source(env->scope, "x", 1), &flows[0]->sink, GO));
    CHECK_TEXT(trace_text(), gone_text);
    END;
}
