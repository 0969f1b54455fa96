/* SPDX-License-Identifier: ISC
 *
 * How copies end: their results, closed and destroyed sinks and descriptors, scopes, and mistakes of the caller.
 * suite_copy_cancel checks their bytes.
 */
#include "copying.h"

#include <sys/ioctl.h>

/* ---- how it ended ---- */

static struct loop_copy_outcome outcome;

static void check_outcome(int64_t bytes, int error, bool is_sink_error, int64_t lost_bytes)
{
    CHECK_IS(outcome.bytes, bytes);
    CHECK_IS(outcome.error, error);
    CHECK_IS(outcome.is_sink_error, is_sink_error);
    CHECK_IS(outcome.lost_bytes, lost_bytes);
}

LOOP_TEST(report_tells_the_end_of_the_source)
{
    static struct loop_flow *flows[2], *files[2];
    static struct loop_sink *memory;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 1);
    memory = loop_memory_sink(env->scope, 0);
    AWAIT(loop_copy_report(loop_memory_source(env->scope, pattern, SIZE), memory, &outcome, GO));
    CHECK_IS(result, SIZE);
    check_outcome(SIZE, 0, false, 0);
    files[0] = flow_of(env->scope, make_file(pattern, SIZE));
    files[1] = flow_of(env->scope, make_file("", 0));
    AWAIT(loop_copy_report(&files[0]->source, &files[1]->sink, &outcome, GO));
    CHECK_IS(result, SIZE);
    check_outcome(SIZE, 0, false, 0);
    make_flows(env->scope, flows);
    AWAIT(loop_write(&flows[1]->sink, "echo", 4, GO));
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    AWAIT(loop_copy_report(&flows[0]->source, &flows[0]->sink, &outcome, GO));
    CHECK_IS(result, 4);
    check_outcome(4, 0, false, 0);
    END;
}

LOOP_TEST(report_tells_which_side_has_failed)
{
    static struct loop_flow *flow;
    static struct loop_sink *limited;
    static struct once copy;
    static int fds[2];

    BEGIN;
    limited = loop_memory_sink(env->scope, 10);
    AWAIT(loop_copy_report(loop_memory_source(env->scope, pattern, SIZE), limited, &outcome, GO));
    CHECK_IS(result, -ENOSPC);
    check_outcome(0, -ENOSPC, true, 0);
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    START(loop_copy_report(&flow->source, loop_null_sink(env->scope), &outcome, ONCE(&copy)));
    CHECK_IS(send(fds[1], "before", 6, 0), 6);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
    close(fds[1]);
    WAIT_UNTIL(copy.count);
    CHECK(outcome.bytes == 6 ? copy.result == 6 : copy.result == -ECONNRESET);
    check_outcome(outcome.bytes, -ECONNRESET, false, 0);
    END;
}

/* Without a continuation, a count of bytes would hide the error. */
static struct once scope_end;

/* The copy waits for room behind a write. When that is cancelled, what the continuation writes has the copy tried. */
LOOP_TEST(p02_copy_that_fails_after_a_continuation_that_writes_ends_once)
{
    static struct once first, copy, last;
    static loop_job job;
    static char bytes[4];

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 3);
    make_near(env, &from, SOCKET, false);
    make_near(env, &to, SOCKET, true);
    job = START(loop_write(to.sink, pattern, sizeof pattern, ONCE(&first)));
    START(loop_copy_report(from.source, to.sink, &outcome, ONCE(&copy)));
    CHECK_IS(write(from.far, "abc", 3), 3);
    AWAIT(turns(env->scope, 5, GO));
    close(to.far);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    START(loop_write(to.sink, "x", 1, ONCE(&last)));
    WAIT_UNTIL(first.count && copy.count && last.count);
    ONCE_IS(copy, -EPIPE);
    ONCE_IS(last, -EPIPE);
    check_outcome(0, -EPIPE, true, 0);
    AWAIT(loop_read_exact(from.source, bytes, 3, GO));
    CHECK(memcmp(bytes, "abc", 3) == 0);
    close(from.far);
    END;
}

