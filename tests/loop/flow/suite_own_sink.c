/* SPDX-License-Identifier: ISC
 *
 * Sinks that the program implements: the library queues the writes up to a limit, and passes them on one at a time. A
 * slow sink holds back only its own feeder.
 */
#include "own.h"

#include <sys/uio.h>

/* ---- a source and a sink of one's own ---- */

LOOP_TEST(own_sink_is_written_like_any)
{
    static struct checker checker;
    static struct loop_sink *sink;
    static char bytes[256];
    static struct iovec vector = {bytes + 100, 100};
    static struct loop_chunk *chunk;

    BEGIN;
    sink = make_checker(env, &checker);
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
    }
    AWAIT(loop_write(sink, bytes, 100, GO));
    CHECK_IS(result, 100);
    AWAIT(loop_writev(sink, &vector, 1, GO));
    CHECK_IS(result, 100);
    chunk = loop_chunk_alloc(env->loop);
    memcpy(loop_chunk_data(chunk), bytes + 200, 56);
    AWAIT(loop_write_chunk(sink, chunk, 56, GO));
    CHECK_IS(result, 56);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    CHECK_IS(checker.length, 256);
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    CHECK_IS(checker.shutdowns, 1);
    CHECK_IS(loop_sink_close(sink), 0);
    CHECK_IS(loop_sink_close(sink), -EBADF);
    CHECK_IS(loop_sink_queued(sink), 0);
    CHECK(!loop_sink_is_full(sink));
    CHECK_IS(loop_sink_limit(loop_memory_sink(env->scope, 0), 1), -EOPNOTSUPP);
    END;
}

enum { SIZE = 1 << 20, ENOUGH = 100000 };

/* Takes a write when it is let, a part of it at a time. */
static struct gate {
    struct loop_sink sink;
    struct loop *loop;
    char bytes[SIZE];
    size_t length, most; /* bytes taken; the most of one write, 0: all */
    int64_t error;       /* when `fails_at` bytes have been taken */
    size_t fails_at;
    bool is_open;
    unsigned writes, shutdowns, cancels, at_once;
    loop_job job; /* that waits */
    const struct iovec *iov;
    size_t n_iov;
} gate;

static int64_t gate_take(struct gate *self, const struct iovec *iov, size_t n_iov)
{
    size_t total = 0, most = self->most ? self->most : SIZE;

    if (self->error && self->length >= self->fails_at) {
        return self->error;
    }
    for (size_t i = 0; i < n_iov && total < most; i++) {
        size_t n = iov[i].iov_len < most - total ? iov[i].iov_len : most - total;
        CHECK(self->length + n <= sizeof self->bytes);
        memcpy(self->bytes + self->length, iov[i].iov_base, n);
        self->length += n;
        total += n;
    }
    return (int64_t)total;
}

static void gate_cancelled(void *arg, loop_job job)
{
    struct gate *self = arg;

    CHECK(job == self->job);
    self->job = 0;
    self->cancels++;
    self->at_once--;
    loop_resolve(self->loop, job, -ECANCELED);
}

static void gate_answer(struct gate *self, int64_t result)
{
    loop_job job = self->job;

    self->job = 0;
    self->at_once--;
    loop_resolve(self->loop, job, result);
}

static loop_job gate_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct gate *self = sink->self;
    loop_job job = loop_promise(sink->scope, gate_cancelled, self, fn, arg);

    self->writes++;
    CHECK_IS(++self->at_once, 1);
    self->job = job;
    self->iov = iov;
    self->n_iov = n_iov;
    if (self->is_open) {
        gate_answer(self, gate_take(self, iov, n_iov));
    }
    return job;
}

static loop_job gate_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct gate *self = sink->self;
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);

    CHECK_IS(self->at_once, 0);
    self->shutdowns++;
    loop_resolve(self->loop, job, 0);
    return job;
}

static int gate_close(struct loop_sink *sink)
{
    (void)sink;
    return 0;
}

static const struct loop_sink_ops gate_ops = {.write = gate_write, .shutdown = gate_shutdown, .close = gate_close};

static struct loop_sink *make_gate(struct gate *self, struct loop_scope *scope)
{
    memset(self, 0, sizeof *self);
    self->sink = (struct loop_sink){.ops = &gate_ops, .scope = scope, .self = self};
    self->loop = loop_scope_loop(scope);
    return &self->sink;
}

