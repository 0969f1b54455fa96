/* SPDX-License-Identifier: ISC
 *
 * Streams over files and over sources that the program implements: an idle stream holds no chunk, delivered bytes are
 * lent, and the descriptor is in use until the stream ends.
 */
#include "harness.h"

/* A source of the program's own: has what is put into it, and waits where that is nothing. */
struct spring {
    struct loop_source source;
    struct loop *loop;
    char bytes[20000];
    size_t len;
    bool has_ended;
    void *buf; /* of the read that waits */
    size_t room;
    loop_job read, wait;
    unsigned reads, tries, waits, cancels;
};

static size_t spring_take(struct spring *spring, void *buf, size_t len)
{
    size_t n = len < spring->len ? len : spring->len;

    memcpy(buf, spring->bytes, n);
    spring->len -= n;
    memmove(spring->bytes, spring->bytes + n, spring->len);
    return n;
}

/* Completes the waiting read, if there is a result for it. */
static void spring_answer(struct spring *spring)
{
    loop_job read = spring->read, wait = spring->wait;

    if (spring->len == 0 && !spring->has_ended) {
        return;
    }
    if (read) {
        spring->read = 0;
        loop_resolve(spring->loop, read, (int64_t)spring_take(spring, spring->buf, spring->room));
    }
    if (wait) {
        spring->wait = 0;
        loop_resolve(spring->loop, wait, 0);
    }
}

static void spring_put(struct spring *spring, const void *data, size_t len)
{
    CHECK(len <= sizeof spring->bytes - spring->len);
    memcpy(spring->bytes + spring->len, data, len);
    spring->len += len;
    spring_answer(spring);
}

static void spring_end(struct spring *spring)
{
    spring->has_ended = true;
    spring_answer(spring);
}

static void spring_cancel(void *arg, loop_job job)
{
    struct spring *spring = arg;

    spring->cancels++;
    if (job == spring->read) {
        spring->read = 0;
    } else {
        spring->wait = 0;
    }
    loop_resolve(spring->loop, job, -ECANCELED);
}

static loop_job spring_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct spring *spring = source->self;

    CHECK_IS(spring->read, 0);
    spring->reads++;
    spring->buf = buf;
    spring->room = len;
    spring->read = loop_promise(source->scope, spring_cancel, spring, fn, arg);
    loop_job job = spring->read;
    spring_answer(spring);
    return job;
}

static int64_t spring_try_read(struct loop_source *source, void *buf, size_t len)
{
    struct spring *spring = source->self;

    spring->tries++;
    return spring->len > 0 || spring->has_ended ? (int64_t)spring_take(spring, buf, len) : -EAGAIN;
}

static loop_job spring_wait(struct loop_source *source, loop_fn *fn, void *arg)
{
    struct spring *spring = source->self;

    CHECK_IS(spring->wait, 0);
    spring->waits++;
    spring->wait = loop_promise(source->scope, spring_cancel, spring, fn, arg);
    loop_job job = spring->wait;
    spring_answer(spring);
    return job;
}

static const struct loop_source_ops plain_ops = {.read = spring_read};
static const struct loop_source_ops trying_ops = {
    .read = spring_read, .try_read = spring_try_read, .wait_readable = spring_wait};

static struct loop_source *make_spring(struct loop_scope *scope, struct spring *spring,
                                       const struct loop_source_ops *ops)
{
    *spring = (struct spring){.source = {.ops = ops, .scope = scope, .self = spring}, .loop = loop_scope_loop(scope)};
    return &spring->source;
}

/* Keeps every chunk that is free. */
static struct loop_chunk *kept[4096];
static size_t n_kept;

static void keep_all_chunks(struct loop *loop)
{
    while ((kept[n_kept] = loop_chunk_alloc(loop))) {
        n_kept++;
    }
}

static void free_all_chunks(struct loop *loop)
{
    while (n_kept > 0) {
        loop_chunk_free(loop, kept[--n_kept]);
    }
}

/* ---- idle streams ---- */

enum { IDLE = 200 };

static struct spring springs[IDLE];

