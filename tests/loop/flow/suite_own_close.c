/* SPDX-License-Identifier: ISC
 *
 * Closes of sources and sinks without a descriptor: they end the copies and streams that use them, whatever those wait
 * for then.
 */
#include "harness.h"

#include <loop/reader.h>

static struct once copy, before;
static struct loop_copy_outcome outcome;
static int ends[2];
static struct loop_flow *flow;
static char got[64];

/* ---- a source and a sink that count their calls ---- */

static struct {
    struct loop_source source;
    struct loop_sink sink;
    struct loop *loop;
    unsigned reads, writes, closes;
    loop_job read, write;
    const char *text; /* of the first read; NULL: "quiet" */
    bool closes_in_read, closes_in_write;
} quiet;

static void quiet_cancel(void *arg, loop_job job)
{
    (void)arg;
    loop_resolve(quiet.loop, job, -ECANCELED);
}

/* The first read has 5 bytes at once. Later ones never end by themselves. */
static loop_job quiet_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    CHECK(len >= 5);
    if (quiet.closes_in_read) {
        CHECK_IS(loop_source_close(source), 0);
    }
    quiet.read = loop_promise(source->scope, quiet_cancel, NULL, fn, arg);
    if (quiet.reads++ == 0) {
        memcpy(buf, quiet.text ? quiet.text : "quiet", 5);
        loop_resolve(quiet.loop, quiet.read, 5);
    }
    return quiet.read;
}

static int quiet_close(struct loop_source *source)
{
    (void)source;
    return quiet.closes++ ? -EBADF : 0;
}

static loop_job quiet_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    CHECK(n_iov == 1 && iov->iov_len > 0);
    if (quiet.closes_in_write) {
        CHECK_IS(loop_sink_close(sink), 0);
    }
    quiet.writes++;
    quiet.write = loop_promise(sink->scope, quiet_cancel, NULL, fn, arg);
    return quiet.write;
}

static int quiet_close_sink(struct loop_sink *sink)
{
    (void)sink;
    return quiet.closes++ ? -EBADF : 0;
}

static const struct loop_source_ops quiet_source_ops = {.read = quiet_read, .close = quiet_close};
static const struct loop_sink_ops quiet_sink_ops = {.write = quiet_write, .close = quiet_close_sink};

static void make_quiet(struct loop_env *env)
{
    quiet.loop = env->loop;
    quiet.source = (struct loop_source){&quiet_source_ops, env->scope, NULL};
    quiet.sink = (struct loop_sink){&quiet_sink_ops, env->scope, NULL};
}

/* ---- sources ---- */

enum { OWN_SOURCE, MEMORY_SOURCE, RANGE_SOURCE, READER_SOURCE, N_SOURCES };

static int behind[2];

/* Returns a source of at least 5 bytes that has no descriptor, or hides it. */
static struct loop_source *make_source_of(struct loop_env *env, int which)
{
    struct loop_source *source = &quiet.source;

    make_quiet(env);
    if (which == MEMORY_SOURCE) {
        source = loop_memory_source(env->scope, "memory", 6);
    } else if (which == RANGE_SOURCE) {
        struct loop_flow *file = flow_of(env->scope, make_file("range", 5));
        CHECK_IS(loop_range_source(env->scope, file->fd, 0, 5, &source), 0);
    } else if (which == READER_SOURCE) {
        make_pair(behind);
        struct loop_reader *reader = loop_reader_create(&flow_of(env->scope, behind[0])->source, 64);
        source = loop_reader_source(reader);
        CHECK_IS(loop_source_unread(source, "reader", 6), 0);
    }
    return source;
}

