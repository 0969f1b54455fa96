/* SPDX-License-Identifier: ISC
 *
 * Descriptors that move to another loop with the bytes that were read and not used.
 */
#include "domains.h"

#include <loop/part.h>
#include <loop/reader.h>
#include <loop/writer.h>

static struct once ended, detach, reads[2];
static struct loop_detached *detached;
static struct loop_flow *flow;
static int fds[2];
static char got[32];

/* ---- to another loop ---- */

/* What a call does with a descriptor: it reads up to the end, and writes it back. */
struct echo {
    struct loop_detached *detached;
    char text[64];
    size_t length;
};

static void on_text(void *arg, int64_t result)
{
    struct echo *echo = arg;

    CHECK(result >= 0);
    echo->length = (size_t)result;
}

static void read_all(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    struct echo *echo = arg;
    struct loop_fd *fd = loop_fd_attach(scope, echo->detached);

    CHECK(fd);
    CHECK(loop_read_exact(&loop_fd_flow(fd)->source, echo->text, sizeof echo->text, on_text, echo));
    CHECK_IS(loop_call_return(call, 0), 0);
}

static void (*make[])(int pair[2]) = {make_pair, make_tcp_pair};
static struct loop_reader *reader;

static void on_line(void *arg, int64_t result)
{
    CHECK_IS(result, 6);
    CHECK_TEXT(loop_reader_data(reader, NULL), "first");
    loop_reader_destroy(reader);
    START(loop_fd_detach(arg, &detached, ONCE(&detach)));
}

/* In the continuation of its last job, with what a reader has buffered, and with what is still in the kernel. */
LOOP_TEST_ROWS(a_connection_moves_with_what_its_reader_has_buffered, COUNT_OF(make))
{
    static struct echo echo;
    static loop_job group;

    BEGIN;
    group = START(loop_domains(env->scope, 1, NULL, &domains, idle, NULL, ONCE(&ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    make[script.row](fds);
    flow = flow_of(env->scope, fds[0]);
    reader = loop_reader_create(&flow->source, 0);
    CHECK_IS(write(fds[1], "first\nsecond\nth", 15), 15);
    START(loop_reader_line(reader, on_line, flow->fd));
    WAIT_UNTIL(detach.count);
    ONCE_IS(detach, 0);
    CHECK_IS(write(fds[1], "ird\n", 4), 4);
    close(fds[1]);
    echo.detached = detached;
    AWAIT(loop_call(env->scope, loop_domains_inbox(domains, 0), read_all, &echo, GO));
    CHECK_IS(result, 0);
    CHECK_IS(echo.length, 13);
    CHECK_TEXT(echo.text, "second\nthird\n");
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count);
    END;
}

/* A stream takes all that arrives, in the way that the backend does best. What it has not delivered moves. */
static loop_job stream;
static size_t streamed;

static void on_data(void *arg, int64_t result, struct loop_chunk *chunk)
{
    if (chunk) {
        streamed += (size_t)result;
        loop_cancel(loop_scope_loop(flow->scope), stream);
    } else {
        CHECK_IS(result, -ECANCELED);
        START(loop_fd_detach(arg, &detached, ONCE(&detach)));
    }
}

enum { BULK = 200000 };
static char bulk[BULK], arrived[BULK];

LOOP_TEST_ROWS(p05_nothing_of_a_stream_is_lost, COUNT_OF(make))
{
    static struct loop_fd *fd;
    static struct tally writes;
    static struct loop_flow *peer;

    BEGIN;
    make[script.row](fds);
    flow = flow_of(env->scope, fds[0]);
    peer = flow_of(env->scope, fds[1]);
    fill_pattern(bulk, sizeof bulk, 3);
    START(loop_write(&peer->sink, bulk, sizeof bulk, TALLY(&writes)));
    stream = START(loop_stream(&flow->source, on_data, flow->fd));
    WAIT_UNTIL(detach.count);
    ONCE_IS(detach, 0);
    CHECK(streamed > 0);
    fd = loop_fd_attach(env->scope, detached);
    CHECK(fd);
    if (streamed < sizeof bulk) {
        AWAIT(loop_read_exact(&loop_fd_flow(fd)->source, arrived, sizeof bulk - streamed, GO));
        CHECK_IS(result, sizeof bulk - streamed);
        CHECK(is_pattern_at(arrived, sizeof bulk - streamed, 3, streamed));
    }
    WAIT_UNTIL(writes.count);
    END;
}

/* ---- what is refused ---- */

LOOP_TEST(a_descriptor_in_use_is_refused_and_stays)
{
    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_read(&flow->source, got, sizeof got, ONCE(&reads[0])));
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(result, -EBUSY);
    CHECK(!detached);
    CHECK_IS(write(fds[1], "ab", 2), 2);
    WAIT_UNTIL(reads[0].count);
    CHECK_MOVED(reads[0].result, 2);
    reader = loop_reader_create(&flow->source, 0);
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(result, -EBUSY);
    loop_reader_destroy(reader);
    struct loop_writer *writer = loop_writer_create(&flow->sink, 0);
    START(loop_fd_detach(flow->fd, &detached, ONCE(&detach)));
    loop_writer_destroy(writer);
    WAIT_UNTIL(detach.count); /* by the time it was looked at, nothing was left */
    ONCE_IS(detach, 0);
    loop_detached_destroy(detached);
    close(fds[1]);
    END;
}

LOOP_TEST(uses_of_the_program_refuse_it)
{
    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_fd_use(flow->fd), fds[0]);
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(result, -EBUSY);
    loop_fd_unuse(flow->fd);
    CHECK(loop_fd_is_open(flow->fd));
    close(fds[1]);
    END;
}

