/* SPDX-License-Identifier: ISC
 *
 * Three clients share two connections to one server.
 */
#include <loop/loop.h>
#include <net/net.h>
#include <sync/sync.h>

#include <stdio.h>
#include <stdlib.h>

struct connection {
    struct loop_flow *flow;
};

struct client {
    struct program *program;
    const char *name;
    void *connection; /* struct connection */
    char answer;
};

struct program {
    struct loop_scope *scope;
    struct loop_server *server;
    struct loop_address address;
    struct loop_resources *connections;
    struct client clients[3];
    int n_left;
};

/* ---- connections ---- */

static loop_job make(void *arg, struct loop_scope *scope, void **resource, loop_fn *fn, void *fn_arg)
{
    struct program *program = arg;
    struct connection *connection = calloc(1, sizeof *connection);

    *resource = connection;
    return connection ? loop_connect(scope, &program->address, NULL, &connection->flow, fn, fn_arg) : 0;
}

static void dispose(void *arg, void *resource)
{
    struct connection *connection = resource;

    (void)arg;
    if (connection->flow) {
        loop_fd_destroy(connection->flow->fd);
    }
    free(connection);
}

/* ---- clients ---- */

static void count_down(struct program *program)
{
    if (--program->n_left == 0) {
        struct loop_resources_stats stats;
        loop_resources_get_stats(program->connections, &stats);
        printf("%d clients, %d connections\n", (int)(stats.made + stats.reused), (int)stats.made);
        loop_server_stop(program->server, 0);
    }
}

static void on_answer(void *arg, int64_t count)
{
    struct client *client = arg;
    struct program *program = client->program;

    if (count == 1) {
        printf("%s has its answer\n", client->name);
        loop_resource_release(program->connections, client->connection);
    } else { /* the connection cannot be used again */
        loop_resource_discard(program->connections, client->connection);
    }
    count_down(program);
}

static void on_connection(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == 0) {
        struct loop_flow *flow = ((struct connection *)client->connection)->flow;
        loop_write(&flow->sink, "x", 1, NULL, NULL);
        loop_read(&flow->source, &client->answer, 1, on_answer, client);
    } else {
        fprintf(stderr, "%s: no connection\n", client->name);
        count_down(client->program);
    }
}

static void start_clients(struct program *program)
{
    const char *names[] = {"one", "two", "three"};

    program->n_left = 3;
    for (int i = 0; i < 3; i++) {
        struct client *client = &program->clients[i];
        *client = (struct client){.program = program, .name = names[i]};
        loop_resource_acquire(program->scope, program->connections, &client->connection, on_connection, client);
    }
}

/* ---- the program ---- */

static void echo(struct loop_flow *peer, void *arg)
{
    (void)arg;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

static int start(struct loop_env *env, void *arg)
{
    struct program *program = arg;
    struct loop_resources_options options = {
        .limit = 2, .idle_timeout_ns = 30 * LOOP_SECOND, .make = make, .dispose = dispose, .arg = program};

    program->scope = env->scope;
    loop_address_parse(&program->address, "tcp:127.0.0.1:0");
    if (loop_serve(env->scope, &program->address, NULL, &program->server, echo, NULL) != 0) {
        return EXIT_FAILURE;
    }
    loop_listener_address(loop_server_listener(program->server), &program->address);
    program->connections = loop_resources_create(env->scope, &options);
    if (!program->connections) {
        return EXIT_FAILURE;
    }
    start_clients(program);
    return 0;
}

int main(void)
{
    static struct program program;

    return loop_run(0, 0, 0, NULL, start, &program);
}
