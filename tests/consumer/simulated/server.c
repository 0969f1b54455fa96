/* SPDX-License-Identifier: ISC
 *
 * A server of the counter.
 */
#include "counter.h"

#include <loop/reader.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A connection. */
struct connection {
    struct counter *counter;
    struct loop_flow *peer;
    struct loop_reader *reader;
    uint64_t number; /* of the request that is not answered yet */
    char answer[32];
};

static void on_line(void *arg, int64_t result);

static void on_answered(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (result == (int64_t)strlen(connection->answer)) {
        loop_reader_line(connection->reader, on_line, connection);
    }
}

/* The backup has counted the request too, or there is none. */
static void on_replicated(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (result == 0) {
        snprintf(connection->answer, sizeof connection->answer, "%" PRIu64 "\n", connection->number);
        loop_write(&connection->peer->sink, connection->answer, strlen(connection->answer), on_answered, connection);
    }
}

static void on_line(void *arg, int64_t result)
{
    struct connection *connection = arg;
    struct counter *counter = connection->counter;

    if (result <= 0) {
        return; /* the end or an error: nothing is left to do, so the connection is closed */
    }
    connection->number = strtoull(loop_reader_data(connection->reader, NULL), NULL, 10);
    if (connection->number > counter->last || counter->forgets) {
        counter->total++;
        counter->last = connection->number;
    }
    if (counter->backup) {
        counter_ask(connection->peer->scope, counter->backup, connection->number, on_replicated, connection);
    } else {
        on_replicated(connection, 0);
    }
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct connection *connection = loop_scope_alloc(peer->scope, sizeof *connection);

    if (connection) {
        connection->counter = arg;
        connection->peer = peer;
        connection->reader = loop_reader_create(&peer->source, 64);
        if (connection->reader) {
            loop_reader_line(connection->reader, on_line, connection);
        }
    }
}

int counter_serve(struct loop_env *env, void *arg)
{
    struct counter *counter = arg;
    struct loop_serve_options options = {.listen = {.reuse_addr = true}, .stop_on_signals = true};

    return loop_serve(env->scope, &counter->address, &options, NULL, on_connection, counter);
}
