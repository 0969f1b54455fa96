/* SPDX-License-Identifier: ISC
 *
 * Bytes that are given back while an operation of the same socket has ended in the kernel, and the loop has not seen
 * that yet: they come before what the operation has got (P17).
 */
#include "descriptors.h"

#include <loop/kernel/fail.h>

#include <sys/uio.h>

enum kind { RECV, PEEK, READ, READV, RECV_MSG, KINDS };

static struct {
    struct loop_env *env;
    struct loop_fd *fd, *trigger;
    int peer, trigger_peer;
    loop_job job;
    bool takes, cancels;
    struct once triggered, done;
    struct iovec iov[2];
    struct loop_message message;
    char byte, bytes[64];
} given;

static void prepare(struct loop_env *env)
{
    int pairs[2][2];

    memset(&given, 0, sizeof given);
    given.env = env;
    make_pair(pairs[0]);
    make_pair(pairs[1]);
    given.trigger = adopt(env->scope, pairs[0][0]);
    given.trigger_peer = pairs[0][1];
    given.fd = adopt(env->scope, pairs[1][0]);
    given.peer = pairs[1][1];
}

static void give_back(void *unused, int64_t result)
{
    char taken[2];

    (void)unused;
    CHECK_IS(result, 1);
    CHECK_IS(loop_fd_unread(given.fd, "ab", 2), 0);
    if (given.takes) {
        CHECK_IS(loop_fd_take_unread(given.fd, taken, 2), 2);
    }
    if (given.cancels) {
        (void)loop_cancel(given.env->loop, given.job);
    }
    once_resumed(&given.triggered, result);
}

/* Starts the operation that gives back when the peer of the trigger has sent a byte. */
static void arm(void)
{
    START(loop_op_recv(given.env->scope, given.trigger, &given.byte, 1, 0, give_back, NULL));
}

static void fire(void)
{
    CHECK_IS(send(given.trigger_peer, "!", 1, 0), 1);
}

static loop_job start(enum kind kind)
{
    struct loop_scope *scope = given.env->scope;

    given.iov[0] = (struct iovec){given.bytes, 1};
    given.iov[1] = (struct iovec){given.bytes + 1, sizeof given.bytes - 1};
    given.message = (struct loop_message){.iov = given.iov, .n_iov = 2};
    switch (kind) {
    case PEEK: return loop_op_recv(scope, given.fd, given.bytes, sizeof given.bytes, MSG_PEEK, ONCE(&given.done));
    case READ: return loop_op_read(scope, given.fd, given.bytes, sizeof given.bytes, LOOP_CURRENT, ONCE(&given.done));
    case READV: return loop_op_readv(scope, given.fd, given.iov, 2, LOOP_CURRENT, ONCE(&given.done));
    case RECV_MSG: return loop_op_recv_msg(scope, given.fd, &given.message, ONCE(&given.done));
    default: return loop_op_recv(scope, given.fd, given.bytes, sizeof given.bytes, 0, ONCE(&given.done));
    }
}

/* Reads what is left, until `length` bytes are there. */
#define READ_REST(length)                                                                                              \
    while (at < (length)) {                                                                                            \
        AWAIT(loop_op_recv(env->scope, given.fd, given.bytes + at, sizeof given.bytes - at, 0, GO));                   \
        CHECK(result > 0);                                                                                             \
        at += (size_t)result;                                                                                          \
    }

LOOP_TEST_ROWS(p17_bytes_given_back_come_before_what_the_ring_has_read, KINDS)
{
    static size_t at;

    BEGIN;
    prepare(env);
    arm();
    START(start((enum kind)script.row));
    AWAIT(turns(env->scope, 3, GO));
    fire();
    CHECK_IS(send(given.peer, "cd", 2, 0), 2);
    WAIT_UNTIL(given.triggered.count && given.done.count);
    CHECK(given.done.result >= 1);
    at = script.row == PEEK ? 0 : (size_t)given.done.result;
    CHECK(memcmp(given.bytes, "abcd", (size_t)given.done.result) == 0);
    READ_REST(4);
    CHECK(memcmp(given.bytes, "abcd", 4) == 0);
    close(given.peer);
    close(given.trigger_peer);
    END;
}

