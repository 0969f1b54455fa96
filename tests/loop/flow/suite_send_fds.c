/* SPDX-License-Identifier: ISC
 *
 * Bytes with descriptors of which one system call sends a part: they keep what a write of their place promises. So each
 * test has a row for a write.
 */
#include "harness.h"

#include <loop/part.h>

enum { LENGTH = 700000, TAIL = 1000, WRITE = 0, SEND_FDS, KINDS };

static struct loop_flow *flow;
static struct loop_fd *passed;
static int peer, passed_number;
static char sent[LENGTH + TAIL], got[2 * LENGTH + 2 * TAIL];
static size_t n_got, got_when_passed; /* bytes, and how many of them had come before the descriptor */
static unsigned n_passed;
static struct once first, behind, last, drained, ended;

static void open_all(struct loop_scope *scope)
{
    int fds[2], ends[2];

    fill_pattern(sent, sizeof sent, 1);
    make_pair(fds);
    make_pipe(ends);
    flow = flow_of(scope, fds[0]);
    peer = fds[1];
    passed_number = ends[1];
    passed = adopt(scope, ends[1]);
    adopt(scope, ends[0]);
}

/* Starts the job of this row with the first bytes. */
static loop_job start(size_t len, loop_fn *fn, void *arg)
{
    return script.row == WRITE ? loop_write(&flow->sink, sent, len, fn, arg)
                               : loop_fd_send_fds(flow->fd, sent, len, &passed, 1, fn, arg);
}

static void take_descriptors(struct msghdr *header, size_t before)
{
    for (struct cmsghdr *message = CMSG_FIRSTHDR(header); message; message = CMSG_NXTHDR(header, message)) {
        int number;
        if (message->cmsg_level == SOL_SOCKET && message->cmsg_type == SCM_RIGHTS) {
            CHECK_IS(message->cmsg_len, CMSG_LEN(sizeof number));
            memcpy(&number, CMSG_DATA(message), sizeof number);
            close(number);
            got_when_passed = n_passed++ > 0 ? got_when_passed : before;
        }
    }
}

/* Takes some of what has come to the peer. Returns the count, 0 at the end, or -1 when nothing is there. */
static ssize_t take_some(void)
{
    _Alignas(struct cmsghdr) char control[256];
    struct iovec vector = {got + n_got, sizeof got - n_got};
    struct msghdr header = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(peer, &header, MSG_DONTWAIT);

    if (n > 0) {
        take_descriptors(&header, n_got);
        n_got += (size_t)n;
    }
    return n;
}

static void take(void)
{
    while (take_some() > 0) {
    }
}

/* The peer has got all that was sent: `len` bytes of the pattern from `from` on, which end there. */
static void check_got(size_t from, size_t at, size_t len)
{
    CHECK(n_got >= at + len);
    CHECK(memcmp(got + at, sent + from, len) == 0);
}

/* ---- whole, and in its place ---- */

