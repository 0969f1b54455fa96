/* SPDX-License-Identifier: ISC
 *
 * Bytes and errors that the library keeps for sources that the program implements: for which source, and in which
 * order.
 */
#include "harness.h"
#include "sockets.h"

#include <loop/part.h>
#include <loop/reader.h>

/* A source of a text, up to `most` bytes in each read, and then `end`. It never has memory to take bytes back. */
struct text {
    struct loop_source source;
    const char *bytes;
    size_t most;
    uint32_t reads; /* so many find memory for a job */
    int end;
    struct loop_fd *fd; /* behind the source, once `reads_fd` is set */
    bool reads_fd, takes_back;
};

static loop_job text_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct text *text = source->self;
    loop_job job = text->reads > 0 ? loop_promise(source->scope, NULL, NULL, fn, arg) : 0;
    size_t left = strlen(text->bytes), n = left < len ? left : len;

    n = n < text->most ? n : text->most;
    if (job) {
        text->reads--;
        memcpy(buf, text->bytes, n);
        text->bytes += n;
        loop_resolve(loop_scope_loop(source->scope), job, n > 0 ? (int64_t)n : text->end);
    }
    return job;
}

static struct loop_fd *text_fd(struct loop_source *source)
{
    const struct text *text = source->self;

    return text->reads_fd ? text->fd : NULL;
}

static int text_unread(struct loop_source *source, const void *bytes, size_t len)
{
    struct text *text = source->self;

    (void)bytes;
    if (!text->takes_back) {
        return -ENOMEM;
    }
    text->bytes -= len;
    return 0;
}

static int text_close(struct loop_source *source)
{
    (void)source;
    return 0;
}

static const struct loop_source_ops text_ops = {
    .read = text_read, .fd = text_fd, .close = text_close, .unread = text_unread};

static struct loop_source *make_text(struct loop_scope *scope, struct text *text, const char *bytes)
{
    *text = (struct text){.source = {&text_ops, scope, text}, .bytes = bytes, .most = SIZE_MAX, .reads = UINT32_MAX};
    return &text->source;
}

static char got[20];

/* Creates a reader of the source that has read the bytes that the source gives at once. */
#define FILL(reader, source)                                                                                           \
    do {                                                                                                               \
        (reader) = loop_reader_create((source), 0);                                                                    \
        AWAIT(loop_reader_fill((reader), 1, GO));                                                                      \
        CHECK(result > 0);                                                                                             \
    } while (0)

/* ---- an address that is used again ---- */

static struct text text;
static struct loop_scope *second;
static struct loop_reader *later;
static struct once ended;

static void use_again(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    second = loop_scope_open(env->scope, NULL, NULL);
    later = loop_reader_create(make_text(second, &text, "second"), 0);
    once_resumed(&ended, result);
}

/* A reader without a job lives until on_end has returned. */
LOOP_TEST(own_source_s_place_may_be_used_again_at_the_end_of_its_scope)
{
    static struct loop_scope *first;
    static struct loop_reader *reader;

    BEGIN;
    first = loop_scope_open(env->scope, use_again, env);
    loop_scope_hold(first);
    FILL(reader, make_text(first, &text, "first"));
    loop_scope_unhold(first);
    WAIT_UNTIL(ended.count);
    AWAIT(loop_reader_fill(later, 1, GO));
    CHECK_IS(result, 6);
    loop_reader_destroy(later);
    AWAIT(loop_read_exact(&text.source, got, 6, GO));
    CHECK_IS(result, 6);
    CHECK(memcmp(got, "second", 6) == 0);
    END;
}

/* A reader above keeps one that has been destroyed, whose source the program may free. */
LOOP_TEST(own_source_s_place_may_be_used_again_below_a_reader_on_a_reader)
{
    static struct loop_scope *first;
    static struct loop_reader *below, *above;

    BEGIN;
    first = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(first);
    below = loop_reader_create(make_text(first, &text, "first"), 0);
    FILL(above, loop_reader_source(below));
    loop_reader_destroy(below);
    CHECK_IS(loop_source_close(&text.source), 0);
    FILL(later, make_text(env->scope, &text, "second"));
    loop_scope_unhold(first);
    WAIT_UNTIL(ended.count);
    loop_reader_destroy(later);
    AWAIT(loop_read(&text.source, got, sizeof got, GO));
    CHECK_IS(result, 6);
    CHECK(memcmp(got, "second", 6) == 0);
    END;
}

/* The source is another one when the bytes of the first one are given back. */
LOOP_TEST(close_of_an_own_source_drops_what_a_reader_gives_back_later)
{
    static struct loop_reader *below, *above;

    BEGIN;
    below = loop_reader_create(make_text(env->scope, &text, "first"), 0);
    FILL(above, loop_reader_source(below));
    loop_reader_destroy(below);
    CHECK_IS(loop_source_close(&text.source), 0);
    make_text(env->scope, &text, "second");
    loop_reader_destroy(above);
    AWAIT(loop_read(&text.source, got, sizeof got, GO));
    CHECK_IS(result, 6);
    CHECK(memcmp(got, "second", 6) == 0);
    END;
}

