/* SPDX-License-Identifier: ISC
 *
 * Readers whose descriptor is closed, destroyed or taken, and the destruction of readers: no byte reaches another
 * connection, and every job ends once. Includes the tests that apply to readers and writers alike.
 */
#include "buffered.h"

/* ---- the descriptor goes ---- */

static struct once way_ended;

LOOP_TEST(a_reader_never_reads_the_next_connection)
{
    static struct loop_reader *reader;
    static struct once line;
    static struct loop_fd *fd;
    static int peer, is_reading;
    static char buf[16];

    BEGIN;
    for (is_reading = 0; is_reading < 2; is_reading++) {
        line = (struct once){0};
        fd = connection(env->scope, &peer);
        reader = reader_from(fd);
        send_text(peer, "half");
        AWAIT(loop_reader_fill(reader, 4, GO));
        CHECK_IS(result, 4);
        if (is_reading) {
            START(loop_reader_line(reader, ONCE(&line)));
            AWAIT(turns(env->scope, 2, GO));
        }
        loop_fd_destroy(fd);
        if (is_reading) {
            WAIT_UNTIL(line.count);
            CHECK_IS(line.result, -ECANCELED);
        }
        AWAIT(turns(env->scope, 4, GO)); /* the kernel has let go of it */
        adopt_newcomers(env->scope);
        for (unsigned i = 0; i < NEWCOMERS; i++) {
            send_text(newcomer_peers[i], " a line\n");
        }
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, -EBADF);
        CHECK(window_is(reader, "half")); /* what had come is still there */
        CHECK_IS(loop_source_close(loop_reader_source(reader)), -EBADF);
        AWAIT(loop_reader_take(reader, 100, GO));
        CHECK_IS(result, 4);
        AWAIT(loop_read(loop_reader_source(reader), buf, sizeof buf, GO));
        CHECK_IS(result, -EBADF);
        AWAIT(loop_copy(loop_reader_source(reader), loop_null_sink(env->scope), GO));
        CHECK_IS(result, -EBADF);
        AWAIT(loop_read(&loop_fd_flow(newcomer_fds[NEWCOMERS - 1])->source, buf, sizeof buf, GO));
        CHECK_MOVED(result, 8);
        close(peer);
        close_peers();
    }
    END;
}

LOOP_TEST(paused_lines_end_when_their_descriptor_is_destroyed)
{
    static struct loop_reader *reader;
    static struct once lines;
    static struct loop_fd *fd;
    static loop_job job;
    static int peer;

    BEGIN;
    fd = connection(env->scope, &peer);
    reader = reader_from(fd);
    job = START(loop_reader_lines(reader, ONCE(&lines)));
    CHECK_IS(loop_pause(env->loop, job), 0);
    loop_fd_destroy(fd);
    AWAIT(turns(env->scope, 4, GO)); /* the kernel has let go of it */
    adopt_newcomers(env->scope);
    for (unsigned i = 0; i < NEWCOMERS; i++) {
        send_text(newcomer_peers[i], "a line\n");
    }
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(lines, -ECANCELED);
    CHECK_IS(loop_resume(env->loop, job), -ENOENT);
    close(peer);
    close_peers();
    END;
}

/* The reader's read of the source is still under way when the descriptor is taken. */
LOOP_TEST(what_a_destroyed_reader_had_goes_to_the_taker)
{
    static struct loop_reader *reader;
    static struct loop_fd *fd;
    static struct once filled;
    static char bytes[10];
    static int peer;

    BEGIN;
    fd = connection(env->scope, &peer);
    reader = reader_from(fd);
    send_text(peer, "abc");
    START(loop_reader_exact(reader, 4, ONCE(&filled)));
    AWAIT(turns(env->scope, 4, GO));
    loop_reader_destroy(reader);
    AWAIT(loop_fd_take(fd, GO));
    CHECK(result >= 0);
    close((int)result);
    ONCE_IS(filled, -ECANCELED);
    CHECK_IS(loop_fd_take_unread(fd, bytes, sizeof bytes), 3);
    CHECK(memcmp(bytes, "abc", 3) == 0);
    close(peer);
    END;
}

#if !HAS_SANITIZER

