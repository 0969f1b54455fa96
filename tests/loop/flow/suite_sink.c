/* SPDX-License-Identifier: ISC
 *
 * loop_write and its variants (P5): order, and the number of written bytes that a write returns however it ends.
 */
#include "harness.h"

#include <sys/ioctl.h>

/* ---- writing ---- */

LOOP_TEST(write_says_how_much)
{
    static struct loop_flow *flows[2];
    static char buffer[5];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_write(&flows[0]->sink, "hello", 5, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_read_exact(&flows[1]->source, buffer, 5, GO));
    CHECK(memcmp(buffer, "hello", 5) == 0);
    END;
}

LOOP_TEST(write_goes_on_when_there_is_room_again)
{
    enum { SIZE = 2 << 20 };
    static struct loop_flow *flow;
    static struct once write;
    static char *bytes, *got;
    static size_t length;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    bytes = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(bytes, SIZE, 1);
    flow = flow_of(env->scope, fds[0]);
    set_nonblocking(fds[1]);
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    while (length < SIZE) {
        ssize_t n = read(fds[1], got + length, SIZE - length);
        if (n > 0) {
            length += (size_t)n;
        } else {
            AWAIT(loop_op_nop(env->scope, GO));
        }
    }
    WAIT_UNTIL(write.count);
    ONCE_IS(write, SIZE);
    CHECK(is_pattern(got, SIZE, 1));
    close(fds[1]);
    free(bytes);
    free(got);
    END;
}

LOOP_TEST(gather_of_ten_thousand_vectors)
{
    enum { N = 10000, PIECE = 7 };
    static struct loop_flow *flows[2];
    static struct once write;
    static struct iovec vectors[N];
    static char bytes[N * PIECE], got[N * PIECE];

    BEGIN;
    make_flows(env->scope, flows);
    fill_pattern(bytes, sizeof bytes, 2);
    for (int i = 0; i < N; i++) {
        vectors[i] = (struct iovec){bytes + i * PIECE, PIECE};
    }
    START(loop_writev(&flows[0]->sink, vectors, N, ONCE(&write)));
    AWAIT(loop_read_exact(&flows[1]->source, got, sizeof got, GO));
    CHECK_IS(result, sizeof got);
    CHECK(is_pattern(got, sizeof got, 2));
    WAIT_UNTIL(write.count);
    ONCE_IS(write, sizeof bytes);
    END;
}

LOOP_TEST(gather_skips_empty_vectors)
{
    static struct loop_flow *flows[2];
    static char a[] = "ab", b[] = "cde", got[5];
    static struct iovec vectors[] = {{NULL, 0}, {a, 2}, {a, 0}, {NULL, 0}, {b, 3}, {NULL, 0}};

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_writev(&flows[0]->sink, vectors, COUNT_OF(vectors), GO));
    CHECK_IS(result, 5);
    AWAIT(loop_read_exact(&flows[1]->source, got, 5, GO));
    CHECK(memcmp(got, "abcde", 5) == 0);
    END;
}

LOOP_TEST(gather_to_a_file_and_a_pipe)
{
    enum { N = 3000 };
    static struct loop_flow *file;
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct iovec vectors[N];
    static char bytes[N * 3], got[N * 3];
    static int fd;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 5);
    for (int i = 0; i < N; i++) {
        vectors[i] = (struct iovec){bytes + i * 3, 3};
    }
    fd = make_file("", 0);
    file = flow_of(env->scope, fd);
    AWAIT(loop_writev(&file->sink, vectors, N, GO));
    CHECK_IS(result, sizeof bytes);
    CHECK_IS(pread(fd, got, sizeof got, 0), sizeof got);
    CHECK(is_pattern(got, sizeof got, 5));
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    AWAIT(loop_writev(sink, vectors, N, GO));
    CHECK_IS(result, sizeof bytes);
    AWAIT(loop_read_exact(source, got, sizeof got, GO));
    CHECK(is_pattern(got, sizeof got, 5));
    END;
}

