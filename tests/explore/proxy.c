/* SPDX-License-Identifier: ISC
 *
 * Two clients, a proxy and a server. The proxy is that of demos/net/proxy.c, made of its source. A client sends a
 * stream of bytes and closes its side; the server sends another stream, of a length of its own, and closes its side
 * when it has seen the end of the client's.
 *
 * Judges, on each side of each connection: what arrives is a prefix of what the other side has sent; and when neither
 * its writes nor its reads have failed, all of it has arrived. When faults have ended each client gets everything. The
 * proxy and the server may crash.
 */
#include "explore.h"

#include "../../demos/common/arguments.h"

#include <errno.h>

enum { N_CLIENTS = 2, CHUNK = 6000 };

enum { MOST_ATTEMPTS = 64 };

/* One side of a connection. */
struct side {
    struct system *system;
    struct loop_flow *flow;
    bool is_server;
    uint64_t key_out, key_in;
    size_t size_out, size_in; /* what it sends, and what the peer sends */
    size_t sent, writing, received;
    bool has_sent_all, has_ended;
    char in[CHUNK], out[CHUNK];
};

struct client {
    unsigned number, n_attempts;
    size_t size, answer_size;
    bool is_done;
    bool has_sent_all[MOST_ATTEMPTS];
    struct system *system;
    struct loop_scope *scope;
    struct side side;
};

/* What a world is made of. */
struct system {
    struct client clients[N_CLIENTS];
    struct loop_address listen, upstream, proxy;
};

/* ---- the demo's program ---- */

/* Its main function is not called. */
#define main proxy_main
int proxy_main(int argc, char **argv);
#include "../../demos/net/proxy.c"
#undef main

static int run_proxy(struct loop_env *env, void *arg)
{
    struct system *system = arg;
    struct proxy *proxy = loop_scope_alloc(env->scope, sizeof *proxy);

    *proxy = (struct proxy){.listen = system->listen, .upstream = system->upstream, .upstream_text = "server"};
    return start(env, proxy);
}

/* ---- sending ---- */

static struct client *client_of(const struct side *side)
{
    return &side->system->clients[(side->is_server ? side->key_in : side->key_out) / MOST_ATTEMPTS];
}

static void send_more(void *arg, int64_t result)
{
    struct side *side = arg;

    if (result != (int64_t)side->writing) {
        return;
    }
    if (side->sent == side->size_out) {
        side->has_sent_all = true;
        if (!side->is_server) {
            client_of(side)->has_sent_all[side->key_out % MOST_ATTEMPTS] = true;
        }
        loop_shutdown(&side->flow->sink, NULL, NULL);
        return;
    }
    size_t left = side->size_out - side->sent;
    side->writing = left < sizeof side->out ? left : sizeof side->out;
    explore_fill(side->out, side->writing, side->key_out, side->sent);
    if (side->sent == 0 && !side->is_server) {
        side->out[0] = (char)side->key_out;
    }
    side->sent += side->writing;
    loop_write(&side->flow->sink, side->out, side->writing, send_more, side);
}

/* ---- receiving ---- */

static void fail_early(const struct side *side)
{
    loop_world_fail(NULL, "an end that came too early at the %s: after %zu of %zu bytes",
                    side->is_server ? "server" : "client", side->received, side->size_in);
}

/* The server has seen the end of what a client has sent. It may be early when the client gave up before it had sent
 * all. */
static void on_request_end(struct side *side)
{
    if (side->received == 0) {
        return;
    }
    if (side->received < side->size_in) {
        if (client_of(side)->has_sent_all[side->key_in % MOST_ATTEMPTS]) {
            fail_early(side);
        }
        return;
    }
    loop_simulation_sometimes("a whole request arrived");
    send_more(side, 0);
}

/* The first byte says which client it is, and which attempt. */
static void learn_client(struct side *side)
{
    side->key_in = (uint8_t)side->in[0];
    if (side->key_in / MOST_ATTEMPTS >= N_CLIENTS) {
        loop_world_fail(NULL, "an unknown client: %u", (unsigned)side->key_in);
        side->key_in = 0;
    }
    side->key_out = side->key_in + 1000;
    side->size_in = client_of(side)->size;
    side->size_out = client_of(side)->answer_size;
}

static void receive(struct side *side);

static void on_received(void *arg, int64_t result)
{
    struct side *side = arg;
    size_t skipped = side->is_server && side->received == 0;

    if (result <= 0) {
        side->has_ended = result == 0;
        if (result == 0 && side->is_server) {
            on_request_end(side);
        }
        return;
    }
    if (skipped > 0) {
        learn_client(side);
    }
    if (side->received + (size_t)result > side->size_in ||
        !explore_matches(side->in + skipped, (size_t)result - skipped, side->key_in, side->received + skipped)) {
        loop_world_fail(NULL, "other bytes than were sent: %zu bytes at %zu", (size_t)result, side->received);
    }
    side->received += (size_t)result;
    receive(side);
}

