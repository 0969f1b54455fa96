/* SPDX-License-Identifier: ISC
 *
 * Sources that the program implements, where memory is short: no byte that was read is lost, none comes twice, and an
 * error behind some bytes is returned.
 */
#include "harness.h"

#include <loop/reader.h>

#if !HAS_SANITIZER

/* A source of a text, up to `most` bytes in each read, and then `end`. It copies what it takes back. */
struct text {
    struct loop_source source;
    const char *bytes, *back;
    char *memory; /* of `back`; or NULL */
    size_t most;
    uint32_t reads; /* so many find memory for a job */
    int end;
};

static int64_t text_next(struct text *text, char *buf, size_t len)
{
    const char **from = text->memory ? &text->back : &text->bytes;
    size_t left = strlen(*from), n = left < len ? left : len;

    n = n < text->most ? n : text->most;
    memcpy(buf, *from, n);
    *from += n;
    if (n == left) {
        free(text->memory);
        text->memory = NULL;
    }
    return n > 0 ? (int64_t)n : text->end;
}

static loop_job text_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct text *text = source->self;
    loop_job job = text->reads > 0 ? loop_promise(source->scope, NULL, NULL, fn, arg) : 0;

    if (job) {
        text->reads--;
        loop_resolve(loop_scope_loop(source->scope), job, text_next(text, buf, len));
    }
    return job;
}

static int64_t text_try(struct loop_source *source, void *buf, size_t len)
{
    return text_next(source->self, buf, len);
}

static loop_job text_wait(struct loop_source *source, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);

    loop_resolve(loop_scope_loop(source->scope), job, 0);
    return job;
}

static int text_unread(struct loop_source *source, const void *bytes, size_t len)
{
    struct text *text = source->self;
    const char *old = text->memory ? text->back : "";
    char *memory = malloc(len + strlen(old) + 1);

    if (!memory) {
        return -ENOMEM;
    }
    memcpy(memory, bytes, len);
    strcpy(memory + len, old);
    free(text->memory);
    text->back = text->memory = memory;
    return 0;
}

static bool text_is_readable(struct loop_source *source)
{
    (void)source;
    return false;
}

static int text_close(struct loop_source *source)
{
    (void)source;
    return 0;
}

static const struct loop_source_ops text_ops = {.read = text_read,
                                                .close = text_close,
                                                .try_read = text_try,
                                                .wait_readable = text_wait,
                                                .unread = text_unread,
                                                .is_readable = text_is_readable};

static const struct loop_source_ops plain_ops = {.read = text_read, .unread = text_unread};

static const struct loop_source_ops *const tables[] = {&text_ops, &plain_ops};

static struct loop_source *make_text(struct loop_scope *scope, struct text *text, const char *bytes,
                                     const struct loop_source_ops *ops)
{
    *text = (struct text){.source = {ops, scope, text}, .bytes = bytes, .most = SIZE_MAX, .reads = UINT32_MAX};
    return &text->source;
}

/* Destroys a reader without memory. */
static void destroy_starved(struct loop_reader *reader)
{
    fail_allocation(1, true);
    loop_reader_destroy(reader);
    CHECK(allocation_failed());
    fail_allocation(0, false);
}

/* Creates a reader of the source that has read the bytes that the source gives at once. */
#define FILL(reader, source)                                                                                           \
    do {                                                                                                               \
        (reader) = loop_reader_create((source), 0);                                                                    \
        AWAIT(loop_reader_fill((reader), 1, GO));                                                                      \
        CHECK(result > 0);                                                                                             \
    } while (0)

/* ---- readers ---- */

