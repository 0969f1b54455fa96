/* SPDX-License-Identifier: ISC
 *
 * Readers and writers whose descriptor is closed, destroyed or taken under them, and the end of readers and writers
 * themselves: nothing crosses to another connection, every job ends once, no scope is held or let go by mistake.
 */
#include "buffered.h"

/* ---- the descriptor goes ---- */

LOOP_TEST(pending_bytes_never_go_to_the_next_connection)
{
    static struct loop_scope *first, *second;
    static struct once first_ended, second_ended;
    static struct loop_fd *fd;
    static int peer;

    BEGIN;
    first = loop_scope_open(env->scope, ONCE(&first_ended));
    second = loop_scope_open(env->scope, ONCE(&second_ended));
    loop_scope_hold(second);
    fd = connection(first, &peer);
    CHECK_IS(loop_writer_append(writer_to(fd), "for the first alone", 19), 0);
    loop_fd_destroy(fd);
    adopt_newcomers(second);
    WAIT_UNTIL(first_ended.count);
    ONCE_IS(first_ended, -EBADF); /* nobody else heard that it was lost */
    AWAIT(turns(env->scope, 4, GO));
    CHECK(are_untouched());
    CHECK_IS(second_ended.count, 0);
    CHECK_IS(drain(peer), 0);
    loop_scope_unhold(second);
    WAIT_UNTIL(second_ended.count);
    ONCE_IS(second_ended, 0);
    close(peer);
    close_peers();
    END;
}

/* The same with all that one may do to such a writer, in `way`. */
enum way { ABORT, FLUSH, DRAINED, SHUTDOWN, UNCORK, LATER, DESTROY, WAYS };

static struct once way_ended;

static void go_way(struct loop_scope *scope, struct loop_writer *writer, enum way way)
{
    switch (way) {
    case ABORT: loop_writer_abort(writer); break;
    case FLUSH: START(loop_writer_flush(writer, ONCE(&way_ended))); break;
    case DRAINED:
        START(loop_writer_flush(writer, NULL, NULL)); /* hears of the error first */
        START(loop_writer_wait_drained(writer, ONCE(&way_ended)));
        break;
    case SHUTDOWN: START(loop_writer_shutdown(writer, ONCE(&way_ended))); break;
    case UNCORK: loop_writer_uncork(writer); break;
    case DESTROY: loop_writer_destroy(writer); break;
    default: START(turns(scope, 3, ONCE(&way_ended)));
    }
}

LOOP_TEST(whatever_is_done_to_a_writer_whose_descriptor_is_gone_stays_with_it)
{
    static const int64_t end_of_scope[WAYS] = {[ABORT] = 0,       [FLUSH] = 0,      [DRAINED] = -EBADF, [SHUTDOWN] = 0,
                                               [UNCORK] = -EBADF, [LATER] = -EBADF, [DESTROY] = 0};
    static struct loop_scope *first, *second;
    static struct once first_ended, second_ended;
    static struct loop_writer *writer;
    static struct loop_fd *fd;
    static int peer, way;

    BEGIN;
    for (way = 0; way < WAYS; way++) {
        first_ended = second_ended = way_ended = (struct once){0};
        first = loop_scope_open(env->scope, ONCE(&first_ended));
        second = loop_scope_open(env->scope, ONCE(&second_ended));
        loop_scope_hold(first);
        loop_scope_hold(second);
        fd = connection(first, &peer);
        writer = writer_to(fd);
        if (way == UNCORK) {
            loop_writer_cork(writer);
        }
        CHECK_IS(loop_writer_append(writer, "for the first alone", 19), 0);
        loop_fd_destroy(fd);
        adopt_newcomers(second);
        go_way(first, writer, (enum way)way);
        AWAIT(turns(env->scope, 6, GO));
        CHECK(are_untouched());
        CHECK_IS(first_ended.count, 0);
        CHECK_IS(second_ended.count, 0);
        if (way == FLUSH || way == SHUTDOWN) {
            ONCE_IS(way_ended, -EBADF);
        }
        if (way != DESTROY) {
            CHECK(loop_writer_append(writer, "more", 4) < 0);
        }
        loop_scope_unhold(first);
        loop_scope_unhold(second);
        WAIT_UNTIL(first_ended.count && second_ended.count);
        CHECK_IS(first_ended.result, end_of_scope[way]);
        CHECK_IS(second_ended.result, 0);
        CHECK_IS(drain(peer), 0);
        close(peer);
        close_peers();
    }
    END;
}

