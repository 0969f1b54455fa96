/* SPDX-License-Identifier: ISC
 *
 * loop_poll and loop_op_poll_add: what each kind of descriptor reports, and when.
 */
#include "descriptors.h"

/* ---- poll ---- */

LOOP_TEST(poll_add_says_what_is_there)
{
    static struct loop_flow *flows[2];
    static struct once poll;

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_op_poll_add(NULL, flows[0]->fd, POLLOUT, GO));
    CHECK_IS(result, POLLOUT);
    START(loop_op_poll_add(env->scope, flows[0]->fd, POLLIN, ONCE(&poll)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(poll.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(poll.count);
    ONCE_IS(poll, POLLIN);
    END;
}

/* ---- poll, splice ---- */

LOOP_TEST(poll_tells_a_hangup_unasked)
{
    static struct loop_fd *pipe[2], *pair[2];
    static struct once once, half;

    BEGIN;
    open_pipe(env->scope, pipe);
    open_pair(env->scope, pair);
    START(loop_op_poll_add(env->scope, pipe[0], POLLIN, ONCE(&once)));
    START(loop_op_poll_add(env->scope, pair[0], POLLRDHUP, ONCE(&half)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count + half.count, 0);
    loop_fd_close(pipe[1]);
    CHECK_IS(shutdown(loop_fd_peek(pair[1]), SHUT_WR), 0);
    WAIT_UNTIL(once.count && half.count);
    ONCE_IS(once, POLLHUP);
    ONCE_IS(half, POLLRDHUP);
    END;
}

/* What has been shut down by the peer isn't what was asked for. */
LOOP_TEST(poll_for_room_does_not_end_with_a_half_close)
{
    static struct loop_fd *pair[2];
    static struct once once;

    BEGIN;
    open_pair(env->scope, pair);
    stuff(loop_fd_peek(pair[0]));
    START(loop_op_poll_add(env->scope, pair[0], POLLOUT, ONCE(&once)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(shutdown(loop_fd_peek(pair[1]), SHUT_WR), 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(once.count, 0);
    drain(loop_fd_peek(pair[1]));
    WAIT_UNTIL(once.count);
    ONCE_IS(once, POLLOUT);
    END;
}

LOOP_TEST(poll_of_what_cannot_be_polled_and_for_what_is_none)
{
    static struct loop_fd *pair[2], *file;

    BEGIN;
    open_pair(env->scope, pair);
    file = open_file(env->scope, "0123456789");
    AWAIT(loop_op_poll_add(env->scope, file, POLLIN | POLLOUT | POLLPRI, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    AWAIT(loop_op_poll_add(env->scope, file, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_poll_add(env->scope, pair[0], 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_poll_add(env->scope, pair[0], POLLIN | 1u << 30, GO));
    CHECK_IS(result, -EINVAL);
    END;
}
