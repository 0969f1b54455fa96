/* SPDX-License-Identifier: ISC
 *
 * Sources and sinks: reads, streams, writes, shutdown, memory, null, those that programs write themselves, and copies
 * between all kinds of them.
 */
#include "harness.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

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

/* ---- streams ---- */

LOOP_TEST(stream_delivers_all_in_order)
{
    enum { SIZE = 300000 };
    static struct loop_flow *flows[2];
    static char *bytes, *sent;
    static struct record record;

    BEGIN;
    bytes = malloc(SIZE);
    sent = malloc(SIZE);
    record.data = bytes;
    record.room = SIZE;
    fill_pattern(sent, SIZE, 3);
    make_flows(env->scope, flows);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(loop_write(&flows[1]->sink, sent, SIZE, GO));
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(record.length, SIZE);
    CHECK(is_pattern(bytes, SIZE, 3));
    free(bytes);
    free(sent);
    END;
}

static struct loop *paused_loop;
static loop_job paused_stream;
static struct record paused_record;

static void pause_after_each(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    record_stream(&paused_record, result, chunk);
    if (chunk) {
        CHECK_IS(loop_stream_pause(paused_loop, paused_stream), 0);
        CHECK_IS(loop_stream_pause(paused_loop, paused_stream), 0);
    }
}

LOOP_TEST(stream_pauses_and_resumes)
{
    static struct loop_flow *flows[2];
    static char bytes[100];
    static unsigned seen;

    BEGIN;
    paused_loop = env->loop;
    paused_record = (struct record){bytes, sizeof bytes, 0, 0, 0, 0};
    make_flows(env->scope, flows);
    paused_stream = START(loop_stream(&flows[0]->source, pause_after_each, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "first", 5, 0), 5);
    WAIT_UNTIL(paused_record.chunks == 1);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "second", 6, 0), 6);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(paused_record.chunks, 1);
    while (paused_record.length < 11) {
        seen = paused_record.chunks;
        CHECK_IS(loop_stream_resume(env->loop, paused_stream), 0);
        CHECK_IS(loop_stream_resume(env->loop, paused_stream), 0);
        CHECK_IS(paused_record.chunks, seen);
        WAIT_UNTIL(paused_record.chunks > seen);
    }
    CHECK(memcmp(bytes, "firstsecond", 11) == 0);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_stream_resume(env->loop, paused_stream), 0);
    WAIT_UNTIL(paused_record.ends);
    CHECK_IS(paused_record.end, 0);
    CHECK_IS(loop_stream_resume(env->loop, paused_stream), -ENOENT);
    CHECK_IS(loop_stream_pause(env->loop, paused_stream), -ENOENT);
    END;
}

LOOP_TEST(paused_stream_holds_its_peer_back)
{
    static struct loop_flow *flow;
    static struct record record;
    static loop_job stream;
    static int fds[2], waiting;
    static size_t stuffed;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stream = START(loop_stream(&flow->source, RECORD(&record)));
    CHECK_IS(loop_stream_pause(env->loop, stream), 0);
    stuffed = stuff(fds[1]);
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(record.chunks, 0);
    CHECK_IS(ioctl(fds[0], FIONREAD, &waiting), 0);
    CHECK(waiting > 0 && (size_t)waiting == stuffed);
    CHECK_IS(stuff(fds[1]), 0);
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    close(fds[1]);
    END;
}

LOOP_TEST(paused_stream_can_be_closed)
{
    static struct loop_flow *flows[2];
    static struct record record;
    static loop_job stream;

    BEGIN;
    make_flows(env->scope, flows);
    stream = START(loop_stream(&flows[0]->source, RECORD(&record)));
    CHECK_IS(loop_stream_pause(env->loop, stream), 0);
    AWAIT(turns(env->scope, 2, GO));
    loop_flow_close(flows[0]);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    END;
}

static struct loop_chunk *kept[64];
static unsigned n_kept;

static void keep_chunk(void *loop, int64_t result, struct loop_chunk *chunk)
{
    if (chunk) {
        CHECK_IS(result, 1);
        CHECK_IS(loop_chunk_keep(loop, chunk), 0);
        kept[n_kept++] = chunk;
        script_poke();
    }
}

