/* SPDX-License-Identifier: ISC
 *
 * loop_stream: the order of bytes, the end, cancels, pauses, and chunks that an idle stream does not hold.
 */
#include "sockets.h"

#include <sys/ioctl.h>

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
        CHECK_IS(loop_pause(paused_loop, paused_stream), 0);
        CHECK_IS(loop_pause(paused_loop, paused_stream), 0);
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
        CHECK_IS(loop_resume(env->loop, paused_stream), 0);
        CHECK_IS(loop_resume(env->loop, paused_stream), 0);
        CHECK_IS(paused_record.chunks, seen);
        WAIT_UNTIL(paused_record.chunks > seen);
    }
    CHECK(memcmp(bytes, "firstsecond", 11) == 0);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_resume(env->loop, paused_stream), 0);
    WAIT_UNTIL(paused_record.ends);
    CHECK_IS(paused_record.end, 0);
    CHECK_IS(loop_resume(env->loop, paused_stream), -ENOENT);
    CHECK_IS(loop_pause(env->loop, paused_stream), -ENOENT);
    END;
}

LOOP_TEST(paused_stream_holds_its_peer_back)
{
    static struct loop_flow *flow;
    static struct record record;
    static loop_job stream;
    static int fds[2], waiting;
    static size_t stuffed, begun;

    BEGIN;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    stream = START(loop_stream(&flow->source, RECORD(&record)));
    CHECK_IS(loop_pause(env->loop, stream), 0);
    stuffed = stuff(fds[1]);
    AWAIT(turns(env->scope, 10, GO));
    stuffed += stuff(fds[1]);
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(record.chunks, 0);
    CHECK_IS(ioctl(fds[0], FIONREAD, &waiting), 0);
    begun = loop_fd_unread_length(flow->fd); /* of a receive that the queue was too full to take back */
    CHECK(begun == 0 || is_hard("depth"));
    CHECK(waiting > 0 && (size_t)waiting + begun == stuffed);
    CHECK_IS(stuff(fds[1]), 0);
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    close(fds[1]);
    END;
}

static struct loop *its_loop;
static loop_job pausing;
static unsigned n_lent, n_pausing_ends;

/* Pauses the stream at each chunk. */
static void pause_at_chunk(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    if (chunk) {
        n_lent++;
        CHECK_IS(loop_pause(its_loop, pausing), 0);
    } else {
        CHECK_IS(result, -ECANCELED);
        n_pausing_ends++;
    }
    script_poke();
}

/* The first reads are of one chunk, the next of several, of which one is lent and the others wait. */
LOOP_TEST_WITH(a_cancelled_stream_ends_though_it_is_paused_again, .block_size = 64)
{
    static struct loop_flow *flow;
    static int fds[2];

    BEGIN;
    its_loop = env->loop;
    make_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    CHECK(stuff(fds[1]) > 0);
    pausing = START(loop_stream(&flow->source, pause_at_chunk, NULL));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_resume(env->loop, pausing), 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(n_lent, 2);
    CHECK_IS(loop_cancel(env->loop, pausing), 0);
    CHECK_IS(loop_pause(env->loop, pausing), is_hard("onechunk") || is_hard("short") ? -ENOENT : 0);
    WAIT_UNTIL(n_pausing_ends);
    CHECK((n_lent > 2) == !(is_hard("onechunk") || is_hard("short"))); /* those read less at a time */
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
    CHECK_IS(loop_pause(env->loop, stream), 0);
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

/* ---- P1: exactly once, on the loop's thread, never from inside the call ---- */

LOOP_TEST(p01_stream_ends_once_after_its_data)
{
    static struct loop_flow *flows[2];
    static char bytes[20000];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};
    static char sent[20000];

    BEGIN;
    make_flows(env->scope, flows);
    fill_pattern(sent, sizeof sent, 1);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(loop_write(&flows[1]->sink, sent, sizeof sent, GO));
    CHECK_IS(result, sizeof sent);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(record.length, sizeof sent);
    CHECK(is_pattern(bytes, sizeof bytes, 1));
    AWAIT(turns(env->scope, 5, GO));
    END;
}

LOOP_TEST(p01_stream_on_error_ends_once)
{
    static struct loop_flow *flows[2];
    static struct record record;

    BEGIN;
    make_flows(env->scope, flows);
    loop_fd_close(flows[0]->fd);
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    CHECK_IS(record.ends, 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    END;
}

LOOP_TEST(p01_cancelled_stream_ends_once)
{
    static struct loop_flow *flows[2];
    static char bytes[100];
    static struct record record = {bytes, sizeof bytes, 0, 0, 0, 0};
    static loop_job stream;

    BEGIN;
    make_flows(env->scope, flows);
    stream = START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    CHECK_IS(record.ends, 0);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    CHECK_IS(loop_cancel(env->loop, stream), -ENOENT);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "left", 4, 0), 4);
    AWAIT(loop_read_exact(&flows[0]->source, bytes, 4, GO));
    CHECK_IS(result, 4);
    END;
}

/* ---- P10: chunks ---- */

