/* SPDX-License-Identifier: ISC
 *
 * Servers with many busy connections on few chunks.
 */
#include "harness.h"

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

static void echo_lent(void *arg, int64_t result, struct loop_chunk *chunk)
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
    CHECK(loop_stream(&flow->source, echo_lent, flow) != 0);
}

static int start_busy_connections(struct loop_env *env, void *serve)
{
    void (*const *served_by)(struct loop_flow *) = serve;

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

static void check_busy_connections(void (*serve)(struct loop_flow *))
{
    int64_t began = now_ns();

    limit_fds(4096);
    CHECK_IS(run(start_busy_connections, &serve), 0);
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