LOOP_TEST(a_write_in_flight_ends_when_its_descriptor_is_destroyed)
{
    static struct loop_writer *writer;
    static struct once flushed, shut_down;
    static struct loop_fd *fd;
    static char much[1 << 20];
    static int peer;

    BEGIN;
    fd = connection(env->scope, &peer);
    writer = writer_to(fd);
    CHECK_IS(loop_writer_append_borrowed(writer, much, sizeof much), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(flushed.count, 0); /* the peer doesn't read */
    loop_fd_destroy(fd);
    AWAIT(turns(env->scope, 4, GO)); /* the kernel has let go of it */
    adopt_newcomers(env->scope);
    START(loop_writer_shutdown(writer, ONCE(&shut_down)));
    WAIT_UNTIL(flushed.count && shut_down.count);
    CHECK(flushed.result == -ECANCELED || flushed.result == -EBADF);
    CHECK_IS(shut_down.result, flushed.result);
    CHECK_IS(loop_writer_append(writer, "more", 4), flushed.result);
    CHECK_IS(loop_writer_pending(writer), 0);
    CHECK(are_untouched());
    close(peer);
    close_peers();
    END;
}

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
    static int peer;

    BEGIN;
    fd = connection(env->scope, &peer);
    reader = reader_from(fd);
    START(loop_reader_lines(reader, ONCE(&lines)));
    CHECK_IS(loop_reader_pause(reader), 0);
    loop_fd_destroy(fd);
    AWAIT(turns(env->scope, 4, GO)); /* the kernel has let go of it */
    adopt_newcomers(env->scope);
    for (unsigned i = 0; i < NEWCOMERS; i++) {
        send_text(newcomer_peers[i], "a line\n");
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(lines.count, 0);
    CHECK_IS(loop_reader_resume(reader), 0);
    WAIT_UNTIL(lines.count);
    CHECK(lines.result == -EBADF || lines.result == -ECANCELED);
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

static struct once stream_ended;
static loop_job rest_stream;

static void on_rest(void *loop, int64_t result, struct loop_chunk *chunk)
{
    if (chunk) {
        CHECK_IS(loop_stream_pause(loop, rest_stream), 0);
    } else {
        once_resumed(&stream_ended, result);
    }
}

/* Others have come to its place meanwhile. */
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
    CHECK_IS(loop_stream_resume(env->loop, rest_stream), 0);
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

LOOP_TEST(destroying_a_writer_drops_what_is_pending_and_tells_who_waits)
{
    static struct loop_writer *writer;
    static struct once flushed, drained, shut_down;
    static int peer, is_corked;

    BEGIN;
    for (is_corked = 0; is_corked < 2; is_corked++) {
        flushed = drained = shut_down = (struct once){0};
        writer = writer_to(connection(env->scope, &peer));
        if (is_corked) {
            loop_writer_cork(writer);
        }
        CHECK_IS(loop_writer_append(writer, "never sent", 10), 0);
        START(loop_writer_flush(writer, ONCE(&flushed)));
        START(loop_writer_wait_drained(writer, ONCE(&drained)));
        START(loop_writer_shutdown(writer, ONCE(&shut_down)));
        loop_writer_destroy(writer);
        WAIT_UNTIL(flushed.count && drained.count && shut_down.count);
        ONCE_IS(flushed, -ECANCELED);
        ONCE_IS(drained, -ECANCELED);
        ONCE_IS(shut_down, -ECANCELED);
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(drain(peer), 0);
        close(peer);
    }
    loop_writer_destroy(NULL);
    END;
}

LOOP_TEST(a_destroyed_writer_uses_what_was_put_by_reference_until_the_flush_before_it_is_heard)
{
    static struct loop_writer *writer;
    static struct once flushed;
    static char *much;
    static int peer;
    enum { LENGTH = 1 << 22 };

    BEGIN;
    writer = writer_to(connection(env->scope, &peer));
    much = malloc(LENGTH);
    CHECK(much != NULL);
    memset(much, 'x', LENGTH);
    CHECK_IS(loop_writer_append_borrowed(writer, much, LENGTH), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK(drain(peer) > 0);
    loop_writer_destroy(writer);
    CHECK_IS(flushed.count, 0);
    WAIT_UNTIL(flushed.count);
    ONCE_IS(flushed, -ECANCELED);
    free(much);
    AWAIT(turns(env->scope, 2, GO));
    drain(peer);
    close(peer);
    END;
}

static struct loop_writer *own;
static struct once own_ended;

static void destroy_own_writer(void *unused, int64_t result)
{
    (void)unused;
    loop_writer_destroy(own);
    once_resumed(&own_ended, result);
}

LOOP_TEST(a_writer_can_be_destroyed_by_whoever_waits_for_it)
{
    static loop_job (*const waits[])(struct loop_writer *, loop_fn *,
                                     void *) = {loop_writer_flush, loop_writer_wait_drained, loop_writer_shutdown};
    static struct once other;
    static unsigned i, closed;
    static int peer;
    static struct loop_fd *fd;

    BEGIN;
    for (i = 0; i < COUNT_OF(waits); i++) {
        for (closed = 0; closed < 2; closed++) {
            own_ended = other = (struct once){0};
            fd = connection(env->scope, &peer);
            own = writer_to(fd);
            CHECK_IS(loop_writer_append(own, "text", 4), 0);
            START(waits[i](own, destroy_own_writer, NULL));
            START(loop_writer_flush(own, ONCE(&other)));
            if (closed) {
                loop_fd_close(fd);
            }
            WAIT_UNTIL(own_ended.count && other.count);
            CHECK_IS(own_ended.result, closed && waits[i] != loop_writer_wait_drained ? -EBADF : 0);
            CHECK(other.result == 0 || other.result == -EBADF || other.result == -ECANCELED);
            CHECK_IS(drain(peer), closed ? 0 : 4);
            loop_fd_destroy(fd);
            close(peer);
        }
    }
    END;
}

/* A sink whose functions do to their writer what a program may do anywhere. */
enum doing { ABORTS, DESTROYS, CANCELS_SCOPE, DOINGS };

static struct loop_writer *wild_writer;
static enum doing doing;

static loop_job do_wild(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    if (doing == ABORTS) {
        loop_writer_abort(wild_writer);
    } else if (doing == DESTROYS) {
        loop_writer_destroy(wild_writer);
    } else {
        loop_scope_cancel(sink->scope);
    }
    return loop_promise(sink->scope, NULL, NULL, fn, arg);
}

static loop_job wild_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)iov;
    (void)n_iov;
    return do_wild(sink, fn, arg);
}

static loop_job good_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    return loop_writev(sink->self, iov, n_iov, fn, arg);
}

