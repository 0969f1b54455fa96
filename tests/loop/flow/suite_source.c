/* SPDX-License-Identifier: ISC
 *
 * loop_read and loop_read_exact: order, ends and errors; and what sources take back.
 */
#include "harness.h"

#include <loop/part.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- reading ---- */

LOOP_TEST(read_gives_what_is_there)
{
    static struct loop_flow *flows[2];
    static char buffer[100];

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "hello", 5, 0), 5);
    AWAIT(loop_read(&flows[0]->source, buffer, sizeof buffer, GO));
    CHECK_MOVED(result, 5);
    CHECK(memcmp(buffer, "hello", (size_t)result) == 0);
    END;
}

LOOP_TEST(read_waits_and_takes_no_more_than_asked)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char buffer[4];

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read(&flows[0]->source, buffer, 2, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "abc", 3, 0), 3);
    WAIT_UNTIL(read.count);
    CHECK_MOVED(read.result, 2);
    AWAIT(loop_read_exact(&flows[0]->source, buffer + read.result, (size_t)(3 - read.result), GO));
    CHECK(memcmp(buffer, "abc", 3) == 0);
    END;
}

LOOP_TEST(read_says_0_at_the_end_again_and_again)
{
    static struct loop_flow *flows[2];
    static int i;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    loop_flow_close(flows[1]);
    for (i = 0; i < 3; i++) {
        AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
        CHECK_IS(result, 0);
    }
    END;
}

LOOP_TEST(reads_on_one_source_are_served_in_order)
{
    enum { N = 50 };
    static struct loop_flow *flows[2];
    static struct once reads[N];
    static char bytes[N], sent[N];

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        START(loop_read(&flows[0]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    fill_pattern(sent, N, 4);
    AWAIT(loop_write(&flows[1]->sink, sent, N, GO));
    WAIT_UNTIL(reads[N - 1].count);
    CHECK(memcmp(bytes, sent, N) == 0);
    for (int i = 1; i < N; i++) {
        CHECK(reads[i].order > reads[i - 1].order);
    }
    END;
}

LOOP_TEST(exact_read_collects_pieces)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char buffer[10];
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read_exact(&flows[0]->source, buffer, 10, ONCE(&read)));
    for (i = 0; i < 10; i++) {
        CHECK_IS(read.count, 0);
        AWAIT(loop_write(&flows[1]->sink, &"0123456789"[i], 1, GO));
    }
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 10);
    CHECK(memcmp(buffer, "0123456789", 10) == 0);
    END;
}

