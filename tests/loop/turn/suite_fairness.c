/* SPDX-License-Identifier: ISC
 *
 * Every turn is bounded (P13): a flood of one kind of work does not starve another.
 */
#include "harness.h"

/* ---- P13: every turn is bounded ---- */

static bool stop_flood;
static unsigned long floods;

static void zero_timer(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    floods++;
    if (result == 0 && !stop_flood) {
        loop_sleep(env->scope, 0, zero_timer, env);
    }
}

static void endless_nop(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    floods++;
    if (result == 0 && !stop_flood) {
        loop_op_nop(env->scope, endless_nop, env);
    }
}

/* Round trips over a pair of sockets, while something else keeps the loop busy: a job that ends with 0 after the last.
 */
static struct trips {
    struct loop *loop;
    struct loop_flow *flows[2];
    unsigned left;
    char buffer[4];
    loop_job job;
} trips;

static void trip_read(void *unused, int64_t result);

static void trip_written(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 4);
    CHECK(loop_read_exact(&trips.flows[1]->source, trips.buffer, 4, trip_read, NULL) != 0);
}

static void trip_read(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 4);
    if (--trips.left > 0) {
        CHECK(loop_write(&trips.flows[0]->sink, "ping", 4, trip_written, NULL) != 0);
    } else {
        stop_flood = true;
        loop_resolve(trips.loop, trips.job, 0);
    }
}

static loop_job make_round_trips(struct loop_env *env, unsigned count, loop_fn *fn, void *arg)
{
    trips = (struct trips){.loop = env->loop, .left = count, .job = loop_promise(env->scope, NULL, NULL, fn, arg)};
    make_flows(env->scope, trips.flows);
    CHECK(loop_write(&trips.flows[0]->sink, "ping", 4, trip_written, NULL) != 0);
    return trips.job;
}

LOOP_TEST(p13_zero_timers_starve_nobody)
{
    BEGIN;
    for (int i = 0; i < 10; i++) {
        START(loop_sleep(env->scope, 0, zero_timer, env));
    }
    AWAIT(make_round_trips(env, 50, GO));
    CHECK(floods > 50);
    END;
}

LOOP_TEST(p13_endless_nops_starve_nobody)
{
    BEGIN;
    for (int i = 0; i < 10; i++) {
        START(loop_op_nop(env->scope, endless_nop, env));
    }
    AWAIT(make_round_trips(env, 50, GO));
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK(floods > 50);
    END;
}

static struct loop_inbox *flooded;

static void endless_post(void *arg, int64_t result)
{
    (void)result;
    floods++;
    if (!stop_flood) {
        loop_post(flooded, endless_post, arg);
    }
}

LOOP_TEST(p13_a_flood_of_posts_starves_nobody)
{
    BEGIN;
    flooded = loop_inbox_ref(env->loop);
    for (int i = 0; i < 100; i++) {
        CHECK_IS(loop_post(flooded, endless_post, NULL), 0);
    }
    AWAIT(make_round_trips(env, 50, GO));
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    loop_inbox_unref(flooded);
    CHECK(floods > 50);
    END;
}

/* Scopes of which each starts the next when it ends. */
static void endless_scope(void *arg, int64_t error)
{
    struct loop_env *env = arg;

    CHECK_IS(error, 0);
    floods++;
    if (!stop_flood) {
        CHECK(loop_scope_open(env->scope, endless_scope, env) != NULL);
    }
}

LOOP_TEST(p13_endless_scopes_starve_nobody)
{
    BEGIN;
    CHECK(loop_scope_open(env->scope, endless_scope, env) != NULL);
    AWAIT(make_round_trips(env, 50, GO));
    CHECK(floods > 50);
    END;
}

/* Scopes of which each sends bytes without a continuation, and starts the next when it ends. */
static void endless_sender(void *arg, int64_t error)
{
    static int peer = -1;
    int fds[2];
    struct loop_env *env = arg;

    CHECK_IS(error, 0);
    if (peer >= 0) {
        close(peer);
        peer = -1;
    }
    floods++;
    if (!stop_flood) {
        struct loop_scope *scope = loop_scope_open(env->scope, endless_sender, env);
        make_pair(fds);
        peer = fds[1];
        CHECK(loop_write(&flow_of(scope, fds[0])->sink, "x", 1, NULL, NULL) != 0);
    }
}

LOOP_TEST(p13_endless_writes_that_nobody_waits_for_starve_nobody)
{
    BEGIN;
    endless_sender(env, 0);
    AWAIT(make_round_trips(env, 50, GO));
    CHECK(floods > 50);
    END;
}

LOOP_TEST(p13_an_endless_copy_starves_nobody)
{
    static struct once copy;
    static loop_job job;

    BEGIN;
    job = START(loop_copy(env->secure_random, loop_null_sink(env->scope), ONCE(&copy)));
    AWAIT(make_round_trips(env, 50, GO));
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK_IS(copy.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(copy.count);
    CHECK(copy.result > 0 || copy.result == -ECANCELED);
    END;
}

/* Sends to itself for ever: a socket that is always ready on both sides. */
static struct loop_flow *busy[2];

static unsigned long busy_bytes;

static void busy_data(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    if (chunk && !stop_flood) {
        busy_bytes += (unsigned long)result;
        loop_write_chunk(&busy[0]->sink, chunk, (size_t)result, NULL, NULL);
    }
}

LOOP_TEST(p13_a_busy_connection_starves_nobody)
{
    static char start[30000];

    BEGIN;
    make_flows(env->scope, busy);
    START(loop_stream(&busy[1]->source, busy_data, NULL));
    START(loop_write(&busy[0]->sink, start, sizeof start, NULL, NULL));
    AWAIT(make_round_trips(env, 50, GO));
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    CHECK(busy_bytes > sizeof start);
    loop_flow_close(busy[0]);
    END;
}

/* ---- what one turn takes ---- */

enum { READY = 60 }; /* an io_uring_enter(2) alone reports some twenty */

static struct {
    unsigned n_read, n_at_timer;
    loop_job fired;
} ready;

static void ready_timer(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    CHECK_IS(result, 0);
    ready.n_at_timer = ready.n_read;
    loop_resolve(env->loop, ready.fired, 0);
}

static void ready_read(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    CHECK_IS(result, 1);
    if (ready.n_read++ == 0) {
        CHECK(loop_sleep(env->scope, 0, ready_timer, env) != 0);
    }
}

LOOP_TEST(p17_all_that_is_ready_comes_before_a_timer_that_it_starts)
{
    static int peers[READY];
    static char bytes[READY];

    BEGIN;
    for (unsigned i = 0; i < READY; i++) {
        int fds[2];
        make_pair(fds);
        peers[i] = fds[1];
        CHECK(loop_read(&flow_of(env->scope, fds[0])->source, &bytes[i], 1, ready_read, env) != 0);
    }
    AWAIT(turns(env->scope, 8, GO));
    for (unsigned i = 0; i < READY; i++) {
        CHECK_IS(write(peers[i], "x", 1), 1);
    }
    AWAIT(ready.fired = loop_promise(env->scope, NULL, NULL, GO));
    CHECK_IS(ready.n_at_timer, READY);
    for (unsigned i = 0; i < READY; i++) {
        close(peers[i]);
    }
    END;
}
