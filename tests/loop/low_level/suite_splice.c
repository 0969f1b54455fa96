/* SPDX-License-Identifier: ISC
 *
 * Splices that can't end by themselves: ends that splice(2) refuses, and an end that is shut down meanwhile.
 */
#include "harness.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <unistd.h>

static struct once once, behind;
static int pair[2], channel[2];
static unsigned kind;

static int make_listening(int family)
{
    struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    socklen_t len = family == AF_UNIX ? sizeof(sa_family_t) : sizeof address;
    CHECK_IS(bind(fd, (struct sockaddr *)&address, len), 0);
    CHECK_IS(listen(fd, 1), 0);
    return fd;
}

static int make_end(void)
{
    sigset_t none;
    sigemptyset(&none);
    switch (kind) {
    case 0: return make_listening(AF_INET);
    case 1: return make_listening(AF_UNIX);
    case 2: return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    case 3: return signalfd(-1, &none, SFD_CLOEXEC);
    default: return epoll_create1(EPOLL_CLOEXEC);
    }
}

LOOP_TEST(splice_of_what_cannot_be_spliced_ends_at_once)
{
    static struct loop_fd *end, *in, *out;

    BEGIN;
    for (kind = 0; kind < 5; kind++) {
        CHECK_IS(pipe(channel), 0);
        end = adopt(env->scope, make_end());
        in = adopt(env->scope, channel[1]);
        out = adopt(env->scope, channel[0]);
        AWAIT(loop_op_splice(NULL, end, LOOP_CURRENT, in, LOOP_CURRENT, 8, GO));
        CHECK(result < 0);
        CHECK_IS(write(channel[1], "bytes", 5), 5);
        AWAIT(loop_op_splice(NULL, out, LOOP_CURRENT, end, LOOP_CURRENT, 5, GO));
        CHECK(result < 0);
    }
    END;
}

LOOP_TEST(shutdown_ends_a_splice_that_waits_for_room)
{
    static struct loop_fd *to, *out;
    static char filling[4096];

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    CHECK_IS(pipe(channel), 0);
    CHECK_IS(write(channel[1], "hey", 3), 3);
    while (send(pair[0], filling, sizeof filling, MSG_DONTWAIT) > 0) {
    }
    to = adopt(env->scope, pair[0]);
    out = adopt(env->scope, channel[0]);
    once = behind = (struct once){0};
    START(loop_op_splice(NULL, out, LOOP_CURRENT, to, LOOP_CURRENT, 9, ONCE(&once)));
    START(loop_write(&loop_fd_flow(to)->sink, "x", 1, ONCE(&behind)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(once.count, 0);
    AWAIT(loop_op_shutdown(NULL, to, SHUT_WR, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(once.count && behind.count);
    ONCE_IS(once, -EPIPE);
    ONCE_IS(behind, -EPIPE);
    close(pair[1]);
    close(channel[1]);
    END;
}

LOOP_TEST(splice_passes_the_mark_of_urgent_data)
{
    static struct loop_fd *from, *in;
    static char got[8];

    BEGIN;
    make_tcp_pair(pair);
    CHECK_IS(pipe(channel), 0);
    from = adopt(env->scope, pair[0]);
    in = adopt(env->scope, channel[1]);
    CHECK_IS(send(pair[1], "abc", 3, 0), 3);
    CHECK_IS(send(pair[1], "!", 1, MSG_OOB), 1);
    CHECK_IS(send(pair[1], "def", 3, 0), 3);
    CHECK_IS(shutdown(pair[1], SHUT_WR), 0);
    static int64_t total;
    for (total = 0; total < 6; total += result) {
        AWAIT(loop_op_splice(NULL, from, LOOP_CURRENT, in, LOOP_CURRENT, 64, GO));
        CHECK(result > 0);
    }
    AWAIT(loop_op_splice(NULL, from, LOOP_CURRENT, in, LOOP_CURRENT, 64, GO));
    CHECK_IS(result, 0);
    CHECK_IS(read(channel[0], got, sizeof got), 6);
    CHECK(memcmp(got, "abcdef", 6) == 0);
    close(pair[1]);
    close(channel[0]);
    END;
}