/* In the second row the peer has left bytes unread, and its close is a reset. The kernel reports that once. */
LOOP_TEST_ROWS(p17_bytes_given_back_come_before_an_end_that_the_ring_has_found, 2)
{
    static size_t at;

    BEGIN;
    prepare(env);
    arm();
    START(start(RECV));
    AWAIT(turns(env->scope, 3, GO));
    if (script.row == 1) {
        CHECK_IS(send(loop_fd_peek(given.fd), "unread", 6, 0), 6);
    }
    fire();
    close(given.peer);
    WAIT_UNTIL(given.triggered.count && given.done.count);
    CHECK(given.done.result >= 1);
    at = (size_t)given.done.result;
    READ_REST(2);
    CHECK(memcmp(given.bytes, "ab", 2) == 0);
    AWAIT(loop_op_recv(env->scope, given.fd, given.bytes, sizeof given.bytes, 0, GO));
    CHECK_IS(result, script.row == 1 ? -ECONNRESET : 0);
    close(given.trigger_peer);
    END;
}

LOOP_TEST(p17_a_receive_that_is_cancelled_leaves_bytes_given_back_in_front)
{
    static size_t at;

    BEGIN;
    prepare(env);
    given.cancels = true;
    arm();
    given.job = START(start(RECV));
    AWAIT(turns(env->scope, 3, GO));
    fire();
    CHECK_IS(send(given.peer, "cd", 2, 0), 2);
    WAIT_UNTIL(given.triggered.count && given.done.count);
    at = given.done.result > 0 ? (size_t)given.done.result : 0;
    CHECK(given.done.result > 0 || given.done.result == -ECANCELED);
    READ_REST(4);
    CHECK(memcmp(given.bytes, "abcd", 4) == 0);
    close(given.peer);
    close(given.trigger_peer);
    END;
}

/* The first waits in the kernel when the bytes are given back, and the second is started after that. */
LOOP_TEST_ROWS(p17_bytes_given_back_go_to_the_receive_that_waits_longest, 2)
{
    static struct once second;
    static char bytes[2];

    BEGIN;
    prepare(env);
    START(loop_op_recv(env->scope, given.fd, given.bytes, 1, 0, ONCE(&given.done)));
    AWAIT(turns(env->scope, 3, GO));
    if (script.row == 1) {
        START(loop_op_recv(env->scope, given.fd, bytes, 2, MSG_WAITALL, ONCE(&second)));
        AWAIT(turns(env->scope, 3, GO));
    }
    CHECK_IS(loop_fd_unread(given.fd, "abc", 3), 0);
    if (script.row == 0) {
        START(loop_op_recv(env->scope, given.fd, bytes, 2, 0, ONCE(&second)));
    }
    WAIT_UNTIL(given.done.count && second.count);
    ONCE_IS(given.done, 1);
    ONCE_IS(second, 2);
    CHECK(given.bytes[0] == 'a' && memcmp(bytes, "bc", 2) == 0);
    close(given.peer);
    close(given.trigger_peer);
    END;
}