/* A failed allocation would leave a gap that no read reports. */
LOOP_TEST(a_destroyed_reader_gives_its_bytes_back_without_memory)
{
    static struct loop_reader *reader;
    static struct loop_fd *fd;
    static char bytes[10];
    static int peer;

    BEGIN;
    fd = connection(env->scope, &peer);
    reader = reader_from(fd);
    send_text(peer, "one\ntwo\n");
    close(peer);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 4);
    fail_allocation(1, true);
    loop_reader_destroy(reader);
    fail_allocation(0, false);
    AWAIT(loop_read(&loop_fd_flow(fd)->source, bytes, sizeof bytes, GO));
    CHECK_IS(result, 4);
    CHECK_TEXT(bytes, "two\n");
    END;
}

#endif

static struct once stream_ended;
static loop_job rest_stream;

static void on_rest(void *loop, int64_t result, struct loop_chunk *chunk)
{
    if (chunk) {
        CHECK_IS(loop_pause(loop, rest_stream), 0);
    } else {
        once_resumed(&stream_ended, result);
    }
}

/* New readers have reused its slot. */
LOOP_TEST(a_stream_that_outlives_its_reader_reads_no_other)
{
    static struct loop_reader *reader, *others[70];
    static int peer, other_peer;
    static struct loop_fd *other;

    BEGIN;
    reader = reader_from(connection(env->scope, &peer));
    send_text(peer, "abc");
    AWAIT(loop_reader_fill(reader, 1, GO));
    rest_stream = START(loop_stream(loop_reader_source(reader), on_rest, env->loop));
    AWAIT(turns(env->scope, 6, GO));
    loop_reader_destroy(reader);
    other = connection(env->scope, &other_peer);
    for (unsigned i = 0; i < COUNT_OF(others); i++) {
        others[i] = reader_from(other);
    }
    send_text(other_peer, "of another");
    CHECK_IS(loop_resume(env->loop, rest_stream), 0);
    WAIT_UNTIL(stream_ended.count);
    ONCE_IS(stream_ended, -EBADF);
    close(peer);
    close(other_peer);
    END;
}

LOOP_TEST(what_a_reader_has_is_there_when_the_descriptor_has_been_taken)
{
    static struct loop_reader *reader;
    static struct loop_writer *writer;
    static struct once flushed;
    static struct loop_fd *fd;
    static char buf[16];
    static size_t len;
    static int peer;

    BEGIN;
    fd = connection(env->scope, &peer);
    reader = reader_from(fd);
    writer = writer_to(fd);
    send_text(peer, "header\nthe be");
    do {
        AWAIT(loop_reader_fill(reader, 13, GO));
    } while (result < 13);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 7);
    send_text(peer, "ginning");
    CHECK_IS(loop_writer_append(writer, "lost, and told", 14), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(loop_fd_take(fd, GO));
    CHECK(result >= 0);
    CHECK_TEXT(loop_reader_data(reader, &len), "header");
    CHECK_IS(len, 6);
    CHECK(window_is(reader, "the be"));
    CHECK_IS(read((int)result, buf, sizeof buf), 7);
    CHECK(memcmp(buf, "ginning", 7) == 0);
    close((int)result);
    WAIT_UNTIL(flushed.count);
    CHECK_IS(flushed.result, -EBADF);
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, -EBADF);
    CHECK(window_is(reader, "the be"));
    close(peer);
    END;
}

/* ---- the end of a writer ---- */

static struct once own_ended;

/* ---- the end of a reader ---- */

LOOP_TEST(destroying_a_reader_ends_its_operation)
{
    static loop_job (*const operations[])(struct loop_reader *, loop_fn *,
                                          void *) = {loop_reader_line, loop_reader_lines, loop_reader_all};
    static struct loop_reader *reader;
    static struct once ended;
    static unsigned i, is_waiting;
    static int peer;

    BEGIN;
    for (i = 0; i < COUNT_OF(operations); i++) {
        for (is_waiting = 0; is_waiting < 2; is_waiting++) {
            ended = (struct once){0};
            reader = reader_from(connection(env->scope, &peer));
            START(operations[i](reader, ONCE(&ended)));
            if (is_waiting) {
                AWAIT(turns(env->scope, 2, GO));
            }
            loop_reader_destroy(reader);
            WAIT_UNTIL(ended.count);
            ONCE_IS(ended, -ECANCELED);
            close(peer);
        }
    }
    loop_reader_destroy(NULL);
    END;
}