LOOP_TEST_ROWS(own_source_gets_the_bytes_of_a_reader_back_without_memory, COUNT_OF(tables))
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_reader *reader;
    static char got[20];

    BEGIN;
    source = make_text(env->scope, &text, "one\ntwo\nthree\n", tables[script.row]);
    reader = loop_reader_create(source, 0);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 4);
    destroy_starved(reader);
    CHECK(loop_source_is_readable(source));
    AWAIT(loop_read(source, got, 2, GO));
    CHECK_IS(result, 2);
    CHECK(memcmp(got, "tw", 2) == 0);
    CHECK_IS(loop_source_unread(source, "tw", 2), 0);
    AWAIT(loop_read_exact(source, got, 8, GO));
    CHECK_IS(result, 8);
    CHECK(memcmp(got, "two\nthre", 8) == 0);
    AWAIT(loop_read(source, got, sizeof got, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_read(source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(own_source_delivers_what_a_reader_gave_back_by_any_call)
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_reader *reader;
    static struct loop_sink *sink;
    static struct record record;
    static char got[20];
    static size_t len;

    BEGIN;
    source = make_text(env->scope, &text, "bytes", &text_ops);
    FILL(reader, source);
    destroy_starved(reader);
    AWAIT(loop_wait_readable(source, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_try_read(source, got, 1), 1);
    CHECK_IS(got[0], 'b');
    FILL(reader, source);
    CHECK(memcmp(loop_reader_peek(reader, &len), "ytes", 4) == 0 && len == 4);
    destroy_starved(reader);
    record = (struct record){.data = got, .room = sizeof got};
    START(loop_stream(source, RECORD(&record)));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK(record.length == 4 && memcmp(got, "ytes", 4) == 0);
    source = make_text(env->scope, &text, "bytes", &text_ops);
    FILL(reader, source);
    destroy_starved(reader);
    sink = loop_memory_sink(env->scope, 0);
    AWAIT(loop_copy(source, sink, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(loop_memory_data(sink, &len), "bytes", 5) == 0);
    END;
}

/* What is given back later comes first, in whatever memory the earlier bytes are. */
LOOP_TEST(own_source_gets_bytes_back_in_order)
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_reader *readers[3];
    static char got[20];
    static int i;

    BEGIN;
    source = make_text(env->scope, &text, "abcdefghij", &plain_ops);
    text.most = 3;
    for (i = 0; i < 3; i++) {
        FILL(readers[i], source);
    }
    destroy_starved(readers[2]);
    loop_reader_destroy(readers[1]);
    destroy_starved(readers[0]);
    AWAIT(loop_read_exact(source, got, 10, GO));
    CHECK_IS(result, 10);
    CHECK(memcmp(got, "abcdefghij", 10) == 0);
    END;
}

LOOP_TEST(close_of_an_own_source_drops_what_was_given_back)
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_reader *reader;
    static char got[20];

    BEGIN;
    source = make_text(env->scope, &text, "bytes", &text_ops);
    FILL(reader, source);
    destroy_starved(reader);
    CHECK_IS(loop_source_close(source), 0);
    AWAIT(loop_read(source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    FILL(reader, make_text(env->scope, &text, "to the end of the scope", &text_ops));
    destroy_starved(reader);
    END;
}

/* ---- readers on readers ---- */

LOOP_TEST_ROWS(reader_below_gets_bytes_back_without_memory, COUNT_OF(tables))
{
    static struct text text;
    static struct loop_reader *below, *above;
    static char got[20];

    BEGIN;
    below = loop_reader_create(make_text(env->scope, &text, "abcdefghij", tables[script.row]), 0);
    text.most = 4;
    FILL(above, loop_reader_source(below));
    AWAIT(loop_reader_fill(below, 1, GO));
    CHECK_IS(result, 4);
    destroy_starved(above);
    AWAIT(loop_read_exact(loop_reader_source(below), got, 10, GO));
    CHECK_IS(result, 10);
    CHECK(memcmp(got, "abcdefghij", 10) == 0);
    END;
}

LOOP_TEST(reader_s_bytes_survive_the_reader_below)
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_reader *below, *above;
    static char got[20];

    BEGIN;
    source = make_text(env->scope, &text, "abcdefghij", &plain_ops);
    below = loop_reader_create(source, 0);
    text.most = 4;
    FILL(above, loop_reader_source(below));
    AWAIT(loop_reader_fill(below, 1, GO));
    loop_reader_destroy(below);
    loop_reader_destroy(above);
    AWAIT(loop_read_exact(source, got, 10, GO));
    CHECK_IS(result, 10);
    CHECK(memcmp(got, "abcdefghij", 10) == 0);
    END;
}

/* The reader below is reading into its buffer, so the bytes go to its source. */
LOOP_TEST(reader_s_bytes_leave_the_buffer_that_is_read_into_alone)
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_reader *below, *above;
    static struct once taken;
    static char got[20];

    BEGIN;
    source = make_text(env->scope, &text, "abcdefghij", &plain_ops);
    below = loop_reader_create(source, 0);
    text.most = 4;
    FILL(above, loop_reader_source(below));
    START(loop_reader_take(below, 100, ONCE(&taken)));
    loop_reader_destroy(above);
    WAIT_UNTIL(taken.count);
    ONCE_IS(taken, 4);
    CHECK(memcmp(loop_reader_data(below, NULL), "efgh", 4) == 0);
    AWAIT(loop_read_exact(source, got, 6, GO));
    CHECK_IS(result, 6);
    CHECK(memcmp(got, "abcdij", 6) == 0);
    END;
}

/* ---- copies ---- */

static loop_job stalled;

static void end_write(void *arg, loop_job job)
{
    loop_resolve(arg, job, -ECANCELED);
}

static loop_job stall(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)iov;
    (void)n_iov;
    stalled = loop_promise(sink->scope, end_write, loop_scope_loop(sink->scope), fn, arg);
    return stalled;
}

static const struct loop_sink_ops stall_ops = {.write = stall};

LOOP_TEST_ROWS(cancelled_copy_gives_its_bytes_back_without_memory, 2 * COUNT_OF(tables))
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_sink sink;
    static struct loop_copy_outcome outcome;
    static struct once copied;
    static loop_job copy;
    static char got[20];

    BEGIN;
    source = make_text(env->scope, &text, "abcdefghij", tables[script.row / 2]);
    sink = (struct loop_sink){.ops = &stall_ops, .scope = env->scope};
    if (script.row % 2) {
        source = loop_reader_source(loop_reader_create(source, 0));
    }
    stalled = 0;
    copy = START(loop_copy_report(source, &sink, &outcome, ONCE(&copied)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK(stalled);
    CHECK_IS(loop_cancel(env->loop, copy), 0);
    fail_allocation(1, true);
    WAIT_UNTIL(copied.count);
    fail_allocation(0, false);
    ONCE_IS(copied, -ECANCELED);
    CHECK_IS(outcome.lost_bytes, 0);
    AWAIT(loop_read_exact(source, got, 10, GO));
    CHECK_IS(result, 10);
    CHECK(memcmp(got, "abcdefghij", 10) == 0);
    END;
}

/* ---- errors behind some bytes ---- */

LOOP_TEST_ROWS(own_source_s_error_behind_some_bytes_needs_no_memory, COUNT_OF(tables))
{
    static struct text text;
    static struct loop_source *source;
    static struct once read;
    static char got[20];

    BEGIN;
    source = make_text(env->scope, &text, "abc", tables[script.row]);
    text.end = -EIO;
    START(loop_read_exact(source, got, 10, ONCE(&read)));
    fail_allocation(1, true);
    WAIT_UNTIL(read.count);
    fail_allocation(0, false);
    ONCE_IS(read, 3);
    text.end = 0;
    AWAIT(loop_read(source, got, sizeof got, GO));
    CHECK_IS(result, -EIO);
    AWAIT(loop_read(source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    END;
}

/* A short result without an error would look like the end of the source. The rest of a reader is such a source too. */
LOOP_TEST_ROWS(own_source_s_read_that_had_no_memory_to_go_on_says_so, 2 * COUNT_OF(tables))
{
    static struct text text;
    static struct loop_source *source;
    static char got[20];

    BEGIN;
    source = make_text(env->scope, &text, "abcdefghij", tables[script.row / 2]);
    if (script.row % 2) {
        source = loop_reader_source(loop_reader_create(source, 0));
    }
    text.most = 4;
    text.reads = 1;
    AWAIT(loop_read_exact(source, got, 10, GO));
    CHECK_IS(result, 4);
    text.reads = UINT32_MAX;
    AWAIT(loop_read(source, got + 4, 10, GO));
    CHECK_IS(result, -ENOMEM);
    AWAIT(loop_read_exact(source, got + 4, 6, GO));
    CHECK_IS(result, 6);
    CHECK(memcmp(got, "abcdefghij", 10) == 0);
    END;
}

/* Starts jobs until there is no memory for one more. */
static void use_up_jobs(struct loop_scope *scope)
{
    while (loop_promise(scope, NULL, NULL, NULL, NULL)) {
        continue;
    }
}

/* A read that cannot be started takes nothing of what is kept: neither bytes nor an error. */
LOOP_TEST_ROWS(own_source_keeps_what_a_read_without_memory_would_have_returned, 2)
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_reader *reader;
    static struct loop_scope *other;
    static struct once read;
    static loop_job job;
    static char got[20];

    BEGIN;
    other = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_hold(other);
    source = make_text(env->scope, &text, "abc", &plain_ops);
    text.end = -EIO;
    if (script.row == 0) {
        FILL(reader, source);
        destroy_starved(reader);
    } else {
        AWAIT(loop_read_exact(source, got, 10, GO));
        CHECK_IS(result, 3);
    }
    text.end = 0;
    fail_allocation(1, true);
    use_up_jobs(other);
    job = loop_read(source, got, sizeof got, ONCE(&read));
    fail_allocation(0, false);
    loop_scope_cancel(other);
    loop_scope_unhold(other);
    AWAIT(turns(env->scope, 2, GO));
    CHECK(job ? read.result == -ENOMEM : !read.count);
    AWAIT(loop_read(source, got, sizeof got, GO));
    CHECK_IS(result, script.row == 0 ? 3 : -EIO);
    END;
}

/* ---- streams ---- */

/* Takes all free chunks of the region, and gives them back when `chunks` has some. */
static void toggle_chunks(struct loop *loop)
{
    static struct loop_chunk *chunks[4096];
    static size_t n;

    if (n > 0) {
        while (n > 0) {
            loop_chunk_free(loop, chunks[--n]);
        }
        return;
    }
    while ((chunks[n] = loop_chunk_alloc(loop))) {
        n++;
    }
}

LOOP_TEST_ROWS(stream_without_memory_for_a_chunk_gives_its_bytes_back, 2)
{
    static struct text text;
    static struct loop_source *source;
    static struct loop_scope *other;
    static struct record record;
    static loop_job stream;
    static char got[20];

    BEGIN;
    other = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_hold(other);
    source = make_text(env->scope, &text, "abcdefghij", &plain_ops);
    if (script.row) {
        source = loop_reader_source(loop_reader_create(source, 0));
    }
    record = (struct record){.data = got, .room = sizeof got};
    toggle_chunks(env->loop);
    stream = START(loop_stream(source, RECORD(&record)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(text.reads, UINT32_MAX - 1);
    CHECK_IS(loop_pause(env->loop, stream), 0);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_resume(env->loop, stream), 0);
    fail_allocation(1, true);
    use_up_jobs(other);
    WAIT_UNTIL(record.ends);
    fail_allocation(0, false);
    CHECK_IS(record.end, -ENOMEM);
    CHECK_IS(record.length, 0);
    toggle_chunks(env->loop);
    loop_scope_cancel(other);
    loop_scope_unhold(other);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_read_exact(source, got, 10, GO));
    CHECK_IS(result, 10);
    CHECK(memcmp(got, "abcdefghij", 10) == 0);
    END;
}

/* ---- each allocation in turn ---- */

static struct text many;
static struct loop_source *many_source;
static struct loop_reader *many_reader;
static char collected[64];
static size_t n_collected;
static unsigned steps_left;
static bool many_ended;

static void many_step(void *arg, int64_t result);

/* Tries again after a failure: only memory was short. */
static bool keep_going(int64_t result)
{
    if (result == -ENOMEM) {
        return true;
    }
    many_ended = result <= 0;
    return result > 0;
}

static void on_many_line(void *arg, int64_t result)
{
    if (result > 0) {
        size_t len;
        const char *line = loop_reader_data(many_reader, &len);
        memcpy(collected + n_collected, line, len);
        n_collected += len;
        collected[n_collected++] = '\n';
    }
    loop_reader_destroy(many_reader);
    many_reader = NULL;
    if (keep_going(result)) {
        many_step(arg, 0);
    }
}

static void on_many_exact(void *arg, int64_t result)
{
    n_collected += result > 0 ? (size_t)result : 0;
    if (keep_going(result)) {
        many_step(arg, 0);
    }
}

/* Reads by a reader that is destroyed after a line, and without one, in turn. A call that returns no job is made again
 * by another turn of the loop. */
static void many_step(void *arg, int64_t result)
{
    struct loop_scope *scope = arg;
    loop_job job = 0;

    (void)result;
    for (int tries = 0; !job && tries < 100; tries++) {
        if (steps_left++ % 2) {
            job = loop_read_exact(many_source, collected + n_collected, 3, on_many_exact, scope);
        } else if ((many_reader = loop_reader_create(many_source, 0))) {
            job = loop_reader_line(many_reader, on_many_line, scope);
            if (!job) {
                loop_reader_destroy(many_reader);
            }
        }
    }
}

static int start_many(struct loop_env *env, void *arg)
{
    many_source = make_text(env->scope, &many, "one\ntwo\nthree\nfour\nfive\nsix\n", arg);
    many.most = 10;
    n_collected = steps_left = 0;
    many_ended = false;
    many_step(env->scope, 0);
    return 0;
}

TEST(own_source_loses_nothing_when_an_allocation_fails)
{
    static const char expected[] = "one\ntwo\nthree\nfour\nfive\nsix\n";
    unsigned long n = 0;
    bool failed;

    for (unsigned row = 0; row < COUNT_OF(tables); row++) {
        do {
            fail_allocation(++n, false);
            run(start_many, (void *)(uintptr_t)tables[row]);
            failed = allocation_failed();
            fail_allocation(0, false);
            if (many_ended && (n_collected != sizeof expected - 1 || memcmp(collected, expected, n_collected) != 0)) {
                ck_abort_msg("allocation %lu: %.*s", n, (int)n_collected, collected);
            }
        } while (failed);
        CHECK(many_ended);
        CHECK(n > 5);
        n = 0;
    }
}

#endif
