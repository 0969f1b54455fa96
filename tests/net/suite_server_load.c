/* SPDX-License-Identifier: ISC
 *
 * Servers with many busy connections, and with many short ones.
 */
#include "sockets.h"

/* ---- churn ---- */

static struct loop_env *churn_env;
static unsigned churn_left, churn_done;
static void churn_next(void);

struct visitor {
    struct loop_flow *flow;
    char word[4];
};

static void churn_read(void *arg, int64_t result)
{
    struct visitor *visitor = arg;

    CHECK_IS(result, 4);
    loop_fd_destroy(visitor->flow->fd);
    free(visitor);
    churn_done++;
    churn_next();
    script_poke();
}

static void churn_connected(void *arg, int64_t result)
{
    struct visitor *visitor = arg;

    CHECK_IS(result, 0);
    CHECK(loop_write(&visitor->flow->sink, "word", 4, NULL, NULL) != 0);
    CHECK(loop_read_exact(&visitor->flow->source, visitor->word, 4, churn_read, visitor) != 0);
}

static void churn_next(void)
{
    if (churn_left > 0) {
        churn_left--;
        struct visitor *visitor = calloc(1, sizeof *visitor);
        CHECK(loop_connect(churn_env->scope, &serving.address, NULL, &visitor->flow, churn_connected, visitor) != 0);
    }
}