static const struct loop_sink_ops wild_ops = {.write = wild_write};
static const struct loop_sink_ops wild_end_ops = {.write = good_write, .shutdown = do_wild};

LOOP_TEST(a_sinks_own_functions_may_end_its_writer)
{
    static struct once flushed, shut_down, ended;
    static struct loop_scope *scope;
    static struct loop_sink sink;
    static int way;

    BEGIN;
    for (way = 0; way < 2 * DOINGS; way++) {
        flushed = shut_down = ended = (struct once){0};
        doing = (enum doing)(way / 2);
        scope = loop_scope_open(env->scope, ONCE(&ended));
        sink = (struct loop_sink){.ops = way % 2 ? &wild_end_ops : &wild_ops, .scope = scope};
        sink.self = loop_null_sink(scope);
        wild_writer = loop_writer_create(&sink, 0);
        CHECK_IS(loop_writer_append(wild_writer, "text", 4), 0);
        START(loop_writer_flush(wild_writer, ONCE(&flushed)));
        START(loop_writer_shutdown(wild_writer, ONCE(&shut_down)));
        if (way % 2 && doing == ABORTS) {
            WAIT_UNTIL(flushed.count);
            loop_scope_cancel(scope); /* an abort leaves the sink's shutdown alone */
        }
        WAIT_UNTIL(ended.count);
        ONCE_IS(flushed, way % 2 ? 0 : -ECANCELED);
        ONCE_IS(shut_down, -ECANCELED);
    }
    END;
}

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