static void hold_no_chunk(struct loop_env *env, int64_t result, const struct loop_source_ops *ops)
{
    static struct loop_flow *flows[2];
    static struct loop_scope *idle;
    static struct once idle_end;
    static struct record records[IDLE], record;
    static char got[10];

    BEGIN;
    idle = loop_scope_open(env->scope, ONCE(&idle_end));
    for (int i = 0; i < IDLE; i++) {
        START(loop_stream(make_spring(idle, &springs[i], ops), RECORD(&records[i])));
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    make_flows(env->scope, flows);
    record = (struct record){.data = got, .room = sizeof got};
    START(loop_stream(&flows[0]->source, RECORD(&record)));
    AWAIT(loop_write(&flows[1]->sink, "onwards", 7, GO));
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.length, 7);
    loop_scope_cancel(idle);
    WAIT_UNTIL(idle_end.count);
    for (int i = 0; i < IDLE; i++) {
        CHECK_IS(records[i].ends, 1);
        CHECK_IS(records[i].end, -ECANCELED);
        CHECK_IS(springs[i].cancels, 1);
    }
    END;
}

LOOP_TEST(p10_idle_streams_over_own_sources_hold_no_chunk)
{
    hold_no_chunk(env, result, &plain_ops);
}

LOOP_TEST(p10_idle_streams_over_sources_that_can_be_tried_hold_no_chunk)
{
    hold_no_chunk(env, result, &trying_ops);
}