/* The copy has read and waits for room in the sink, or for its queue. */
LOOP_TEST_ROWS(p05_source_that_is_closed_ends_a_copy_that_waits_for_its_sink, 2 * N_SOURCES)
{
    static struct loop_source *source;

    BEGIN;
    make_pair(ends);
    flow = flow_of(env->scope, ends[0]);
    source = make_source_of(env, script.row % N_SOURCES);
    CHECK(stuff(ends[0]) > 0);
    if (script.row >= N_SOURCES) { /* the queue is full, so that the copy waits for that */
        CHECK_IS(loop_sink_limit(&flow->sink, 1), 0);
        START(loop_write(&flow->sink, "before", 6, ONCE(&before)));
    }
    START(loop_copy_report(source, &flow->sink, &outcome, ONCE(&copy)));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(copy.count, 0);
    CHECK_IS(loop_source_close(source), 0);
    CHECK_IS(copy.count, 0); /* nothing is resumed in a call */
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    CHECK_IS(outcome.error, -ECANCELED);
    CHECK_IS(outcome.bytes, 0);
    CHECK(!outcome.is_sink_error);
    close(ends[1]);
    if (script.row % N_SOURCES == READER_SOURCE) {
        close(behind[1]);
    }
    END;
}

/* The function of the source closes it: the read that it then starts is cancelled. */
LOOP_TEST(p05_source_that_closes_itself_in_a_read_ends_the_copy)
{
    BEGIN;
    make_pair(ends);
    flow = flow_of(env->scope, ends[0]);
    make_quiet(env);
    quiet.reads = 1; /* this read does not end by itself */
    quiet.closes_in_read = true;
    START(loop_copy_report(&quiet.source, &flow->sink, &outcome, ONCE(&copy)));
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    close(ends[1]);
    END;
}

static char order[4];

static void note_order(void *name, int64_t result)
{
    CHECK_IS(result, -ECANCELED);
    strncat(order, name, sizeof order - strlen(order) - 1);
}

/* As it does by a cancel of their scope, and where the source has a descriptor. */
LOOP_TEST(p05_close_of_a_source_ends_its_copies_in_the_order_of_their_starts)
{
    static char names[3][2] = {"1", "2", "3"};

    BEGIN;
    make_pair(ends);
    flow = flow_of(env->scope, ends[0]);
    make_quiet(env);
    quiet.reads = 1; /* reads do not end by themselves */
    for (int i = 0; i < 3; i++) {
        START(loop_copy(&quiet.source, &flow->sink, note_order, names[i]));
    }
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_source_close(&quiet.source), 0);
    AWAIT(turns(env->scope, 4, GO));
    CHECK(strcmp(order, "123") == 0);
    close(ends[1]);
    END;
}

/* Several copies of one source, and one of another. */
LOOP_TEST(p05_close_of_a_source_ends_its_copies_only)
{
    static struct loop_source *memory, *other;
    static struct once copies[3];

    BEGIN;
    make_pair(ends);
    flow = flow_of(env->scope, ends[0]);
    memory = loop_memory_source(env->scope, "memory", 6);
    other = loop_memory_source(env->scope, "other", 5);
    CHECK(stuff(ends[0]) > 0);
    CHECK_IS(loop_sink_limit(&flow->sink, 1), 0);
    START(loop_write(&flow->sink, "before", 6, ONCE(&before)));
    START(loop_copy(memory, &flow->sink, ONCE(&copies[0])));
    START(loop_copy(other, &flow->sink, ONCE(&copies[1])));
    START(loop_copy(memory, &flow->sink, ONCE(&copies[2])));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(loop_source_close(memory), 0);
    WAIT_UNTIL(copies[0].count && copies[2].count);
    ONCE_IS(copies[0], -ECANCELED);
    ONCE_IS(copies[2], -ECANCELED);
    while (copies[1].count == 0) {
        (void)drain(ends[1]);
        AWAIT(turns(env->scope, 1, GO));
    }
    ONCE_IS(copies[1], 5);
    close(ends[1]);
    END;
}

/* ---- sinks ---- */

/* The copy waits for bytes of its source. */
LOOP_TEST_ROWS(p05_sink_that_is_closed_ends_a_copy_that_waits_for_its_source, 2)
{
    static struct loop_sink *sink;

    BEGIN;
    make_pair(ends);
    flow = flow_of(env->scope, ends[0]);
    make_quiet(env);
    sink = script.row == 0 ? &quiet.sink : loop_memory_sink(env->scope, 0);
    START(loop_copy_report(&flow->source, sink, &outcome, ONCE(&copy)));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(copy.count, 0);
    CHECK_IS(loop_sink_close(sink), 0);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    CHECK(outcome.error == -ECANCELED && !outcome.is_sink_error);
    CHECK_IS(send(ends[1], "later", 5, 0), 5); /* the source is as it was */
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK_IS(result, 5);
    close(ends[1]);
    END;
}