LOOP_TEST(exact_read_is_short_at_the_end)
{
    static struct loop_flow *flows[2];
    static char buffer[10];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_write(&flows[1]->sink, "abc", 3, GO));
    loop_flow_close(flows[1]);
    AWAIT(loop_read_exact(&flows[0]->source, buffer, 10, GO));
    CHECK_IS(result, 3);
    AWAIT(loop_read_exact(&flows[0]->source, buffer, 10, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(exact_read_of_megabytes)
{
    enum { SIZE = 3 << 20 };
    static struct loop_flow *flows[2];
    static struct once write;
    static char *sent, *got;

    BEGIN;
    sent = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(sent, SIZE, 6);
    make_flows(env->scope, flows);
    START(loop_write(&flows[1]->sink, sent, SIZE, ONCE(&write)));
    AWAIT(loop_read_exact(&flows[0]->source, got, SIZE, GO));
    CHECK_IS(result, SIZE);
    CHECK(is_pattern(got, SIZE, 6));
    WAIT_UNTIL(write.count);
    ONCE_IS(write, SIZE);
    free(sent);
    free(got);
    END;
}

LOOP_TEST(reads_of_a_file_move_its_position)
{
    static struct loop_flow *flow;
    static char bytes[10000], got[10000];
    static int i;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 2);
    flow = flow_of(env->scope, make_file(bytes, sizeof bytes));
    for (i = 0; i < 10; i++) {
        AWAIT(loop_read_exact(&flow->source, got + i * 1000, 1000, GO));
        CHECK_IS(result, 1000);
    }
    CHECK(is_pattern(got, sizeof got, 2));
    AWAIT(loop_read(&flow->source, got, 1, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(many_reads_on_a_file_at_once_keep_their_order)
{
    enum { N = 40, PIECE = 500 };
    static struct loop_flow *flow;
    static struct once reads[N];
    static char bytes[N * PIECE], got[N * PIECE];
    static int at;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 8);
    flow = flow_of(env->scope, make_file(bytes, sizeof bytes));
    for (int i = 0; i < N; i++) {
        START(loop_read_exact(&flow->source, got + i * PIECE, PIECE, ONCE(&reads[i])));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(reads[at].count);
        ONCE_IS(reads[at], PIECE);
    }
    CHECK(is_pattern(got, sizeof got, 8));
    END;
}

LOOP_TEST(exact_reads_side_by_side_do_not_mix)
{
    enum { N = 5, PIECE = 1000 };
    static struct loop_flow *flows[2];
    static struct once reads[N];
    static char bytes[N * PIECE], got[N * PIECE];

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 9);
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        START(loop_read_exact(&flows[1]->source, got + i * PIECE, PIECE, ONCE(&reads[i])));
    }
    for (int sent = 0; sent < N * PIECE; sent += 100) {
        START(loop_write(&flows[0]->sink, bytes + sent, 100, NULL, NULL));
    }
    WAIT_UNTIL(reads[N - 1].count);
    for (int i = 0; i < N; i++) {
        ONCE_IS(reads[i], PIECE);
    }
    CHECK(is_pattern(got, sizeof got, 9));
    END;
}

LOOP_TEST(secure_random_never_ends_and_never_repeats)
{
    static char bytes[2][1000];

    BEGIN;
    AWAIT(loop_read_exact(env->secure_random, bytes[0], 1000, GO));
    CHECK_IS(result, 1000);
    AWAIT(loop_read_exact(env->secure_random, bytes[1], 1000, GO));
    CHECK_IS(result, 1000);
    CHECK(memcmp(bytes[0], bytes[1], 1000) != 0);
    END;
}

/* ---- P2: one way for errors ---- */

LOOP_TEST(p02_a_directory_cannot_be_read)
{
    static struct loop_flow *flow;
    static char byte;

    BEGIN;
    flow = flow_of(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    AWAIT(loop_read(&flow->source, &byte, 1, GO));
    CHECK_IS(result, -EISDIR);
    END;
}

/* ---- P5: what a write says ---- */

LOOP_TEST(p05_a_cancelled_exact_read_keeps_what_came)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static loop_job job;
    static char buffer[10];

    BEGIN;
    make_flows(env->scope, flows);
    job = START(loop_read_exact(&flows[0]->source, buffer, 10, ONCE(&read)));
    AWAIT(loop_write(&flows[1]->sink, "four", 4, GO));
    AWAIT(turns(env->scope, 12, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 4);
    CHECK(memcmp(buffer, "four", 4) == 0);
    END;
}

/* ---- giving back ---- */

LOOP_TEST(sources_take_back_what_they_delivered)
{
    static struct loop_source *memory, *null;
    static struct loop_flow *flows[2];
    static char got[8];

    BEGIN;
    memory = loop_memory_source(env->scope, "memory", 6);
    null = loop_null_source(env->scope);
    make_flows(env->scope, flows);
    AWAIT(loop_read_exact(memory, got, 6, GO));
    CHECK_IS(loop_source_unread(memory, "other", 5), -EINVAL);
    CHECK_IS(loop_source_unread(memory, "a memory", 8), -EINVAL);
    CHECK_IS(loop_source_unread(memory, "ory", 3), 0);
    AWAIT(loop_read_exact(memory, got, 6, GO));
    CHECK_IS(result, 3);
    CHECK(memcmp(got, "ory", 3) == 0);
    CHECK_IS(loop_source_close(memory), 0);
    CHECK_IS(loop_source_unread(memory, "ory", 3), -EBADF);
    CHECK_IS(loop_source_unread(null, "x", 1), -EOPNOTSUPP);
    CHECK_IS(loop_source_unread(null, NULL, 0), 0);
    CHECK_IS(loop_source_unread(env->secure_random, "x", 1), 0);
    CHECK_IS(loop_source_unread(&flows[0]->source, NULL, 1), -EINVAL);
    CHECK_IS(loop_source_unread(&flows[0]->source, "flow", 4), 0);
    AWAIT(loop_read_exact(&flows[0]->source, got, 4, GO));
    CHECK(memcmp(got, "flow", 4) == 0);
    CHECK_IS(loop_flow_close(flows[0]), 0);
    CHECK_IS(loop_source_unread(&flows[0]->source, "x", 1), -EBADF);
    END;
}

/* ---- a cancel behind some bytes ---- */

static struct {
    struct loop_env *env;
    loop_job exact;
    int peer;
    char order[3];
    unsigned ended;
} line;

static void on_exact(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 3);
    line.order[line.ended++] = 'e';
    script_poke();
}

static void on_next(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 3);
    line.order[line.ended++] = 'n';
    script_poke();
}

static void cancel_and_send(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    CHECK_IS(send(line.peer, "def", 3, 0), 3);
    CHECK_IS(loop_cancel(line.env->loop, line.exact), 0);
}