LOOP_TEST_ROWS(p11_bytes_of_which_a_part_leaves_are_in_front_of_later_writes, KINDS)
{
    BEGIN;
    open_all(env->scope);
    START(start(LENGTH, ONCE(&first)));
    START(loop_write(&flow->sink, sent + LENGTH, TAIL, ONCE(&behind)));
    START(loop_shutdown(&flow->sink, ONCE(&last)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(first.count == 0 && behind.count == 0);
    while (last.count == 0) {
        take();
        AWAIT(turns(env->scope, 1, GO));
    }
    take();
    ONCE_IS(first, LENGTH);
    ONCE_IS(behind, TAIL);
    ONCE_IS(last, 0);
    CHECK_IS(take_some(), 0);
    CHECK_IS(n_got, LENGTH + TAIL);
    check_got(0, 0, LENGTH + TAIL);
    CHECK(n_passed == (script.row == SEND_FDS) && got_when_passed == 0);
    close(peer);
    END;
}

/* With a write in front, and another of the kind behind. */
LOOP_TEST_ROWS(p11_bytes_of_which_a_part_leaves_follow_earlier_ones, KINDS)
{
    BEGIN;
    open_all(env->scope);
    CHECK_IS(loop_sink_limit(&flow->sink, sizeof got), 0);
    START(loop_write(&flow->sink, sent + LENGTH, TAIL, ONCE(&behind)));
    START(start(LENGTH, ONCE(&first)));
    START(start(LENGTH, ONCE(&last)));
    START(loop_write(&flow->sink, sent + LENGTH, TAIL, NULL, NULL));
    while (n_got < sizeof got) {
        take();
        AWAIT(turns(env->scope, 1, GO));
    }
    WAIT_UNTIL(last.count);
    ONCE_IS(behind, TAIL);
    ONCE_IS(first, LENGTH);
    ONCE_IS(last, LENGTH);
    CHECK(behind.order < first.order && first.order < last.order);
    check_got(LENGTH, 0, TAIL);
    check_got(0, TAIL, LENGTH);
    check_got(0, TAIL + LENGTH, LENGTH);
    check_got(LENGTH, TAIL + 2 * LENGTH, TAIL);
    CHECK(n_passed == (script.row == SEND_FDS ? 2 : 0) && got_when_passed <= TAIL);
    close(peer);
    END;
}

/* ---- the descriptors ---- */

LOOP_TEST(p06_descriptors_are_let_go_when_the_first_bytes_have_left)
{
    BEGIN;
    open_all(env->scope);
    script.row = SEND_FDS;
    START(start(LENGTH, ONCE(&first)));
    CHECK_IS(loop_fd_close(passed), 0);
    CHECK(is_open(passed_number));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(first.count, 0);
    CHECK(!is_open(passed_number));
    while (first.count == 0) {
        take();
        AWAIT(turns(env->scope, 1, GO));
    }
    ONCE_IS(first, LENGTH);
    close(peer);
    END;
}

/* ---- the queue ---- */

LOOP_TEST_ROWS(p11_bytes_with_descriptors_count_in_the_queue, KINDS)
{
    BEGIN;
    open_all(env->scope);
    CHECK_IS(loop_sink_limit(&flow->sink, 2 * TAIL), 0);
    START(start(LENGTH, ONCE(&first)));
    CHECK_IS(loop_sink_queued(&flow->sink), LENGTH);
    CHECK(loop_sink_is_full(&flow->sink));
    START(loop_write(&flow->sink, sent, 1, ONCE(&behind)));
    START(loop_sink_wait_drained(&flow->sink, ONCE(&drained)));
    WAIT_UNTIL(behind.count);
    ONCE_IS(behind, -ENOBUFS);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(first.count == 0 && drained.count == 0);
    take();
    CHECK_IS(loop_sink_queued(&flow->sink), LENGTH - n_got);
    while (first.count == 0 || drained.count == 0) {
        take();
        AWAIT(turns(env->scope, 1, GO));
    }
    ONCE_IS(first, LENGTH);
    ONCE_IS(drained, 0);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    close(peer);
    END;
}

/* What was not sent leaves the queue in any way. */
LOOP_TEST_ROWS(p11_cancelled_bytes_leave_the_queue, KINDS)
{
    static loop_job job;

    BEGIN;
    open_all(env->scope);
    CHECK(stuff(loop_fd_peek(flow->fd)) > 0);
    job = START(start(TAIL, ONCE(&first)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_sink_queued(&flow->sink), TAIL);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(first.count);
    ONCE_IS(first, -ECANCELED);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    START(start(TAIL, ONCE(&behind)));
    AWAIT(turns(env->scope, 3, GO));
    close(peer);
    WAIT_UNTIL(behind.count);
    CHECK(behind.result == -EPIPE || behind.result == -ECONNRESET);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    END;
}

/* A packet leaves whole. */
LOOP_TEST(p11_packets_with_descriptors_stay_apart)
{
    static int fds[2];

    BEGIN;
    open_all(env->scope);
    close(peer);
    CHECK_IS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    flow = flow_of(env->scope, fds[0]);
    peer = fds[1];
    script.row = SEND_FDS;
    START(start(3 * TAIL, ONCE(&first)));
    START(loop_write(&flow->sink, sent + 3 * TAIL, 2 * TAIL, ONCE(&behind)));
    START(start(TAIL, ONCE(&last)));
    CHECK_IS(loop_sink_queued(&flow->sink), 6 * TAIL);
    WAIT_UNTIL(last.count);
    ONCE_IS(first, 3 * TAIL);
    ONCE_IS(behind, 2 * TAIL);
    ONCE_IS(last, TAIL);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    CHECK_IS(take_some(), 3 * TAIL);
    CHECK_IS(n_passed, 1);
    CHECK_IS(take_some(), 2 * TAIL);
    CHECK_IS(take_some(), TAIL);
    CHECK_IS(n_passed, 2);
    check_got(0, 0, 5 * TAIL);
    check_got(0, 5 * TAIL, TAIL);
    close(peer);
    END;
}

/* ---- half-way ---- */

/* The continuation gets the count, and later writes go on: the gap is what the program has asked for. */
LOOP_TEST_ROWS(p04_a_cancel_after_a_part_has_left_returns_the_count, KINDS)
{
    static loop_job job;

    BEGIN;
    open_all(env->scope);
    job = START(start(LENGTH, ONCE(&first)));
    START(loop_write(&flow->sink, sent + LENGTH, TAIL, ONCE(&behind)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    while (behind.count == 0) {
        take();
        AWAIT(turns(env->scope, 1, GO));
    }
    take();
    ONCE_IS(behind, TAIL);
    CHECK(first.count == 1 && first.result > 0 && first.result < LENGTH);
    CHECK_IS(n_got, first.result + TAIL);
    check_got(0, 0, (size_t)first.result);
    check_got(LENGTH, (size_t)first.result, TAIL);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    close(peer);
    END;
}

/* The writes behind it end with the error. */
LOOP_TEST_ROWS(a_failure_after_a_part_has_left_returns_the_count, KINDS)
{
    BEGIN;
    open_all(env->scope);
    START(start(LENGTH, ONCE(&first)));
    START(loop_write(&flow->sink, sent + LENGTH, TAIL, ONCE(&behind)));
    START(start(TAIL, ONCE(&last)));
    AWAIT(turns(env->scope, 3, GO));
    close(peer);
    WAIT_UNTIL(first.count && behind.count && last.count);
    CHECK(first.result > 0 && first.result < LENGTH);
    CHECK(behind.result == -EPIPE || behind.result == -ECONNRESET);
    CHECK_IS(last.result, behind.result);
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    END;
}

LOOP_TEST_ROWS(a_failure_after_a_part_that_is_not_heard_fails_the_scope, KINDS)
{
    static struct loop_scope *scope;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    open_all(scope);
    START(start(LENGTH, NULL, NULL));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ended.count, 0);
    close(peer);
    WAIT_UNTIL(ended.count);
    CHECK(ended.result == -EPIPE || ended.result == -ECONNRESET);
    END;
}

/* A close keeps what has left, as of a write. */
LOOP_TEST_ROWS(p06_a_close_after_a_part_has_left_returns_the_count, KINDS)
{
    BEGIN;
    open_all(env->scope);
    START(start(LENGTH, ONCE(&first)));
    START(start(TAIL, ONCE(&behind)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_flow_close(flow), 0);
    WAIT_UNTIL(first.count && behind.count);
    ONCE_IS(behind, -ECANCELED);
    take();
    CHECK_IS(first.result, n_got);
    CHECK(first.result > 0 && first.result < LENGTH);
    close(peer);
    END;
}