/* The function of the sink closes it: the write that it then starts is cancelled, and the source has its bytes back. */
LOOP_TEST(p05_sink_that_closes_itself_in_a_write_ends_the_copy)
{
    BEGIN;
    make_pair(ends);
    flow = flow_of(env->scope, ends[0]);
    make_quiet(env);
    quiet.closes_in_write = true;
    CHECK_IS(send(ends[1], "bytes", 5, 0), 5);
    START(loop_copy_report(&flow->source, &quiet.sink, &outcome, ONCE(&copy)));
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    AWAIT(loop_read(&flow->source, got, sizeof got, GO));
    CHECK(result == 5 && memcmp(got, "bytes", 5) == 0);
    close(ends[1]);
    END;
}

/* ---- streams ---- */

static struct {
    loop_job job;
    int64_t bytes, end;
    unsigned ends;
    bool pauses;
} stream;

static void on_stream(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop *loop = arg;

    if (chunk) {
        stream.bytes += result;
        if (stream.pauses) {
            CHECK_IS(loop_pause(loop, stream.job), 0);
        }
    } else {
        stream.ends++;
        stream.end = result;
        script_poke();
    }
}

/* While it is paused, and while it waits for bytes. */
LOOP_TEST_ROWS(p05_source_that_is_closed_ends_its_stream, 2)
{
    BEGIN;
    make_quiet(env);
    stream.pauses = script.row == 1;
    stream.job = START(loop_stream(&quiet.source, on_stream, env->loop));
    AWAIT(turns(env->scope, 6, GO));
    CHECK(stream.bytes == 5 && stream.ends == 0);
    CHECK_IS(loop_source_close(&quiet.source), 0);
    WAIT_UNTIL(stream.ends);
    CHECK_IS(stream.end, -ECANCELED);
    CHECK_IS(stream.ends, 1);
    END;
}

/* ---- sources that are closed by their own functions ---- */

enum { CLOSES_IN_READ, CLOSES_IN_EMPTY_TRY, CLOSES_IN_TRY, CLOSES_AT_END, CLOSES_IN_WAIT, N_CLOSES };

static int64_t closing_try_read(struct loop_source *source, void *buf, size_t len)
{
    static const int64_t answers[] = {
        [CLOSES_IN_EMPTY_TRY] = -EAGAIN, [CLOSES_IN_TRY] = 5, [CLOSES_AT_END] = 0, [CLOSES_IN_WAIT] = -EAGAIN};
    int64_t answer = answers[script.row];

    CHECK(len >= 5);
    if (script.row != CLOSES_IN_WAIT && quiet.reads++ == 0) {
        CHECK_IS(loop_source_close(source), 0);
    }
    if (answer > 0) {
        memcpy(buf, "quiet", (size_t)answer);
    }
    return answer;
}

static loop_job closing_wait(struct loop_source *source, loop_fn *fn, void *arg)
{
    if (script.row == CLOSES_IN_WAIT) {
        CHECK_IS(loop_source_close(source), 0);
    }
    return loop_promise(source->scope, quiet_cancel, NULL, fn, arg);
}

static const struct loop_source_ops closing_ops = {
    .read = quiet_read, .close = quiet_close, .try_read = closing_try_read, .wait_readable = closing_wait};

/* The stream goes on only after the function has returned, and then ends. */
LOOP_TEST_ROWS(p05_source_that_closes_itself_ends_its_stream, N_CLOSES)
{
    BEGIN;
    make_quiet(env);
    if (script.row == CLOSES_IN_READ) {
        quiet.reads = 1; /* this read does not end by itself */
        quiet.closes_in_read = true;
    } else {
        quiet.source.ops = &closing_ops;
    }
    stream.job = START(loop_stream(&quiet.source, on_stream, env->loop));
    WAIT_UNTIL(stream.ends);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(stream.end, script.row == CLOSES_AT_END ? 0 : -ECANCELED);
    CHECK_IS(stream.bytes, script.row == CLOSES_IN_TRY ? 5 : 0);
    CHECK_IS(stream.ends, 1);
    CHECK_IS(quiet.closes, 1);
    END;
}