LOOP_TEST(p17_a_receive_that_waits_for_all_does_not_overtake_another)
{
    static struct once second;
    static char bytes[2];

    BEGIN;
    prepare(env);
    START(loop_op_recv(env->scope, given.fd, given.bytes, 1, 0, ONCE(&given.done)));
    START(loop_op_recv(env->scope, given.fd, bytes, 2, MSG_WAITALL, ONCE(&second)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(send(given.peer, "abc", 3, 0), 3);
    WAIT_UNTIL(given.done.count && second.count);
    ONCE_IS(given.done, 1);
    ONCE_IS(second, 2);
    CHECK(given.bytes[0] == 'a' && memcmp(bytes, "bc", 2) == 0);
    close(given.peer);
    close(given.trigger_peer);
    END;
}

/* With MSG_TRUNC TCP drops the bytes and leaves the memory as it was. */
LOOP_TEST(p17_what_a_receive_has_dropped_does_not_follow_bytes_given_back)
{
    static int fds[2];
    static size_t at;

    BEGIN;
    prepare(env);
    make_tcp_pair(fds);
    given.fd = adopt(env->scope, fds[0]);
    memset(given.bytes, 'Z', sizeof given.bytes);
    arm();
    START(loop_op_recv(env->scope, given.fd, given.bytes, 4, MSG_TRUNC, ONCE(&given.done)));
    AWAIT(turns(env->scope, 3, GO));
    fire();
    CHECK_IS(send(fds[1], "cdef", 4, 0), 4);
    WAIT_UNTIL(given.triggered.count && given.done.count);
    CHECK(given.done.result > 0 && given.done.result <= 4);
    CHECK_IS(send(fds[1], "gh", 2, 0), 2);
    at = 0;
    READ_REST(8 - (size_t)given.done.result);
    CHECK(memcmp(given.bytes + at - 2, "gh", 2) == 0);
    CHECK(memchr(given.bytes, 'Z', at) == NULL);
    close(fds[1]);
    close(given.peer);
    close(given.trigger_peer);
    END;
}

/* ---- into provided buffers ---- */

static struct {
    struct loop_buffers *buffers;
    unsigned ends;
    int64_t end;
    size_t length;
    char bytes[64];
} received;

static void on_received(void *unused, int64_t result, void *data)
{
    (void)unused;
    CHECK_IS(received.ends, 0);
    if (data) {
        memcpy(received.bytes + received.length, data, (size_t)result);
        received.length += (size_t)result;
        CHECK_IS(loop_buffers_recycle(received.buffers, data), 0);
    } else {
        received.ends++;
        received.end = result;
    }
    script_poke();
}

static void receive(size_t buffer_bytes)
{
    memset(&received, 0, sizeof received);
    received.buffers = loop_buffers_create(given.env->scope, 4, buffer_bytes);
    given.job = START(loop_op_recv_multishot(given.env->scope, given.fd, received.buffers, on_received, NULL));
}

/* In the second row what has come takes several buffers. */
LOOP_TEST_ROWS(p17_bytes_given_back_come_before_what_a_multishot_recv_has_got, 2)
{
    BEGIN;
    prepare(env);
    arm();
    receive(script.row == 1 ? 2 : 64);
    AWAIT(turns(env->scope, 3, GO));
    fire();
    CHECK_IS(send(given.peer, "cdefgh", 6, 0), 6);
    WAIT_UNTIL(given.triggered.count && received.length == 8);
    CHECK(memcmp(received.bytes, "abcdefgh", 8) == 0);
    CHECK_IS(send(given.peer, "ij", 2, 0), 2);
    WAIT_UNTIL(received.length == 10);
    CHECK(memcmp(received.bytes, "abcdefghij", 10) == 0);
    CHECK_IS(loop_buffers_avail(received.buffers), 4);
    close(given.peer);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, 0);
    close(given.trigger_peer);
    END;
}

LOOP_TEST(bytes_given_back_and_taken_do_not_end_a_multishot_recv)
{
    BEGIN;
    prepare(env);
    given.takes = true;
    arm();
    receive(64);
    AWAIT(turns(env->scope, 3, GO));
    fire();
    WAIT_UNTIL(given.triggered.count);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(received.ends, 0);
    CHECK_IS(send(given.peer, "cd", 2, 0), 2);
    WAIT_UNTIL(received.length == 2 || received.ends);
    CHECK_IS(received.ends, 0);
    CHECK(memcmp(received.bytes, "cd", 2) == 0);
    close(given.peer);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, 0);
    close(given.trigger_peer);
    END;
}

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)