LOOP_TEST(writes_and_gathers_mixed_stay_in_order)
{
    static struct loop_flow *flows[2];
    static char a[] = "bc", b[] = "de", got[8];
    static struct iovec vectors[] = {{a, 2}, {b, 2}};
    static struct loop_chunk *chunk;
    static struct tally tally;

    BEGIN;
    make_flows(env->scope, flows);
    chunk = loop_chunk_alloc(env->loop);
    memcpy(loop_chunk_data(chunk), "fg", 2);
    START(loop_write(&flows[0]->sink, "a", 1, TALLY(&tally)));
    START(loop_writev(&flows[0]->sink, vectors, 2, TALLY(&tally)));
    START(loop_write_chunk(&flows[0]->sink, chunk, 2, TALLY(&tally)));
    START(loop_write(&flows[0]->sink, "h", 1, TALLY(&tally)));
    AWAIT(loop_read_exact(&flows[1]->source, got, 8, GO));
    CHECK(memcmp(got, "abcdefgh", 8) == 0);
    WAIT_UNTIL(tally.count == 4);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(write_chunk_gives_the_chunk_back_however_it_ends)
{
    static struct loop_flow *flows[2];
    static struct loop_chunk *chunk;
    static struct once write;
    static loop_job job;

    BEGIN;
    make_flows(env->scope, flows);
    chunk = loop_chunk_alloc(env->loop);
    AWAIT(loop_write_chunk(&flows[0]->sink, chunk, loop_chunk_length(chunk) + 1, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    chunk = loop_chunk_alloc(env->loop);
    stuff(loop_fd_peek(flows[0]->fd));
    job = START(loop_write_chunk(&flows[0]->sink, chunk, 10, ONCE(&write)));
    AWAIT(turns(env->scope, 3, GO));
    /* Of a single chunk half is wanted for others, which is all of it. */
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop) - (loop_region_count(env->loop) > 1));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    ONCE_IS(write, -ECANCELED);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    loop_flow_close(flows[0]);
    chunk = loop_chunk_alloc(env->loop);
    AWAIT(loop_write_chunk(&flows[0]->sink, chunk, 10, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(writes_of_one_continuation_leave_together)
{
    static struct loop_flow *flows[2];
    static struct loop_stats before, after;
    static struct tally tally;
    static char got[1000];
    static int waiting;

    BEGIN;
    make_flows(env->scope, flows);
    loop_get_stats(env->loop, &before);
    for (int i = 0; i < 100; i++) {
        START(loop_write(&flows[0]->sink, "0123456789", 10, TALLY(&tally)));
    }
    WAIT_UNTIL(tally.count == 1);
    /* Only the first has been resumed so far, and all have been written. */
    CHECK_IS(ioctl(loop_fd_peek(flows[1]->fd), FIONREAD, &waiting), 0);
    CHECK(is_hard("short") || waiting == 1000);
    AWAIT(loop_read_exact(&flows[1]->source, got, 1000, GO));
    CHECK_IS(result, 1000);
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 100);
    END;
}

/* Coalescing must not be seen: each write has its own result, in order, each in its own time. */
LOOP_TEST(gathered_writes_have_their_own_results)
{
    enum { N = 64, PIECE = 30000 };
    static struct loop_flow *flow;
    static struct once writes[N];
    static char *bytes;
    static int fds[2], at;
    static size_t read_so_far;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, 16 << 20), 0);
    bytes = calloc(1, PIECE);
    for (int i = 0; i < N; i++) {
        START(loop_write(&flow->sink, bytes, PIECE, ONCE(&writes[i])));
    }
    for (at = 0; at < N; at++) {
        while (!writes[at].count) {
            read_so_far += drain(fds[1]);
            AWAIT(loop_op_nop(env->scope, GO));
        }
        ONCE_IS(writes[at], PIECE);
        read_so_far += drain(fds[1]);
        CHECK(read_so_far >= (size_t)(at + 1) * PIECE);
    }
    CHECK_IS(read_so_far, (size_t)N * PIECE);
    close(fds[1]);
    free(bytes);
    END;
}

LOOP_TEST(writes_to_a_file_are_appended_in_order)
{
    enum { N = 200 };
    static struct loop_flow *flow;
    static struct once writes[N];
    static uint32_t numbers[N], got[N];
    static int fd, at;

    BEGIN;
    fd = make_file("", 0);
    flow = flow_of(env->scope, fd);
    for (uint32_t i = 0; i < N; i++) {
        numbers[i] = i;
        START(loop_write(&flow->sink, &numbers[i], 4, ONCE(&writes[i])));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(writes[at].count);
        ONCE_IS(writes[at], 4);
    }
    CHECK_IS(pread(fd, got, sizeof got, 0), sizeof got);
    CHECK(memcmp(numbers, got, sizeof got) == 0);
    END;
}

/* ---- P5: what a write says ---- */

LOOP_TEST(p05_a_cancelled_write_says_how_much_went_out)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write;
    static char *bytes, *got;
    static loop_job job;
    static int fds[2];
    static size_t length;

    BEGIN;
    make_pair(fds);
    bytes = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(bytes, SIZE, 5);
    flow = flow_of(env->scope, fds[0]);
    job = START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(write.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    CHECK(write.result > 0 && write.result < SIZE);
    set_nonblocking(fds[1]);
    while (length < SIZE) {
        ssize_t n = read(fds[1], got + length, SIZE - length);
        if (n <= 0) {
            break;
        }
        length += (size_t)n;
    }
    CHECK_IS(length, write.result);
    CHECK(is_pattern(got, length, 5));
    AWAIT(loop_write(&flow->sink, "after", 5, GO));
    CHECK_IS(result, 5);
    CHECK_IS(read(fds[1], got, 16), 5);
    close(fds[1]);
    free(bytes);
    free(got);
    END;
}

LOOP_TEST(p05_a_write_cancelled_before_it_began_wrote_nothing)
{
    static struct loop_flow *flow;
    static struct once write;
    static loop_job job;
    static int fds[2];
    static size_t stuffed;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    job = START(loop_write(&flow->sink, "never", 5, ONCE(&write)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    ONCE_IS(write, -ECANCELED);
    CHECK_IS(drain(fds[1]), stuffed);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(drain(fds[1]), 0);
    close(fds[1]);
    END;
}

LOOP_TEST(p05_a_queued_write_can_be_cancelled_between_two_others)
{
    static struct loop_flow *flow;
    static struct once writes[3];
    static loop_job jobs[3];
    static int fds[2];
    static size_t stuffed;
    static char tail[8];

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    jobs[0] = START(loop_write(&flow->sink, "one", 3, ONCE(&writes[0])));
    jobs[1] = START(loop_write(&flow->sink, "two", 3, ONCE(&writes[1])));
    jobs[2] = START(loop_write(&flow->sink, "six", 3, ONCE(&writes[2])));
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(writes[1], -ECANCELED);
    CHECK_IS(drain(fds[1]), stuffed);
    WAIT_UNTIL(writes[0].count && writes[2].count);
    ONCE_IS(writes[0], 3);
    ONCE_IS(writes[2], 3);
    CHECK_IS(recv(fds[1], tail, 6, MSG_WAITALL), 6);
    CHECK(memcmp(tail, "onesix", 6) == 0);
    close(fds[1]);
    END;
}

LOOP_TEST(p05_a_peer_that_goes_in_between_leaves_a_count_or_an_error)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write, later;
    static char *bytes;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    bytes = calloc(1, SIZE);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, SIZE_MAX), 0);
    CHECK_IS(loop_sink_limit(&flow->sink, 4 * SIZE), 0);
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&later)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(write.count, 0);
    close(fds[1]);
    WAIT_UNTIL(write.count && later.count);
    CHECK(write.result > 0 && write.result < SIZE);
    CHECK(later.result == -EPIPE || later.result == -ECONNRESET);
    free(bytes);
    END;
}

