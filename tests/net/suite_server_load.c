/* SPDX-License-Identifier: ISC
 *
 * Servers with many busy connections, and with many that come and go.
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