static void open_gate(struct gate *self)
{
    self->is_open = true;
    if (self->job) {
        gate_answer(self, gate_take(self, self->iov, self->n_iov));
    }
}

/* ---- fed by a stream ---- */

static struct feed {
    struct loop *loop;
    struct loop_sink *sink;
    loop_job stream;
    unsigned pauses, resumes, ends;
} feed;

static void on_drained(void *unused, int64_t result)
{
    (void)unused;
    if (result == 0) {
        feed.resumes++;
        loop_resume(feed.loop, feed.stream);
    }
}

static void on_data(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    if (!chunk) {
        feed.ends++;
        script_poke();
        return;
    }
    loop_write_chunk(feed.sink, chunk, (size_t)result, NULL, NULL);
    if (loop_sink_queued(feed.sink) > ENOUGH) {
        feed.pauses++;
        loop_pause(feed.loop, feed.stream);
        loop_sink_wait_drained(feed.sink, on_drained, NULL);
    }
}

static char sent[SIZE], echoed[5000];

LOOP_TEST(p11_own_sink_that_is_slow_holds_its_feeder_back_and_nobody_else)
{
    static struct loop_flow *flows[2], *others[2];
    static struct once write, echo;
    static int i;

    BEGIN;
    fill_pattern(sent, SIZE, 5);
    make_flows(env->scope, flows);
    make_flows(env->scope, others);
    feed = (struct feed){.loop = env->loop, .sink = make_gate(&gate, env->scope)};
    CHECK_IS(loop_sink_limit(feed.sink, (size_t)2 * ENOUGH), 0);
    feed.stream = START(loop_stream(&flows[0]->source, on_data, NULL));
    START(loop_write(&flows[1]->sink, sent, SIZE, ONCE(&write)));
    START(loop_copy(&others[0]->source, &others[0]->sink, ONCE(&echo)));
    AWAIT(turns(env->scope, 50, GO));
    CHECK_IS(feed.pauses, 1);
    CHECK_IS(write.count, 0);
    CHECK(loop_sink_queued(feed.sink) > ENOUGH);
    CHECK_IS(gate.writes, 1);
    for (i = 0; i < 10; i++) {
        AWAIT(loop_write(&others[1]->sink, sent, sizeof echoed, GO));
        AWAIT(loop_read_exact(&others[1]->source, echoed, sizeof echoed, GO));
        CHECK_IS(result, sizeof echoed);
    }
    if (!is_hard("onechunk")) {
        CHECK(loop_region_avail(env->loop) >= loop_region_count(env->loop) / 4);
    }
    open_gate(&gate);
    WAIT_UNTIL(write.count);
    ONCE_IS(write, SIZE);
    loop_fd_close(flows[1]->fd);
    WAIT_UNTIL(feed.ends);
    AWAIT(loop_shutdown(feed.sink, GO));
    CHECK_IS(result, 0);
    CHECK_IS(gate.length, SIZE);
    CHECK(is_pattern(gate.bytes, SIZE, 5));
    CHECK_IS(feed.resumes, feed.pauses);
    CHECK_IS(loop_sink_queued(feed.sink), 0);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    loop_fd_close(others[1]->fd);
    WAIT_UNTIL(echo.count);
    END;
}

/* A feeder that doesn't look finds the limit; the region is not used up before. */
LOOP_TEST(p11_own_sink_refuses_beyond_its_limit)
{
    static struct loop_scope *scope;
    static struct once end;
    static struct loop_chunk *chunk;
    static int i;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    make_gate(&gate, scope);
    for (i = 0; i < 5000 && !loop_sink_is_full(&gate.sink); i++) {
        chunk = loop_chunk_alloc(env->loop);
        CHECK(chunk != NULL);
        loop_write_chunk(&gate.sink, chunk, loop_chunk_length(chunk), NULL, NULL);
    }
    CHECK(i < 5000);
    CHECK(loop_sink_queued(&gate.sink) >= SIZE);
    CHECK(is_hard("onechunk") || loop_region_avail(env->loop) >= loop_region_count(env->loop) / 2);
    loop_write(&gate.sink, "x", 1, NULL, NULL);
    WAIT_UNTIL(end.count);
    ONCE_IS(end, -ENOBUFS);
    CHECK_IS(gate.writes, 1);
    CHECK_IS(gate.cancels, 1);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

static struct {
    struct loop_sink *sink;
    struct once again[2];
} refusals;

static void write_again(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, -ENOBUFS);
    START(loop_write(refusals.sink, "1", 1, ONCE(&refusals.again[0])));
}