/* A reader may get the memory of one that has been destroyed. */
LOOP_TEST(error_kept_for_a_reader_s_source_goes_with_the_reader)
{
    static const struct loop_source *source;
    static struct loop_reader *reader;

    BEGIN;
    reader = loop_reader_create(make_text(env->scope, &text, "abcdef"), 0);
    text.most = 4;
    text.reads = 1;
    AWAIT(loop_read_exact(loop_reader_source(reader), got, 6, GO));
    CHECK_IS(result, 4);
    text.reads = UINT32_MAX;
    source = loop_reader_source(reader);
    do {
        loop_reader_destroy(reader);
        reader = loop_reader_create(&text.source, 0);
    } while (loop_reader_source(reader) != source);
    AWAIT(loop_read(loop_reader_source(reader), got, sizeof got, GO));
    CHECK_IS(result, 2);
    END;
}

/* ---- order ---- */

/* As from a descriptor: the error stays behind the bytes that it came behind. */
LOOP_TEST_ROWS(error_behind_some_bytes_stays_behind_them, 4)
{
    static struct loop_reader *reader;

    BEGIN;
    make_text(env->scope, &text, "abcdef");
    text.takes_back = script.row % 2;
    text.end = -EIO;
    AWAIT(loop_read_exact(&text.source, got, 10, GO));
    CHECK_IS(result, 6);
    text.end = 0;
    if (script.row < 2) {
        CHECK_IS(loop_source_unread(&text.source, "ef", 2), 0);
    }
    CHECK_IS(loop_source_unread(&text.source, "cd", 2), 0);
    if (script.row >= 2) {
        FILL(reader, &text.source);
        loop_reader_destroy(reader);
    }
    AWAIT(loop_read_exact(&text.source, got, script.row < 2 ? 4 : 2, GO));
    CHECK(memcmp(got, "cdef", (size_t)result) == 0);
    CHECK_IS(result, script.row < 2 ? 4 : 2);
    AWAIT(loop_read(&text.source, got, sizeof got, GO));
    CHECK_IS(result, -EIO);
    AWAIT(loop_read(&text.source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    END;
}

#if !HAS_SANITIZER

/* Without memory to put them in front of what it has read meanwhile, both go back to the source. */
LOOP_TEST(reader_without_memory_for_bytes_that_come_back_reads_them_again)
{
    static struct loop_reader *below, *above;
    static size_t len;

    BEGIN;
    make_text(env->scope, &text, "abcdefgh");
    text.most = 4;
    below = loop_reader_create(&text.source, 0);
    FILL(above, loop_reader_source(below));
    AWAIT(loop_reader_fill(below, 1, GO));
    CHECK_IS(result, 4);
    fail_allocation(1, true);
    loop_reader_destroy(above);
    CHECK(allocation_failed());
    fail_allocation(0, false);
    AWAIT(loop_reader_exact(below, 8, GO));
    CHECK_IS(result, 8);
    CHECK(memcmp(loop_reader_data(below, &len), "abcdefgh", 8) == 0);
    AWAIT(loop_reader_take(below, 1, GO));
    CHECK_IS(result, 0);
    END;
}

#endif

/* The kernel sends the file from where the range is: behind what is kept. */
LOOP_TEST(copy_of_a_range_begins_with_what_is_kept)
{
    static char data[9000], rest[sizeof data];
    static struct loop_source *range;
    static struct loop_reader *reader;
    static struct once read;
    static size_t len, n;
    static int pair[2];

    BEGIN;
    fill_pattern(data, sizeof data, 1);
    CHECK_IS(loop_range_source(env->scope, adopt(env->scope, make_file(data, sizeof data)), 0, sizeof data, &range), 0);
    make_pair(pair);
    FILL(reader, range);
    (void)loop_reader_peek(reader, &len);
    START(loop_read(range, rest, 1000, ONCE(&read)));
    loop_reader_destroy(reader);
    WAIT_UNTIL(read.count);
    n = (size_t)read.result;
    CHECK(n == 1000 || (is_hard("short") && n > 0 && n < 1000));
    CHECK(is_pattern_at(rest, n, 1, len));
    AWAIT(loop_copy(range, &flow_of(env->scope, pair[0])->sink, GO));
    CHECK_IS(result, sizeof data - n);
    CHECK_IS(recv(pair[1], rest, sizeof data - n, MSG_WAITALL), sizeof data - n);
    CHECK(is_pattern_at(rest, len, 1, 0));
    CHECK(is_pattern_at(rest + len, sizeof data - n - len, 1, len + n));
    close(pair[1]);
    END;
}

/* ---- what is lost ---- */

static struct loop_fd *closing;

static loop_job refuse(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);

    (void)iov;
    (void)n_iov;
    loop_fd_close(closing);
    loop_resolve(loop_scope_loop(sink->scope), job, -EPIPE);
    return job;
}

static const struct loop_sink_ops refusing_ops = {.write = refuse};

/* The source has no memory, and the descriptor behind it has been closed. */
LOOP_TEST(copy_counts_what_a_closed_descriptor_behind_its_source_lost)
{
    static struct loop_copy_outcome outcome;
    static struct loop_sink sink;
    static int pair[2];

    BEGIN;
    make_pair(pair);
    closing = adopt(env->scope, pair[0]);
    loop_fd_pin(closing);
    make_text(env->scope, &text, "abcdef");
    text.fd = closing;
    sink = (struct loop_sink){.ops = &refusing_ops, .scope = env->scope};
    START(loop_copy_report(&text.source, &sink, &outcome, ONCE(&ended)));
    text.reads_fd = true;
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -EPIPE);
    CHECK_IS(outcome.lost_bytes, 6);
    loop_fd_unpin(closing);
    close(pair[1]);
    END;
}
