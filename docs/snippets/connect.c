/* SPDX-License-Identifier: ISC
 *
 * A client: sends its argument and copies the answer to standard output.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <stdio.h>
#include <string.h>

struct client {
    struct loop_address address;
    const char *text;
    struct loop_env *env;
    struct loop_flow *flow;
};

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0) {
        loop_scope_fail(client->env->scope, result);
        return;
    }
    loop_write(&client->flow->sink, client->text, strlen(client->text), NULL, NULL);
    loop_shutdown(&client->flow->sink, NULL, NULL);
    loop_copy(&client->flow->source, client->env->out, NULL, NULL);
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_connect_options options = {.timeout_ns = 5 * LOOP_SECOND};
    struct client *client = arg;

    client->env = env;
    loop_connect(env->scope, &client->address, &options, &client->flow, on_connected, client);
    return 0;
}

int main(int argc, char **argv)
{
    struct client client = {.text = argc == 3 ? argv[2] : ""};
    int result;

    if (argc != 3 || loop_address_parse(&client.address, argv[1]) != 0) {
        fprintf(stderr, "usage: connect ADDRESS TEXT\n");
        return 2;
    }
    result = loop_run(0, 0, 0, NULL, start, &client);
    if (result < 0) {
        fprintf(stderr, "connect: %s: %s\n", argv[1], strerror(-result));
    }
    return result == 0 ? 0 : 1;
}