/* There is room now, but what was written again has been refused. */
static void make_room_and_write_again(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, -ENOBUFS);
    CHECK_IS(loop_sink_limit(refusals.sink, SIZE_MAX), 0);
    CHECK(loop_sink_is_full(refusals.sink));
    START(loop_write(refusals.sink, "2", 1, ONCE(&refusals.again[1])));
}

LOOP_TEST(p11_a_write_refused_again_is_not_overtaken_in_an_own_sink)
{
    static struct once write;

    BEGIN;
    refusals.sink = make_gate(&gate, env->scope);
    CHECK_IS(loop_sink_limit(refusals.sink, 1), 0);
    START(loop_write(refusals.sink, "0", 1, ONCE(&write)));
    START(loop_write(refusals.sink, "1", 1, write_again, NULL));
    START(loop_write(refusals.sink, "2", 1, make_room_and_write_again, NULL));
    WAIT_UNTIL(refusals.again[0].count && refusals.again[1].count);
    ONCE_IS(refusals.again[0], -ENOBUFS);
    ONCE_IS(refusals.again[1], -ENOBUFS);
    CHECK(!loop_sink_is_full(refusals.sink));
    gate_answer(&gate, gate_take(&gate, gate.iov, gate.n_iov));
    WAIT_UNTIL(write.count);
    END;
}

/* ---- the queue ---- */

LOOP_TEST(p11_own_sink_s_queue_is_like_a_descriptor_s)
{
    static struct once writes[4], drained, late;
    static struct loop_sink *sink;

    BEGIN;
    sink = make_gate(&gate, env->scope);
    CHECK_IS(loop_sink_limit(sink, 10), 0);
    CHECK(!loop_sink_is_full(sink));
    AWAIT(loop_sink_wait_drained(sink, GO));
    CHECK_IS(result, 0);
    START(loop_write(sink, "01234", 5, ONCE(&writes[0])));
    CHECK_IS(loop_sink_queued(sink), 5);
    CHECK(!loop_sink_is_full(sink));
    START(loop_write(sink, "56789abc", 8, ONCE(&writes[1])));
    CHECK_IS(loop_sink_queued(sink), 13);
    CHECK(loop_sink_is_full(sink));
    START(loop_write(sink, "no", 2, ONCE(&writes[2])));
    START(loop_sink_wait_drained(sink, ONCE(&drained)));
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(writes[2], -ENOBUFS);
    CHECK_IS(writes[0].count + writes[1].count + drained.count, 0);
    CHECK_IS(gate.writes, 1);
    gate_answer(&gate, gate_take(&gate, gate.iov, gate.n_iov));
    WAIT_UNTIL(writes[0].count);
    ONCE_IS(writes[0], 5);
    CHECK_IS(gate.writes, 2);
    CHECK_IS(loop_sink_queued(sink), 8);
    CHECK_IS(drained.count, 0);
    CHECK(!loop_sink_is_full(sink));
    START(loop_write(sink, "d", 1, ONCE(&writes[3])));
    open_gate(&gate);
    WAIT_UNTIL(writes[3].count);
    ONCE_IS(writes[1], 8);
    ONCE_IS(writes[3], 1);
    ONCE_IS(drained, 0);
    CHECK_IS(gate.length, 14);
    CHECK(memcmp(gate.bytes, "0123456789abcd", 14) == 0);
    CHECK_IS(loop_sink_queued(sink), 0);
    START(loop_sink_wait_drained(sink, ONCE(&late)));
    WAIT_UNTIL(late.count);
    ONCE_IS(late, 0);
    END;
}