LOOP_TEST_WITH(kept_chunks_stay_good, .n_blocks = 4)
{
    static struct loop_flow *flows[2];
    static unsigned i, total;

    BEGIN;
    make_flows(env->scope, flows);
    total = (unsigned)loop_region_count(env->loop);
    START(loop_stream(&flows[0]->source, keep_chunk, env->loop));
    for (i = 0; i < total; i++) {
        CHECK_IS(send(loop_fd_peek(flows[1]->fd), &"abcd"[i], 1, 0), 1);
        WAIT_UNTIL(n_kept == i + 1);
    }
    CHECK_IS(loop_region_avail(env->loop), 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "e", 1, 0), 1);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(n_kept, total);
    for (i = 0; i < total; i++) {
        CHECK_IS(*(char *)loop_chunk_data(kept[i]), "abcd"[i]);
    }
    CHECK_IS(loop_chunk_free(env->loop, kept[0]), 0);
    WAIT_UNTIL(n_kept == total + 1);
    CHECK_IS(*(char *)loop_chunk_data(kept[total]), 'e');
    for (i = 1; i <= total; i++) {
        CHECK_IS(loop_chunk_free(env->loop, kept[i]), 0);
    }
    loop_flow_close(flows[0]);
    END;
}

LOOP_TEST(stream_of_a_file)
{
    static struct loop_flow *flow;
    static char bytes[50000], got[50000];
    static struct record record = {got, sizeof got, 0, 0, 0, 0};

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 7);
    flow = flow_of(env->scope, make_file(bytes, sizeof bytes));
    START(loop_stream(&flow->source, RECORD(&record)));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(record.length, sizeof bytes);
    CHECK(is_pattern(got, sizeof got, 7));
    END;
}

LOOP_TEST(stream_of_memory)
{
    static char bytes[20000], got[20000];
    static struct record record = {got, sizeof got, 0, 0, 0, 0};

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 7);
    START(loop_stream(loop_memory_source(env->scope, bytes, sizeof bytes), RECORD(&record)));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(record.length, sizeof bytes);
    CHECK(is_pattern(got, sizeof got, 7));
    END;
}

/* ---- writing ---- */

static int64_t streamed, stream_end;

static void count_streamed(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    if (chunk) {
        streamed += result;
    } else {
        stream_end = result;
    }
    script_poke();
}

LOOP_TEST(stream_of_memory_waits_for_a_chunk)
{
    enum { MOST = 1024 };
    static struct loop_chunk *chunks[MOST];
    static char bytes[50000];
    static size_t n_chunks;
    static loop_job stream;

    BEGIN;
    stream_end = 1;
    while (n_chunks < MOST && (chunks[n_chunks] = loop_chunk_alloc(env->loop))) {
        n_chunks++;
    }
    stream = START(loop_stream(loop_memory_source(env->scope, bytes, sizeof bytes), count_streamed, NULL));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(streamed, 0);
    CHECK_IS(loop_chunk_free(env->loop, chunks[--n_chunks]), 0);
    CHECK_IS(streamed, 0);
    WAIT_UNTIL(stream_end <= 0);
    CHECK_IS(stream_end, 0);
    CHECK_IS(streamed, sizeof bytes);
    chunks[n_chunks] = loop_chunk_alloc(env->loop);
    CHECK(chunks[n_chunks++] != NULL);
    /* Cancelled between the chunk's coming and the read: the chunk goes on to others. */
    stream_end = 1;
    stream = START(loop_stream(loop_memory_source(env->scope, bytes, sizeof bytes), count_streamed, NULL));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_chunk_free(env->loop, chunks[--n_chunks]), 0);
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    WAIT_UNTIL(stream_end <= 0);
    CHECK_IS(stream_end, -ECANCELED);
    CHECK_IS(loop_region_avail(env->loop), 1);
    while (n_chunks > 0) {
        CHECK_IS(loop_chunk_free(env->loop, chunks[--n_chunks]), 0);
    }
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

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
    /* The first has only just been told, and all have gone. */
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

/* ---- shutdown ---- */

