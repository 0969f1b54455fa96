/* SPDX-License-Identifier: ISC
 *
 * loop_try_read, loop_wait_readable and loop_source_is_readable: the bytes available now, on descriptors and on other
 * sources.
 */
#include "harness.h"

#include <loop/reader.h>

/* A source of the program's own, and what has been asked of it. */
static unsigned asked;

static loop_job own_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    (void)buf;
    (void)len;
    asked++;
    return loop_promise(source->scope, NULL, NULL, fn, arg);
}

static int64_t own_try_read(struct loop_source *source, void *buf, size_t len)
{
    (void)source;
    (void)buf;
    (void)len;
    asked++;
    return -EAGAIN;
}

static loop_job own_wait_readable(struct loop_source *source, loop_fn *fn, void *arg)
{
    asked++;
    return loop_promise(source->scope, NULL, NULL, fn, arg);
}

static bool own_is_readable(struct loop_source *source)
{
    (void)source;
    return false;
}

static const struct loop_source_ops plain_ops = {.read = own_read};
static const struct loop_source_ops looking_ops = {.read = own_read, .is_readable = own_is_readable};
static const struct loop_source_ops trying_ops = {
    .read = own_read, .try_read = own_try_read, .wait_readable = own_wait_readable};

LOOP_TEST(try_read_takes_what_is_there)
{
    static struct loop_flow *flows[2];
    static char got[10];
    static int64_t n;

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(loop_try_read(&flows[0]->source, got, 0), -EINVAL);
    CHECK_IS(loop_try_read(&flows[0]->source, got, 10), -EAGAIN);
    AWAIT(loop_write(&flows[1]->sink, "abc", 3, GO));
    AWAIT(loop_wait_readable(&flows[0]->source, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_try_read(&flows[0]->source, got, 1), 1);
    CHECK_MOVED(loop_try_read(&flows[0]->source, got + 1, 2), 2);
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    do {
        AWAIT(loop_wait_readable(&flows[0]->source, GO));
        n = loop_try_read(&flows[0]->source, got, 10);
    } while (n > 0 || n == -EAGAIN);
    CHECK_IS(n, 0);
    loop_fd_close(flows[0]->fd);
    CHECK_IS(loop_try_read(&flows[0]->source, got, 10), -EBADF);
    AWAIT(loop_wait_readable(&flows[0]->source, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(try_read_comes_after_the_reads_that_wait)
{
    static struct loop_flow *flows[2];
    static char first[2], got[10];
    static struct once read, wait;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read_exact(&flows[0]->source, first, 2, ONCE(&read)));
    START(loop_wait_readable(&flows[0]->source, ONCE(&wait)));
    AWAIT(loop_write(&flows[1]->sink, "a", 1, GO));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_try_read(&flows[0]->source, got, 10), -EAGAIN);
    AWAIT(loop_write(&flows[1]->sink, "bc", 2, GO));
    WAIT_UNTIL(wait.count);
    ONCE_IS(read, 2);
    CHECK(wait.order > read.order);
    CHECK_IS(loop_try_read(&flows[0]->source, got, 10), 1);
    CHECK_IS(got[0], 'c');
    END;
}

LOOP_TEST(fifo_that_never_had_a_writer_is_not_at_its_end)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static char got[10];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    CHECK_IS(loop_try_read(source, got, 10), -EAGAIN);
    AWAIT(loop_write(sink, "x", 1, GO));
    AWAIT(loop_wait_readable(source, GO));
    CHECK_IS(loop_try_read(source, got, 10), 1);
    CHECK_IS(loop_try_read(source, got, 10), -EAGAIN);
    AWAIT(loop_shutdown(sink, GO));
    AWAIT(loop_wait_readable(source, GO));
    CHECK_IS(loop_try_read(source, got, 10), 0);
    END;
}

LOOP_TEST(sources_without_a_descriptor_can_be_tried)
{
    static struct loop_source *memory;
    static struct loop_source plain;
    static struct loop_fd *file;
    static char got[10];

    BEGIN;
    memory = loop_memory_source(env->scope, "12", 2);
    AWAIT(loop_wait_readable(memory, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_try_read(memory, got, 1), 1);
    CHECK_IS(loop_try_read(memory, got, 10), 1);
    CHECK_IS(loop_try_read(memory, got, 10), 0);
    CHECK_IS(loop_try_read(loop_null_source(env->scope), got, 10), 0);
    AWAIT(loop_wait_readable(loop_null_source(env->scope), GO));
    CHECK_IS(result, 0);
    plain = (struct loop_source){.ops = &plain_ops, .scope = env->scope};
    CHECK_IS(loop_try_read(&plain, got, 10), -EAGAIN);
    AWAIT(loop_wait_readable(&plain, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    file = adopt(env->scope, make_file("f", 1));
    AWAIT(loop_wait_readable(&loop_fd_flow(file)->source, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    AWAIT(loop_read(&loop_fd_flow(file)->source, got, 10, GO));
    CHECK_IS(result, 1);
    END;
}

/* The ring may be receiving for a read that has ended. */
#define AWAIT_QUIET(source)                                                                                            \
    while (loop_source_is_readable(source)) {                                                                          \
        AWAIT(turns(env->scope, 1, GO));                                                                               \
    }

/* Unlike a try, before the loop has been told. */
LOOP_TEST(look_at_a_source_sees_what_has_come)
{
    static struct loop_flow *flows[2];
    static char got[3];

    BEGIN;
    make_flows(env->scope, flows);
    CHECK(!loop_source_is_readable(&flows[0]->source));
    AWAIT(loop_write(&flows[1]->sink, "ab", 2, GO));
    CHECK(loop_source_is_readable(&flows[0]->source));
    AWAIT(loop_read_exact(&flows[0]->source, got, 2, GO));
    AWAIT_QUIET(&flows[0]->source);
    CHECK_IS(loop_source_unread(&flows[0]->source, "b", 1), 0);
    CHECK(loop_source_is_readable(&flows[0]->source));
    AWAIT(loop_read(&flows[0]->source, got, 1, GO));
    AWAIT_QUIET(&flows[0]->source);
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    CHECK(loop_source_is_readable(&flows[0]->source));
    AWAIT(loop_read(&flows[0]->source, got, 1, GO));
    CHECK_IS(result, 0);
    CHECK(loop_source_is_readable(&flows[0]->source));
    loop_fd_close(flows[0]->fd);
    CHECK(loop_source_is_readable(&flows[0]->source));
    END;
}

LOOP_TEST(look_at_a_reader_sees_what_it_has_buffered)
{
    static struct loop_flow *flows[2];
    static struct loop_reader *reader;
    static struct loop_source *rest;
    static struct once line;

    BEGIN;
    make_flows(env->scope, flows);
    reader = loop_reader_create(&flows[0]->source, 0);
    rest = loop_reader_source(reader);
    CHECK(!loop_source_is_readable(rest));
    AWAIT(loop_write(&flows[1]->sink, "1\n2\n", 4, GO));
    CHECK(loop_source_is_readable(rest));
    AWAIT(loop_reader_fill(reader, 4, GO));
    AWAIT(loop_reader_line(reader, GO));
    CHECK(loop_source_is_readable(rest));
    AWAIT(loop_reader_line(reader, GO));
    AWAIT_QUIET(rest);
    START(loop_reader_line(reader, ONCE(&line)));
    CHECK(loop_source_is_readable(rest)); /* a read of it ends with -EBUSY */
    AWAIT(loop_shutdown(&flows[1]->sink, GO));
    WAIT_UNTIL(line.count);
    ONCE_IS(line, 0);
    CHECK(loop_source_is_readable(rest));
    END;
}

LOOP_TEST(look_at_other_sources)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_source plain;
    static struct once scope_end;

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    CHECK(!loop_source_is_readable(source));
    AWAIT(loop_write(sink, "x", 1, GO));
    CHECK(loop_source_is_readable(source));
    CHECK(loop_source_is_readable(loop_memory_source(env->scope, "12", 2)));
    CHECK(loop_source_is_readable(loop_null_source(env->scope)));
    CHECK(loop_source_is_readable(&loop_fd_flow(adopt(env->scope, make_file("f", 1)))->source));
    plain = (struct loop_source){.ops = &plain_ops, .scope = env->scope};
    CHECK(loop_source_is_readable(&plain)); /* it cannot tell */
    plain = (struct loop_source){.ops = &looking_ops, .scope = loop_scope_open(env->scope, ONCE(&scope_end))};
    loop_scope_hold(plain.scope);
    CHECK(!loop_source_is_readable(&plain));
    loop_scope_cancel(plain.scope);
    CHECK(loop_source_is_readable(&plain));
    loop_scope_unhold(plain.scope);
    WAIT_UNTIL(scope_end.count);
    END;
}

LOOP_TEST(p07_nothing_is_tried_in_a_cancelled_scope)
{
    static struct loop_scope *scope;
    static struct once scope_end, wait;
    static struct loop_source source;
    static char got[10];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    loop_scope_hold(scope);
    source = (struct loop_source){.ops = &trying_ops, .scope = scope};
    CHECK_IS(loop_try_read(&source, got, 10), -EAGAIN);
    CHECK_IS(asked, 1);
    loop_scope_cancel(scope);
    CHECK_IS(loop_try_read(&source, got, 10), -ECANCELED);
    START(loop_wait_readable(&source, ONCE(&wait)));
    WAIT_UNTIL(wait.count);
    ONCE_IS(wait, -ECANCELED);
    CHECK_IS(asked, 1);
    loop_scope_unhold(scope);
    WAIT_UNTIL(scope_end.count);
    END;
}