LOOP_TEST(own_sink_is_shut_down_behind_its_writes)
{
    static struct once write, shutdown;
    static struct loop_sink *sink;

    BEGIN;
    sink = make_gate(&gate, env->scope);
    START(loop_write(sink, "first", 5, ONCE(&write)));
    START(loop_shutdown(sink, ONCE(&shutdown)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(gate.shutdowns, 0);
    open_gate(&gate);
    WAIT_UNTIL(shutdown.count);
    ONCE_IS(write, 5);
    ONCE_IS(shutdown, 0);
    CHECK_IS(gate.shutdowns, 1);
    CHECK(write.order < shutdown.order);
    END;
}

LOOP_TEST(own_sink_s_writes_are_cancelled_in_the_queue_and_in_flight)
{
    static struct once writes[3], shutdown;
    static loop_job jobs[2];
    static struct loop_sink *sink;
    static struct loop_chunk *chunk;

    BEGIN;
    sink = make_gate(&gate, env->scope);
    chunk = loop_chunk_alloc(env->loop);
    memset(loop_chunk_data(chunk), 'c', 3);
    jobs[0] = START(loop_write(sink, "first", 5, ONCE(&writes[0])));
    jobs[1] = START(loop_write_chunk(sink, chunk, 3, ONCE(&writes[1])));
    START(loop_write(sink, "third", 5, ONCE(&writes[2])));
    START(loop_shutdown(sink, ONCE(&shutdown)));
    CHECK_IS(loop_cancel(env->loop, jobs[1]), 0);
    CHECK_IS(loop_sink_queued(sink), 10);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
    WAIT_UNTIL(writes[0].count && writes[1].count);
    ONCE_IS(writes[0], -ECANCELED);
    ONCE_IS(writes[1], -ECANCELED);
    CHECK_IS(gate.cancels, 1);
    open_gate(&gate);
    WAIT_UNTIL(shutdown.count);
    ONCE_IS(writes[2], 5);
    CHECK(gate.length == 5 && memcmp(gate.bytes, "third", 5) == 0);
    END;
}

LOOP_TEST(own_sink_s_write_that_is_a_daemon_holds_no_scope)
{
    static struct loop_scope *scope;
    static struct once end, write;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    make_gate(&gate, scope);
    CHECK_IS(loop_daemon(env->loop, START(loop_write(&gate.sink, "first", 5, ONCE(&write)))), 0);
    WAIT_UNTIL(end.count);
    ONCE_IS(end, 0);
    ONCE_IS(write, -ECANCELED);
    END;
}

LOOP_TEST(copies_and_writes_to_own_sinks_keep_their_order)
{
    static struct once write, copy, last;
    static struct loop_sink *sink;
    static struct loop_source *memory;

    BEGIN;
    sink = make_gate(&gate, env->scope);
    memory = loop_memory_source(env->scope, "copied", 6);
    CHECK_IS(loop_sink_limit(sink, 5), 0);
    START(loop_write(sink, "first", 5, ONCE(&write)));
    START(loop_copy(memory, sink, ONCE(&copy)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(copy.count, 0);
    open_gate(&gate);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, 6);
    START(loop_write(sink, "last", 4, ONCE(&last)));
    WAIT_UNTIL(last.count);
    CHECK(gate.length == 15 && memcmp(gate.bytes, "firstcopiedlast", 15) == 0);
    END;
}

/* A sink that passes on to a descriptor, and names it: a copy goes there by itself, but not past what is queued. */
static loop_job passing_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct loop_flow *below = sink->self;
    return loop_writev(&below->sink, iov, n_iov, fn, arg);
}

static struct loop_fd *passing_fd(struct loop_sink *sink)
{
    return ((struct loop_flow *)sink->self)->fd;
}

LOOP_TEST(copy_to_an_own_sink_with_a_descriptor_comes_after_what_is_queued)
{
    static const struct loop_sink_ops ops = {.write = passing_write, .fd = passing_fd};
    static struct loop_sink sink;
    static struct loop_flow *flows[2];
    static struct once writes[2], copy;
    static char got[20];

    BEGIN;
    make_flows(env->scope, flows);
    sink = (struct loop_sink){.ops = &ops, .scope = env->scope, .self = flows[0]};
    START(loop_write(&sink, "first", 5, ONCE(&writes[0])));
    START(loop_write(&sink, "second", 6, ONCE(&writes[1])));
    START(loop_copy(loop_memory_source(env->scope, "copied", 6), &sink, ONCE(&copy)));
    AWAIT(loop_read_exact(&flows[1]->source, got, 17, GO));
    CHECK(memcmp(got, "firstsecondcopied", 17) == 0);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, 6);
    END;
}

/* ---- errors ---- */

LOOP_TEST(own_sink_s_error_is_told_by_drained_until_a_write_succeeds_or_it_is_closed)
{
    static struct loop_sink *sink;
    static struct once writes[2];

    BEGIN;
    sink = make_gate(&gate, env->scope);
    gate.error = -EIO;
    gate.is_open = true;
    AWAIT(loop_write(sink, "no", 2, GO));
    CHECK_IS(result, -EIO);
    AWAIT(loop_sink_wait_drained(sink, GO));
    CHECK_IS(result, -EIO);
    gate.error = 0;
    AWAIT(loop_write(sink, "yes", 3, GO));
    CHECK_IS(result, 3);
    AWAIT(loop_sink_wait_drained(sink, GO));
    CHECK_IS(result, 0);
    gate.error = -EIO;
    START(loop_write(sink, "no", 2, ONCE(&writes[0])));
    START(loop_write(sink, "neither", 7, ONCE(&writes[1])));
    WAIT_UNTIL(writes[1].count);
    ONCE_IS(writes[0], -EIO);
    ONCE_IS(writes[1], -EIO);
    AWAIT(loop_sink_wait_drained(sink, GO));
    CHECK_IS(result, -EIO);
    gate.error = 0;
    gate.most = 2;
    AWAIT(loop_write(sink, "part", 4, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_sink_wait_drained(sink, GO));
    CHECK_IS(result, 0);
    gate.error = -EIO;
    AWAIT(loop_write(sink, "no", 2, GO));
    CHECK_IS(loop_sink_close(sink), 0);
    AWAIT(loop_sink_wait_drained(sink, GO));
    CHECK_IS(result, 0);
    END;
}

/* Without a continuation a short count would hide the error, so the rest is written as well, which returns the
 * error. */
LOOP_TEST(p05_unheard_write_to_an_own_sink_is_written_whole_or_fails_the_scope)
{
    static struct loop_scope *scope;
    static struct once end, write;
    static const struct iovec iov[3] = {{sent, 1000}, {sent + 1000, 3000}, {sent + 4000, 6000}};
    static struct loop_chunk *chunk;
    static int i;

    BEGIN;
    fill_pattern(sent, SIZE, 5);
    for (i = 0; i < 6; i++) {
        end = (struct once){0};
        scope = loop_scope_open(env->scope, ONCE(&end));
        make_gate(&gate, scope);
        gate.is_open = true;
        gate.most = 700;
        gate.error = i < 3 ? 0 : -ENOSPC;
        gate.fails_at = 1400;
        if (i % 3 == 0) {
            loop_write(&gate.sink, sent, 4000, NULL, NULL);
        } else if (i % 3 == 1) {
            loop_writev(&gate.sink, iov, 3, NULL, NULL);
        } else {
            chunk = loop_chunk_alloc(env->loop);
            memcpy(loop_chunk_data(chunk), sent, 4000);
            loop_write_chunk(&gate.sink, chunk, 4000, NULL, NULL);
        }
        WAIT_UNTIL(end.count);
        ONCE_IS(end, gate.error);
        if (gate.error) {
            CHECK(gate.length >= gate.fails_at && gate.length < 4000);
        } else {
            CHECK_IS(gate.length, i == 1 ? 10000 : 4000);
        }
        CHECK(is_pattern(gate.bytes, gate.length, 5));
        CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    }
    make_gate(&gate, env->scope);
    gate.is_open = true;
    gate.most = 700;
    START(loop_write(&gate.sink, sent, 4000, ONCE(&write)));
    WAIT_UNTIL(write.count);
    ONCE_IS(write, 700);
    END;
}

static int64_t greedy_result;

static void on_greedy(void *unused, int64_t result)
{
    (void)unused;
    greedy_result = result;
}

static loop_job greedy_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)n_iov;
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);
    loop_resolve(loop_scope_loop(sink->scope), job, (int64_t)iov->iov_len + 5);
    return job;
}