/* The read behind it has its bytes in the same turn. */
LOOP_TEST(p17_a_read_exact_that_is_cancelled_is_resumed_before_the_next_read)
{
    static struct loop_flow *flows[2];
    static char first[8], second[3];

    BEGIN;
    memset(&line, 0, sizeof line);
    line.env = env;
    make_flows(env->scope, flows);
    line.peer = loop_fd_peek(flows[1]->fd);
    line.exact = START(loop_read_exact(&flows[0]->source, first, sizeof first, on_exact, NULL));
    START(loop_read_exact(&flows[0]->source, second, sizeof second, on_next, NULL));
    CHECK_IS(send(line.peer, "abc", 3, 0), 3);
    AWAIT(turns(env->scope, 5, GO));
    START(loop_sleep(env->scope, LOOP_MILLISECOND, cancel_and_send, NULL));
    WAIT_UNTIL(line.ended == 2);
    CHECK_TEXT(line.order, "en");
    CHECK(memcmp(first, "abc", 3) == 0 && memcmp(second, "def", 3) == 0);
    END;
}

enum {
    RESUMED_BEFORE,
    RESUMED_BEHIND,
    POLL_CANCELLED,
    FD_CLOSED,
    FD_DESTROYED,
    FLOW_CLOSED,
    FD_TAKEN,
    ENDS_OF_READ_EXACT
};

static void ignore_stream(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    (void)result;
    (void)chunk;
}

static void ignore_result(void *unused, int64_t result)
{
    (void)unused;
    if (result >= 0) {
        close((int)result);
    }
}

LOOP_TEST_ROWS(p06_a_read_exact_with_some_bytes_ends_whatever_is_before_it, ENDS_OF_READ_EXACT)
{
    static struct loop_flow *flows[2];
    static char bytes[8];
    static loop_job stream, poll;

    BEGIN;
    memset(&line, 0, sizeof line);
    line.env = env;
    make_flows(env->scope, flows);
    line.peer = loop_fd_peek(flows[1]->fd);
    stream = START(loop_stream(&flows[0]->source, ignore_stream, NULL));
    CHECK_IS(loop_pause(env->loop, stream), 0);
    line.exact = START(loop_read_exact(&flows[0]->source, bytes, sizeof bytes, on_exact, NULL));
    CHECK_IS(send(line.peer, "abc", 3, 0), 3);
    AWAIT(turns(env->scope, 5, GO));
    switch (script.row) {
    case RESUMED_BEFORE:
        CHECK_IS(loop_resume(env->loop, stream), 0);
        CHECK_IS(loop_cancel(env->loop, line.exact), 0);
        break;
    case RESUMED_BEHIND:
        CHECK_IS(loop_cancel(env->loop, line.exact), 0);
        CHECK_IS(loop_resume(env->loop, stream), 0);
        break;
    case POLL_CANCELLED:
        poll = START(loop_op_poll_multishot(env->scope, flows[0]->fd, ignore_result, NULL));
        CHECK_IS(loop_cancel(env->loop, line.exact), 0);
        CHECK_IS(loop_cancel(env->loop, poll), 0);
        break;
    case FD_CLOSED: loop_fd_close(flows[0]->fd); break;
    case FD_DESTROYED: loop_fd_destroy(flows[0]->fd); break;
    case FLOW_CLOSED:
        loop_cancel(env->loop, line.exact);
        loop_flow_close(flows[0]);
        break;
    default: CHECK(loop_fd_take(flows[0]->fd, ignore_result, NULL)); break;
    }
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    CHECK_IS(line.ended, 1);
    CHECK(memcmp(bytes, "abc", 3) == 0);
    if (script.row <= POLL_CANCELLED) {
        CHECK_IS(loop_cancel(env->loop, stream), 0);
    }
    END;
}

/* The cancel of a read that has some bytes tells nothing about the descriptor: a call that reads takes a fifo that
 * never had a writer for one at its end. */
LOOP_TEST(p17_a_cancelled_read_exact_does_not_end_a_fifo_without_a_writer)
{
    static struct once exact, next;
    static struct loop_fd *fd;
    static const char *directory;
    static char path[100], first[8], second[8];
    static loop_job job;

    BEGIN;
    directory = make_directory();
    (void)snprintf(path, sizeof path, "%s/fifo", directory);
    CHECK_IS(mkfifo(path, 0600), 0);
    fd = adopt(env->scope, open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK_IS(loop_fd_unread(fd, "abc", 3), 0);
    job = START(loop_read_exact(&loop_fd_flow(fd)->source, first, sizeof first, ONCE(&exact)));
    START(loop_read(&loop_fd_flow(fd)->source, second, sizeof second, ONCE(&next)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(exact.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(exact.count);
    ONCE_IS(exact, 3);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(next.count, 0);
    CHECK_IS(loop_fd_unread(fd, "de", 2), 0);
    WAIT_UNTIL(next.count);
    ONCE_IS(next, 2);
    CHECK(memcmp(first, "abc", 3) == 0 && memcmp(second, "de", 2) == 0);
    remove_directory(directory);
    END;
}
