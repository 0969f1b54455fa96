/* SPDX-License-Identifier: ISC
 *
 * A client by name: sends its argument and copies the answer to standard output. With two arguments it prints the
 * addresses of a host.
 */
#include <loop/loop.h>
#include <net/names.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
    const char *host, *service, *text;
    struct loop_env *env;
    struct loop_flow *flow;
    struct loop_addresses *addresses;
    struct loop_name_error error;
};

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0) {
        fprintf(stderr, "%s\n", client->error.text);
        loop_scope_fail(client->env->scope, result);
        return;
    }
    loop_write(&client->flow->sink, client->text, strlen(client->text), NULL, NULL);
    loop_shutdown(&client->flow->sink, NULL, NULL);
    loop_copy(&client->flow->source, client->env->out, NULL, NULL);
}

static void on_found(void *arg, int64_t result)
{
    struct client *client = arg;
    char text[LOOP_ADDRESS_TEXT_SIZE];

    if (result < 0) {
        fprintf(stderr, "%s\n", client->error.text);
        loop_scope_fail(client->env->scope, result);
        return;
    }
    for (size_t i = 0; i < client->addresses->count; i++) {
        loop_address_format(&client->addresses->items[i], text, sizeof text);
        puts(text);
    }
    free(client->addresses);
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_connect_name_options connect = {.timeout_ns = 5 * LOOP_SECOND};
    struct loop_resolve_options resolve = {.timeout_ns = 5 * LOOP_SECOND};
    struct client *client = arg;

    client->env = env;
    if (client->text) {
        loop_connect_name(env->scope, client->host, client->service, &connect, &client->flow, &client->error,
                          on_connected, client);
    } else {
        loop_resolve_name(env->scope, client->host, client->service, &resolve, &client->addresses, &client->error,
                          on_found, client);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: names HOST SERVICE [TEXT]\n");
        return 2;
    }
    struct client client = {.host = argv[1], .service = argv[2], .text = argv[3]};
    return loop_run(0, 0, 0, NULL, start, &client) == 0 ? 0 : 1;
}
