/* SPDX-License-Identifier: ISC
 *
 * What becomes of jobs whose descriptor the kernel does not watch: they end with the reason, also where they have
 * something left to do first, and the bytes written have no gap. The watch that fails is the one for room in a full
 * sink.
 */
#include "failing.h"

#if NORIA_HARD_MODES

enum { CHUNK = 4096 };

static struct record record;
static struct once shut;
static loop_job stream;
static char *sent;

/* Runs the trial and then the script. */
static void run_both(void (*steps)(struct loop_env *env, int64_t result))
{
    static char data[4 * CHUNK];

    record = (struct record){.data = data, .room = sizeof data};
    run_trial(steps);
    memset(writes, 0, sizeof writes);
    shut = (struct once){0};
    record = (struct record){.data = data, .room = sizeof data};
    run_unwatched(steps);
}

/* ---- streams ---- */

static void answer(void *arg, int64_t result, struct loop_chunk *chunk)
{
    record_stream(arg, result, chunk);
    if (chunk && writes[0].count == 0) {
        START(loop_write(&flow->sink, "x", 1, ONCE(&writes[0])));
    }
}

static void in_delivery(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_full(env->scope);
    START(loop_stream(&flow->source, answer, &record));
    AWAIT(turns(env->scope, 3, GO));
    NEXT_WATCH_FAILS;
    CHECK_IS(send(fds[1], "a", 1, 0), 1);
    WAIT_UNTIL(record.ends && writes[0].count);
    ONCE_IS(writes[0], -ENOMEM);
    CHECK_IS(record.length, 1);
    CHECK_IS(record.end, -ENOMEM);
    close(fds[1]);
    END;
}

TEST(a_stream_that_cannot_be_watched_while_it_lends_ends_with_the_reason)
{
    run_both(in_delivery);
}

static void pause_at_second(void *arg, int64_t result, struct loop_chunk *chunk)
{
    record_stream(arg, result, chunk);
    if (chunk && record.length == 2 * CHUNK) {
        CHECK_IS(loop_pause(loop_scope_loop(flow->scope), stream), 0);
    }
}

/* The stream has read what it has not lent when it ends. */
static void with_unlent_chunks(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_full(env->scope);
    sent = malloc(3 * CHUNK);
    fill_pattern(sent, 3 * CHUNK, 5);
    CHECK_IS(send(fds[1], sent, 3 * CHUNK, 0), 3 * CHUNK);
    stream = START(loop_stream(&flow->source, pause_at_second, &record));
    WAIT_UNTIL(record.length >= 2 * CHUNK);
    AWAIT(turns(env->scope, 3, GO));
    if (is_trial) {
        free(sent);
    }
    NEXT_WATCH_FAILS;
    CHECK_IS(loop_resume(env->loop, stream), 0);
    START(loop_write(&flow->sink, "x", 1, ONCE(&writes[0])));
    WAIT_UNTIL(record.ends && writes[0].count);
    ONCE_IS(writes[0], -ENOMEM);
    CHECK_IS(record.end, -ENOMEM);
    if (record.length < 3 * CHUNK) {
        AWAIT(loop_read_exact(&flow->source, record.data + record.length, 3 * CHUNK - record.length, GO));
    }
    CHECK(is_pattern(record.data, 3 * CHUNK, 5));
    close(fds[1]);
    free(sent);
    END;
}

TEST(a_stream_with_unlent_chunks_that_cannot_be_watched_ends_with_the_reason)
{
    if (!is_hard("short")) { /* its chunks are not full */
        run_both(with_unlent_chunks);
    }
}

/* ---- writes ---- */

static void start_others(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
    CHECK_IS(writes[0].count, 0);
    drain(fds[1]);
    START(loop_write(&flow->sink, "cd", 2, ONCE(&writes[1])));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
}

static void before_it_is_known(struct loop_env *env, int64_t result)
{
    BEGIN;
    open_full(env->scope);
    AWAIT(turns(env->scope, 3, GO));
    NEXT_WATCH_FAILS;
    start_both(env, start_others);
    WAIT_UNTIL(writes[0].count && writes[1].count && shut.count);
    if (strcmp(loop_backend_name(env->loop), "epoll") == 0) { /* the ring tells later, when there is room */
        ONCE_IS(writes[0], -ENOMEM);
        ONCE_IS(writes[1], -ENOMEM);
        ONCE_IS(shut, -ENOMEM);
        NOTHING_ARRIVED;
        AWAIT(loop_write(&flow->sink, "ef", 2, GO));
        CHECK_IS(result, 2);
        ARRIVED("ef");
    }
    close(fds[1]);
    END;
}

TEST(what_is_written_behind_a_write_that_cannot_be_watched_follows_no_gap)
{
    run_both(before_it_is_known);
}

/* ---- copies ---- */

static void of_a_copy(struct loop_env *env, int64_t result)
{
    static struct loop_copy_outcome outcome;
    static struct loop_flow *from;
    static int ends[2];

    BEGIN;
    make_pair(ends);
    from = flow_of(env->scope, ends[0]);
    open_full(env->scope);
    START(loop_copy_report(&from->source, &flow->sink, &outcome, ONCE(&writes[0])));
    AWAIT(turns(env->scope, 3, GO));
    if (is_trial) {
        close(ends[1]);
    }
    NEXT_WATCH_FAILS;
    CHECK_IS(send(ends[1], "ab", 2, 0), 2);
    WAIT_UNTIL(writes[0].count);
    ONCE_IS(writes[0], -ENOMEM);
    CHECK_IS(outcome.error, -ENOMEM);
    CHECK(outcome.is_sink_error);
    AWAIT(loop_read_exact(&from->source, got, 2, GO));
    CHECK_IS(result, 2);
    CHECK(memcmp(got, "ab", 2) == 0);
    close(ends[1]);
    close(fds[1]);
    END;
}

TEST(the_outcome_of_a_copy_whose_sink_cannot_be_watched_tells_the_reason)
{
    run_both(of_a_copy);
}

#else

TEST(nothing_can_be_made_to_fail)
{
}

#endif
