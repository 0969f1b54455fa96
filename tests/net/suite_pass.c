/* SPDX-License-Identifier: ISC
 *
 * Descriptors that are passed over Unix sockets.
 */
#include "sockets.h"

#include <net/pass.h>

enum { ROOM = 4 };

static struct loop_flow *ends[2];
static struct loop_fd *sent[ROOM], *came[ROOM];
static struct loop_passed passed = {.fds = came, .room = ROOM};
static struct once received, was_sent;
static int pipes[ROOM][2];
static char got[64];

/* Opens a pair of flows, and pipes whose writing ends are to be passed. */
static void open_all(struct loop_env *env)
{
    CHECK_IS(loop_socketpair(env->scope, &ends[0], &ends[1]), 0);
    for (int i = 0; i < ROOM; i++) {
        make_pipe(pipes[i]);
        sent[i] = adopt(env->scope, pipes[i][1]);
    }
}

static void close_readers(void)
{
    for (int i = 0; i < ROOM; i++) {
        close(pipes[i][0]);
    }
}

/* Writes to a received descriptor; the byte arrives at the pipe whose end was passed. */
static void check_same(struct loop_fd *fd, int i)
{
    char byte = 0;

    CHECK(fcntl(loop_fd_peek(fd), F_GETFD) & FD_CLOEXEC);
    CHECK_IS(write(loop_fd_peek(fd), &"abcd"[i], 1), 1);
    CHECK_IS(read(pipes[i][0], &byte, 1), 1);
    CHECK_IS(byte, "abcd"[i]);
}

LOOP_TEST(descriptors_are_passed_with_bytes)
{
    BEGIN;
    open_all(env);
    START(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, ONCE(&received)));
    AWAIT(loop_send_fds(ends[0], sent, ROOM, "four", 4, GO));
    CHECK_IS(result, 4);
    WAIT_UNTIL(received.count);
    ONCE_IS(received, 4);
    CHECK(memcmp(got, "four", 4) == 0);
    CHECK(passed.n == ROOM && !passed.is_truncated);
    for (int i = 0; i < ROOM; i++) {
        check_same(came[i], i);
    }
    received.count = 0;
    START(loop_receive_fds(env->scope, ends[0], got, sizeof got, &passed, ONCE(&received)));
    AWAIT(loop_send_fds(ends[1], &came[2], 1, "b", 1, GO)); /* and back */
    CHECK_IS(result, 1);
    WAIT_UNTIL(received.count);
    CHECK_IS(passed.n, 1);
    check_same(came[0], 2);
    close_readers();
    END;
}

/* Steps: they leave behind what was written before, and what was read does not have them. */
LOOP_TEST(p11_descriptors_leave_after_earlier_writes)
{
    BEGIN;
    open_all(env);
    START(loop_write(&ends[0]->sink, "one", 3, NULL, NULL));
    START(loop_write(&ends[0]->sink, "two", 3, NULL, NULL));
    AWAIT(loop_send_fds(ends[0], sent, 2, "three", 5, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_write(&ends[0]->sink, "four", 4, GO));
    AWAIT(loop_read_exact(&ends[1]->source, got, 6, GO));
    CHECK(result == 6 && memcmp(got, "onetwo", 6) == 0);
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 5 && memcmp(got, "three", 5) == 0 && passed.n == 2);
    AWAIT(loop_read_exact(&ends[1]->source, got, 4, GO));
    CHECK(result == 4 && memcmp(got, "four", 4) == 0);
    AWAIT(loop_write(&ends[0]->sink, "x", 1, GO));
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 1 && passed.n == 0);
    close_readers();
    END;
}