LOOP_TEST(writes_that_wait_refuse_it)
{
    static struct once written;

    BEGIN;
    make_pair(fds);
    set_nonblocking(fds[0]);
    flow = flow_of(env->scope, fds[0]);
    stuff(fds[0]);
    START(loop_write(&flow->sink, "ab", 2, ONCE(&written)));
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(result, -EBUSY);
    set_nonblocking(fds[1]);
    drain(fds[1]);
    WAIT_UNTIL(written.count);
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(result, 0);
    loop_detached_destroy(detached);
    close(fds[1]);
    END;
}

LOOP_TEST(borrowed_and_closed_descriptors_are_refused)
{
    static struct loop_fd *fd;

    BEGIN;
    make_pair(fds);
    fd = loop_fd_borrow(env->scope, fds[1]);
    AWAIT(loop_fd_detach(fd, &detached, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(loop_fd_is_open(fd));
    loop_fd_close(fd);
    fd = adopt(env->scope, fds[0]);
    START(loop_fd_detach(fd, &detached, ONCE(&detach)));
    CHECK_IS(loop_fd_close(fd), 0);
    WAIT_UNTIL(detach.count);
    ONCE_IS(detach, -EBADF);
    AWAIT(loop_fd_detach(fd, &detached, GO));
    CHECK_IS(result, -EBADF);
    CHECK(!detached);
    close(fds[1]);
    END;
}

LOOP_TEST(a_descriptor_that_is_destroyed_meanwhile_is_closed)
{
    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_fd_detach(flow->fd, &detached, ONCE(&detach)));
    loop_fd_destroy(flow->fd);
    WAIT_UNTIL(detach.count);
    ONCE_IS(detach, -EBADF);
    CHECK_IS(read(fds[1], got, 1), 0);
    close(fds[1]);
    END;
}

/* Whenever that is: its bytes are not lost unnoticed. */
LOOP_TEST_ROWS(a_descriptor_that_is_destroyed_later_is_closed_or_moves_whole, 5)
{
    static struct loop_fd *fd;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_read(&flow->source, got, sizeof got, ONCE(&reads[0])));
    CHECK_IS(write(fds[1], "x", 1), 1);
    WAIT_UNTIL(reads[0].count);
    CHECK_IS(loop_fd_unread(flow->fd, "ab", 2), 0);
    START(loop_fd_detach(flow->fd, &detached, ONCE(&detach)));
    if (script.row > 0) {
        AWAIT(turns(env->scope, (unsigned)script.row, GO));
    }
    if (detach.count == 0) {
        loop_fd_destroy(flow->fd);
    }
    WAIT_UNTIL(detach.count);
    if (detach.result == 0) {
        fd = loop_fd_attach(env->scope, detached);
        CHECK_IS(loop_fd_unread_length(fd), 2);
        loop_fd_destroy(fd);
    } else {
        ONCE_IS(detach, -EBADF);
        CHECK(!detached);
    }
    set_nonblocking(fds[1]);
    while (read(fds[1], got, 1) < 0) {
        AWAIT(turns(env->scope, 1, GO));
    }
    close(fds[1]);
    END;
}

