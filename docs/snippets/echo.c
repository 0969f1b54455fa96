/* SPDX-License-Identifier: ISC
 *
 * The echo server: sends back everything it receives, to any number of clients, until SIGTERM or SIGINT.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <stdio.h>

static void on_connection(struct loop_flow *peer, void *arg)
{
    (void)arg;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

static int start(struct loop_env *env, void *address)
{
    struct loop_serve_options options = {.listen = {.reuse_addr = true}, .stop_on_signals = true};

    return loop_serve(env->scope, address, &options, NULL, on_connection, NULL);
}

int main(int argc, char **argv)
{
    struct loop_address address;

    if (argc != 2 || loop_address_parse(&address, argv[1]) != 0) {
        fprintf(stderr, "usage: echo ADDRESS, for example tcp:127.0.0.1:7000 or unix:/tmp/echo\n");
        return 2;
    }
    return loop_run(0, 0, 0, NULL, start, &address) == 0 ? 0 : 1;
}
