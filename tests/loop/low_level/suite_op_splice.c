/* SPDX-License-Identifier: ISC
 *
 * loop_op_splice: waiting for either end, cancels, descriptors that splice(2) refuses, and ends that are shut down
 * meanwhile.
 */
#include "descriptors.h"
#include "show.h"

#include <loop/part.h>

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

/* ---- splice ---- */

LOOP_TEST(splice_from_a_file_through_a_pipe_to_a_file)
{
    static struct loop_fd *from, *to, *pipe_in, *pipe_out;
    static char bytes[3000], got[3000];
    static int pipes[2], number;
    static int64_t moved;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 5);
    from = adopt(env->scope, make_file(bytes, sizeof bytes));
    number = make_file("", 0);
    to = adopt(env->scope, number);
    make_pipe(pipes);
    pipe_out = adopt(env->scope, pipes[0]);
    pipe_in = adopt(env->scope, pipes[1]);
    AWAIT(loop_op_splice(NULL, from, 100, pipe_in, LOOP_CURRENT, 2000, GO));
    CHECK_MOVED(result, 2000);
    moved = result;
    AWAIT(loop_op_splice(NULL, pipe_out, LOOP_CURRENT, to, 10, (size_t)moved, GO));
    CHECK_MOVED(result, moved);
    CHECK_IS(pread(number, got, sizeof got, 10), result);
    CHECK(is_pattern_at(got, (size_t)result, 5, 100));
    AWAIT(loop_op_splice(NULL, from, 3000, pipe_in, LOOP_CURRENT, 10, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_splice(NULL, from, 0, to, 0, 10, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(splice_waits_for_the_source_and_for_room)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *pipe_in;
    static struct once waiting, full;
    static int pipes[2];
    static char got[4];
    static size_t stuffed;

    BEGIN;
    make_flows(env->scope, flows);
    make_pipe(pipes);
    pipe_in = adopt(env->scope, pipes[1]);
    START(loop_op_splice(NULL, flows[0]->fd, LOOP_CURRENT, pipe_in, LOOP_CURRENT, 1, ONCE(&waiting)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(waiting.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "s", 1, 0), 1);
    WAIT_UNTIL(waiting.count);
    ONCE_IS(waiting, 1);
    CHECK_IS(read(pipes[0], got, 4), 1);
    CHECK_IS(got[0], 's');
    stuffed = stuff(pipes[1]);
    CHECK(stuffed > 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "t", 1, 0), 1);
    START(loop_op_splice(NULL, flows[0]->fd, LOOP_CURRENT, pipe_in, LOOP_CURRENT, 1, ONCE(&full)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(full.count, 0);
    drain(pipes[0]);
    WAIT_UNTIL(full.count);
    ONCE_IS(full, 1);
    close(pipes[0]);
    END;
}

LOOP_TEST(a_waiting_splice_holds_no_thread_and_can_be_cancelled)
{
    enum { N = 20 };
    static struct loop_fd *from[N], *to;
    static struct once splices[N];
    static loop_job jobs[N];
    static struct loop_stats stats;
    static int pipes[2], sink[2], at;

    BEGIN;
    make_pipe(sink);
    to = adopt(env->scope, sink[1]);
    for (int i = 0; i < N; i++) {
        make_pipe(pipes);
        from[i] = adopt(env->scope, pipes[0]);
        adopt(env->scope, pipes[1]);
        jobs[i] = START(loop_op_splice(NULL, from[i], LOOP_CURRENT, to, LOOP_CURRENT, 1, ONCE(&splices[i])));
    }
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &stats);
    CHECK_IS(stats.pool_threads_now, 0);
    for (int i = 0; i < N; i++) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(splices[at].count);
        ONCE_IS(splices[at], -ECANCELED);
    }
    close(sink[0]);
    END;
}

/* ---- poll, splice ---- */

LOOP_TEST(splice_with_arguments_that_cannot_be)
{
    static struct loop_fd *pipe[2], *pair[2], *file, *other[2];

    BEGIN;
    open_pipe(env->scope, pipe);
    open_pipe(env->scope, other);
    open_pair(env->scope, pair);
    file = open_file(env->scope, "0123456789");
    AWAIT(loop_op_splice(env->scope, file, 0, pair[0], LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_splice(env->scope, pipe[0], LOOP_CURRENT, pipe[0], LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_splice(env->scope, pipe[0], 0, file, 0, 1, GO));
    CHECK_IS(result, -ESPIPE);
    AWAIT(loop_op_splice(env->scope, file, -2, pipe[1], LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_splice(env->scope, pipe[0], LOOP_CURRENT, other[1], LOOP_CURRENT, 0, GO));
    CHECK_IS(result, 0);
    loop_fd_close(other[1]);
    AWAIT(loop_op_splice(env->scope, pipe[0], LOOP_CURRENT, other[1], LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(splice_hears_of_the_end_and_of_a_reader_that_is_gone)
{
    static struct loop_fd *one[2], *two[2];
    static struct once end;

    BEGIN;
    open_pipe(env->scope, one);
    open_pipe(env->scope, two);
    START(loop_op_splice(env->scope, one[0], LOOP_CURRENT, two[1], LOOP_CURRENT, 100, ONCE(&end)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(end.count, 0);
    loop_fd_close(one[1]);
    WAIT_UNTIL(end.count);
    ONCE_IS(end, 0);
    open_pipe(env->scope, one);
    say(one[1], "nobody reads this");
    loop_fd_close(two[0]);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_op_splice(env->scope, one[0], LOOP_CURRENT, two[1], LOOP_CURRENT, 100, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

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

/* ---- descriptors of the wrong kind ---- */

/* What splice(2) refuses at once doesn't wait for bytes that can never come. */
LOOP_TEST(p17_splices_that_can_never_be)
{
    static struct loop_fd *ends[2], *file;
    static struct slot slots[3];
    static int fds[2];

    BEGIN;
    make_pipe(fds);
    ends[0] = adopt(env->scope, fds[0]);
    ends[1] = adopt(env->scope, fds[1]);
    file = adopt(env->scope, make_file("file", 4));
    START(loop_op_splice(NULL, ends[0], LOOP_CURRENT, ends[1], LOOP_CURRENT, 1, SLOT(&slots[0])));
    START(loop_op_splice(NULL, ends[1], LOOP_CURRENT, file, 0, 1, SLOT(&slots[1])));
    START(loop_op_splice(NULL, file, 0, ends[0], LOOP_CURRENT, 1, SLOT(&slots[2])));
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    for (int i = 0; i < 3; i++) {
        show("splice", slots[i].count ? slots[i].result : 0);
    }
    CHECK_TEXT(trace_text(), "splice: EINVAL\nsplice: EBADF\nsplice: EBADF\n");
    END;
}