/* Writes that are started while descriptors wait leave behind them, with room and without. */
LOOP_TEST_ROWS(p11_later_writes_leave_behind_descriptors, 2)
{
    static size_t stuffed;
    static char text[20];

    BEGIN;
    open_all(env);
    stuffed = script.row == 1 ? stuff(loop_fd_peek(ends[0]->fd)) : 0;
    START(loop_write(&ends[0]->sink, "one", 3, NULL, NULL));
    START(loop_send_fds(ends[0], sent, 1, "two", 3, ONCE(&was_sent)));
    START(loop_write(&ends[0]->sink, "three", 5, NULL, NULL));
    START(loop_send_fds(ends[0], sent + 1, 1, "four", 4, NULL, NULL));
    START(loop_write(&ends[0]->sink, "five", 4, NULL, NULL));
    START(loop_shutdown(&ends[0]->sink, NULL, NULL));
    AWAIT(turns(env->scope, 5, GO));
    for (; stuffed > 0; stuffed -= (size_t)result) {
        AWAIT(loop_read(&ends[1]->source, text, stuffed < sizeof text ? stuffed : sizeof text, GO));
        CHECK(result > 0);
    }
    AWAIT(loop_read_exact(&ends[1]->source, text, 3, GO));
    CHECK(result == 3 && memcmp(text, "one", 3) == 0);
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 3 && memcmp(got, "two", 3) == 0 && passed.n == 1);
    check_same(came[0], 0);
    AWAIT(loop_read_exact(&ends[1]->source, text, 5, GO));
    CHECK(result == 5 && memcmp(text, "three", 5) == 0);
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 4 && memcmp(got, "four", 4) == 0 && passed.n == 1);
    check_same(came[0], 1);
    AWAIT(loop_read_exact(&ends[1]->source, text, 5, GO));
    CHECK(result == 4 && memcmp(text, "five", 4) == 0);
    ONCE_IS(was_sent, 3);
    close_readers();
    END;
}

/* They wait until there is room. */
LOOP_TEST(descriptors_wait_for_a_peer_that_does_not_read)
{
    static int raw;

    BEGIN;
    open_all(env);
    raw = loop_fd_peek(ends[1]->fd);
    CHECK(stuff(loop_fd_peek(ends[0]->fd)) > 0);
    START(loop_send_fds(ends[0], sent, 1, "late", 4, ONCE(&was_sent)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(was_sent.count, 0);
    while (was_sent.count == 0) {
        (void)drain(raw);
        AWAIT(turns(env->scope, 1, GO));
    }
    ONCE_IS(was_sent, 4);
    close_readers();
    END;
}

LOOP_TEST(p06_a_descriptor_that_is_closed_meanwhile_is_passed)
{
    BEGIN;
    open_all(env);
    START(loop_send_fds(ends[0], sent, 1, "a", 1, ONCE(&was_sent)));
    CHECK_IS(loop_fd_close(sent[0]), 0);
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 1 && passed.n == 1);
    check_same(came[0], 0);
    WAIT_UNTIL(was_sent.count);
    ONCE_IS(was_sent, 1);
    close_readers();
    END;
}

/* ---- what does not fit ---- */

/* The harness checks that none is left open. */
LOOP_TEST(descriptors_without_room_are_closed)
{
    BEGIN;
    open_all(env);
    passed.room = 1;
    AWAIT(loop_send_fds(ends[0], sent, 3, "a", 1, GO));
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 1 && passed.n == 1 && passed.is_truncated);
    check_same(came[0], 0);
    passed.room = 0;
    AWAIT(loop_send_fds(ends[0], sent, 3, "a", 1, GO));
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 1 && passed.n == 0 && passed.is_truncated);
    close_readers();
    END;
}

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

/* A descriptor of the sender's process, which was not asked for, is closed too. */
LOOP_TEST(p06_a_descriptor_of_the_senders_process_is_not_kept)
{
    BEGIN;
    open_all(env);
    (void)setsockopt(loop_fd_peek(ends[1]->fd), SOL_SOCKET, SO_PASSPIDFD, &(int){1}, sizeof(int));
    AWAIT(loop_send_fds(ends[0], sent, 1, "a", 1, GO));
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 1 && passed.n == 1);
    check_same(came[0], 0);
    close_readers();
    END;
}