static void receive(struct side *side)
{
    loop_read(&side->flow->source, side->in, sizeof side->in, on_received, side);
}

/* ---- the server ---- */

static void on_accepted(struct loop_flow *peer, void *arg)
{
    struct side *side = loop_scope_alloc(peer->scope, sizeof *side);

    side->system = arg;
    side->flow = peer;
    side->is_server = true;
    receive(side);
}

static int run_server(struct loop_env *env, void *arg)
{
    struct system *system = arg;

    return loop_serve(env->scope, &system->listen, &(struct loop_serve_options){.listen.reuse_addr = true}, NULL,
                      on_accepted, system);
}

/* ---- the clients ---- */

static void attempt(void *arg, int64_t result);

static void on_attempt_end(void *arg, int64_t error)
{
    struct client *client = arg;
    struct side *side = &client->side;

    if (side->has_ended && side->has_sent_all) {
        if (side->received < side->size_in) {
            fail_early(side);
        }
        client->is_done = true;
        loop_simulation_sometimes("a whole answer arrived");
        return;
    }
    loop_simulation_sometimes(error == -ETIMEDOUT ? "a deadline passed" : "an attempt failed");
    loop_sleep(client->scope, 500 * LOOP_MILLISECOND, attempt, client);
}

static void on_connected_to_proxy(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == 0) {
        send_more(&client->side, 0);
        receive(&client->side);
    }
}

static void attempt(void *arg, int64_t result)
{
    struct client *client = arg;
    unsigned number = client->n_attempts++ % MOST_ATTEMPTS;
    uint64_t key = client->number * MOST_ATTEMPTS + number;

    (void)result;
    client->has_sent_all[number] = false;
    client->side = (struct side){.system = client->system,
                                 .key_out = key,
                                 .key_in = key + 1000,
                                 .size_out = client->size,
                                 .size_in = client->answer_size};
    struct loop_scope *scope = loop_scope_open(client->scope, on_attempt_end, client);
    loop_scope_deadline(scope, loop_now(loop_scope_loop(client->scope)) + 20 * LOOP_SECOND);
    loop_connect(scope, &client->system->proxy, NULL, &client->side.flow, on_connected_to_proxy, client);
}

static int run_client(struct loop_env *env, void *arg)
{
    struct client *client = arg;

    client->scope = env->scope;
    attempt(client, 0);
    return 0;
}

/* ---- the world ---- */

static void check(struct loop_world *world, void *arg)
{
    const struct client *client = arg;

    if (!client->is_done) {
        loop_world_fail(world, "a client ended without its answer: %u", client->number);
    }
}

static int build(struct loop_world *world, void *arg)
{
    static const size_t sizes[] = {1000, 1, 20000, 100000};
    struct system *system = loop_world_alloc(world, sizeof *system);

    (void)arg;
    loop_address_parse(&system->listen, "tcp:0.0.0.0:7000");
    loop_address_parse(&system->upstream, "tcp:10.0.0.1:7000");
    loop_address_parse(&system->proxy, "tcp:10.0.0.2:7000");
    struct loop_node *server = explore_node(
        world, (struct loop_node_options){.name = "server", .main = run_server, .arg = system, .is_daemon = true});
    struct loop_node *proxy = explore_node(
        world, (struct loop_node_options){.name = "proxy", .main = run_proxy, .arg = system, .is_daemon = true});
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        struct client *client = &system->clients[i];
        client->number = i;
        client->system = system;
        client->size = EXPLORE_ONE_OF(sizes);
        client->answer_size = EXPLORE_ONE_OF(sizes);
        explore_node(world, (struct loop_node_options){.main = run_client, .arg = client});
        loop_world_at_end(world, check, client);
    }
    explore_links(world);
    explore_partition(world, loop_simulation_choose(2) ? server : proxy);
    explore_crash(world, proxy, 500 * LOOP_MILLISECOND);
    explore_crash(world, server, 500 * LOOP_MILLISECOND);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"a whole request arrived",
                                        "a whole answer arrived",
                                        "an attempt failed",
                                        "a deadline passed",
                                        "the network was parted",
                                        "a node crashed",
                                        NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 60 * LOOP_SECOND,
                                                                  .liveness_ns = 90 * LOOP_SECOND,
                                                                  .marks = marks});
}