LOOP_TEST(p02_copy_without_a_continuation_fails_its_scope)
{
    static struct loop_scope *scope;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    loop_copy(loop_memory_source(scope, pattern, SIZE), &flow_of(scope, fds[0])->sink, NULL, NULL);
    AWAIT(turns(env->scope, 5, GO));
    CHECK(drain(fds[1]) > 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(scope_end.count, 0);
    close(fds[1]);
    WAIT_UNTIL(scope_end.count);
    CHECK(scope_end.result == -EPIPE || scope_end.result == -ECONNRESET);
    END;
}

/* A source that takes nothing back: the outcome says how much is lost. */
LOOP_TEST(report_counts_what_is_lost)
{
    static const struct loop_source_ops forgetful = {.read = own_read};
    static struct once copy;
    static loop_job job;

    BEGIN;
    make_own(env->scope);
    own.source.ops = &forgetful;
    job = START(loop_copy_report(&own.source, &own.sink, &outcome, ONCE(&copy)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, OWN_TAKES);
    check_outcome(OWN_TAKES, -ECANCELED, false, (int64_t)own.at - OWN_TAKES);
    CHECK(outcome.lost_bytes > 0);
    END;
}

/* ---- sinks that are closed ---- */

/* Nothing is read of the source before it is known that the sink is closed. */
LOOP_TEST(p06_copy_to_a_closed_sink_reads_nothing)
{
    static const enum kind sources[] = {SOCKET, PIPE, REGULAR, MEMORY, OWN, READER};
    static struct loop_flow *closed[2];
    static size_t i, sink;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 2);
    make_flows(env->scope, closed);
    closed[1] = flow_of(env->scope, make_file("", 0));
    loop_flow_close(closed[0]);
    loop_flow_close(closed[1]);
    for (i = 0; i < COUNT_OF(sources) * 2; i++) {
        sink = i % 2;
        make_own(env->scope);
        make_source(env, sources[i / 2]);
        AWAIT(loop_copy_report(from.source, &closed[sink]->sink, &outcome, GO));
        CHECK_IS(result, -EBADF);
        check_outcome(0, -EBADF, true, 0);
        CHECK_IS(own.at, 0);
        CHECK(!from.fd || loop_fd_unread_length(from.fd) == 0);
        CHECK(sources[i / 2] != REGULAR || lseek(loop_fd_peek(from.fd), 0, SEEK_CUR) == 0);
        AWAIT(loop_read_exact(from.source, rest, 1000, GO));
        CHECK_IS(result, 1000);
        CHECK(memcmp(rest, pattern, 1000) == 0);
        close_ends(&from);
    }
    END;
}

/* The sink is closed while the copy waits for its source, whatever kind either is of. */
LOOP_TEST(p06_copy_that_waits_ends_when_its_sink_is_closed)
{
    static const enum kind sinks[] = {SOCKET, PIPE, REGULAR};
    static struct loop_source *idle;
    static struct loop_reader *reader;
    static struct once copy;
    static size_t i;
    static int fds[2];

    BEGIN;
    for (i = 0; i < COUNT_OF(sinks) * 2; i++) {
        memset(&copy, 0, sizeof copy);
        make_pair(fds);
        idle = &loop_fd_flow(adopt(env->scope, fds[0]))->source;
        if (i % 2) {
            reader = loop_reader_create(&flow_of(env->scope, dup(fds[0]))->source, 0);
            idle = loop_reader_source(reader);
            CHECK_IS(send(fds[1], "xy", 2, 0), 2);
            AWAIT(loop_reader_exact(reader, 1, GO));
        }
        make_near(env, &to, sinks[i / 2], true);
        START(loop_copy(idle, to.sink, ONCE(&copy)));
        AWAIT(turns(env->scope, 5, GO));
        CHECK_IS(copy.count, 0);
        loop_fd_destroy(to.fd);
        WAIT_UNTIL(copy.count);
        CHECK_IS(copy.count, 1);
        CHECK(copy.result == 1 || copy.result == -ECANCELED);
        close(to.far);
        close(fds[1]);
    }
    END;
}

/* ---- descriptors that are destroyed ---- */

/* A copy between a file and a socket; the one that is destroyed gives its place to a new connection, which must not see
 * a byte of what isn't its own. */
LOOP_TEST(p06_copy_of_a_file_never_reaches_another_connection)
{
    static struct once copy;
    static struct loop_fd *file, *sink, *fresh;
    static int fds[2], others[2];
    static int round;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 3);
    for (round = 0; round < 6; round++) {
        memset(&copy, 0, sizeof copy);
        make_pair(fds);
        set_small_buffers(fds[0]);
        file = adopt(env->scope, make_file(pattern, sizeof pattern));
        sink = adopt(env->scope, fds[0]);
        START(loop_copy(&loop_fd_flow(file)->source, &loop_fd_flow(sink)->sink, ONCE(&copy)));
        AWAIT(turns(env->scope, 1 + (unsigned)round, GO));
        loop_fd_destroy(round % 2 ? file : sink);
        AWAIT(turns(env->scope, 4, GO));
        make_pair(others);
        set_nonblocking(others[1]);
        fresh = round % 2 ? adopt(env->scope, make_file("another file", 12)) : adopt(env->scope, others[0]);
        AWAIT(turns(env->scope, 4, GO));
        set_nonblocking(fds[1]);
        CHECK(drain(fds[1]) <= sizeof pattern);
        AWAIT(turns(env->scope, 10, GO));
        CHECK(read(others[1], rest, 1) < 0 && errno == EAGAIN);
        CHECK_IS(copy.count, 1);
        CHECK(copy.result == -ECANCELED || (copy.result > 0 && copy.result < SIZE));
        CHECK_IS(drain(fds[1]), 0);
        loop_fd_destroy(fresh);
        loop_fd_destroy(round % 2 ? sink : file);
        if (round % 2) {
            close(others[0]);
        }
        close(others[1]);
        close(fds[1]);
    }
    END;
}

