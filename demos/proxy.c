/* SPDX-License-Identifier: ISC
 *
 * proxy LISTEN UPSTREAM: carries every connection on to another server.
 *
 * Each connection is two copies, one in each direction. When one comes to its end, the end is passed on and the other
 * direction goes on; when one fails, both sides are closed. A copy reads no faster than its sink takes the bytes, so
 * that a slow reader holds back a fast writer through the proxy.
 */
#include "arguments.h"

#include <errno.h>
#include <stdio.h>

static struct arguments_serving serving = {.grace_ns = 5 * LOOP_SECOND};

static const struct arguments_option options[] = {ARGUMENTS_SERVING(serving)};

static const struct arguments_program program = {
    .name = "proxy",
    .operands = "LISTEN UPSTREAM",
    .about = "Carries every connection at LISTEN on to UPSTREAM, until SIGTERM or SIGINT.\n"
             "Addresses are tcp:127.0.0.1:7000, tcp:[::1]:7000, unix:/path or unix:@name, on either side.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 2,
    .most_operands = 2,
};

struct proxy {
    struct loop_address listen, upstream;
    const char *upstream_text;
};

/* One connection, with both of its sides; lives in the scope of `near`, the side that came to us. */
struct bridge {
    const struct proxy *proxy;
    struct loop_flow *near, *far;
};

/* A direction has ended: with an error both do, otherwise the end is passed on. */
static void pass_end(struct bridge *bridge, struct loop_sink *sink, int64_t result)
{
    if (result < 0) {
        loop_scope_fail(bridge->near->scope, result);
    } else {
        loop_shutdown(sink, NULL, NULL);
    }
}

static void on_near_ended(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    pass_end(bridge, &bridge->far->sink, result);
}

static void on_far_ended(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    pass_end(bridge, &bridge->near->sink, result);
}

static void on_connected(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    if (result < 0) {
        if (!loop_scope_is_cancelled(bridge->near->scope)) {
            arguments_fail(bridge->proxy->upstream_text, result);
        }
        loop_scope_fail(bridge->near->scope, result);
        return;
    }
    if (!loop_copy(&bridge->near->source, &bridge->far->sink, on_near_ended, bridge) ||
        !loop_copy(&bridge->far->source, &bridge->near->sink, on_far_ended, bridge)) {
        loop_scope_fail(bridge->near->scope, -ENOMEM);
    }
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    const struct proxy *proxy = arg;
    struct bridge *bridge = loop_scope_alloc(peer->scope, sizeof *bridge);

    if (!bridge) {
        return;
    }
    bridge->proxy = proxy;
    bridge->near = peer;
    loop_connect(peer->scope, &proxy->upstream, NULL, &bridge->far, on_connected, bridge);
}

static int start(struct loop_env *env, void *arg)
{
    struct proxy *proxy = arg;
    struct loop_server *server;
    char more[LOOP_ADDRESS_TEXT_SIZE];
    int status = arguments_serve(env, &proxy->listen, &serving, &server, on_connection, proxy);

    snprintf(more, sizeof more, " -> upstream %s", proxy->upstream_text);
    return status != 0 ? status : arguments_announce(env, server, more);
}

int main(int argc, char **argv)
{
    char **operands = arguments_parse(&program, argc, argv);
    struct proxy proxy = {.listen = arguments_address(operands[0]),
                          .upstream = arguments_address(operands[1]),
                          .upstream_text = operands[1]};

    return arguments_run(start, &proxy);
}
