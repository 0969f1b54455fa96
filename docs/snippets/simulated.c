/* SPDX-License-Identifier: ISC
 *
 * A counter and a client that adds to it, tested on the simulated kernel. A request is a line with a number, 1, 2, ...;
 * its answer is the same line. The client repeats a request until it gets the answer. With "mended" as an argument the
 * server recognizes a request that it has counted before; without it, it has a bug.
 */
#include <loop/loop.h>
#include <loop/reader.h>
#include <loop/simulation.h>
#include <net/net.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 2 };

struct counter {
    unsigned total, last;
    bool is_mended;
};

/* A connection, of the server or of the client. */
struct talk {
    struct counter *counter;
    struct loop_flow *peer;
    struct loop_reader *reader;
    char line[16];
};

/* ---- the server ---- */

static void on_request(void *arg, int64_t result);

static void on_answered(void *arg, int64_t result)
{
    struct talk *talk = arg;

    if (result == (int64_t)strlen(talk->line)) {
        loop_reader_line(talk->reader, on_request, talk);
    }
}

static void on_request(void *arg, int64_t result)
{
    struct talk *talk = arg;
    struct counter *counter = talk->counter;
    unsigned number;

    if (result <= 0) {
        return; /* the end or an error: nothing is left to do, so the connection is closed */
    }
    number = (unsigned)strtoul(loop_reader_data(talk->reader, NULL), NULL, 10);
    if (!counter->is_mended || number > counter->last) {
        counter->total++;
        counter->last = number;
    }
    snprintf(talk->line, sizeof talk->line, "%u\n", number);
    loop_write(&talk->peer->sink, talk->line, strlen(talk->line), on_answered, talk);
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct talk *talk = loop_scope_alloc(peer->scope, sizeof *talk);

    talk->counter = arg;
    talk->peer = peer;
    talk->reader = loop_reader_create(&peer->source, sizeof talk->line);
    loop_reader_line(talk->reader, on_request, talk);
}

static int serve(struct loop_env *env, void *counter)
{
    struct loop_address address;

    loop_address_parse(&address, "tcp:0.0.0.0:7000");
    return loop_serve(env->scope, &address, NULL, NULL, on_connection, counter);
}

/* ---- the client ---- */

struct client {
    struct loop_scope *scope; /* main's */
    struct talk talk;
    unsigned n_answered;
};

/* Each attempt has a scope of its own. It ends when there is nothing left to do in it, or at its deadline. */
static void attempt(void *arg, int64_t result);

static void on_answer(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result > 0) {
        client->n_answered++;
    }
}

static void on_sent(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == (int64_t)strlen(client->talk.line)) {
        client->talk.reader = loop_reader_create(&client->talk.peer->source, sizeof client->talk.line);
        loop_reader_line(client->talk.reader, on_answer, client);
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == 0) {
        snprintf(client->talk.line, sizeof client->talk.line, "%u\n", client->n_answered + 1);
        loop_write(&client->talk.peer->sink, client->talk.line, strlen(client->talk.line), on_sent, client);
    }
}

static void on_attempt_end(void *arg, int64_t result)
{
    struct client *client = arg;

    (void)result;
    if (client->n_answered < REQUESTS) {
        loop_sleep(client->scope, 100 * LOOP_MILLISECOND, attempt, client);
    }
}

static void attempt(void *arg, int64_t result)
{
    struct client *client = arg;
    struct loop_scope *scope = loop_scope_open(client->scope, on_attempt_end, client);
    struct loop_address address;

    (void)result;
    loop_scope_deadline(scope, loop_now(loop_scope_loop(scope)) + LOOP_SECOND);
    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    loop_connect(scope, &address, NULL, &client->talk.peer, on_connected, client);
}

static int add(struct loop_env *env, void *arg)
{
    struct client *client = arg;

    client->scope = env->scope;
    attempt(client, 0);
    return 0;
}

/* ---- the world ---- */

static void check(struct loop_world *world, void *arg)
{
    const struct counter *counter = arg;

    if (counter->total != REQUESTS) {
        loop_world_fail(world, "counted wrong: %u in place of %d", counter->total, REQUESTS);
    }
}

static int build(struct loop_world *world, void *is_mended)
{
    struct counter *counter = loop_world_alloc(world, sizeof *counter);
    struct client *client = loop_world_alloc(world, sizeof *client);

    counter->is_mended = *(bool *)is_mended;
    loop_world_add_node(
        world, &(struct loop_node_options){.name = "server", .main = serve, .arg = counter, .is_daemon = true});
    loop_world_add_node(world, &(struct loop_node_options){.name = "client", .main = add, .arg = client});
    loop_world_at_end(world, check, counter);
    return 0;
}

int main(int argc, char **argv)
{
    bool is_mended = argc > 1 && strcmp(argv[1], "mended") == 0;

    argv[is_mended] = argv[0];
    return loop_simulation_main(argc - is_mended, argv + is_mended, build, &is_mended, NULL);
}