static void many_lend(struct loop_env *env, int64_t result, const struct loop_source_ops *ops)
{
    static char got[IDLE][10000], sent[10000];
    static struct record records[IDLE];
    static int ended;

    BEGIN;
    fill_pattern(sent, sizeof sent, 5);
    for (int i = 0; i < IDLE; i++) {
        records[i] = (struct record){.data = got[i], .room = sizeof got[i]};
        START(loop_stream(make_spring(env->scope, &springs[i], ops), RECORD(&records[i])));
    }
    AWAIT(turns(env->scope, 3, GO));
    for (int i = 0; i < IDLE; i++) {
        spring_put(&springs[i], sent, sizeof sent);
        spring_end(&springs[i]);
    }
    for (ended = 0; ended < IDLE; ended++) {
        WAIT_UNTIL(records[ended].ends);
        CHECK_IS(records[ended].end, 0);
        CHECK_IS(records[ended].length, sizeof sent);
        CHECK(is_pattern(got[ended], sizeof sent, 5));
    }
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(many_streams_over_own_sources_share_the_chunks)
{
    many_lend(env, result, &plain_ops);
}

LOOP_TEST(many_streams_over_sources_that_can_be_tried_share_the_chunks)
{
    many_lend(env, result, &trying_ops);
}

LOOP_TEST(source_that_can_be_tried_is_read_into_the_chunk)
{
    static struct spring spring;
    static char got[100];
    static struct record record = {.data = got, .room = sizeof got};

    BEGIN;
    START(loop_stream(make_spring(env->scope, &spring, &trying_ops), RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(spring.wait);
    spring_put(&spring, "abc", 3);
    WAIT_UNTIL(record.length == 3);
    spring_end(&spring);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(spring.reads, 0);
    CHECK_IS(spring.cancels, 0);
    END;
}

/* ---- what has been read ---- */

LOOP_TEST(p10_stream_over_an_own_source_lends_what_it_has_read_before_it_ends)
{
    static struct spring spring;
    static char got[100];
    static struct record record = {.data = got, .room = sizeof got};
    static loop_job stream;

    BEGIN;
    stream = START(loop_stream(make_spring(env->scope, &spring, &plain_ops), RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(spring.read);
    keep_all_chunks(env->loop);
    spring_put(&spring, "kept", 4);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(record.length, 0);
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(record.ends, 0);
    free_all_chunks(env->loop);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    CHECK_IS(record.length, 4);
    CHECK(memcmp(got, "kept", 4) == 0);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(cancelled_scope_ends_a_stream_that_finds_no_chunk)
{
    static struct loop_scope *scope;
    static struct once scope_end;
    static struct spring cancelled, spring;
    static struct record records[2];
    static loop_job stream;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    stream = START(loop_stream(make_spring(scope, &cancelled, &plain_ops), RECORD(&records[0])));
    START(loop_stream(make_spring(scope, &spring, &plain_ops), RECORD(&records[1])));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(cancelled.read && spring.read);
    keep_all_chunks(env->loop);
    spring_put(&cancelled, "a", 1);
    spring_put(&spring, "b", 1);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, stream), 0);
    AWAIT(turns(env->scope, 3, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(scope_end, -ECANCELED);
    CHECK_IS(records[0].end, -ECANCELED);
    CHECK_IS(records[1].end, -ECANCELED);
    free_all_chunks(env->loop);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(paused_stream_over_an_own_source_keeps_what_it_has_read)
{
    static struct spring spring;
    static char got[100];
    static struct record record = {.data = got, .room = sizeof got};
    static loop_job stream;

    BEGIN;
    stream = START(loop_stream(make_spring(env->scope, &spring, &plain_ops), RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(spring.read);
    keep_all_chunks(env->loop);
    spring_put(&spring, "later", 5);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_pause(env->loop, stream), 0);
    AWAIT(turns(env->scope, 3, GO));
    free_all_chunks(env->loop);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(record.length, 0);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    CHECK_IS(loop_resume(env->loop, stream), 0);
    spring_end(&spring);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.length, 5);
    CHECK_IS(record.end, 0);
    END;
}

static loop_job paused_by_source;

/* Pauses the stream that asks for the bytes. */
static int64_t pausing_try_read(struct loop_source *source, void *buf, size_t len)
{
    struct spring *spring = source->self;

    if (spring->len > 0) {
        CHECK_IS(loop_pause(spring->loop, paused_by_source), 0);
    }
    return spring_try_read(source, buf, len);
}

static const struct loop_source_ops pausing_ops = {
    .read = spring_read, .try_read = pausing_try_read, .wait_readable = spring_wait};

/* It is resumed, or cancelled: bytes that were read are delivered first. */
LOOP_TEST_ROWS(stream_that_its_source_pauses_keeps_what_it_has_read, 2)
{
    static struct spring spring;
    static char got[100];
    static struct record record = {.data = got, .room = sizeof got};

    BEGIN;
    paused_by_source = START(loop_stream(make_spring(env->scope, &spring, &pausing_ops), RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(spring.wait);
    spring_put(&spring, "later", 5);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(record.length, 0);
    spring_end(&spring);
    if (script.row == 0) {
        CHECK_IS(loop_resume(env->loop, paused_by_source), 0);
    } else {
        CHECK_IS(loop_cancel(env->loop, paused_by_source), 0);
    }
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.length, 5);
    CHECK_IS(record.end, script.row == 0 ? 0 : -ECANCELED);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(p08_stream_over_an_own_source_can_be_a_daemon)
{
    static struct loop_scope *scope;
    static struct once scope_end;
    static struct spring spring[2];
    static struct record records[2];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    loop_daemon(env->loop, START(loop_stream(make_spring(scope, &spring[0], &plain_ops), RECORD(&records[0]))));
    loop_daemon(env->loop, START(loop_stream(make_spring(scope, &spring[1], &trying_ops), RECORD(&records[1]))));
    WAIT_UNTIL(scope_end.count);
    CHECK_IS(records[0].end, -ECANCELED);
    CHECK_IS(records[1].end, -ECANCELED);
    END;
}

/* ---- files ---- */

LOOP_TEST(p06_stream_of_a_file_uses_its_descriptor)
{
    static struct loop_fd *file, *other;
    static char bytes[3000], got[3000];
    static struct record record = {.data = got, .room = sizeof got};

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 1);
    file = adopt(env->scope, make_file(bytes, sizeof bytes));
    keep_all_chunks(env->loop);
    START(loop_stream(&loop_fd_flow(file)->source, RECORD(&record)));
    AWAIT(turns(env->scope, 3, GO));
    loop_fd_destroy(file);
    other = adopt(env->scope, make_file("another's bytes", 15));
    free_all_chunks(env->loop);
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, -ECANCELED);
    CHECK_IS(record.length, 0);
    CHECK(loop_fd_is_open(other));
    END;
}

LOOP_TEST(stream_of_a_file_takes_its_turn_among_the_reads)
{
    static struct loop_fd *file;
    static char bytes[100000], got[100000];
    static struct record record = {.data = got + 1000, .room = sizeof got - 1000};
    static struct once read;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 2);
    file = adopt(env->scope, make_file(bytes, sizeof bytes));
    START(loop_read_exact(&loop_fd_flow(file)->source, got, 1000, ONCE(&read)));
    START(loop_stream(&loop_fd_flow(file)->source, RECORD(&record)));
    WAIT_UNTIL(record.ends);
    ONCE_IS(read, 1000);
    CHECK_IS(record.length, sizeof bytes - 1000);
    CHECK(is_pattern(got, sizeof got, 2));
    END;
}