LOOP_TEST(a_cancelled_scope_closes_what_was_to_be_detached)
{
    static struct loop_scope *scope;
    static struct once scope_end;

    BEGIN;
    make_pair(fds);
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    flow = flow_of(scope, fds[0]);
    START(loop_fd_detach(flow->fd, &detached, ONCE(&detach)));
    loop_scope_cancel(scope);
    WAIT_UNTIL(scope_end.count);
    if (detach.result == 0) {
        loop_detached_destroy(detached);
    } else {
        ONCE_IS(detach, -ECANCELED);
        CHECK(!detached);
    }
    CHECK_IS(read(fds[1], got, 1), 0);
    close(fds[1]);
    END;
}

/* ---- what moves ---- */

LOOP_TEST(one_that_is_not_attached_is_closed)
{
    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_fd_unread(flow->fd, "ab", 2), 0);
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(result, 0);
    loop_detached_destroy(detached);
    loop_detached_destroy(NULL);
    CHECK_IS(read(fds[1], got, 1), 0);
    close(fds[1]);
    END;
}

LOOP_TEST(bytes_come_before_an_error_and_an_error_before_the_end)
{
    static struct loop_fd *fd;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_fd_unread(flow->fd, "cd", 2), 0);
    CHECK_IS(loop_fd_unread(flow->fd, "ab", 2), 0);
    loop_fd_keep_error(flow->fd, -ECONNRESET);
    close(fds[1]);
    AWAIT(loop_fd_detach(flow->fd, &detached, GO));
    CHECK_IS(result, 0);
    fd = loop_fd_attach(env->scope, detached);
    CHECK_IS(loop_fd_unread_length(fd), 4);
    AWAIT(loop_read_exact(&loop_fd_flow(fd)->source, got, 4, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(got, "abcd", 4) == 0);
    AWAIT(loop_read(&loop_fd_flow(fd)->source, got, 4, GO));
    CHECK_IS(result, -ECONNRESET);
    AWAIT(loop_read(&loop_fd_flow(fd)->source, got, 4, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(messages_keep_their_boundaries)
{
    static struct loop_fd *fd;

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    fd = adopt(env->scope, fds[0]);
    CHECK_IS(loop_fd_unread(fd, "second", 6), 0);
    CHECK_IS(loop_fd_unread(fd, "first", 5), 0);
    CHECK_IS(write(fds[1], "third", 5), 5);
    AWAIT(loop_fd_detach(fd, &detached, GO));
    CHECK_IS(result, 0);
    fd = loop_fd_attach(env->scope, detached);
    AWAIT(loop_read(&loop_fd_flow(fd)->source, got, sizeof got, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_read(&loop_fd_flow(fd)->source, got, sizeof got, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_read(&loop_fd_flow(fd)->source, got, sizeof got, GO));
    CHECK_IS(result, 5);
    close(fds[1]);
    END;
}

static void start_nothing(void *scope)
{
    CHECK(!loop_fd_attach(scope, detached));
}

LOOP_TEST(a_scope_that_has_ended_closes_it)
{
    static struct loop_scope *scope;
    static struct once scope_end;

    BEGIN;
    make_pair(fds);
    AWAIT(loop_fd_detach(adopt(env->scope, fds[0]), &detached, GO));
    CHECK_IS(result, 0);
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    CHECK(loop_scope_defer(scope, start_nothing, scope));
    WAIT_UNTIL(scope_end.count);
    CHECK_IS(read(fds[1], got, 1), 0);
    close(fds[1]);
    END;
}

#if !HAS_SANITIZER
LOOP_TEST(without_memory_the_descriptor_stays_or_is_closed)
{
    static unsigned long nth;
    static unsigned n_closed;
    static struct loop_fd *fd;
    static loop_job job;

    BEGIN;
    for (nth = 0;; nth++) { /* once with memory: the loop keeps what it has allocated for jobs */
        make_pair(fds);
        fd = adopt(env->scope, fds[0]);
        CHECK_IS(loop_fd_unread(fd, "ab", 2), 0);
        detach = (struct once){0};
        fail_allocation(nth, false);
        job = loop_fd_detach(fd, &detached, ONCE(&detach));
        if (job) {
            START(job);
            WAIT_UNTIL(detach.count);
            CHECK(detach.result == 0 || detach.result == -ENOMEM);
            n_closed += detach.result < 0 && !loop_fd_is_open(fd); /* closed, it stays in its scope */
        }
        fd = job && detach.result == 0 ? loop_fd_attach(env->scope, detached) : NULL;
        bool has_failed = allocation_failed();
        fail_allocation(0, false);
        CHECK(has_failed || loop_fd_unread_length(fd) == 2);
        close(fds[1]);
        if (nth > 0 && !has_failed) {
            break;
        }
    }
    CHECK(nth > 3 && n_closed > 0);
    END;
}
#endif