/* ---- sources and sinks that show a descriptor and do not close it ---- */

static struct loop_flow *shown, *other;
static struct once bystander;
static int shown_ends[2], other_ends[2];

static loop_job shown_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    (void)source;
    return loop_read(&shown->source, buf, len, fn, arg);
}

static struct loop_fd *shown_fd(struct loop_source *source)
{
    (void)source;
    return shown->fd;
}

static loop_job shown_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)sink;
    return loop_writev(&shown->sink, iov, n_iov, fn, arg);
}

static struct loop_fd *shown_sink_fd(struct loop_sink *sink)
{
    (void)sink;
    return shown->fd;
}

static const struct loop_source_ops shown_ops = {.read = shown_read, .fd = shown_fd, .close = quiet_close};
static const struct loop_sink_ops shown_sink_ops = {
    .write = shown_write, .fd = shown_sink_fd, .close = quiet_close_sink};

static void make_shown(struct loop_env *env)
{
    make_pair(shown_ends);
    make_pair(other_ends);
    shown = flow_of(env->scope, shown_ends[0]);
    other = flow_of(env->scope, other_ends[0]);
    make_quiet(env);
    quiet.source.ops = &shown_ops;
    quiet.sink.ops = &shown_sink_ops;
}

static void close_shown(void)
{
    close(shown_ends[1]);
    close(other_ends[1]);
}

static struct loop_reader *first_reader, *second_reader;

/* Returns a source that reads by the descriptor, directly or through one or two readers. */
static struct loop_source *through_readers(struct loop_source *source, int n)
{
    if (n > 0) {
        first_reader = loop_reader_create(source, 64);
        source = loop_reader_source(first_reader);
    }
    if (n > 1) {
        second_reader = loop_reader_create(source, 64);
        source = loop_reader_source(second_reader);
    }
    return source;
}

enum { TO_SOCKET, TO_ITSELF, TO_FILE, TO_MEMORY, N_TARGETS };

static struct loop_sink *make_target(struct loop_env *env, int which)
{
    return which == TO_SOCKET   ? &other->sink
           : which == TO_ITSELF ? &shown->sink
           : which == TO_FILE   ? &flow_of(env->scope, make_file("", 0))->sink
                                : loop_memory_sink(env->scope, 0);
}

/* A copy of the descriptor's own source goes on. */
LOOP_TEST_ROWS(p05_source_that_shows_its_descriptor_ends_its_copies_when_it_is_closed, 3 * N_TARGETS)
{
    static struct loop_sink *sink;

    BEGIN;
    make_shown(env);
    sink = make_target(env, script.row % N_TARGETS);
    START(loop_copy_report(through_readers(&quiet.source, script.row / N_TARGETS), sink, &outcome, ONCE(&copy)));
    START(loop_copy(&shown->source, &other->sink, ONCE(&bystander)));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(copy.count, 0);
    CHECK_IS(loop_source_close(&quiet.source), 0);
    CHECK_IS(copy.count, 0); /* nothing is resumed in a call */
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    CHECK(outcome.error == -ECANCELED && !outcome.is_sink_error);
    CHECK_IS(bystander.count, 0);
    CHECK_IS(send(shown_ends[1], "later", 5, 0), 5);
    CHECK_IS(shutdown(shown_ends[1], SHUT_WR), 0);
    WAIT_UNTIL(bystander.count);
    ONCE_IS(bystander, 5);
    close_shown();
    END;
}

/* While it waits for bytes, and while it is paused. */
LOOP_TEST_ROWS(p05_source_that_shows_its_descriptor_ends_its_stream_when_it_is_closed, 6)
{
    BEGIN;
    make_shown(env);
    stream.pauses = script.row % 2 == 1;
    CHECK_IS(send(shown_ends[1], "bytes", 5, 0), 5);
    stream.job = START(loop_stream(through_readers(&quiet.source, script.row / 2), on_stream, env->loop));
    AWAIT(turns(env->scope, 6, GO));
    CHECK(stream.bytes == 5 && stream.ends == 0);
    CHECK_IS(loop_source_close(&quiet.source), 0);
    WAIT_UNTIL(stream.ends);
    CHECK_IS(stream.end, -ECANCELED);
    CHECK_IS(stream.ends, 1);
    CHECK_IS(send(shown_ends[1], "later", 5, 0), 5);
    AWAIT(loop_read(&shown->source, got, sizeof got, GO));
    CHECK_IS(result, 5);
    close_shown();
    END;
}

