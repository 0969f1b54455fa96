/* SPDX-License-Identifier: ISC
 *
 * Readers and writers, and what they stand on or what stands on them: scopes, readers on readers, sinks that write to
 * other scopes, streams over what is left. And the mistakes that are named.
 */
#include "buffered.h"

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

/* A sink that writes to one of another scope: its writes are jobs of that scope. */
static loop_job good_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    return loop_writev(sink->self, iov, n_iov, fn, arg);
}

static const struct loop_sink_ops beyond_ops = {.write = good_write};

LOOP_TEST(a_scope_stays_open_until_a_write_that_belongs_to_another_has_ended)
{
    static struct loop_scope *scope;
    static struct loop_writer *writer;
    static struct loop_sink sink;
    static struct once ended;
    static struct loop_flow *flows[2];
    static char much[1 << 21];
    static size_t seen;

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    sink = (struct loop_sink){.ops = &beyond_ops, .scope = scope, .self = &flows[0]->sink};
    writer = loop_writer_create(&sink, 0);
    CHECK_IS(loop_writer_append(writer, much, sizeof much), 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ended.count, 0);
    while (seen < sizeof much) {
        AWAIT(loop_read(&flows[1]->source, much, sizeof much, GO));
        CHECK(result > 0);
        seen += (size_t)result;
    }
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(cancelling_a_scope_ends_a_write_that_belongs_to_another)
{
    static struct loop_scope *scope;
    static struct loop_writer *writer;
    static struct loop_sink sink;
    static struct once ended, flushed;
    static struct loop_flow *flows[2];
    static char much[1 << 21];

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    sink = (struct loop_sink){.ops = &beyond_ops, .scope = scope, .self = &flows[0]->sink};
    writer = loop_writer_create(&sink, 0);
    CHECK_IS(loop_writer_append(writer, much, sizeof much), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 3, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    ONCE_IS(flushed, -ECANCELED);
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
