/* SPDX-License-Identifier: ISC
 *
 * A server whose connections have state: it answers each client with the number of bytes it has sent so far.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <inttypes.h>
#include <stdio.h>

struct connection {
    struct loop_flow *peer;
    uint64_t total;
    char request[256];
    char answer[64];
};

static void on_read(void *arg, int64_t result);

static void on_answered(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (result > 0) {
        loop_read(&connection->peer->source, connection->request, sizeof connection->request, on_read, connection);
    }
}

static void on_read(void *arg, int64_t result)
{
    struct connection *connection = arg;
    int len;

    if (result <= 0) {
        return; /* the end or an error: starts nothing more, so the scope ends */
    }
    connection->total += (uint64_t)result;
    len = snprintf(connection->answer, sizeof connection->answer, "%" PRIu64 " bytes so far\n", connection->total);
    loop_write(&connection->peer->sink, connection->answer, (size_t)len, on_answered, connection);
}

static void on_gone(void *arg)
{
    const struct connection *connection = arg;

    printf("a connection is gone after %" PRIu64 " bytes\n", connection->total);
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct connection *connection = loop_scope_alloc(peer->scope, sizeof *connection);

    (void)arg;
    if (!connection) {
        return; /* nothing runs in the connection's scope, so it ends and closes the socket */
    }
    connection->peer = peer;
    if (!loop_scope_defer(peer->scope, on_gone, connection)) {
        return; /* no memory: on_gone has been called at once */
    }
    loop_read(&peer->source, connection->request, sizeof connection->request, on_read, connection);
}

static int start(struct loop_env *env, void *address)
{
    struct loop_serve_options options = {
        .listen = {.reuse_addr = true},
        .max_connections = 1000,
        .connection_timeout_ns = 60 * LOOP_SECOND,
        .stop_on_signals = true,
        .grace_ns = 5 * LOOP_SECOND,
    };

    return loop_serve(env->scope, address, &options, NULL, on_connection, NULL);
}

int main(int argc, char **argv)
{
    struct loop_address address;

    if (argc != 2 || loop_address_parse(&address, argv[1]) != 0) {
        fprintf(stderr, "usage: counter ADDRESS\n");
        return 2;
    }
    return loop_run(0, 0, 0, NULL, start, &address) == 0 ? 0 : 1;
}
