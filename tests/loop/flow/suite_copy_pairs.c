/* SPDX-License-Identifier: ISC
 *
 * loop_copy between all kinds of sources and sinks.
 */
#include "own.h"

/* ---- copies in all pairings ---- */

enum kind { SOCKET, TCP, PIPE, REGULAR, MEMORY, OWN, KINDS };
enum { COPIED = 100000 };
static const char *const kind_names[] = {"socket", "tcp", "pipe", "file", "memory", "own"};
static char counted[COPIED];

/* The near end of a pair that the copy uses; the far end is driven by the test. */
struct ends {
    struct loop_source *source;
    struct loop_sink *sink, *feed;
    struct loop_source *result;
    int file;
    struct counter counter;
    struct checker checker;
};

static void make_stream_ends(struct loop_env *env, struct ends *ends, enum kind kind)
{
    int fds[2];

    if (kind == SOCKET) {
        make_pair(fds);
    } else {
        make_tcp_pair(fds);
    }
    struct loop_flow *near = flow_of(env->scope, fds[0]), *far = flow_of(env->scope, fds[1]);
    ends->source = &near->source;
    ends->sink = &near->sink;
    ends->feed = &far->sink;
    ends->result = &far->source;
}

static void make_source(struct loop_env *env, struct ends *ends, enum kind kind)
{
    memset(ends, 0, sizeof *ends);
    if (kind == SOCKET || kind == TCP) {
        make_stream_ends(env, ends, kind);
    } else if (kind == PIPE) {
        CHECK_IS(loop_pipe(env->scope, &ends->source, &ends->feed), 0);
    } else if (kind == REGULAR) {
        ends->source = &flow_of(env->scope, make_file(counted, COPIED))->source;
    } else if (kind == MEMORY) {
        ends->source = loop_memory_source(env->scope, counted, COPIED);
    } else {
        ends->source = make_counter(env, &ends->counter, COPIED);
    }
}

static void make_sink(struct loop_env *env, struct ends *ends, enum kind kind)
{
    memset(ends, 0, sizeof *ends);
    if (kind == SOCKET || kind == TCP) {
        make_stream_ends(env, ends, kind);
    } else if (kind == PIPE) {
        CHECK_IS(loop_pipe(env->scope, &ends->result, &ends->sink), 0);
    } else if (kind == REGULAR) {
        ends->file = make_file("", 0);
        ends->sink = &flow_of(env->scope, ends->file)->sink;
    } else if (kind == MEMORY) {
        ends->sink = loop_memory_sink(env->scope, 0);
    } else {
        ends->sink = make_checker(env, &ends->checker);
    }
}

static void feed(struct ends *ends, struct tally *tally)
{
    if (ends->feed) {
        START(loop_write(ends->feed, counted, COPIED, TALLY(tally)));
        START(loop_shutdown(ends->feed, TALLY(tally)));
    }
}

/* Reads the bytes that arrived at the other side and have not been read yet. */
static void check_copied(struct ends *ends)
{
    static char got[COPIED];
    size_t length = COPIED;
    const void *bytes = got;

    if (ends->file) {
        CHECK_IS(pread(ends->file, got, COPIED, 0), COPIED);
    } else if (ends->checker.length) {
        CHECK_IS(ends->checker.length, COPIED);
        return;
    } else {
        bytes = loop_memory_data(ends->sink, &length);
    }
    CHECK_IS(length, COPIED);
    CHECK(memcmp(bytes, counted, COPIED) == 0);
}

static enum kind copy_from;

static void copy_to_all(struct loop_env *env, int64_t result)
{
    static struct ends from, to;
    static struct once copy;
    static struct tally fed;
    static char got[COPIED];
    static enum kind kind;

    BEGIN;
    for (int i = 0; i < COPIED; i++) {
        counted[i] = (char)i;
    }
    for (kind = SOCKET; kind < KINDS; kind++) {
        memset(&copy, 0, sizeof copy);
        make_source(env, &from, copy_from);
        make_sink(env, &to, kind);
        feed(&from, &fed);
        START(loop_copy(from.source, to.sink, ONCE(&copy)));
        if (to.result) {
            memset(got, 0, sizeof got);
            AWAIT(loop_read_exact(to.result, got, COPIED, GO));
            CHECK_IS(result, COPIED);
            CHECK(memcmp(got, counted, COPIED) == 0);
        }
        WAIT_UNTIL(copy.count);
        if (copy.result != COPIED) {
            ck_abort_msg("%s to %s: %lld", kind_names[copy_from], kind_names[kind], (long long)copy.result);
        }
        if (to.result) {
            AWAIT(loop_shutdown(to.sink, GO));
            CHECK_IS(result, 0);
            AWAIT(loop_read(to.result, got, 1, GO));
            CHECK_IS(result, 0);
        } else {
            check_copied(&to);
        }
    }
    END;
}

static void check_copies_from(enum kind from)
{
    copy_from = from;
    script_run(&(struct loop_options){.queue_depth = 0}, copy_to_all);
}

TEST(copy_from_a_socket_to_all)
{
    check_copies_from(SOCKET);
}

TEST(copy_from_tcp_to_all)
{
    check_copies_from(TCP);
}

TEST(copy_from_a_pipe_to_all)
{
    check_copies_from(PIPE);
}

TEST(copy_from_a_file_to_all)
{
    check_copies_from(REGULAR);
}

TEST(copy_from_memory_to_all)
{
    check_copies_from(MEMORY);
}

TEST(copy_from_ones_own_to_all)
{
    check_copies_from(OWN);
}