LOOP_TEST(churn_leaves_nothing_behind)
{
    enum { FIRST = 300, SECOND = HAS_SANITIZER ? 500 : 3000 };
    static struct loop_stats before, after;
    static unsigned fds;

    BEGIN;
    churn_env = env;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    churn_left = FIRST;
    for (int i = 0; i < 10; i++) {
        churn_next();
    }
    WAIT_UNTIL(churn_done == FIRST && serving.over == FIRST);
    AWAIT(turns(env->scope, 10, GO));
    loop_get_stats(env->loop, &before);
    fds = count_fds();
    churn_left = SECOND;
    for (int i = 0; i < 10; i++) {
        churn_next();
    }
    WAIT_UNTIL(churn_done == FIRST + SECOND && serving.over == FIRST + SECOND);
    AWAIT(turns(env->scope, 10, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(count_fds(), fds);
    CHECK_IS(after.fds_now, before.fds_now);
    CHECK_IS(after.jobs_now, before.jobs_now);
    CHECK_IS(after.job_slots, before.job_slots);
    CHECK_IS(after.scopes_now, before.scopes_now);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    END;
}

/* ---- a thousand busy connections on 64 blocks ---- */

enum { CONNECTIONS = HAS_SANITIZER ? 200 : 1000, TRIPS = 5, MESSAGE = 500 };

static struct client {
    struct loop_flow *flow;
    unsigned trips;
    char message[MESSAGE];
} clients[CONNECTIONS];

static unsigned clients_done;
static void next_trip(void *client, int64_t result);

static void on_echoed(void *arg, int64_t result)
{
    struct client *client = arg;

    CHECK_IS(result, MESSAGE);
    CHECK(is_pattern(client->message, MESSAGE, (unsigned)(client - clients)));
    if (++client->trips == TRIPS) {
        clients_done++;
        loop_flow_close(client->flow);
    } else {
        next_trip(client, 0);
    }
}

static void on_sent(void *arg, int64_t result)
{
    struct client *client = arg;

    CHECK_IS(result, MESSAGE);
    memset(client->message, 0, MESSAGE);
    CHECK(loop_read_exact(&client->flow->source, client->message, MESSAGE, on_echoed, client) != 0);
}

static void next_trip(void *arg, int64_t result)
{
    struct client *client = arg;

    CHECK_IS(result, 0);
    fill_pattern(client->message, MESSAGE, (unsigned)(client - clients));
    CHECK(loop_write(&client->flow->sink, client->message, MESSAGE, on_sent, client) != 0);
}

static void serve_by_copy(struct loop_flow *flow)
{
    CHECK(loop_copy(&flow->source, &flow->sink, NULL, NULL) != 0);
}

static void lend_back(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_flow *flow = arg;

    if (chunk) {
        loop_write_chunk(&flow->sink, chunk, (size_t)result, NULL, NULL);
    } else {
        CHECK_IS(result, 0);
    }
}

static void serve_by_stream(struct loop_flow *flow)
{
    CHECK(loop_stream(&flow->source, lend_back, flow) != 0);
}

static int start_busy_connections(struct loop_env *env, void *serve_one)
{
    void (*const *served_by)(struct loop_flow *) = serve_one;

    clients_done = 0;
    memset(clients, 0, sizeof clients);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        struct loop_flow *flows[2];
        make_flows(env->scope, flows);
        clients[i].flow = flows[0];
        (*served_by)(flows[1]);
        next_trip(&clients[i], 0);
    }
    return 0;
}

static void check_busy_connections(void (*serve_one)(struct loop_flow *))
{
    int64_t began = now_ns();

    limit_fds(4096);
    CHECK_IS(run(start_busy_connections, &serve_one), 0);
    CHECK_IS(clients_done, CONNECTIONS);
    CHECK((now_ns() - began) / LOOP_SECOND < (HAS_SANITIZER ? 60 : 15));
}

TEST(p10_a_thousand_busy_connections_by_copy)
{
    check_busy_connections(serve_by_copy);
}

TEST(p10_a_thousand_busy_connections_by_lent_chunks)
{
    check_busy_connections(serve_by_stream);
}

static void keep_and_write(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_flow *flow = arg;

    if (chunk) {
        CHECK_IS(loop_chunk_keep(loop_scope_loop(flow->scope), chunk), 0);
        loop_write_chunk(&flow->sink, chunk, (size_t)result, NULL, NULL);
    }
}

static void serve_by_kept(struct loop_flow *flow)
{
    CHECK(loop_stream(&flow->source, keep_and_write, flow) != 0);
}

TEST(p10_a_thousand_busy_connections_by_kept_chunks)
{
    check_busy_connections(serve_by_kept);
}

enum { FEW = HAS_SANITIZER ? 200 : 1000 };

/* ---- peers ---- */

/* ---- many connections ---- */

enum { CALL_BYTES = 3000, CALL_TRIPS = 4 };

/* Clients of one echo server. A slow one lets many turns pass between reading pieces; a fast one doesn't. */
static struct caller {
    struct loop_flow *flow;
    unsigned trips, got;
    bool is_slow;
    char message[CALL_BYTES];
} callers[FEW];

static unsigned callers_done;
static void begin_trip(struct caller *client);
static void read_piece(void *arg, int64_t result);

static void on_piece(void *arg, int64_t result)
{
    struct caller *client = arg;

    CHECK(result > 0);
    CHECK(is_pattern_at(client->message, (size_t)result, (unsigned)(client - callers), client->got));
    client->got += (unsigned)result;
    if (client->got < CALL_BYTES) {
        read_piece(client, 0);
    } else if (++client->trips < CALL_TRIPS) {
        begin_trip(client);
    } else {
        callers_done++;
        loop_flow_close(client->flow);
        if (callers_done == FEW) {
            loop_server_stop(serving.server, LOOP_NEVER);
        }
    }
}

static void read_now(void *arg, int64_t result)
{
    struct caller *client = arg;
    size_t most = client->is_slow ? 700 : CALL_BYTES;

    CHECK_IS(result, 0);
    CHECK(loop_read(&client->flow->source, client->message, most, on_piece, client) != 0);
}

static void read_piece(void *arg, int64_t result)
{
    struct caller *client = arg;

    CHECK(result >= 0);
    if (client->is_slow) {
        CHECK(turns(client->flow->scope, 10, read_now, client) != 0);
    } else {
        read_now(client, 0);
    }
}

static void begin_trip(struct caller *client)
{
    static char patterns[FEW][CALL_BYTES];
    size_t which = (size_t)(client - callers);

    client->got = 0;
    fill_pattern(patterns[which], CALL_BYTES, (unsigned)which);
    CHECK(loop_write(&client->flow->sink, patterns[which], CALL_BYTES, NULL, NULL) != 0);
    read_piece(client, 0);
}

static int start_clients(struct loop_env *env, void *fn)
{
    loop_connection_fn *const *echo = fn;

    memset(callers, 0, sizeof callers);
    callers_done = 0;
    serve_well(env->scope, *echo);
    for (unsigned i = 0; i < FEW; i++) {
        callers[i].is_slow = i % 7 == 0;
        callers[i].flow = visit(env->scope);
        begin_trip(&callers[i]);
    }
    return 0;
}

static void check_clients(loop_connection_fn *fn)
{
    limit_fds(4000);
    CHECK_IS(run(start_clients, &fn), 0);
    CHECK_IS(callers_done, FEW);
}

TEST(thousand_connections_with_slow_ones_by_copy)
{
    check_clients(echo_by_copy);
}

TEST(thousand_connections_with_slow_ones_by_chunks)
{
    check_clients(echo_by_chunks);
}

/* ---- large messages ---- */

enum { LARGE = 65536, SMALL = 64 };

static struct {
    size_t size;
    unsigned trips, left;
    uint64_t turns, enters;
    struct loop_flow *client;
    char sent[LARGE], got[LARGE];
} dialog;

static void next_message(void *unused, int64_t result)
{
    struct loop_stats stats;

    (void)unused;
    CHECK_IS(result, dialog.size);
    CHECK(dialog.left == dialog.trips || memcmp(dialog.sent, dialog.got, dialog.size) == 0);
    if (dialog.left-- == 0) {
        loop_get_stats(loop_scope_loop(dialog.client->scope), &stats);
        dialog.turns = stats.turns;
        dialog.enters = stats.enters;
        loop_flow_close(dialog.client);
        loop_server_stop(serving.server, LOOP_NEVER);
        return;
    }
    loop_write(&dialog.client->sink, dialog.sent, dialog.size, NULL, NULL);
    CHECK(loop_read_exact(&dialog.client->source, dialog.got, dialog.size, next_message, NULL) != 0);
}

static int start_talk(struct loop_env *env, void *fn)
{
    loop_connection_fn *const *echo = fn;

    serve_well(env->scope, *echo);
    dialog.client = visit(env->scope);
    fill_pattern(dialog.sent, sizeof dialog.sent, 8);
    next_message(NULL, (int64_t)dialog.size);
    return 0;
}

/* System calls and turns for one message there and back. */
static uint64_t cost_of(loop_connection_fn *fn, size_t size)
{
    dialog.size = size;
    dialog.trips = dialog.left = 100;
    CHECK_IS(run(start_talk, &fn), 0);
    return (dialog.turns + dialog.enters) / dialog.trips;
}

static void check_large(loop_connection_fn *fn)
{
    uint64_t small = cost_of(fn, SMALL), large = cost_of(fn, LARGE);

    if (large > 12 * (small + 1) && !is_hard("short") && !is_hard("onechunk")) {
        ck_abort_msg("a large message takes %llu turns and calls, a small one %llu", (unsigned long long)large,
                     (unsigned long long)small);
    }
}

TEST(large_messages_take_few_turns_by_copy)
{
    check_large(echo_by_copy);
}

TEST(large_messages_take_few_turns_by_chunks)
{
    check_large(echo_by_chunks);
}

/* ---- churn ---- */

enum { CHURN = HAS_SANITIZER ? 400 : 3000, AT_ONCE = 20 };

static struct churner {
    struct loop_scope *scope;
    struct loop_flow *flow;
    char byte;
} churners[AT_ONCE];

static unsigned churn_started, churned;
static void churn(void *arg, int64_t result);

static void churn_echoed(void *arg, int64_t result)
{
    struct churner *churner = arg;

    CHECK_IS(result, 1);
    CHECK_IS(churner->byte, 'c');
    churned++;
}

static void churner_connected(void *arg, int64_t result)
{
    struct churner *churner = arg;

    CHECK_IS(result, 0);
    churner->byte = 'c';
    loop_write(&churner->flow->sink, &churner->byte, 1, NULL, NULL);
    loop_read(&churner->flow->source, &churner->byte, 1, churn_echoed, churner);
}

/* Each connection in a scope of its own, the next one when that has ended. */
static void churn(void *arg, int64_t result)
{
    struct churner *churner = arg;

    CHECK_IS(result, 0);
    if (churn_started < CHURN) {
        churn_started++;
        churner->scope = loop_scope_open(script.env->scope, churn, churner);
        loop_connect(churner->scope, &serving.address, NULL, &churner->flow, churner_connected, churner);
    } else {
        script_poke();
    }
}

LOOP_TEST(churn_of_connections_leaves_everything_where_it_began)
{
    static struct loop_stats before, after;
    static unsigned fds_before, target;
    static size_t memory_before;
    static int round;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (round = 0; round < 2; round++) {
        fds_before = count_fds();
        memory_before = live_bytes();
        loop_get_stats(env->loop, &before);
        churn_started = churned = 0;
        for (target = 0; target < AT_ONCE; target++) {
            churn(&churners[target], 0);
        }
        WAIT_UNTIL(churned == CHURN);
        while (served().connections_now > 0) {
            AWAIT(turns(env->scope, 1, GO));
        }
        AWAIT(turns(env->scope, 3, GO));
        loop_get_stats(env->loop, &after);
        CHECK_IS(count_fds(), fds_before);
        CHECK_IS(after.scopes_now, before.scopes_now);
        CHECK_IS(after.fds_now, before.fds_now);
        CHECK_IS(after.jobs_now, before.jobs_now);
    }
    CHECK_IS(after.job_slots, before.job_slots);
    CHECK(HAS_SANITIZER || live_bytes() < memory_before + 65536);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}