LOOP_TEST_WITH(p10_idle_streams_hold_no_chunk, .n_blocks = 2)
{
    enum { N = 20 };
    static struct loop_flow *flows[N][2];
    static char bytes[N][16];
    static struct record records[N];
    static int at;

    BEGIN;
    for (int i = 0; i < N; i++) {
        make_flows(env->scope, flows[i]);
        records[i] = (struct record){bytes[i], sizeof bytes[i], 0, 0, 0, 0};
        START(loop_stream(&flows[i][0]->source, RECORD(&records[i])));
    }
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    for (int i = 0; i < N; i++) {
        CHECK_IS(send(loop_fd_peek(flows[i][1]->fd), "x", 1, 0), 1);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(records[at].length == 1);
    }
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    for (int i = 0; i < N; i++) {
        loop_flow_close(flows[i][0]);
    }
    END;
}

/* ---- streams stopped from inside ---- */

static struct {
    loop_job job;
    size_t got, stop_at;
    bool pauses;
    unsigned ends, stops;
    int64_t end;
    struct loop *loop;
} stopped;

static void stop_inside(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    CHECK_IS(stopped.ends, 0);
    if (!chunk) {
        stopped.ends++;
        stopped.end = result;
        script_poke();
        return;
    }
    CHECK(is_pattern_at(loop_chunk_data(chunk), (size_t)result, 3, stopped.got));
    stopped.got += (size_t)result;
    if (stopped.got < stopped.stop_at) {
        return;
    }
    if (stopped.pauses) {
        CHECK_IS(loop_pause(stopped.loop, stopped.job), 0);
    } else if (stopped.stops == 0) {
        CHECK_IS(loop_cancel(stopped.loop, stopped.job), 0);
    }
    stopped.stops++;
    script_poke();
}