/* ---- taken ---- */

/* A connection is handed on while its copy is stuck: the number, and what the copy had read of it. */
LOOP_TEST(p06_take_of_a_source_gets_what_a_stuck_copy_had_read)
{
    static struct once copy;
    static size_t moved, got;
    static ssize_t now;
    static int number;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 4);
    make_near(env, &from, SOCKET, false);
    make_near(env, &to, SOCKET, true);
    START(loop_copy(from.source, to.sink, ONCE(&copy)));
    for (got = 0; got < 20; got++) {
        feed(&from);
        AWAIT(turns(env->scope, 1, GO));
    }
    AWAIT(loop_fd_take(from.fd, GO));
    number = (int)result;
    CHECK(number >= 0);
    ONCE_IS(copy, copy.result);
    CHECK(copy.result > 0);
    moved = (size_t)copy.result;
    CHECK(loop_fd_unread_length(from.fd) > 0);
    got = loop_fd_take_unread(from.fd, rest, sizeof rest);
    CHECK(memcmp(rest, pattern + moved, got) == 0);
    while ((now = read(number, rest + got, sizeof rest - got)) > 0) {
        got += (size_t)now;
    }
    CHECK_IS(moved + got, from.fed);
    CHECK(memcmp(rest, pattern + moved, got) == 0);
    close(number);
    close(from.far);
    close(to.far);
    END;
}

static size_t unread_at_the_end;

static void on_timed_out(void *arg, int64_t result)
{
    once_resumed(arg, result);
    unread_at_the_end = loop_fd_unread_length(from.fd);
}