LOOP_TEST(p05_close_leaves_a_count)
{
    enum { SIZE = 4 << 20 };
    static struct loop_flow *flow;
    static struct once write, later;
    static char *bytes;
    static int fds[2];
    static size_t length;

    BEGIN;
    make_pair(fds);
    bytes = calloc(1, SIZE);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(loop_sink_limit(&flow->sink, SIZE_MAX), 0);
    CHECK_IS(loop_sink_limit(&flow->sink, 4 * SIZE), 0);
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&write)));
    START(loop_write(&flow->sink, bytes, SIZE, ONCE(&later)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(loop_flow_close(flow), 0);
    WAIT_UNTIL(write.count && later.count);
    CHECK(write.result > 0 && write.result < SIZE);
    ONCE_IS(later, -ECANCELED);
    length = drain(fds[1]);
    CHECK_IS(length, write.result);
    close(fds[1]);
    free(bytes);
    END;
}

LOOP_TEST(p05_a_cancelled_gather_counts_over_its_vectors)
{
    enum { N = 64, PIECE = 65536 };
    static struct iovec vectors[N];
    static struct loop_flow *flow;
    static struct once write;
    static char *bytes;
    static loop_job job;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    bytes = malloc((size_t)N * PIECE);
    fill_pattern(bytes, (size_t)N * PIECE, 9);
    for (int i = 0; i < N; i++) {
        vectors[i] = (struct iovec){bytes + (size_t)i * PIECE, PIECE};
    }
    flow = flow_of(env->scope, fds[0]);
    job = START(loop_writev(&flow->sink, vectors, N, ONCE(&write)));
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(write.count);
    CHECK(write.result > 0 && write.result < (int64_t)N * PIECE);
    CHECK_IS(drain(fds[1]), write.result);
    close(fds[1]);
    free(bytes);
    END;
}

/* ---- P23: bad arguments ---- */

LOOP_TEST(p23_nothing_to_write_is_written)
{
    static struct loop_flow *flows[2];
    static struct iovec empty[3];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_write(&flows[0]->sink, NULL, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_writev(&flows[0]->sink, empty, 3, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_writev(&flows[0]->sink, NULL, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read_exact(&flows[0]->source, NULL, 0, GO));
    CHECK(result == 0 || result == -EINVAL);
    END;
}

/* ---- P11: a sink's queue ---- */

/* Peers that never read must not hold the chunks written to them, which others need. */
LOOP_TEST(p10_chunks_of_blocked_writes_come_back_for_others)
{
    enum { N = 100, SIZE = 100 };
    static struct loop_flow *flows[N];
    static int peers[N], at;
    static struct tally tally;
    static struct loop_chunk *chunk;
    static char got[SIZE];

    BEGIN;
    for (int i = 0; i < N; i++) {
        int fds[2];
        make_pair(fds);
        flows[i] = flow_of(env->scope, fds[0]);
        peers[i] = fds[1];
        stuff(fds[0]);
    }
    for (at = 0; at < N; at++) {
        AWAIT(loop_chunk_alloc_wait(env->scope, &chunk, GO));
        CHECK_IS(result, 0);
        fill_pattern(loop_chunk_data(chunk), SIZE, (unsigned)at);
        START(loop_write_chunk(&flows[at]->sink, chunk, SIZE, TALLY(&tally)));
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(tally.count, 0);
    CHECK(loop_region_avail(env->loop) >= loop_region_count(env->loop) / 2);
    for (int i = 0; i < N; i++) {
        drain(peers[i]);
    }
    WAIT_UNTIL(tally.count == N);
    for (int i = 0; i < N; i++) {
        CHECK_IS(recv(peers[i], got, SIZE, MSG_WAITALL), SIZE);
        CHECK(is_pattern(got, SIZE, (unsigned)i));
        close(peers[i]);
    }
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}