static int start_greedy(struct loop_env *env, void *unused)
{
    static const struct loop_sink_ops ops = {.write = greedy_write};
    static struct loop_sink sink;

    (void)unused;
    sink = (struct loop_sink){.ops = &ops, .scope = env->scope};
    loop_write(&sink, "0123456789", 10, on_greedy, NULL);
    return 0;
}

static int run_greedy(void *unused)
{
    (void)unused;
    loop_run_with(&(struct loop_options){.queue_depth = 0}, start_greedy, NULL);
    return (int)greedy_result;
}

TEST(p23_own_sink_that_takes_more_than_it_was_given_is_stopped)
{
    expect_stop(run_greedy, NULL, "write of a sink", -EINVAL);
}

/* ---- many ---- */

LOOP_TEST(own_sinks_have_queues_of_their_own)
{
    enum { MANY = 300 };
    static struct loop_sink *sinks[MANY];
    static struct gate *gates[MANY];
    static struct once writes[MANY];
    static int i;

    BEGIN;
    for (i = 0; i < MANY; i++) {
        gates[i] = malloc(sizeof *gates[i]);
        sinks[i] = make_gate(gates[i], env->scope);
        START(loop_write(sinks[i], sent, 100 + i, ONCE(&writes[i])));
    }
    for (i = 0; i < MANY; i++) {
        CHECK_IS(loop_sink_queued(sinks[i]), 100 + i);
        open_gate(gates[i]);
    }
    WAIT_UNTIL(writes[MANY - 1].count);
    for (i = 0; i < MANY; i++) {
        ONCE_IS(writes[i], 100 + i);
        CHECK_IS(loop_sink_queued(sinks[i]), 0);
        free(gates[i]);
    }
    END;
}