/* ---- without memory ---- */

/* Lets no allocation succeed until the operation has ended, which was in the ring when bytes were given back. */
static void give_back_and_fail(void *unused, int64_t result)
{
    give_back(unused, result);
    CHECK_IS(loop_fd_unread(given.fd, "yz", 2), 0);
    CHECK(loop_kernel_fail_set("malloc:ENOMEM:1+1"));
}

static void arm_to_fail(void)
{
    START(loop_op_recv(given.env->scope, given.trigger, &given.byte, 1, 0, give_back_and_fail, NULL));
}

/* Allocations fail from the moment at which bytes are given back. In the second row more has come than was given
 * back. */
LOOP_TEST_ROWS(p17_what_the_ring_has_read_follows_bytes_given_back_without_memory, KINDS * 2)
{
    static size_t at, n;
    static const char all[] = "yzabcdefghijklmnop";

    BEGIN;
    prepare(env);
    arm_to_fail();
    START(start((enum kind)(script.row % KINDS)));
    AWAIT(turns(env->scope, 3, GO));
    n = script.row < KINDS ? 3 : 9;
    fire();
    CHECK_IS(send(given.peer, all + 4, n, 0), (ssize_t)n);
    WAIT_UNTIL(given.triggered.count && given.done.count);
    CHECK(loop_kernel_fail_set(NULL));
    CHECK(given.done.result > 0);
    at = script.row % KINDS == PEEK ? 0 : (size_t)given.done.result;
    READ_REST(4 + n);
    CHECK_IS(at, 4 + n);
    CHECK(memcmp(given.bytes, all, 4 + n) == 0);
    close(given.peer);
    close(given.trigger_peer);
    END;
}

LOOP_TEST(p17_what_a_multishot_recv_has_got_follows_bytes_given_back_without_memory)
{
    static size_t at;

    BEGIN;
    prepare(env);
    arm_to_fail();
    receive(64);
    AWAIT(turns(env->scope, 3, GO));
    fire();
    CHECK_IS(send(given.peer, "cdefgh", 6, 0), 6);
    WAIT_UNTIL(given.triggered.count && (received.ends || received.length == 10));
    CHECK(loop_kernel_fail_set(NULL));
    at = received.length;
    memcpy(given.bytes, received.bytes, at);
    if (received.ends) {
        CHECK_IS(received.end, -ENOBUFS);
        READ_REST(10);
    }
    CHECK_IS(at, 10);
    CHECK(memcmp(given.bytes, "yzabcdefgh", 10) == 0);
    close(given.peer);
    close(given.trigger_peer);
    END;
}

/* The backend has read them for a flow. The next read does not wait for an event. */
LOOP_TEST_ROWS(p17_bytes_given_back_without_memory_are_read_without_an_event, 2)
{
    static size_t at;

    BEGIN;
    prepare(env);
    arm_to_fail();
    START(loop_read(&loop_fd_flow(given.fd)->source, given.bytes, script.row ? 64 : 3, ONCE(&given.done)));
    AWAIT(turns(env->scope, 3, GO));
    fire();
    CHECK_IS(send(given.peer, "cde", 3, 0), 3);
    WAIT_UNTIL(given.triggered.count && given.done.count);
    CHECK(loop_kernel_fail_set(NULL));
    CHECK(given.done.result > 0);
    at = (size_t)given.done.result;
    while (at < 7) {
        AWAIT(loop_read(&loop_fd_flow(given.fd)->source, given.bytes + at, sizeof given.bytes - at, GO));
        CHECK(result > 0);
        at += (size_t)result;
    }
    CHECK_IS(at, 7);
    CHECK(memcmp(given.bytes, "yzabcde", 7) == 0);
    close(given.peer);
    close(given.trigger_peer);
    END;
}

#endif