LOOP_TEST(p05_copy_whose_scope_ends_counts_too)
{
    static struct once copy;
    static struct loop_scope *scope;
    static int waiting;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 4);
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    make_near(env, &to, SOCKET, true);
    make_near(&(struct loop_env){.scope = scope}, &from, SOCKET, false);
    feed(&from);
    START(loop_copy_report(from.source, to.sink, &outcome, on_timed_out, &copy));
    AWAIT(turns(env->scope, 20, GO));
    loop_scope_deadline(scope, loop_now(env->loop));
    WAIT_UNTIL(copy.count && scope_end.count);
    CHECK(copy.result > 0);
    CHECK_IS(outcome.error, -ETIMEDOUT);
    CHECK(unread_at_the_end > 0);
    CHECK_IS(ioctl(to.far, FIONREAD, &waiting), 0);
    CHECK_IS(copy.result, waiting);
    close(from.far);
    close(to.far);
    END;
}

/* ---- scopes ---- */

/* The sink is in a scope that has nothing else: the copy holds it open, and its memory with it. */
LOOP_TEST(p07_copy_holds_the_scope_of_its_sink)
{
    static struct loop_scope *scope;
    static struct loop_sink *memory;
    static struct loop_source *source;
    static struct once copy;
    static size_t length;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 5);
    make_near(env, &from, SOCKET, false);
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    memory = loop_memory_sink(scope, 0);
    source = from.source;
    START(loop_copy(source, memory, ONCE(&copy)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(scope_end.count, 0);
    for (; from.fed < SIZE;) {
        feed(&from);
        AWAIT(turns(env->scope, 1, GO));
    }
    close(from.far);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, SIZE);
    CHECK(memcmp(loop_memory_data(memory, &length), pattern, SIZE) == 0);
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(scope_end, 0);
    END;
}

LOOP_TEST(p07_copy_ends_with_the_scope_of_its_sink)
{
    static struct loop_scope *scope;
    static struct once copy;
    static int round;

    BEGIN;
    for (round = 0; round < 3; round++) {
        memset(&copy, 0, sizeof copy);
        memset(&scope_end, 0, sizeof scope_end);
        make_near(env, &from, SOCKET, false);
        scope = loop_scope_open(env->scope, ONCE(&scope_end));
        START(loop_copy_report(from.source, round ? loop_memory_sink(scope, 0) : loop_null_sink(scope), &outcome,
                               ONCE(&copy)));
        if (round == 2) {
            feed(&from);
        }
        AWAIT(turns(env->scope, 5, GO));
        CHECK_IS(copy.count + scope_end.count, 0);
        loop_scope_cancel(scope);
        WAIT_UNTIL(copy.count && scope_end.count);
        CHECK_IS(copy.result, outcome.bytes > 0 ? outcome.bytes : -ECANCELED);
        CHECK_IS(outcome.error, -ECANCELED);
        CHECK_IS(scope_end.result, -ECANCELED);
        close_ends(&from);
    }
    END;
}

/* scope.h: in a cancelled scope nothing is begun, whichever of the two it is. */
LOOP_TEST(p07_copy_in_a_cancelled_scope_does_nothing)
{
    static struct loop_scope *scope;
    static struct once copies[2];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    make_own(env->scope);
    loop_scope_hold(scope);
    loop_scope_cancel(scope);
    own.source.scope = scope;
    START(loop_copy(&own.source, &own.sink, ONCE(&copies[0])));
    own.source.scope = env->scope;
    own.sink.scope = scope;
    START(loop_copy(&own.source, &own.sink, ONCE(&copies[1])));
    WAIT_UNTIL(copies[0].count && copies[1].count);
    ONCE_IS(copies[0], -ECANCELED);
    ONCE_IS(copies[1], -ECANCELED);
    CHECK_IS(own.at, 0);
    CHECK_IS(own.taken, 0);
    loop_scope_unhold(scope);
    WAIT_UNTIL(scope_end.count);
    END;
}