LOOP_TEST(shutdown_comes_after_the_writes)
{
    static struct loop_flow *flows[2];
    static struct once write, shut, late;
    static char *sent, *got;
    enum { SIZE = 1 << 20 };

    BEGIN;
    sent = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(sent, SIZE, 3);
    make_flows(env->scope, flows);
    CHECK_IS(loop_sink_limit(&flows[0]->sink, SIZE_MAX), 0);
    START(loop_write(&flows[0]->sink, sent, SIZE, ONCE(&write)));
    START(loop_shutdown(&flows[0]->sink, ONCE(&shut)));
    START(loop_write(&flows[0]->sink, "late", 4, ONCE(&late)));
    AWAIT(loop_read_exact(&flows[1]->source, got, SIZE, GO));
    CHECK_IS(result, SIZE);
    CHECK(is_pattern(got, SIZE, 3));
    AWAIT(loop_read(&flows[1]->source, got, 1, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(write.count && shut.count && late.count);
    ONCE_IS(write, SIZE);
    ONCE_IS(shut, 0);
    ONCE_IS(late, -EPIPE);
    CHECK(write.order < shut.order);
    free(sent);
    free(got);
    END;
}

LOOP_TEST(half_closed_the_other_way_goes_on)
{
    static struct loop_flow *flows[2];
    static char got[6];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_shutdown(&flows[0]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(&flows[1]->source, got, 1, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_write(&flows[1]->sink, "answer", 6, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_read_exact(&flows[0]->source, got, 6, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(&flows[0]->source, got, 1, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(shutdown_of_tcp_with_a_peer_that_is_gone)
{
    static struct loop_flow *flow;
    static int fds[2];

    BEGIN;
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK_IS(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
    close(fds[1]);
    AWAIT(loop_poll(flow->fd, POLLIN, GO));
    AWAIT(loop_shutdown(&flow->sink, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(shutdown_of_a_pipe_closes_it)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static char byte;

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    AWAIT(loop_write(sink, "x", 1, GO));
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(source, &byte, 1, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_read(source, &byte, 1, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_write(sink, "x", 1, GO));
    CHECK(result == -EBADF || result == -EPIPE);
    END;
}

LOOP_TEST(a_cancelled_shutdown_does_not_shut)
{
    static struct loop_flow *flows[2];
    static struct once write, shut;
    static loop_job job;
    static size_t stuffed;
    static char byte;
    static int fds[2];

    BEGIN;
    make_pair(fds);
    flows[0] = flow_of(env->scope, fds[0]);
    stuffed = stuff(fds[0]);
    START(loop_write(&flows[0]->sink, "w", 1, ONCE(&write)));
    job = START(loop_shutdown(&flows[0]->sink, ONCE(&shut)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(shut.count);
    ONCE_IS(shut, -ECANCELED);
    CHECK_IS(drain(fds[1]), stuffed);
    WAIT_UNTIL(write.count);
    AWAIT(loop_write(&flows[0]->sink, "x", 1, GO));
    CHECK_IS(result, 1);
    CHECK_IS(recv(fds[1], &byte, 1, 0), 1);
    CHECK_IS(byte, 'w');
    close(fds[1]);
    END;
}

/* ---- without a descriptor ---- */

LOOP_TEST(memory_source_gives_its_bytes_then_ends)
{
    static struct loop_source *source;
    static char got[10];

    BEGIN;
    source = loop_memory_source(env->scope, "memory", 6);
    AWAIT(loop_read_exact(source, got, 2, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_read_exact(source, got + 2, 8, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(got, "memory", 6) == 0);
    AWAIT(loop_read(source, got, 1, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(source, got, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_read(loop_memory_source(env->scope, NULL, 0), got, 1, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(memory_sink_keeps_what_is_written)
{
    static struct loop_sink *sink;
    static char a[] = "ab", b[] = "cd";
    static struct iovec vectors[] = {{a, 2}, {NULL, 0}, {b, 2}};
    static size_t length;

    BEGIN;
    sink = loop_memory_sink(env->scope, 0);
    loop_memory_data(sink, &length);
    CHECK_IS(length, 0);
    AWAIT(loop_write(sink, "12", 2, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_writev(sink, vectors, 3, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(loop_memory_data(sink, &length), "12abcd", 6) == 0);
    CHECK_IS(length, 6);
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    CHECK(memcmp(loop_memory_data(sink, &length), "12abcd", 6) == 0);
    END;
}

LOOP_TEST(memory_sink_has_a_limit)
{
    static struct loop_sink *sink;
    static size_t length;

    BEGIN;
    sink = loop_memory_sink(env->scope, 10);
    AWAIT(loop_write(sink, "12345678", 8, GO));
    CHECK_IS(result, 8);
    AWAIT(loop_write(sink, "90abc", 5, GO));
    CHECK(result == -ENOSPC || result == 2);
    AWAIT(loop_write(sink, "xyz", 3, GO));
    CHECK_IS(result, -ENOSPC);
    loop_memory_data(sink, &length);
    CHECK(length == 8 || length == 10);
    END;
}

LOOP_TEST(memory_sink_grows_to_megabytes)
{
    enum { PIECE = 100000, N = 50 };
    static struct loop_sink *sink;
    static char piece[PIECE];
    static size_t length;
    static int i;

    BEGIN;
    sink = loop_memory_sink(env->scope, 0);
    fill_pattern(piece, PIECE, 1);
    for (i = 0; i < N; i++) {
        AWAIT(loop_write(sink, piece, PIECE, GO));
        CHECK_IS(result, PIECE);
    }
    CHECK(loop_memory_data(sink, &length) != NULL);
    CHECK_IS(length, N * PIECE);
    for (i = 0; i < N; i++) {
        CHECK(is_pattern((const char *)loop_memory_data(sink, &length) + i * PIECE, PIECE, 1));
    }
    END;
}

LOOP_TEST(null_source_and_sink)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static char bytes[1000];

    BEGIN;
    source = loop_null_source(env->scope);
    sink = loop_null_sink(env->scope);
    AWAIT(loop_read(source, bytes, sizeof bytes, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(source, bytes, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_write(sink, bytes, sizeof bytes, GO));
    CHECK_IS(result, sizeof bytes);
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_copy(source, sink, GO));
    CHECK_IS(result, 0);
    END;
}

/* ---- a source and a sink of one's own ---- */

/* Counts upwards, a few bytes at a time, each a turn later, `left` bytes in all. */
struct counter {
    struct loop_source source;
    struct loop *loop;
    size_t left, at;
    unsigned cancels, closes;
    void *buf;
    size_t len;
    loop_job job, timer;
};

static void counter_due(void *arg, int64_t result)
{
    struct counter *counter = arg;
    size_t n = counter->left < counter->len ? counter->left : counter->len;

    if (result == 0) {
        n = n > 1000 ? 1000 : n;
        for (size_t i = 0; i < n; i++) {
            ((char *)counter->buf)[i] = (char)counter->at++;
        }
        counter->left -= n;
        loop_resolve(counter->loop, counter->job, (int64_t)n);
    } else {
        loop_resolve(counter->loop, counter->job, -ECANCELED);
    }
}

static void counter_cancel(void *arg, loop_job job)
{
    struct counter *counter = arg;

    (void)job;
    counter->cancels++;
    loop_cancel(counter->loop, counter->timer);
}

static loop_job counter_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct counter *counter = source->self;

    CHECK(len > 0);
    counter->buf = buf;
    counter->len = len;
    counter->job = loop_promise(source->scope, counter_cancel, counter, fn, arg);
    counter->timer = loop_sleep(source->scope, 0, counter_due, counter);
    return counter->job;
}

static int counter_close(struct loop_source *source)
{
    return ((struct counter *)source->self)->closes++ ? -EBADF : 0;
}

static const struct loop_source_ops counter_ops = {.read = counter_read, .close = counter_close};

static struct loop_source *make_counter(struct loop_env *env, struct counter *counter, size_t length)
{
    *counter = (struct counter){.source = {&counter_ops, env->scope, counter}, .loop = env->loop, .left = length};
    return &counter->source;
}

/* Takes bytes of the same kind, each write a turn later, in order. */
struct checker {
    struct loop_sink sink;
    struct loop *loop;
    size_t length;
    unsigned writes, shutdowns, closes;
};

struct check {
    struct checker *checker;
    loop_job job;
    int64_t result;
};

static void check_due(void *arg, int64_t result)
{
    struct check *check = arg;

    (void)result;
    loop_resolve(check->checker->loop, check->job, check->result);
    free(check);
}

static loop_job answer_later(struct checker *checker, int64_t result, loop_fn *fn, void *arg)
{
    struct check *check = malloc(sizeof *check);

    *check = (struct check){checker, loop_promise(checker->sink.scope, NULL, NULL, fn, arg), result};
    loop_job job = check->job;
    CHECK(loop_sleep(checker->sink.scope, 0, check_due, check) != 0);
    return job;
}

static loop_job checker_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct checker *checker = sink->self;
    int64_t total = 0;

    checker->writes++;
    for (size_t i = 0; i < n_iov; i++) {
        const char *bytes = iov[i].iov_base;
        for (size_t at = 0; at < iov[i].iov_len; at++) {
            CHECK_IS(bytes[at], (char)checker->length++);
        }
        total += (int64_t)iov[i].iov_len;
    }
    return answer_later(checker, total, fn, arg);
}

static loop_job checker_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct checker *checker = sink->self;

    checker->shutdowns++;
    return answer_later(checker, 0, fn, arg);
}

static int checker_close(struct loop_sink *sink)
{
    return ((struct checker *)sink->self)->closes++ ? -EBADF : 0;
}

static const struct loop_sink_ops checker_ops = {
    .write = checker_write, .shutdown = checker_shutdown, .close = checker_close};

static struct loop_sink *make_checker(struct loop_env *env, struct checker *checker)
{
    *checker = (struct checker){.sink = {&checker_ops, env->scope, checker}, .loop = env->loop};
    return &checker->sink;
}

LOOP_TEST(own_source_is_read_like_any)
{
    static struct counter counter;
    static struct loop_source *source;
    static char got[5000], more;
    static struct record record = {got, sizeof got, 0, 0, 0, 0};

    BEGIN;
    source = make_counter(env, &counter, 3000);
    AWAIT(loop_read(source, got, 10, GO));
    CHECK_IS(result, 10);
    AWAIT(loop_read_exact(source, got + 10, 1990, GO));
    CHECK_IS(result, 1990);
    for (int i = 0; i < 2000; i++) {
        CHECK_IS(got[i], (char)i);
    }
    AWAIT(loop_read(source, &more, 0, GO));
    CHECK_IS(result, -EINVAL);
    START(loop_stream(source, RECORD(&record)));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.length, 1000);
    CHECK_IS(got[0], (char)2000);
    CHECK_IS(loop_source_close(source), 0);
    CHECK_IS(loop_source_close(source), -EBADF);
    END;
}

LOOP_TEST(own_source_hears_of_a_cancel)
{
    static struct counter counter;
    static struct loop_source *source;
    static struct once exact, read;
    static loop_job jobs[2];
    static char got[2][100];

    BEGIN;
    source = make_counter(env, &counter, 3000);
    jobs[0] = START(loop_read(source, got[0], 100, ONCE(&read)));
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    CHECK_IS(loop_cancel(env->loop, jobs[0]), -ENOENT);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, -ECANCELED);
    CHECK_IS(counter.cancels, 1);
    jobs[1] = START(loop_read_exact(source, got[1], 100, ONCE(&exact)));
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    WAIT_UNTIL(exact.count);
    ONCE_IS(exact, -ECANCELED);
    CHECK_IS(counter.cancels, 2);
    END;
}

LOOP_TEST(own_sink_is_written_like_any)
{
    static struct checker checker;
    static struct loop_sink *sink;
    static char bytes[256];
    static struct iovec vector = {bytes + 100, 100};
    static struct loop_chunk *chunk;

    BEGIN;
    sink = make_checker(env, &checker);
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
    }
    AWAIT(loop_write(sink, bytes, 100, GO));
    CHECK_IS(result, 100);
    AWAIT(loop_writev(sink, &vector, 1, GO));
    CHECK_IS(result, 100);
    chunk = loop_chunk_alloc(env->loop);
    memcpy(loop_chunk_data(chunk), bytes + 200, 56);
    AWAIT(loop_write_chunk(sink, chunk, 56, GO));
    CHECK_IS(result, 56);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    CHECK_IS(checker.length, 256);
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    CHECK_IS(checker.shutdowns, 1);
    CHECK_IS(loop_sink_close(sink), 0);
    CHECK_IS(loop_sink_close(sink), -EBADF);
    CHECK_IS(loop_sink_queued(sink), 0);
    CHECK(!loop_sink_is_full(sink));
    CHECK_IS(loop_sink_limit(loop_memory_sink(env->scope, 0), 1), -EOPNOTSUPP);
    END;
}

static loop_job bare_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    (void)buf;
    (void)len;
    return loop_promise(source->scope, NULL, NULL, fn, arg);
}

static loop_job bare_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)iov;
    (void)n_iov;
    return loop_promise(sink->scope, NULL, NULL, fn, arg);
}

LOOP_TEST(own_ones_need_no_shutdown_close_or_fd)
{
    static const struct loop_source_ops source_ops = {.read = bare_read};
    static const struct loop_sink_ops sink_ops = {.write = bare_write};
    static struct loop_source source;
    static struct loop_sink sink;
    static struct once copy;
    static loop_job job;

    BEGIN;
    source = (struct loop_source){&source_ops, env->scope, NULL};
    sink = (struct loop_sink){&sink_ops, env->scope, NULL};
    AWAIT(loop_shutdown(&sink, GO));
    CHECK_IS(result, 0);
    loop_source_close(&source);
    loop_sink_close(&sink);
    job = START(loop_copy(&source, &sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    END;
}

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

/* What came out on the other side, where nobody has looked at it yet. */
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

LOOP_TEST(copy_to_a_slow_sink_holds_the_source_back)
{
    static struct loop_flow *from, *to;
    static struct once copy;
    static int in[2], out[2];
    static size_t fed, now, round;
    static loop_job job;

    BEGIN;
    make_pair(in);
    make_pair(out);
    from = flow_of(env->scope, in[0]);
    to = flow_of(env->scope, out[0]);
    job = START(loop_copy(&from->source, &to->sink, ONCE(&copy)));
    for (round = 0; round < 200; round++) {
        now = stuff(in[1]);
        fed += now;
        AWAIT(turns(env->scope, 3, GO));
    }
    CHECK_IS(now, 0);
    CHECK(fed < 4 << 20);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(copy.count);
    CHECK(copy.result > 0 || copy.result == -ECANCELED);
    close(in[1]);
    close(out[1]);
    END;
}

LOOP_TEST(copy_hears_of_a_sink_that_fails)
{
    static struct loop_flow *from, *to;
    static struct once copy;
    static int in[2], out[2];

    BEGIN;
    make_pair(in);
    make_pair(out);
    from = flow_of(env->scope, in[0]);
    to = flow_of(env->scope, out[0]);
    START(loop_copy(&from->source, &to->sink, ONCE(&copy)));
    close(out[1]);
    CHECK_IS(send(in[1], "bytes", 5, 0), 5);
    WAIT_UNTIL(copy.count);
    CHECK(copy.result == -EPIPE || copy.result == -ECONNRESET);
    close(in[1]);
    END;
}

LOOP_TEST(copy_hears_of_a_source_that_fails)
{
    static struct loop_flow *from, *to[2];
    static struct once copy;
    static int in[2];

    BEGIN;
    make_tcp_pair(in);
    from = flow_of(env->scope, in[0]);
    make_flows(env->scope, to);
    START(loop_copy(&from->source, &to[0]->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(setsockopt(in[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
    close(in[1]);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECONNRESET);
    AWAIT(loop_write(&to[0]->sink, "still open", 10, GO));
    CHECK_IS(result, 10);
    END;
}

LOOP_TEST(copy_loses_nothing_that_follows)
{
    static struct loop_flow *echo[2], *peers[2];
    static char got[20];

    BEGIN;
    make_flows(env->scope, echo);
    make_flows(env->scope, peers);
    AWAIT(loop_write(&echo[1]->sink, "before", 6, GO));
    AWAIT(loop_shutdown(&echo[1]->sink, GO));
    AWAIT(loop_copy(&echo[0]->source, &peers[0]->sink, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_write(&peers[0]->sink, "after", 5, GO));
    AWAIT(loop_read_exact(&peers[1]->source, got, 11, GO));
    CHECK(memcmp(got, "beforeafter", 11) == 0);
    END;
}

LOOP_TEST(copy_back_and_forth_through_one_flow)
{
    enum { SIZE = 500000 };
    static struct loop_flow *flows[2];
    static struct once echo, write, shut;
    static char *sent, *got;

    BEGIN;
    sent = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(sent, SIZE, 11);
    make_flows(env->scope, flows);
    START(loop_copy(&flows[1]->source, &flows[1]->sink, ONCE(&echo)));
    START(loop_write(&flows[0]->sink, sent, SIZE, ONCE(&write)));
    START(loop_shutdown(&flows[0]->sink, ONCE(&shut)));
    AWAIT(loop_read_exact(&flows[0]->source, got, SIZE, GO));
    CHECK_IS(result, SIZE);
    CHECK(is_pattern(got, SIZE, 11));
    WAIT_UNTIL(echo.count && write.count && shut.count);
    ONCE_IS(echo, SIZE);
    free(sent);
    free(got);
    END;
}

LOOP_TEST(copy_from_what_is_closed)
{
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    loop_flow_close(flows[0]);
    AWAIT(loop_copy(&flows[0]->source, &flows[1]->sink, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_copy(&flows[1]->source, &flows[0]->sink, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(copy_ends_when_its_source_is_closed)
{
    static struct loop_flow *from[2], *to[2];
    static struct once copy;

    BEGIN;
    make_flows(env->scope, from);
    make_flows(env->scope, to);
    START(loop_copy(&from[0]->source, &to[0]->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 2, GO));
    loop_flow_close(from[0]);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    END;
}

LOOP_TEST(copy_ends_when_its_sink_is_closed)
{
    static struct loop_flow *from[2], *to[2];
    static struct once copy;

    BEGIN;
    make_flows(env->scope, from);
    make_flows(env->scope, to);
    START(loop_copy(&from[0]->source, &to[0]->sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 2, GO));
    loop_flow_close(to[0]);
    AWAIT(loop_write(&from[1]->sink, "x", 1, GO));
    WAIT_UNTIL(copy.count);
    CHECK(copy.result == -EBADF || copy.result == -ECANCELED);
    END;
}

LOOP_TEST(many_copies_at_once)
{
    enum { N = HAS_SANITIZER ? 60 : 200 };
    static struct loop_source *sources[N];
    static struct once copies[N];
    static char bytes[3000];
    static struct loop_sink *sinks[N];
    static size_t length;
    static int at;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 1);
    for (int i = 0; i < N; i++) {
        struct loop_sink *feeder;
        CHECK_IS(loop_pipe(env->scope, &sources[i], &feeder), 0);
        START(loop_write(feeder, bytes, sizeof bytes, NULL, NULL));
        START(loop_shutdown(feeder, NULL, NULL));
        sinks[i] = loop_memory_sink(env->scope, 0);
        START(loop_copy(sources[i], sinks[i], ONCE(&copies[i])));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(copies[at].count);
        ONCE_IS(copies[at], sizeof bytes);
        CHECK(is_pattern(loop_memory_data(sinks[at], &length), sizeof bytes, 1));
    }
    END;
}

/* ---- pipes ---- */

LOOP_TEST(pipe_is_nonblocking_and_cloexec)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static int fds[2];
    static char got[7];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    fds[0] = loop_fd_peek(source->ops->fd(source));
    fds[1] = loop_fd_peek(sink->ops->fd(sink));
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CHECK_IS(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    }
    AWAIT(loop_write(sink, "through", 7, GO));
    AWAIT(loop_read_exact(source, got, 7, GO));
    CHECK(memcmp(got, "through", 7) == 0);
    END;
}

LOOP_TEST(pipe_carries_more_than_it_holds)
{
    enum { SIZE = 1 << 20 };
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct once write;
    static char *sent, *got;

    BEGIN;
    sent = malloc(SIZE);
    got = malloc(SIZE);
    fill_pattern(sent, SIZE, 12);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    START(loop_write(sink, sent, SIZE, ONCE(&write)));
    AWAIT(loop_read_exact(source, got, SIZE, GO));
    CHECK_IS(result, SIZE);
    CHECK(is_pattern(got, SIZE, 12));
    WAIT_UNTIL(write.count);
    ONCE_IS(write, SIZE);
    free(sent);
    free(got);
    END;
}

static struct loop_scope *scope_of_no_pipe;
static int late_pipe = 1;

static void make_late_pipe(void *unused)
{
    struct loop_source *source;
    struct loop_sink *sink;

    (void)unused;
    late_pipe = loop_pipe(scope_of_no_pipe, &source, &sink);
}

LOOP_TEST(pipe_in_a_scope_that_has_ended)
{
    static struct once ended;

    BEGIN;
    scope_of_no_pipe = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(scope_of_no_pipe, make_late_pipe, NULL));
    WAIT_UNTIL(ended.count);
    CHECK_IS(late_pipe, -ECANCELED);
    END;
}

/* ---- absurd lengths ---- */

/* Five gigabytes that exist only where they are touched. */
static const size_t huge_length = ((size_t)1 << 32) + ((size_t)1 << 30);

static char *make_huge(void)
{
    char *huge = mmap(NULL, huge_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(huge != MAP_FAILED);
    return huge;
}

LOOP_TEST(reads_of_more_than_four_gigabytes)
{
    static struct loop_flow *flows[2], *file;
    static char *huge;

    BEGIN;
    huge = make_huge();
    make_flows(env->scope, flows);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "12345", 5, 0), 5);
    AWAIT(loop_read(&flows[0]->source, huge, (size_t)1 << 32, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(huge, "12345", 5) == 0);
    AWAIT(loop_write(&flows[1]->sink, "678", 3, GO));
    loop_flow_close(flows[1]);
    AWAIT(loop_read_exact(&flows[0]->source, huge, huge_length, GO));
    CHECK_IS(result, 3);
    file = flow_of(env->scope, make_file("abcdef", 6));
    AWAIT(loop_read(&file->source, huge, (size_t)1 << 32, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_op_read(NULL, file->fd, huge, (size_t)1 << 32, 2, GO));
    CHECK_IS(result, 4);
    CHECK_IS(munmap(huge, huge_length), 0);
    END;
}

LOOP_TEST(writes_of_more_than_four_gigabytes)
{
    static struct loop_flow *null;
    static struct iovec vectors[3];
    static char *huge;

    BEGIN;
    huge = make_huge();
    null = flow_of(env->scope, open("/dev/null", O_WRONLY | O_CLOEXEC));
    AWAIT(loop_write(&null->sink, huge, (size_t)1 << 32, GO));
    CHECK_IS(result, (int64_t)1 << 32);
    AWAIT(loop_write(&null->sink, huge, huge_length, GO));
    CHECK_IS(result, huge_length);
    vectors[0] = vectors[2] = (struct iovec){huge, (size_t)1 << 32};
    vectors[1] = (struct iovec){huge, 1};
    AWAIT(loop_writev(&null->sink, vectors, 3, GO));
    CHECK_IS(result, ((int64_t)1 << 33) + 1);
    AWAIT(loop_op_write(NULL, null->fd, huge, (size_t)1 << 32, LOOP_CURRENT, GO));
    CHECK(result > 0);
    AWAIT(loop_write(loop_null_sink(env->scope), huge, huge_length, GO));
    CHECK_IS(result, huge_length);
    CHECK_IS(munmap(huge, huge_length), 0);
    END;
}

LOOP_TEST(lengths_that_overflow_are_refused)
{
    static struct loop_flow *flows[2];
    static struct loop_sink *memory;
    static char bytes[4];
    static struct iovec around[] = {{bytes, SIZE_MAX}, {bytes, 3}}, negative[] = {{bytes, SIZE_MAX / 2}, {bytes, 4}};
    static size_t length;

    BEGIN;
    make_flows(env->scope, flows);
    memory = loop_memory_sink(env->scope, 0);
    AWAIT(loop_writev(&flows[0]->sink, around, 2, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_writev(&flows[0]->sink, negative, 2, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_writev(memory, around, 2, GO));
    CHECK(result == -EINVAL || result == -ENOMEM || result == -ENOSPC);
    AWAIT(loop_writev(memory, negative, 2, GO));
    CHECK(result == -EINVAL || result == -ENOMEM || result == -ENOSPC);
    AWAIT(loop_writev(loop_null_sink(env->scope), around, 2, GO));
    CHECK_IS(result, -EINVAL);
    loop_memory_data(memory, &length);
    CHECK_IS(length, 0);
    AWAIT(loop_write(&flows[0]->sink, "ok", 2, GO));
    AWAIT(loop_read_exact(&flows[1]->source, bytes, 2, GO));
    CHECK(memcmp(bytes, "ok", 2) == 0);
    END;
}
