/* SPDX-License-Identifier: ISC
 *
 * loop_poll and loop_op_poll_add: the events that each kind of descriptor reports, and when.
 */
#include "descriptors.h"
#include "show.h"

#include <loop/part.h>

#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>

/* ---- readiness ---- */

LOOP_TEST(poll_says_what_is_there)
{
    static struct loop_flow *flows[2];
    static struct once in;

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_poll(flows[0]->fd, POLLOUT, GO));
    CHECK_IS(result, POLLOUT);
    START(loop_poll(flows[0]->fd, POLLIN, ONCE(&in)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(in.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(in.count);
    ONCE_IS(in, POLLIN);
    AWAIT(loop_poll(flows[0]->fd, POLLIN | POLLOUT, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    AWAIT(loop_poll(flows[0]->fd, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    END;
}

LOOP_TEST(poll_hears_of_a_hangup_unasked)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_flow *flows[2];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    loop_sink_close(sink);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_poll(source->ops->fd(source), POLLIN, GO));
    CHECK(result & POLLHUP);
    make_flows(env->scope, flows);
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    AWAIT(loop_poll(flows[0]->fd, POLLRDHUP, GO));
    CHECK_IS(result, POLLRDHUP);
    END;
}

LOOP_TEST(poll_of_a_pipe_without_readers)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct once polled;
    static size_t stuffed;

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    stuffed = stuff(loop_fd_peek(sink->ops->fd(sink)));
    CHECK(stuffed > 0);
    START(loop_poll(sink->ops->fd(sink), POLLOUT, ONCE(&polled)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(polled.count, 0);
    loop_source_close(source);
    WAIT_UNTIL(polled.count);
    CHECK(polled.result & POLLERR);
    END;
}

LOOP_TEST(poll_of_what_cannot_be_polled_is_ready)
{
    static struct loop_fd *fd;

    BEGIN;
    fd = adopt(env->scope, make_file("x", 1));
    AWAIT(loop_poll(fd, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    AWAIT(loop_poll(fd, POLLIN | POLLOUT, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    fd = adopt(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    AWAIT(loop_poll(fd, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    END;
}

LOOP_TEST(poll_of_all_kinds_of_descriptors)
{
    static struct loop_fd *event, *timer, *notify, *null;
    static const char *directory;
    static int number;

    BEGIN;
    event = adopt(env->scope, eventfd(1, EFD_CLOEXEC));
    AWAIT(loop_poll(event, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    number = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK_IS(timerfd_settime(number, 0, &(struct itimerspec){.it_value = {0, 1000000}}, NULL), 0);
    timer = adopt(env->scope, number);
    AWAIT(loop_poll(timer, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    directory = make_directory();
    number = inotify_init1(IN_CLOEXEC);
    CHECK(inotify_add_watch(number, directory, IN_DELETE_SELF) >= 0);
    notify = adopt(env->scope, number);
    remove_directory(directory);
    AWAIT(loop_poll(notify, POLLIN, GO));
    CHECK_IS(result, POLLIN);
    null = adopt(env->scope, open("/dev/null", O_RDWR | O_CLOEXEC));
    AWAIT(loop_poll(null, POLLIN | POLLOUT, GO));
    CHECK_IS(result, POLLIN | POLLOUT);
    END;
}

LOOP_TEST(polls_of_a_borrowed_descriptor)
{
    enum { N = 10 };
    static struct loop_fd *fd;
    static struct once polls[N];
    static int fds[2], round, at;
    static char byte;

    BEGIN;
    make_pipe(fds);
    fd = loop_fd_borrow(env->scope, fds[0]);
    for (round = 0; round < 20; round++) {
        memset(polls, 0, sizeof polls);
        for (int i = 0; i < N; i++) {
            START(loop_poll(fd, POLLIN, ONCE(&polls[i])));
        }
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(polls[0].count, 0);
        CHECK_IS(write(fds[1], "x", 1), 1);
        for (at = 0; at < N; at++) {
            WAIT_UNTIL(polls[at].count);
            ONCE_IS(polls[at], POLLIN);
        }
        CHECK_IS(read(fds[0], &byte, 1), 1);
    }
    loop_fd_close(fd);
    AWAIT(turns(env->scope, 3, GO));
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(polls_and_reads_together)
{
    static struct loop_flow *flows[2];
    static struct once read, poll[2];
    static char bytes[2];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_poll(flows[0]->fd, POLLIN, ONCE(&poll[0])));
    START(loop_read_exact(&flows[0]->source, bytes, 2, ONCE(&read)));
    START(loop_poll(flows[0]->fd, POLLOUT, ONCE(&poll[1])));
    WAIT_UNTIL(poll[1].count);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "a", 1, 0), 1);
    AWAIT(turns(env->scope, 6, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "b", 1, 0), 1);
    WAIT_UNTIL(read.count);
    CHECK(memcmp(bytes, "ab", 2) == 0);
    if (!poll[0].count) {
        CHECK_IS(send(loop_fd_peek(flows[1]->fd), "c", 1, 0), 1);
    }
    WAIT_UNTIL(poll[0].count);
    ONCE_IS(poll[0], POLLIN);
    END;
}

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

/* ---- what poll sees ---- */

static const char polls_text[] = "a file: in out\n"
                                 "  the same at the low level: in out\n"
                                 "a directory: in\n"
                                 "  the same at the low level: in\n"
                                 "/dev/null: in out\n"
                                 "  the same at the low level: in out\n"
                                 "the writing end of a pipe: out\n"
                                 "  the same at the low level: out\n"
                                 "the reading end with a byte: in\n"
                                 "  the same at the low level: in\n"
                                 "the reading end with a byte and no writer: in hup\n"
                                 "  the same at the low level: in hup\n"
                                 "the reading end at its end: hup\n"
                                 "  the same at the low level: hup\n"
                                 "the writing end without a reader: out err\n"
                                 "  the same at the low level: out err\n"
                                 "a socket: out\n"
                                 "  the same at the low level: out\n"
                                 "a socket with a byte: in out\n"
                                 "  the same at the low level: in out\n"
                                 "the same asked for input: in\n"
                                 "  the same at the low level: in\n"
                                 "a socket whose peer has half-closed: in out rdhup\n"
                                 "  the same at the low level: in out rdhup\n"
                                 "a socket whose peer has gone: in out hup rdhup\n"
                                 "  the same at the low level: in out hup rdhup\n"
                                 "a listener with a connection: in\n"
                                 "  the same at the low level: in\n"
                                 "an eventfd: out\n"
                                 "  the same at the low level: out\n"
                                 "an eventfd with a count: in out\n"
                                 "  the same at the low level: in out\n";

static void show_events(const char *what, int64_t events)
{
    if (events < 0) {
        show(what, events);
        return;
    }
    trace("%s:%s%s%s%s%s%s", what, events & POLLIN ? " in" : "", events & POLLOUT ? " out" : "",
          events & POLLPRI ? " pri" : "", events & POLLERR ? " err" : "", events & POLLHUP ? " hup" : "",
          events & POLLRDHUP ? " rdhup" : "");
}

/* Asks the low level as soon as loop_poll has answered. */
static struct {
    struct loop_fd *fd;
    unsigned events;
    int64_t result;
} polled;

static void poll_again(void *unused, int64_t result)
{
    (void)unused;
    polled.result = result;
    CHECK(loop_op_poll_add(NULL, polled.fd, polled.events, GO) != 0);
}

static loop_job poll_twice(struct loop_fd *fd, unsigned events)
{
    polled.fd = fd;
    polled.events = events;
    return loop_poll(fd, events, poll_again, NULL);
}

#define ALL (POLLIN | POLLOUT | POLLPRI | POLLRDHUP)

#define SHOW_POLL(what, fd, events)                                                                                    \
    do {                                                                                                               \
        AWAIT(poll_twice(fd, events));                                                                                 \
        show_events(what, polled.result);                                                                              \
        show_events("  the same at the low level", result);                                                            \
    } while (0)

LOOP_TEST(p17_polls_of_every_kind_of_descriptor)
{
    static struct loop_fd *ends[2], *pair[2], *listener, *counter;
    static struct sockaddr_in address;
    static int fds[2], client;

    BEGIN;
    SHOW_POLL("a file", adopt(env->scope, make_file("file", 4)), ALL);
    SHOW_POLL("a directory", adopt(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), POLLIN);
    SHOW_POLL("/dev/null", adopt(env->scope, open("/dev/null", O_RDWR | O_CLOEXEC)), ALL);
    make_pipe(fds);
    ends[0] = adopt(env->scope, fds[0]);
    ends[1] = adopt(env->scope, fds[1]);
    SHOW_POLL("the writing end of a pipe", ends[1], POLLOUT);
    CHECK_IS(write(fds[1], "x", 1), 1);
    SHOW_POLL("the reading end with a byte", ends[0], POLLIN);
    loop_fd_close(ends[1]);
    AWAIT(turns(env->scope, 3, GO));
    SHOW_POLL("the reading end with a byte and no writer", ends[0], POLLIN);
    CHECK_IS(drain(fds[0]), 1);
    SHOW_POLL("the reading end at its end", ends[0], POLLIN);
    make_pipe(fds);
    close(fds[0]);
    SHOW_POLL("the writing end without a reader", adopt(env->scope, fds[1]), POLLOUT);
    make_pair(fds);
    pair[0] = adopt(env->scope, fds[0]);
    pair[1] = adopt(env->scope, fds[1]);
    SHOW_POLL("a socket", pair[0], ALL);
    CHECK_IS(send(fds[1], "x", 1, 0), 1);
    SHOW_POLL("a socket with a byte", pair[0], ALL);
    SHOW_POLL("the same asked for input", pair[0], POLLIN);
    CHECK_IS(shutdown(fds[1], SHUT_WR), 0);
    SHOW_POLL("a socket whose peer has half-closed", pair[0], ALL);
    loop_fd_close(pair[1]);
    AWAIT(turns(env->scope, 3, GO));
    SHOW_POLL("a socket whose peer has gone", pair[0], ALL);
    listener = adopt(env->scope, make_listener(&address));
    client = connect_to(&address);
    SHOW_POLL("a listener with a connection", listener, POLLIN);
    close(client);
    counter = adopt(env->scope, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    SHOW_POLL("an eventfd", counter, POLLIN | POLLOUT);
    CHECK_IS(eventfd_write(loop_fd_peek(counter), 1), 0);
    SHOW_POLL("an eventfd with a count", counter, POLLIN | POLLOUT);
    CHECK_TEXT(trace_text(), polls_text);
    END;
}
