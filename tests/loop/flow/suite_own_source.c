/* SPDX-License-Identifier: ISC
 *
 * Sources that the program implements: reads, cancels, invalid results, and cancelled scopes.
 */
#include "own.h"

#include <loop/reader.h>

/* ---- a source and a sink of one's own ---- */

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

/* Answers five bytes more than it was asked for. */
static loop_job greedy_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);

    memset(buf, 'g', len);
    loop_resolve(loop_scope_loop(source->scope), job, (int64_t)len + 5);
    return job;
}

static int64_t greedy_try(struct loop_source *source, void *buf, size_t len)
{
    (void)source;
    memset(buf, 'g', len);
    return (int64_t)len + 5;
}

static loop_job greedy_wait(struct loop_source *source, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);

    loop_resolve(loop_scope_loop(source->scope), job, 0);
    return job;
}

static const struct loop_source_ops plain_ops = {.read = greedy_read};

static const struct loop_source_ops trying_ops = {
    .read = greedy_read, .try_read = greedy_try, .wait_readable = greedy_wait};

enum how { READ, READ_EXACT, TRY_READ, STREAM, STREAM_BY_TRIES, COPY, COPY_TO_A_FILE, READER, REST, WAYS };
static int64_t answer;
static unsigned lent;

static void on_answer(void *unused, int64_t result)
{
    (void)unused;
    answer = result;
}

static void on_data(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    lent += chunk != NULL;
    answer = result;
}

static int start(struct loop_env *env, void *arg)
{
    static struct loop_source source;
    static char got[10];
    enum how how = *(const enum how *)arg;
    bool tries = how == TRY_READ || how == STREAM_BY_TRIES;

    source = (struct loop_source){.ops = tries ? &trying_ops : &plain_ops, .scope = env->scope};
    switch (how) {
    case READ: loop_read(&source, got, sizeof got, on_answer, NULL); break;
    case READ_EXACT: loop_read_exact(&source, got, sizeof got, on_answer, NULL); break;
    case TRY_READ: answer = loop_try_read(&source, got, sizeof got); break;
    case STREAM:
    case STREAM_BY_TRIES: loop_stream(&source, on_data, NULL); break;
    case COPY: loop_copy(&source, loop_memory_sink(env->scope, 1 << 20), on_answer, NULL); break;
    case COPY_TO_A_FILE: loop_copy(&source, &flow_of(env->scope, make_file("", 0))->sink, on_answer, NULL); break;
    case READER: loop_reader_take(loop_reader_create(&source, 0), 10, on_answer, NULL); break;
    case REST: loop_read(loop_reader_source(loop_reader_create(&source, 0)), got, sizeof got, on_answer, NULL); break;
    case WAYS: break;
    }
    return 0;
}

static int run_way(void *how)
{
    struct loop_options options = {.queue_depth = 0};

    loop_run_with(&options, start, how);
    return lent ? -EIO : (int)answer;
}

TEST(p23_source_that_answers_more_than_it_was_asked_for_is_stopped)
{
    for (enum how how = 0; how < WAYS; how++) {
        expect_stop(run_way, &how,
                    how == TRY_READ || how == STREAM_BY_TRIES ? "try_read of a source" : "read of a source", -EINVAL);
    }
}

/* ---- reads that are daemons, or cancelled while they start ---- */

static struct loop_scope *cancelled_inside;

static loop_job waiting_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    (void)buf;
    (void)len;
    return loop_promise(source->scope, NULL, NULL, fn, arg);
}

static loop_job cancelling_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    (void)buf;
    (void)len;
    loop_scope_cancel(cancelled_inside);
    return loop_promise(source->self, NULL, NULL, fn, arg);
}

LOOP_TEST(own_source_s_read_that_is_a_daemon_holds_no_scope)
{
    static const struct loop_source_ops ops = {.read = waiting_read};
    static struct loop_source source;
    static struct loop_scope *scope;
    static struct once end, read, exact;
    static char got[2][10];

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    source = (struct loop_source){.ops = &ops, .scope = scope};
    CHECK_IS(loop_daemon(env->loop, START(loop_read(&source, got[0], 10, ONCE(&read)))), 0);
    CHECK_IS(loop_daemon(env->loop, START(loop_read_exact(&source, got[1], 10, ONCE(&exact)))), 0);
    WAIT_UNTIL(end.count);
    ONCE_IS(end, 0);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(exact, -ECANCELED);
    END;
}

/* The source reads by a job of another scope. */
LOOP_TEST(own_source_that_cancels_the_scope_of_its_read_ends_it)
{
    static const struct loop_source_ops ops = {.read = cancelling_read};
    static struct loop_source source;
    static struct once end, read;
    static char got[10];

    BEGIN;
    cancelled_inside = loop_scope_open(env->scope, ONCE(&end));
    source = (struct loop_source){.ops = &ops, .scope = cancelled_inside, .self = env->scope};
    START(loop_read(&source, got, 10, ONCE(&read)));
    WAIT_UNTIL(end.count);
    ONCE_IS(read, -ECANCELED);
    END;
}
