/* SPDX-License-Identifier: ISC
 *
 * repeatable SEED COUNT: runs a world with COUNT seeds from SEED on, and prints each seed with a hash of its trace.
 * repeatable SEED: prints the trace of one seed. tests/checks/repeat compares the outputs of several builds.
 *
 * The world has two nodes. A client loads a file and sends it in a stream; a server saves what it receives and sends
 * back what it then loads. The server may crash. A deadline ends each attempt of the client.
 */
#include "explore.h"

#include <fs/fs.h>
#include <net/net.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 30000, MOST_ATTEMPTS = 20 };

static const char sent_path[] = "/data/sent", received_path[] = "/received";

/* ---- the server ---- */

/* One connection. Its scope owns it, and ends it when nothing is left to do. */
struct connection {
    struct loop_flow *peer;
    struct loop_dir *fs;
    void *loaded;
    size_t len;
    char bytes[LARGEST];
};

static void on_answered(void *arg, int64_t result)
{
    struct connection *connection = arg;

    (void)result;
    free(connection->loaded);
}

static void on_server_loaded(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (result >= 0) {
        loop_write(&connection->peer->sink, connection->loaded, (size_t)result, on_answered, connection);
    }
}

static void on_saved(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (result >= 0) {
        loop_fs_load(connection->peer->scope, connection->fs, received_path, 0, &connection->loaded, on_server_loaded,
                     connection);
    }
}

static void on_server_read(void *arg, int64_t result)
{
    static const struct loop_save_options options = {.atomic = true};
    struct connection *connection = arg;

    if (result > 0) {
        connection->len += (size_t)result;
        loop_read(&connection->peer->source, connection->bytes + connection->len, LARGEST - connection->len,
                  on_server_read, connection);
    } else if (result == 0) {
        loop_fs_save(connection->peer->scope, connection->fs, received_path, connection->bytes, connection->len,
                     &options, on_saved, connection);
    }
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct connection *connection = loop_scope_alloc(peer->scope, sizeof *connection);

    if (connection) {
        connection->peer = peer;
        connection->fs = *(struct loop_dir **)arg;
        connection->len = 0;
        loop_read(&peer->source, connection->bytes, LARGEST, on_server_read, connection);
    }
}

static int serve(struct loop_env *env, void *arg)
{
    struct loop_address address;

    *(struct loop_dir **)arg = env->fs;
    loop_address_parse(&address, "tcp:0.0.0.0:7000");
    return loop_serve(env->scope, &address, &(struct loop_serve_options){.listen.reuse_addr = true}, NULL,
                      on_connection, arg);
}

/* ---- the client ---- */

struct client {
    struct loop_env *env;
    struct loop_scope *attempt;
    struct loop_flow *flow;
    void *loaded;
    size_t len;
    unsigned n_attempts;
    bool is_done;
    char received[LARGEST];
};

static void attempt(void *arg, int64_t result);

static void on_attempt_end(void *arg, int64_t error)
{
    struct client *client = arg;

    loop_simulation_note("attempt %u ends: %d%s", client->n_attempts, (int)error, client->is_done ? ", done" : "");
    if (!client->is_done && client->n_attempts < MOST_ATTEMPTS) {
        loop_sleep(client->env->scope, 100 * LOOP_MILLISECOND, attempt, client);
    } else {
        free(client->loaded);
        client->loaded = NULL;
    }
}

static void on_returned(void *arg, int64_t result)
{
    struct client *client = arg;

    client->is_done = result == (int64_t)client->len;
    if (client->is_done && memcmp(client->received, client->loaded, client->len) != 0) {
        loop_world_fail(NULL, "other bytes than were sent");
    }
}

static void on_shut_down(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == 0) {
        loop_read_exact(&client->flow->source, client->received, client->len, on_returned, client);
    }
}

static void on_written(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == (int64_t)client->len) {
        loop_shutdown(&client->flow->sink, on_shut_down, client);
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == 0) {
        loop_write(&client->flow->sink, client->loaded, client->len, on_written, client);
    }
}

static void attempt(void *arg, int64_t result)
{
    struct client *client = arg;
    struct loop_address address;

    (void)result;
    client->n_attempts++;
    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    client->attempt = loop_scope_open(client->env->scope, on_attempt_end, client);
    if (client->attempt) {
        loop_scope_deadline(client->attempt, loop_now(loop_scope_loop(client->attempt)) + 2 * LOOP_SECOND);
        loop_connect(client->attempt, &address, NULL, &client->flow, on_connected, client);
    }
}

static void on_loaded(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result >= 0) {
        client->len = (size_t)result;
        attempt(client, 0);
    } else if (++client->n_attempts < MOST_ATTEMPTS) {
        loop_fs_load(client->env->scope, client->env->fs, sent_path, 0, &client->loaded, on_loaded, client);
    }
}

static int run_client(struct loop_env *env, void *arg)
{
    struct client *client = arg;

    client->env = env;
    loop_fs_load(env->scope, env->fs, sent_path, 0, &client->loaded, on_loaded, client);
    return 0;
}

/* ---- the world ---- */

static int build(struct loop_world *world, void *arg)
{
    static const size_t sizes[] = {3000, 1, LARGEST - 1, 10000};
    struct client *client = loop_world_alloc(world, sizeof *client);
    char bytes[LARGEST];
    size_t len = EXPLORE_ONE_OF(sizes);

    (void)arg;
    struct loop_node *server =
        explore_node(world, (struct loop_node_options){.name = "server",
                                                       .main = serve,
                                                       .arg = loop_world_alloc(world, sizeof(struct loop_dir *)),
                                                       .disk_latency_ns = LOOP_MILLISECOND,
                                                       .is_daemon = true,
                                                       .may_fail = true});
    struct loop_node *node = explore_node(
        world, (struct loop_node_options){.name = "client", .main = run_client, .arg = client, .may_fail = true});
    explore_fill(bytes, len, 1, 0);
    if (loop_node_put_file(node, sent_path, bytes, len) < 0) {
        return 1;
    }
    explore_links(world);
    explore_crash(world, server, 100 * LOOP_MILLISECOND);
    return 0;
}

/* ---- the program ---- */

/* FNV-1a, 64 bits. */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Runs one seed, each fourth one also with a lack of memory and of descriptors. Prints a line with a hash of the trace,
 * behind the trace itself if `is_printed`. */
static int run_seed(uint64_t seed, bool is_printed)
{
    struct loop_simulation_options options = {
        .seed = seed, .faults = seed % 4 == 0 ? LOOP_FAULT_ALL : 0, .is_traced = true};
    struct loop_simulation_result result = {0};
    int status = loop_simulation_run(build, NULL, &options, &result);
    char *trace = status >= 0 ? loop_simulation_trace_text(result.trace) : NULL;

    if (trace && is_printed) {
        printf("%s", trace);
    }
    if (trace) {
        printf("%" PRIu64 " %016" PRIx64 " steps %" PRIu64 " choices %zu departures %zu %s\n", seed, hash_text(trace),
               result.steps, result.n_choices, result.n_departures, result.reason);
    }
    status = trace ? 0 : 1;
    free(trace);
    loop_simulation_result_finish(&result);
    return status;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int status = 0;

    if (argc > 3 || first == 0 || count == 0) {
        (void)fprintf(stderr, "usage: %s SEED [COUNT]\n", argv[0]);
        return 2;
    }
    for (uint64_t seed = first; seed < first + count && status == 0; seed++) {
        status = run_seed(seed, argc == 2);
    }
    return status;
}