/* Cancelled from inside, what the stream has read is delivered, and the rest is there for a plain read. */
LOOP_TEST(stream_cancelled_in_its_own_continuation_loses_nothing)
{
    enum { LENGTH = 200000 };
    static char sent[LENGTH], got[LENGTH];
    static struct loop_flow *flows[2];
    static struct once write;
    static int round;

    BEGIN;
    fill_pattern(sent, LENGTH, 3);
    for (round = 0; round < 8; round++) {
        make_flows(env->scope, flows);
        memset(&write, 0, sizeof write);
        memset(&stopped, 0, sizeof stopped);
        stopped.loop = env->loop;
        stopped.stop_at = (size_t)round * 12345 + 1;
        START(loop_write(&flows[1]->sink, sent, LENGTH, ONCE(&write)));
        stopped.job = START(loop_stream(&flows[0]->source, stop_inside, NULL));
        WAIT_UNTIL(stopped.ends);
        CHECK_IS(stopped.end, -ECANCELED);
        CHECK(stopped.got >= stopped.stop_at && stopped.got <= stopped.stop_at + 16 * 4096);
        AWAIT(loop_read_exact(&flows[0]->source, got, LENGTH - stopped.got, GO));
        CHECK_IS(result, LENGTH - stopped.got);
        CHECK(is_pattern_at(got, LENGTH - stopped.got, 3, stopped.got));
        WAIT_UNTIL(write.count);
        loop_fd_destroy(flows[0]->fd);
        loop_fd_destroy(flows[1]->fd);
    }
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(stream_paused_in_its_own_continuation_loses_nothing)
{
    enum { LENGTH = 100000 };
    static char sent[LENGTH];
    static struct loop_flow *flows[2];
    static unsigned stops;
    static size_t got;

    BEGIN;
    fill_pattern(sent, LENGTH, 3);
    make_flows(env->scope, flows);
    stopped.loop = env->loop;
    stopped.pauses = true;
    START(loop_write(&flows[1]->sink, sent, LENGTH, NULL, NULL));
    stopped.job = START(loop_stream(&flows[0]->source, stop_inside, NULL));
    while (stopped.got < LENGTH) {
        stops = stopped.stops;
        WAIT_UNTIL(stopped.stops > stops);
        got = stopped.got;
        AWAIT(turns(env->scope, 4, GO));
        CHECK_IS(stopped.got, got); /* nothing comes while it is paused */
        CHECK_IS(loop_resume(env->loop, stopped.job), 0);
    }
    loop_resume(env->loop, stopped.job);
    stopped.pauses = false;
    stopped.stops = 1;
    START(loop_shutdown(&flows[1]->sink, NULL, NULL));
    WAIT_UNTIL(stopped.ends);
    CHECK_IS(stopped.end, 0);
    CHECK_IS(stopped.got, LENGTH);
    END;
}

/* ---- keepers of chunks ---- */

static struct loop_chunk *keeping[8];

static size_t kept_bytes;

static void keep_it(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    if (chunk) {
        CHECK(n_kept < COUNT_OF(keeping));
        CHECK(is_pattern_at(loop_chunk_data(chunk), (size_t)result, 3, kept_bytes));
        CHECK_IS(loop_chunk_keep(script.env->loop, chunk), 0);
        keeping[n_kept++] = chunk;
        kept_bytes += (size_t)result;
    } else {
        CHECK_IS(result, 0);
        stopped.ends++;
    }
    script_poke();
}

LOOP_TEST_WITH(keepers_of_all_chunks_hold_streams_back_and_nothing_else, .n_blocks = 8, .block_size = 512)
{
    enum { LENGTH = 20000 };
    static char sent[LENGTH];
    static struct loop_flow *flows[2], *others[2];
    static struct once write, copy;
    static char bytes[4];
    static size_t count;

    BEGIN;
    fill_pattern(sent, LENGTH, 3);
    make_flows(env->scope, flows);
    make_flows(env->scope, others);
    count = loop_region_count(env->loop);
    START(loop_write(&flows[1]->sink, sent, LENGTH, ONCE(&write)));
    START(loop_shutdown(&flows[1]->sink, NULL, NULL));
    START(loop_stream(&flows[0]->source, keep_it, NULL));
    START(loop_copy(&others[1]->source, &others[1]->sink, ONCE(&copy)));
    while (!stopped.ends) {
        WAIT_UNTIL(n_kept == count || stopped.ends);
        /* Plain reads and copies continue at the same time. */
        AWAIT(loop_write(&others[0]->sink, "more", 4, GO));
        AWAIT(loop_read_exact(&others[0]->source, bytes, 4, GO));
        CHECK_IS(result, 4);
        CHECK(n_kept == count || stopped.ends);
        CHECK(stopped.ends || !loop_chunk_alloc(env->loop));
        while (n_kept > 0) {
            CHECK_IS(loop_chunk_free(env->loop, keeping[--n_kept]), 0);
        }
    }
    CHECK_IS(kept_bytes, LENGTH);
    CHECK_IS(loop_region_avail(env->loop), count);
    loop_flow_close(others[0]);
    WAIT_UNTIL(copy.count);
    END;
}

/* ---- bytes that are given back ---- */

enum { IN_DELIVERY, IN_DELIVERY_PAUSED, IN_DELIVERY_CANCELLED, PAUSED, CANCELLED, GIVES_BACK };
enum { GIVER_BYTES = 5 * 4096 };

static struct {
    struct loop_env *env;
    struct loop_fd *fd;
    loop_job stream;
    unsigned how, chunks;
    size_t length;
    struct once ended;
    char bytes[GIVER_BYTES], sent[GIVER_BYTES];
} giver;

static void give_last_back(size_t len)
{
    giver.length -= len;
    CHECK_IS(loop_fd_unread(giver.fd, giver.bytes + giver.length, len), 0);
}

/* The second read of a stream that has filled a chunk takes several. */
static void give_second_back(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    if (!chunk) {
        once_resumed(&giver.ended, result);
        return;
    }
    memcpy(giver.bytes + giver.length, loop_chunk_data(chunk), (size_t)result);
    giver.length += (size_t)result;
    if (++giver.chunks == 2 && giver.how <= IN_DELIVERY_CANCELLED) {
        give_last_back((size_t)result / 2);
    }
    if (giver.chunks == 2 && giver.how == IN_DELIVERY_CANCELLED) {
        CHECK_IS(loop_cancel(giver.env->loop, giver.stream), 0);
    } else if (giver.chunks == 2 && giver.how != IN_DELIVERY) {
        CHECK_IS(loop_pause(giver.env->loop, giver.stream), 0);
    }
    script_poke();
}

/* Bytes that a stream has read and not delivered follow those that are given back. */
LOOP_TEST_ROWS(p17_bytes_given_back_come_before_what_a_stream_has_read, GIVES_BACK)
{
    static struct loop_flow *flows[2];

    BEGIN;
    memset(&giver, 0, sizeof giver);
    giver.env = env;
    giver.how = script.row;
    make_flows(env->scope, flows);
    giver.fd = flows[0]->fd;
    fill_pattern(giver.sent, GIVER_BYTES, 5);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), giver.sent, GIVER_BYTES, 0), GIVER_BYTES);
    giver.stream = START(loop_stream(&flows[0]->source, give_second_back, NULL));
    WAIT_UNTIL(giver.chunks >= 2);
    if (script.row == CANCELLED) {
        CHECK_IS(loop_cancel(env->loop, giver.stream), 0);
    }
    if (script.row >= PAUSED) {
        give_last_back(100);
    }
    if (script.row == PAUSED || script.row == IN_DELIVERY_PAUSED) {
        CHECK_IS(loop_resume(env->loop, giver.stream), 0);
    }
    WAIT_UNTIL(giver.length == GIVER_BYTES || giver.ended.count);
    if (giver.ended.count) {
        CHECK_IS(giver.ended.result, -ECANCELED);
        CHECK(giver.length < GIVER_BYTES);
        AWAIT(loop_read_exact(&flows[0]->source, giver.bytes + giver.length, GIVER_BYTES - giver.length, GO));
        CHECK_IS(result, GIVER_BYTES - giver.length);
    } else {
        CHECK(script.row != CANCELLED && script.row != IN_DELIVERY_CANCELLED);
        CHECK_IS(loop_cancel(env->loop, giver.stream), 0);
        WAIT_UNTIL(giver.ended.count);
    }
    CHECK(is_pattern(giver.bytes, GIVER_BYTES, 5));
    END;
}