static struct loop_reader *own_reader;

static void destroy_own_reader(void *unused, int64_t result)
{
    (void)unused;
    if (result > 0 || own_ended.count == 0) {
        loop_reader_destroy(own_reader);
        own_reader = NULL;
    }
    once_resumed(result > 0 ? &way_ended : &own_ended, result);
}

LOOP_TEST(a_reader_can_be_destroyed_by_its_own_continuation)
{
    static unsigned is_lines;
    static int peer;

    BEGIN;
    for (is_lines = 0; is_lines < 2; is_lines++) {
        own_ended = way_ended = (struct once){0};
        own_reader = reader_from(connection(env->scope, &peer));
        send_text(peer, "one\ntwo\nthree\n");
        if (is_lines) {
            START(loop_reader_lines(own_reader, destroy_own_reader, NULL));
        } else {
            START(loop_reader_line(own_reader, destroy_own_reader, NULL));
        }
        WAIT_UNTIL(way_ended.count && (!is_lines || own_ended.count));
        ONCE_IS(way_ended, 4);
        CHECK_IS(own_ended.count, is_lines);
        CHECK_IS(own_ended.result, is_lines ? -ECANCELED : 0);
        close(peer);
    }
    END;
}

LOOP_TEST(a_result_that_is_due_is_not_told_of_a_destroyed_reader)
{
    static struct loop_reader *reader;
    static struct once ended;
    static int peer;

    BEGIN;
    reader = reader_from(connection(env->scope, &peer));
    send_text(peer, "one\ntwo\n");
    do {
        AWAIT(loop_reader_fill(reader, 8, GO));
    } while (result < 8);
    START(loop_reader_line(reader, ONCE(&ended))); /* has its result already */
    loop_reader_destroy(reader);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    close(peer);
    END;
}

/* ---- scopes ---- */

#if !HAS_SANITIZER
LOOP_TEST(p14_a_scope_that_lives_long_keeps_nothing_of_destroyed_readers_and_writers)
{
    static struct loop_flow *flows[2];
    static struct loop_reader *reader;
    static struct loop_writer *writer;
    static unsigned long before;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    for (i = 0; i < 300; i++) {
        if (i == 200) {
            before = allocations();
        }
        reader = loop_reader_create(&flows[0]->source, 0);
        writer = loop_writer_create(&flows[1]->sink, 0);
        CHECK_IS(loop_writer_append(writer, "a line\n", 7), 0);
        AWAIT(loop_reader_line(reader, GO));
        CHECK_IS(result, 7);
        loop_reader_destroy(reader);
        loop_writer_destroy(writer);
    }
    /* a reader's buffer, a writer's data and vectors: nothing that grows with those before */
    CHECK(allocations() - before <= 100UL * 3 + 8);
    END;
}
#endif

static struct loop_reader *last_reader;
static struct loop_writer *last_writer;

static void use_in_hook(void *unused)
{
    (void)unused;
    CHECK(window_is(last_reader, "unread"));
    CHECK_IS(loop_reader_line(last_reader, NULL, NULL), 0);
    CHECK_IS(loop_writer_append(last_writer, "late", 4), -ECANCELED);
    CHECK_IS(loop_writer_flush(last_writer, NULL, NULL), 0);
}

static void destroy_at_the_end(void *ended, int64_t error)
{
    use_in_hook(NULL);
    loop_reader_destroy(last_reader);
    loop_writer_destroy(last_writer);
    once_resumed(ended, error);
}

static void destroy_in_hook(void *unused)
{
    use_in_hook(unused);
    loop_reader_destroy(last_reader);
    loop_writer_destroy(last_writer);
}