/* ---- a shutdown behind a write ---- */

/* Ends a write when it is let, and counts. */
static struct {
    struct loop_sink sink;
    struct loop *loop;
    loop_job job;
    int64_t len;
    unsigned expected, shutdowns;
} expecting;

static loop_job expecting_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    expecting.len = 0;
    for (size_t i = 0; i < n_iov; i++) {
        expecting.len += (int64_t)iov[i].iov_len;
    }
    return expecting.job = loop_promise(sink->scope, NULL, NULL, fn, arg);
}

static loop_job expecting_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);

    expecting.shutdowns++;
    loop_resolve(expecting.loop, job, 0);
    return job;
}

static void expecting_expect(struct loop_sink *sink)
{
    CHECK(sink == &expecting.sink);
    expecting.expected++;
}

/* It is told of a shutdown that is the next behind the write in flight, and called for it when that has ended. */
LOOP_TEST(own_sink_is_told_what_ends_behind_the_last_write)
{
    static const struct loop_sink_ops ops = {
        .write = expecting_write, .shutdown = expecting_shutdown, .expect_shutdown = expecting_expect};
    static struct once written[2], shut[2];

    BEGIN;
    expecting.sink = (struct loop_sink){.ops = &ops, .scope = env->scope};
    expecting.loop = env->loop;
    START(loop_write(&expecting.sink, "ab", 2, ONCE(&written[0])));
    START(loop_shutdown(&expecting.sink, ONCE(&shut[0])));
    CHECK_IS(expecting.expected, 1);
    CHECK_IS(expecting.shutdowns, 0);
    CHECK_IS(loop_resolve(env->loop, expecting.job, expecting.len), 0);
    WAIT_UNTIL(shut[0].count);
    ONCE_IS(written[0], 2);
    CHECK_IS(expecting.shutdowns, 1);
    memset(written, 0, sizeof written);
    START(loop_write(&expecting.sink, "ab", 2, ONCE(&written[0])));
    START(loop_write(&expecting.sink, "cd", 2, ONCE(&written[1])));
    START(loop_shutdown(&expecting.sink, ONCE(&shut[1])));
    CHECK_IS(expecting.expected, 1);
    CHECK_IS(loop_resolve(env->loop, expecting.job, expecting.len), 0);
    WAIT_UNTIL(written[0].count);
    CHECK_IS(loop_resolve(env->loop, expecting.job, expecting.len), 0);
    WAIT_UNTIL(shut[1].count);
    ONCE_IS(written[1], 2);
    AWAIT(loop_shutdown(&expecting.sink, GO));
    CHECK_IS(result, 0);
    CHECK_IS(expecting.expected, 1);
    CHECK_IS(expecting.shutdowns, 3);
    END;
}
