/* SPDX-License-Identifier: ISC
 *
 * A server that sends back what it receives, as demos/net/echo.c does, and three clients. A client sends some bytes,
 * closes its side, and reads until the end. When an attempt fails, or its deadline passes, it begins again.
 *
 * Judges: what a client receives is a prefix of what it has sent in this attempt; when neither its writes nor its reads
 * have failed it has received all of it; and when faults have ended every client gets everything back. The server may
 * crash.
 */
#include "explore.h"

#include <net/net.h>

#include <errno.h>
#include <stdio.h>

enum { N_CLIENTS = 3, READ_SIZE = 8192, LONGEST_WRITE = 100000 };

enum reading { BY_READ, BY_STREAM, BY_READ_EXACT };

struct client {
    unsigned number, n_attempts;
    size_t size, write_size; /* how much it sends, and how much at once */
    int64_t pause_ns;        /* before it reads */
    enum reading reading;
    bool is_done;
    struct loop_scope *scope, *attempt;
    struct loop_flow *flow;
    uint64_t key;
    size_t sent, received, writing;
    bool has_shut_down, has_ended;
    char in[READ_SIZE], out[LONGEST_WRITE];
};

/* ---- the server ---- */

static void on_connection(struct loop_flow *peer, void *arg)
{
    (void)arg;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

static int serve(struct loop_env *env, void *arg)
{
    struct loop_address address;

    (void)arg;
    loop_address_parse(&address, "tcp:0.0.0.0:7000");
    return loop_serve(env->scope, &address, &(struct loop_serve_options){.listen.reuse_addr = true}, NULL,
                      on_connection, NULL);
}

/* ---- receiving ---- */

static void read_more(void *arg, int64_t result);

static void on_end(struct client *client, int64_t result)
{
    client->has_ended = result == 0;
}

static void take(struct client *client, const void *data, int64_t len)
{
    if (client->received + (size_t)len > client->sent ||
        !explore_matches(data, (size_t)len, client->key, client->received)) {
        loop_world_fail(NULL, "other bytes than were sent: at %zu of %zu", client->received, client->sent);
    }
    client->received += (size_t)len;
    if (!client->has_shut_down) {
        loop_simulation_sometimes("bytes came back before the end was sent");
    }
}

static void on_read(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result > 0) {
        take(client, client->in, result);
        read_more(client, 0);
    } else {
        on_end(client, result);
    }
}

static void on_streamed(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct client *client = arg;

    if (result > 0) {
        take(client, loop_chunk_data(chunk), result);
    } else {
        on_end(client, result);
    }
}

static void read_more(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0) {
        return; /* the pause was cancelled */
    }
    switch (client->reading) {
    case BY_READ: loop_read(&client->flow->source, client->in, sizeof client->in, on_read, client); break;
    case BY_READ_EXACT: loop_read_exact(&client->flow->source, client->in, 1000, on_read, client); break;
    case BY_STREAM: loop_stream(&client->flow->source, on_streamed, client); break;
    }
}

/* ---- sending ---- */

static void on_shut_down(void *arg, int64_t result)
{
    struct client *client = arg;

    client->has_shut_down = result == 0;
    if (result == 0 && client->received < client->size) {
        loop_simulation_sometimes("closed one side while bytes were on their way");
    }
}

static void write_more(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result != (int64_t)client->writing) {
        return;
    }
    if (client->sent == client->size) {
        loop_shutdown(&client->flow->sink, on_shut_down, client);
        return;
    }
    size_t left = client->size - client->sent;
    client->writing = left < client->write_size ? left : client->write_size;
    explore_fill(client->out, client->writing, client->key, client->sent);
    client->sent += client->writing;
    loop_write(&client->flow->sink, client->out, client->writing, write_more, client);
}

/* ---- attempts ---- */

static void attempt(void *arg, int64_t result);

static void on_attempt_end(void *arg, int64_t error)
{
    struct client *client = arg;

    if (client->has_ended && client->has_shut_down) {
        if (client->received < client->size) {
            loop_world_fail(NULL, "an end that came too early: after %zu of %zu bytes", client->received, client->size);
        }
        loop_simulation_sometimes("everything came back");
        client->is_done = true;
        return;
    }
    loop_simulation_sometimes(error == -ETIMEDOUT ? "a deadline passed" : "an attempt failed");
    loop_sleep(client->scope, 100 * LOOP_MILLISECOND, attempt, client);
}

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0) {
        return;
    }
    write_more(client, 0);
    if (client->pause_ns > 0) {
        loop_simulation_sometimes("a client paused before it read");
        loop_sleep(client->attempt, client->pause_ns, read_more, client);
    } else {
        read_more(client, 0);
    }
}

static void attempt(void *arg, int64_t result)
{
    struct client *client = arg;
    struct loop_address address;

    if (result < 0) {
        return;
    }
    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    client->key = client->number * UINT64_C(1000) + client->n_attempts++;
    client->sent = client->received = client->writing = 0;
    client->has_shut_down = client->has_ended = false;
    client->attempt = loop_scope_open(client->scope, on_attempt_end, client);
    loop_scope_deadline(client->attempt, loop_now(loop_scope_loop(client->scope)) + 15 * LOOP_SECOND);
    loop_connect(client->attempt, &address, NULL, &client->flow, on_connected, client);
}

static int begin(struct loop_env *env, void *arg)
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
        loop_world_fail(world, "a client ended without its bytes: %u", client->number);
    }
}

static int build(struct loop_world *world, void *arg)
{
    static const size_t sizes[] = {1000, 1, 20000, 5000, 1000, 150000}, writes[] = {LONGEST_WRITE, 1000, 5000};
    static const int64_t pauses[] = {0, 10 * LOOP_MILLISECOND, LOOP_SECOND};

    (void)arg;
    struct loop_node *server =
        explore_node(world, (struct loop_node_options){.name = "server", .main = serve, .is_daemon = true});
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        struct client *client = loop_world_alloc(world, sizeof *client);
        client->number = i + 1;
        client->size = EXPLORE_ONE_OF(sizes);
        client->write_size = EXPLORE_ONE_OF(writes);
        client->pause_ns = EXPLORE_ONE_OF(pauses);
        client->reading = loop_simulation_choose(3);
        explore_node(world, (struct loop_node_options){.main = begin, .arg = client});
        loop_world_at_end(world, check, client);
    }
    explore_links(world);
    explore_partition(world, server);
    explore_crash(world, server, 200 * LOOP_MILLISECOND);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"everything came back",
                                        "an attempt failed",
                                        "a deadline passed",
                                        "a client paused before it read",
                                        "bytes came back before the end was sent",
                                        "closed one side while bytes were on their way",
                                        "the network was parted",
                                        "a node crashed",
                                        NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 60 * LOOP_SECOND,
                                                                  .liveness_ns = 60 * LOOP_SECOND,
                                                                  .marks = marks});
}