/* What has ended before is in no list of the source. */
LOOP_TEST(p05_source_that_shows_its_descriptor_is_closed_behind_its_copies_and_streams)
{
    BEGIN;
    make_shown(env);
    CHECK_IS(send(shown_ends[1], "bytes", 5, 0), 5);
    CHECK_IS(shutdown(shown_ends[1], SHUT_WR), 0);
    AWAIT(loop_copy(&quiet.source, &other->sink, GO));
    CHECK_IS(result, 5);
    stream.job = START(loop_stream(&quiet.source, on_stream, env->loop));
    WAIT_UNTIL(stream.ends);
    CHECK_IS(stream.end, 0);
    CHECK_IS(loop_source_close(&quiet.source), 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(stream.ends, 1);
    close_shown();
    END;
}

/* The copy waits for bytes of its source: a socket, or memory behind a full queue. */
LOOP_TEST_ROWS(p05_sink_that_shows_its_descriptor_ends_its_copies_when_it_is_closed, 3)
{
    static struct loop_source *source;

    BEGIN;
    make_shown(env);
    source = script.row == 0   ? &other->source
             : script.row == 1 ? &shown->source
                               : loop_memory_source(env->scope, "memory", 6);
    CHECK(stuff(shown_ends[0]) > 0);
    START(loop_copy_report(source, &quiet.sink, &outcome, ONCE(&copy)));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(copy.count, 0);
    CHECK_IS(loop_sink_close(&quiet.sink), 0);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    CHECK(outcome.error == -ECANCELED && !outcome.is_sink_error);
    drain(shown_ends[1]);
    AWAIT(loop_write(&shown->sink, "later", 5, GO));
    CHECK_IS(result, 5);
    close_shown();
    END;
}

/* ---- what is below a reader ---- */

static int close_below(struct loop_source *below)
{
    return script.row < 4 ? loop_fd_close(shown->fd) : loop_source_close(below);
}

static struct loop_source *below;

/* Makes one or two readers, and returns the rest of the last. Below are a descriptor, or a source that shows one or
 * none; close_below closes that, or the descriptor. */
static struct loop_source *make_below(struct loop_env *env)
{
    make_shown(env);
    if (script.row >= 6) {
        quiet.source.ops = &quiet_source_ops;
    }
    below = script.row < 2 ? &shown->source : &quiet.source;
    return through_readers(below, 1 + script.row % 2);
}

static struct loop_reader *last_reader(void)
{
    return script.row % 2 ? second_reader : first_reader;
}

/* Has the source below deliver 5 bytes. */
static void fill_below(const char *text)
{
    quiet.text = text;
    if (quiet.source.ops != &quiet_source_ops) {
        CHECK_IS(send(shown_ends[1], text, 5, 0), 5);
    }
}

/* Has the last reader buffer "rest". */
static loop_job fill_reader(loop_fn *fn, void *arg)
{
    fill_below("\nrest");
    return loop_reader_line(last_reader(), fn, arg);
}

/* The rest has bytes, which the sink does not accept. */
LOOP_TEST_ROWS(p05_source_below_a_reader_ends_the_copies_of_its_rest_when_it_is_closed, 8)
{
    static struct loop_source *rest;

    BEGIN;
    rest = make_below(env);
    AWAIT(fill_reader(GO));
    CHECK(stuff(other_ends[0]) > 0);
    START(loop_copy_report(rest, &other->sink, &outcome, ONCE(&copy)));
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(copy.count, 0);
    CHECK_IS(close_below(below), 0);
    CHECK_IS(copy.count, 0); /* nothing is resumed in a call */
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ECANCELED);
    CHECK(outcome.error == -ECANCELED && !outcome.is_sink_error);
    if (script.row % 2) {
        loop_reader_destroy(second_reader);
    }
    loop_reader_destroy(first_reader);
    loop_fd_destroy(shown->fd);
    close_shown();
    END;
}