LOOP_TEST(p12_at_the_limit_of_descriptors_some_are_lost)
{
    static rlim_t before;

    BEGIN;
    open_all(env);
    AWAIT(loop_send_fds(ends[0], sent, 3, "abc", 3, GO));
    before = forbid_fds();
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    (void)limit_fds(before);
    CHECK(result == 3 && passed.n == 0 && passed.is_truncated);
    AWAIT(loop_send_fds(ends[0], sent, 1, "d", 1, GO));
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK(result == 1 && passed.n == 1 && !passed.is_truncated);
    close_readers();
    END;
}

/* ---- ends ---- */

LOOP_TEST(p04_jobs_with_descriptors_are_cancelled)
{
    static loop_job receiving, sending;

    BEGIN;
    open_all(env);
    receiving = loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, ONCE(&received));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, receiving), 0);
    WAIT_UNTIL(received.count);
    ONCE_IS(received, -ECANCELED);
    CHECK_IS(passed.n, 0);
    CHECK(stuff(loop_fd_peek(ends[0]->fd)) > 0);
    sending = loop_send_fds(ends[0], sent, 1, "late", 4, ONCE(&was_sent));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, sending), 0);
    WAIT_UNTIL(was_sent.count);
    ONCE_IS(was_sent, -ECANCELED);
    CHECK_IS(loop_cancel(env->loop, sending), -ENOENT);
    close_readers();
    END;
}

LOOP_TEST(p06_jobs_with_descriptors_end_when_the_flow_closes)
{
    BEGIN;
    open_all(env);
    START(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, ONCE(&received)));
    AWAIT(turns(env->scope, 2, GO));
    loop_flow_close(ends[1]);
    WAIT_UNTIL(received.count);
    ONCE_IS(received, -ECANCELED);
    AWAIT(loop_receive_fds(env->scope, ends[1], got, sizeof got, &passed, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_send_fds(ends[1], sent, 1, "a", 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_receive_fds(env->scope, ends[0], got, sizeof got, &passed, GO));
    CHECK(result == 0 && passed.n == 0);
    close_readers();
    END;
}

LOOP_TEST(p07_received_descriptors_end_with_their_scope)
{
    static struct loop_scope *scope;
    static struct once ended;
    static int number;

    BEGIN;
    open_all(env);
    scope = open_held(env->scope, &ended);
    START(loop_send_fds(ends[0], sent, 1, "a", 1, NULL, NULL));
    AWAIT(loop_receive_fds(scope, ends[1], got, sizeof got, &passed, GO));
    CHECK_IS(passed.n, 1);
    number = loop_fd_peek(came[0]);
    CHECK(is_open(number));
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    CHECK(!is_open(number));
    close_readers();
    END;
}

LOOP_TEST(p23_bad_arguments_of_passing)
{
    static struct loop_flow *other;
    static struct loop_passed too_much = {.fds = came, .room = LOOP_PASS_MAX_FDS + 1};
    static int pair[2];

    BEGIN;
    open_all(env);
    AWAIT(loop_send_fds(ends[0], sent, 0, "a", 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_send_fds(ends[0], sent, LOOP_PASS_MAX_FDS + 1, "a", 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_send_fds(ends[0], sent, 1, "", 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_send_fds(ends[0], sent, 1, got, LOOP_PASS_MAX_BYTES + 1, GO));
    CHECK_IS(result, -EMSGSIZE);
    AWAIT(loop_receive_fds(env->scope, ends[0], got, 0, &passed, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_receive_fds(env->scope, ends[0], got, 1, &too_much, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(loop_fd_close(sent[1]), 0);
    AWAIT(loop_send_fds(ends[0], sent, 2, "a", 1, GO));
    CHECK_IS(result, -EBADF);
    make_tcp_pair(pair);
    other = flow_of(env->scope, pair[0]);
    AWAIT(loop_send_fds(other, sent, 1, "a", 1, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    AWAIT(loop_receive_fds(env->scope, other, got, 1, &passed, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    close(pair[1]);
    close_readers();
    END;
}
