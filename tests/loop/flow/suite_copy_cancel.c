/* SPDX-License-Identifier: ISC
 *
 * Copies that end before their source does: cancelled, or with a sink that blocks, fails or is closed. The result
 * counts the bytes that the sink accepted. The others stay readable from the source, whatever its kind.
 */
#include "copying.h"
#include "way.h"

/* ---- all pairings ---- */

/* What comes out of the sink, which is closed: all there is, or, of an echo, `expected` bytes. TCP takes its time. */
static size_t collect(size_t expected)
{
    size_t n = 0, most = to.kind == ECHO ? expected : SIZE;
    ssize_t now = 1;

    if (to.kind == OWN) {
        return own.taken;
    }
    CHECK_IS(fcntl(to.far, F_SETFL, 0), 0);
    while (n < most && now > 0) {
        now = to.kind == REGULAR ? pread(to.far, copied + n, most - n, (off_t)n) : read(to.far, copied + n, most - n);
        n += now > 0 ? (size_t)now : 0;
    }
    set_nonblocking(to.far);
    return n;
}

enum stop { CANCEL, CLOSE, FAIL };

static void stop_copy(struct loop *loop, loop_job job, enum stop stop)
{
    if (stop == CANCEL) {
        CHECK_IS(loop_cancel(loop, job), 0);
    } else if (stop == CLOSE) {
        CHECK_IS(loop_fd_close(to.fd), 0);
    } else {
        (void)shutdown(to.far, SHUT_RDWR);
        close(to.far);
    }
}

/* The pairings in which a sink can be stopped so, and the source is still there. */
static bool makes_sense(enum kind source, enum kind sink, enum stop stop)
{
    bool is_echo = sink == ECHO, has_peer = sink == SOCKET || sink == TCP || sink == PIPE;

    return is_echo ? stop == CANCEL && (source == SOCKET || source == TCP)
                   : stop == CANCEL || has_peer || (stop == CLOSE && sink == REGULAR);
}

static const enum kind sink_kinds[] = {SOCKET, TCP, PIPE, OWN, REGULAR, ECHO};
static enum kind source_kind;
static enum stop stop;

/* Copies into a sink that blocks soon, ends that, and checks where each byte is. Only the copy's result shows what a
 * lost peer would have received. */
static void copy_to_stuck_ones(struct loop_env *env, int64_t result)
{
    static struct once copy;
    static loop_job job;
    static size_t sink, moved, got, before;
    static int turn, number;

    BEGIN;
    fill_pattern(pattern, sizeof pattern, 12);
    for (sink = 0; sink < COUNT_OF(sink_kinds); sink++) {
        if (!makes_sense(source_kind, sink_kinds[sink], stop)) {
            continue;
        }
        memset(&copy, 0, sizeof copy);
        make_own(env->scope);
        make_source(env, source_kind);
        make_sink(env, sink_kinds[sink]);
        before = from.reader ? 7 : 0;
        number = to.kind != ECHO && to.fd ? loop_fd_peek(to.fd) : -1;
        if (from.reader) {
            AWAIT(loop_reader_exact(from.reader, 7, GO)); /* so that it has some of it already */
            CHECK_IS(result, 7);
        }
        job = START(loop_copy(from.source, to.sink, ONCE(&copy)));
        for (turn = 0; turn < (to.kind == REGULAR ? 2 : 40); turn++) {
            AWAIT(turns(env->scope, 1, GO));
            feed(&from);
        }
        if (copy.count == 0) {
            stop_copy(env->loop, job, stop);
        }
        WAIT_UNTIL(copy.count);
        CHECK_IS(copy.count, 1);
        /* A thread may read the file: then the sink may fail before a byte is there. */
        CHECK(copy.result > 0 || copy.result == -ECANCELED || (stop == FAIL && copy.result < 0));
        moved = copy.result > 0 ? (size_t)copy.result : 0;
        if (to.kind != ECHO && to.fd) {
            loop_fd_close(to.fd);
        }
        while (is_open(number)) {
            AWAIT(turns(env->scope, 1, GO));
        }
        if (stop != FAIL) {
            CHECK_IS(collect(moved), moved);
            CHECK(memcmp(copied, pattern + before, moved) == 0);
        }
        for (got = before + moved; got < SIZE; got += (size_t)result) {
            feed(&from);
            AWAIT(loop_read(from.source, rest + got, SIZE - got, GO));
            CHECK(result > 0);
        }
        CHECK(memcmp(rest + before + moved, pattern + before + moved, SIZE - before - moved) == 0);
        close_ends(&from);
        if (to.kind != ECHO) {
            close_ends(&to);
        }
    }
    END;
}

static void check_stuck(enum kind from_kind, enum stop how)
{
    source_kind = from_kind;
    stop = how;
    script_run(&(struct loop_options){.queue_depth = 0}, copy_to_stuck_ones);
}

#define STUCK_TESTS(name, kind)                                                                                        \
    TEST(p05_copy_from_##name##_is_cancelled_and_loses_nothing)                                                        \
    {                                                                                                                  \
        check_stuck(kind, CANCEL);                                                                                     \
    }                                                                                                                  \
    TEST(p05_copy_from_##name##_to_what_is_closed_loses_nothing)                                                       \
    {                                                                                                                  \
        check_stuck(kind, CLOSE);                                                                                      \
    }                                                                                                                  \
    TEST(p05_copy_from_##name##_to_what_fails_loses_nothing)                                                           \
    {                                                                                                                  \
        check_stuck(kind, FAIL);                                                                                       \
    }

STUCK_TESTS(a_socket, SOCKET)
STUCK_TESTS(tcp, TCP)
STUCK_TESTS(a_pipe, PIPE)
STUCK_TESTS(a_file, REGULAR)
STUCK_TESTS(memory, MEMORY)
STUCK_TESTS(ones_own, OWN)
STUCK_TESTS(a_reader, READER)

/* ---- a scope that fails with a write behind the copy ---- */

static struct loop_sink *behind_sink;

/* Resumed after the copy has read, in the same turn: a send of the ring is still to be submitted. */
static void write_behind(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 1);
    loop_write(behind_sink, "cd", 2, NULL, NULL);
    loop_scope_unhold(behind_sink->scope);
}

LOOP_TEST_WITH(p01_copy_whose_scope_fails_with_its_send_ends_once, COMPLETIONS)
{
    static struct loop_scope *scope;
    static struct loop_flow *flows[3];
    static int pairs[3][2];
    static struct once ended, copy;
    static char byte;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    for (int i = 0; i < 3; i++) {
        make_pair(pairs[i]);
        flows[i] = flow_of(i < 2 ? scope : env->scope, pairs[i][0]);
    }
    behind_sink = &flows[1]->sink;
    START(loop_copy(&flows[0]->source, behind_sink, ONCE(&copy)));
    START(loop_read(&flows[2]->source, &byte, 1, write_behind, NULL));
    AWAIT(turns(env->scope, 3, GO));
    close(pairs[1][1]);
    CHECK_IS(send(pairs[0][1], "ab", 2, 0), 2);
    CHECK_IS(send(pairs[2][1], "!", 1, 0), 1);
    WAIT_UNTIL(ended.count);
    CHECK_IS(copy.count, 1);
    CHECK(copy.result == -EPIPE || copy.result == -ECANCELED);
    ONCE_IS(ended, -EPIPE);
    close(pairs[0][1]);
    close(pairs[2][1]);
    END;
}