/* The stream of a rest with bytes is paused. */
LOOP_TEST_ROWS(p05_source_below_a_reader_ends_the_stream_of_its_rest_when_it_is_closed, 8)
{
    static struct loop_source *rest;

    BEGIN;
    rest = make_below(env);
    AWAIT(fill_reader(GO));
    stream.pauses = true;
    stream.job = START(loop_stream(rest, on_stream, env->loop));
    AWAIT(turns(env->scope, 6, GO));
    CHECK(stream.bytes == 4 && stream.ends == 0);
    CHECK_IS(close_below(below), 0);
    WAIT_UNTIL(stream.ends);
    CHECK_IS(stream.end, -ECANCELED);
    CHECK_IS(stream.ends, 1);
    loop_fd_destroy(shown->fd);
    close_shown();
    END;
}

static loop_job lines_job;
static struct once lines_end;
static unsigned n_lines;

static void on_line(void *arg, int64_t result)
{
    if (result > 0) {
        n_lines++;
        CHECK_IS(loop_pause(arg, lines_job), 0);
        script_poke();
    } else {
        once_resumed(&lines_end, result);
    }
}

/* The lines are paused behind the first, with another in the reader. */
LOOP_TEST_ROWS(p05_source_below_a_reader_ends_its_paused_lines_when_it_is_closed, 8)
{
    BEGIN;
    (void)make_below(env);
    fill_below("a\nb\nc");
    lines_job = START(loop_reader_lines(last_reader(), on_line, env->loop));
    WAIT_UNTIL(n_lines == 1);
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(close_below(below), 0);
    CHECK_IS(lines_end.count, 0); /* nothing is resumed in a call */
    WAIT_UNTIL(lines_end.count);
    ONCE_IS(lines_end, -ECANCELED);
    AWAIT(loop_reader_line(last_reader(), GO));
    CHECK_IS(result, 2);
    CHECK_TEXT(loop_reader_data(last_reader(), NULL), "b");
    loop_fd_destroy(shown->fd);
    close_shown();
    END;
}

/* The lines are paused while they read, and have none. */
LOOP_TEST_ROWS(p05_source_below_a_reader_ends_lines_that_are_paused_while_they_read, 4)
{
    BEGIN;
    (void)make_below(env);
    lines_job = START(loop_reader_lines(last_reader(), on_line, env->loop));
    CHECK_IS(loop_pause(env->loop, lines_job), 0);
    AWAIT(turns(env->scope, 4, GO));
    CHECK_IS(close_below(below), 0);
    WAIT_UNTIL(lines_end.count);
    ONCE_IS(lines_end, -ECANCELED);
    close_shown();
    END;
}

/* What joins the source while the lines are paused parts from it in time. */
LOOP_TEST_ROWS(p05_paused_lines_part_from_the_source_below, 4 * 8)
{
    static int way;

    BEGIN;
    way = script.row / 8;
    script.row %= 8;
    (void)make_below(env);
    fill_below("a\nb\nc");
    lines_job = START(loop_reader_lines(last_reader(), on_line, env->loop));
    WAIT_UNTIL(n_lines == 1);
    AWAIT(turns(env->scope, 4, GO));
    if (way == 0) {
        CHECK_IS(loop_resume(env->loop, lines_job), 0);
        WAIT_UNTIL(n_lines == 2);
        CHECK_IS(loop_cancel(env->loop, lines_job), 0);
    } else if (way == 1) {
        CHECK_IS(loop_cancel(env->loop, lines_job), 0);
        CHECK_IS(close_below(below), 0);
    } else if (way == 2) {
        CHECK_IS(loop_resume(env->loop, lines_job), 0);
        loop_reader_destroy(last_reader());
    } else {
        CHECK_IS(close_below(below), 0);
        loop_reader_destroy(last_reader());
    }
    WAIT_UNTIL(lines_end.count);
    ONCE_IS(lines_end, -ECANCELED);
    (void)close_below(below);
    AWAIT(turns(env->scope, 4, GO));
    loop_fd_destroy(shown->fd);
    close_shown();
    END;
}