LOOP_TEST(p08_copy_that_is_a_daemon_does_not_hold_its_scope)
{
    static struct loop_scope *scope;
    static struct once copy;
    static struct loop_sink *sink;
    static int kind;

    BEGIN;
    for (kind = 0; kind < 3; kind++) {
        memset(&copy, 0, sizeof copy);
        memset(&scope_end, 0, sizeof scope_end);
        scope = loop_scope_open(env->scope, ONCE(&scope_end));
        make_near(&(struct loop_env){.scope = scope}, &from, SOCKET, false);
        make_near(&(struct loop_env){.scope = scope}, &to, kind == 0 ? SOCKET : REGULAR, true);
        sink = kind == 2 ? loop_null_sink(scope) : to.sink;
        CHECK_IS(loop_daemon(env->loop, START(loop_copy(from.source, sink, ONCE(&copy)))), 0);
        WAIT_UNTIL(copy.count && scope_end.count);
        ONCE_IS(copy, -ECANCELED);
        ONCE_IS(scope_end, 0);
        close(from.far);
        close(to.far);
    }
    END;
}

LOOP_TEST(p08_copy_that_is_a_daemon_holds_neither_scope)
{
    static struct loop_scope *scope;
    static struct once copy;

    BEGIN;
    make_near(env, &from, SOCKET, false);
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    CHECK_IS(loop_daemon(env->loop, START(loop_copy(from.source, loop_null_sink(scope), ONCE(&copy)))), 0);
    WAIT_UNTIL(copy.count && scope_end.count);
    ONCE_IS(copy, -ECANCELED);
    ONCE_IS(scope_end, 0);
    close(from.far);
    END;
}

/* ---- queues that others have filled ---- */

LOOP_TEST(p11_copy_waits_for_room_in_a_queue_of_others)
{
    static struct once copy, write;
    static struct loop_flow *flows[2];
    static char *got;
    static size_t length;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 6);
    make_flows(env->scope, flows);
    CHECK_IS(loop_sink_limit(&flows[0]->sink, 1000), 0);
    START(loop_write(&flows[0]->sink, pattern, SIZE, ONCE(&write)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(loop_sink_is_full(&flows[0]->sink));
    START(loop_copy(loop_memory_source(env->scope, pattern, SIZE), &flows[0]->sink, ONCE(&copy)));
    length = (size_t)2 * SIZE;
    got = malloc(length);
    AWAIT(loop_read_exact(&flows[1]->source, got, length, GO));
    CHECK_IS(result, length);
    CHECK(memcmp(got, pattern, SIZE) == 0 && memcmp(got + SIZE, pattern, SIZE) == 0);
    WAIT_UNTIL(copy.count && write.count);
    ONCE_IS(copy, SIZE);
    free(got);
    END;
}

/* ---- mistakes of sources and sinks ---- */

static loop_job greedy_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    (void)buf;
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);
    loop_resolve(loop_scope_loop(source->scope), job, (int64_t)len + 5);
    return job;
}

static loop_job greedy_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)n_iov;
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);
    loop_resolve(loop_scope_loop(sink->scope), job, (int64_t)iov->iov_len + 5);
    return job;
}

static int64_t greedy_result;

static void on_greedy(void *unused, int64_t result)
{
    (void)unused;
    greedy_result = result;
}

static int start_greedy(struct loop_env *env, void *is_source)
{
    static const struct loop_source_ops source_ops = {.read = greedy_read};
    static const struct loop_sink_ops sink_ops = {.write = greedy_write};
    static struct loop_source source;
    static struct loop_sink sink;

    source = (struct loop_source){&source_ops, env->scope, NULL};
    sink = (struct loop_sink){&sink_ops, env->scope, NULL};
    loop_copy(is_source ? &source : loop_memory_source(env->scope, "abc", 3),
              is_source ? loop_null_sink(env->scope) : &sink, on_greedy, NULL);
    return 0;
}

static int copy_of_greedy(void *is_source)
{
    loop_run_with(&(struct loop_options){.queue_depth = 0}, start_greedy, is_source);
    return (int)greedy_result;
}

TEST(p23_copy_stops_at_results_that_can_not_be)
{
    expect_stop(copy_of_greedy, pattern, "read of a source", -EINVAL);
    expect_stop(copy_of_greedy, NULL, "write of a sink", -EINVAL);
}
