/* SPDX-License-Identifier: ISC
 *
 * loop_op_shutdown and loop_op_close: their results, and what they wait for.
 */
#include "descriptors.h"

/* ---- shutdown, close, cancel, timeout ---- */

LOOP_TEST(shutdown_of_one_direction)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *fd;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_op_shutdown(NULL, flows[0]->fd, SHUT_WR, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_recv(NULL, flows[1]->fd, &byte, 1, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_shutdown(NULL, flows[0]->fd, 17, GO));
    CHECK_IS(result, -EINVAL);
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(loop_op_shutdown(NULL, fd, SHUT_RDWR, GO));
    CHECK_IS(result, -ENOTCONN);
    fd = adopt(env->scope, make_file("", 0));
    AWAIT(loop_op_shutdown(NULL, fd, SHUT_RDWR, GO));
    CHECK_IS(result, -ENOTSOCK);
    END;
}

LOOP_TEST(shutdown_wakes_a_waiting_recv)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_op_recv(NULL, flows[0]->fd, &byte, 1, 0, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_op_shutdown(NULL, flows[0]->fd, SHUT_RDWR, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 0);
    END;
}

LOOP_TEST(close_says_when_it_is_done)
{
    static struct loop_flow *flows[2];
    static struct once read, closed;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    START(loop_op_close(env->scope, flows[0]->fd, ONCE(&closed)));
    CHECK(!loop_fd_is_open(flows[0]->fd));
    WAIT_UNTIL(closed.count);
    ONCE_IS(closed, 0);
    ONCE_IS(read, -ECANCELED);
    CHECK(read.order < closed.order);
    CHECK(!is_open(number));
    AWAIT(loop_op_close(env->scope, flows[0]->fd, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(close_cannot_be_cancelled)
{
    static struct loop_flow *flows[2];
    static struct once closed;
    static loop_job job;

    BEGIN;
    make_flows(env->scope, flows);
    CHECK(loop_fd_use(flows[0]->fd) >= 0);
    job = START(loop_op_close(env->scope, flows[0]->fd, ONCE(&closed)));
    loop_cancel(env->loop, job);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(closed.count, 0);
    loop_fd_unuse(flows[0]->fd);
    WAIT_UNTIL(closed.count);
    ONCE_IS(closed, 0);
    END;
}

/* ---- shutdown, close, cancel, timeout ---- */

LOOP_TEST(shutdown_says_what_the_system_call_says)
{
    static struct loop_fd *pair[2], *unconnected;
    static char byte;

    BEGIN;
    open_pair(env->scope, pair);
    unconnected = open_tcp_socket(env->scope);
    AWAIT(loop_op_shutdown(env->scope, unconnected, SHUT_WR, GO));
    CHECK_IS(result, -ENOTCONN);
    AWAIT(loop_op_shutdown(env->scope, pair[0], 77, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_shutdown(env->scope, pair[0], SHUT_RD, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_recv(env->scope, pair[0], &byte, 1, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_shutdown(env->scope, pair[0], SHUT_RDWR, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_send(env->scope, pair[0], "x", 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_recv(env->scope, pair[1], &byte, 1, 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(close_is_0_when_it_is_done_and_then_ebadf)
{
    static struct loop_fd *pair[2];
    static struct once read, closed, again;
    static loop_job job;
    static int number;
    static char byte;

    BEGIN;
    open_pair(env->scope, pair);
    number = loop_fd_peek(pair[0]);
    START(loop_op_recv(env->scope, pair[0], &byte, 1, 0, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    job = START(loop_op_close(env->scope, pair[0], ONCE(&closed)));
    CHECK(!loop_fd_is_open(pair[0]));
    (void)loop_cancel(env->loop, job);
    START(loop_op_close(env->scope, pair[0], ONCE(&again)));
    WAIT_UNTIL(closed.count && again.count);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(closed, 0);
    ONCE_IS(again, -EBADF);
    CHECK(read.order < closed.order);
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(close_waits_for_a_use)
{
    static struct loop_fd *pair[2];
    static struct once closed;
    static int number;

    BEGIN;
    open_pair(env->scope, pair);
    number = loop_fd_use(pair[0]);
    CHECK(number >= 0);
    START(loop_op_close(env->scope, pair[0], ONCE(&closed)));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(closed.count, 0);
    CHECK(is_open(number));
    CHECK_IS(loop_fd_use(pair[0]), -EBADF);
    loop_fd_unuse(pair[0]);
    WAIT_UNTIL(closed.count);
    ONCE_IS(closed, 0);
    CHECK(!is_open(number));
    END;
}

/* As a continuation does that cleans up behind a cancel. */
LOOP_TEST(p06_a_close_in_a_cancelled_scope_closes)
{
    static struct loop_flow *flows[2];
    static struct loop_scope *scope;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_hold(scope);
    loop_scope_cancel(scope);
    AWAIT(loop_op_close(scope, flows[0]->fd, GO));
    CHECK_IS(result, -ECANCELED);
    CHECK(!loop_fd_is_open(flows[0]->fd));
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    loop_scope_unhold(scope);
    END;
}