LOOP_TEST(readers_and_writers_are_there_until_on_end_has_returned)
{
    static struct loop_scope *scope;
    static struct loop_fd *fd;
    static struct once ended;
    static int peer, in_hook;

    BEGIN;
    for (in_hook = 0; in_hook < 2; in_hook++) {
        ended = (struct once){0};
        scope = loop_scope_open(env->scope, in_hook ? once_resumed : destroy_at_the_end, &ended);
        loop_scope_defer(scope, in_hook ? destroy_in_hook : use_in_hook, NULL);
        fd = connection(scope, &peer);
        last_reader = reader_from(fd);
        last_writer = writer_to(fd);
        loop_scope_defer(scope, use_in_hook, NULL);
        send_text(peer, "unread");
        do {
            AWAIT(loop_reader_fill(last_reader, 6, GO));
        } while (result < 6);
        WAIT_UNTIL(ended.count);
        ONCE_IS(ended, 0);
        close(peer);
    }
    END;
}

/* ---- readers on readers ---- */

LOOP_TEST(readers_on_a_reader_may_be_destroyed_in_any_order)
{
    static struct loop_reader *below, *above;
    static int peer, below_first;

    BEGIN;
    for (below_first = 0; below_first < 2; below_first++) {
        below = reader_from(connection(env->scope, &peer));
        send_text(peer, "one\ntwo\nthree\n");
        do {
            AWAIT(loop_reader_fill(below, 14, GO));
        } while (result < 14);
        above = loop_reader_create(loop_reader_source(below), 0);
        AWAIT(loop_reader_line(above, GO));
        CHECK_IS(result, 4);
        CHECK_TEXT(loop_reader_data(above, NULL), "one");
        if (below_first) {
            loop_reader_destroy(below);
            CHECK(window_is(above, "two\nthree\n"));
            AWAIT(loop_reader_skip(above, 11, GO));
            CHECK_IS(result, 10);
            AWAIT(loop_reader_take(above, 11, GO));
            CHECK_IS(result, -EBADF);
            loop_reader_destroy(above);
        } else {
            loop_reader_destroy(above); /* what it had is the other's again */
            AWAIT(loop_reader_line(below, GO));
            CHECK_IS(result, 4);
            CHECK_TEXT(loop_reader_data(below, NULL), "two");
            loop_reader_destroy(below);
        }
        close(peer);
    }
    END;
}

/* ---- mistakes ---- */

enum mistake { READER_TWICE, WRITER_TWICE, READ_AFTER, WRITE_AFTER, NULL_READER, NULL_WRITER, NULL_SOURCE, NULL_SINK };

static int make_mistake(struct loop_env *env, void *which)
{
    int peer, result = -EINVAL;
    struct loop_fd *fd = connection(env->scope, &peer);
    struct loop_reader *reader = reader_from(fd);
    struct loop_writer *writer = writer_to(fd);

    close(peer);
    loop_reader_destroy(reader);
    loop_writer_destroy(writer);
    switch (*(enum mistake *)which) {
    case READER_TWICE: loop_reader_destroy(reader); break;
    case WRITER_TWICE: loop_writer_destroy(writer); break;
    case READ_AFTER: result = loop_reader_line(reader, NULL, NULL) ? 1 : loop_reader_consume(reader, 1); break;
    case WRITE_AFTER: result = loop_writer_append(writer, "x", 1); break;
    case NULL_READER: result = loop_reader_all(NULL, NULL, NULL) ? 1 : loop_reader_consume(NULL, 1); break;
    case NULL_WRITER: result = loop_writer_flush(NULL, NULL, NULL) ? 1 : loop_writer_print(NULL, "x"); break;
    case NULL_SOURCE: result = loop_reader_create(NULL, 0) ? 1 : -EINVAL; break;
    case NULL_SINK: result = loop_writer_create(NULL, 0) ? 1 : -EINVAL; break;
    }
    return result;
}

static int run_mistake(void *which)
{
    return loop_run(0, 0, 0, NULL, make_mistake, which);
}

TEST(p23_uses_of_what_is_gone_or_never_was_are_named)
{
    static const char *const words[] = {"loop_reader_destroy", "loop_writer_destroy", "loop_reader_line",
                                        "loop_writer_append",  "loop_reader_all",     "loop_writer_flush",
                                        "loop_reader_create",  "loop_writer_create"};

    for (unsigned i = 0; i < COUNT_OF(words); i++) {
        enum mistake mistake = (enum mistake)i;
        expect_stop(run_mistake, &mistake, words[i], -EINVAL);
    }
}
