/* SPDX-License-Identifier: ISC
 *
 * The echo server on every processor, until SIGTERM or SIGINT.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <stdio.h>

/* Called in a thread of one of the loops. */
static void on_connection(struct loop_flow *peer, void *arg)
{
    (void)arg;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

static int start(struct loop_env *env, void *address)
{
    const struct loop_domains_options pinned = {.flags = LOOP_DOMAINS_PIN};
    struct loop_serve_options options = {.listen = {.reuse_addr = true},
                                         .stop_on_signals = true,
                                         .domains = loop_processors(),
                                         .domain_options = &pinned};

    return loop_serve(env->scope, address, &options, NULL, on_connection, NULL);
}

int main(int argc, char **argv)
{
    struct loop_address address;

    if (argc != 2 || loop_address_parse(&address, argv[1]) != 0) {
        fprintf(stderr, "usage: echo_domains ADDRESS, for example tcp:127.0.0.1:7000 or unix:/tmp/echo\n");
        return 2;
    }
    return loop_run(0, 0, 0, NULL, start, &address) == 0 ? 0 : 1;
}
