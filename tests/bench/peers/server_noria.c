/* SPDX-License-Identifier: ISC
 *
 * The server on Noria, written as an ordinary program would be. The demos echo and proxy differ only by their options.
 */
#include "server.h"

#include <errno.h>
#include <net/net.h>
#include <unistd.h>

#define BUSY_POLL_NS                                                                                                   \
    (100 * LOOP_MICROSECOND) /* with --busy-poll: longer than the time to one connection's next message */

static struct server server;

static struct loop_address convert(const struct bench_address *from)
{
    char text[BENCH_ADDRESS_TEXT_SIZE];
    struct loop_address address;

    bench_address_format(from, text);
    if (loop_address_parse(&address, text) != 0) {
        bench_refuse("'%s' is no address", text);
    }
    return address;
}

/* ---- echo ---- */

static void echo(struct loop_flow *peer, void *arg)
{
    (void)arg;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

/* ---- proxy ---- */

struct bridge {
    struct loop_flow *near, *far;
    struct loop_copy_outcome to_far, to_near;
};

static void pass_end(struct bridge *bridge, struct loop_sink *sink, int error)
{
    if (error < 0) {
        loop_scope_fail(bridge->near->scope, error);
    } else {
        loop_shutdown(sink, NULL, NULL);
    }
}

static void on_near_ended(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    (void)result;
    pass_end(bridge, &bridge->far->sink, bridge->to_far.error);
}

static void on_far_ended(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    (void)result;
    pass_end(bridge, &bridge->near->sink, bridge->to_near.error);
}

static void on_connected(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    if (result < 0) {
        loop_scope_fail(bridge->near->scope, result);
        return;
    }
    loop_copy_report(&bridge->near->source, &bridge->far->sink, &bridge->to_far, on_near_ended, bridge);
    loop_copy_report(&bridge->far->source, &bridge->near->sink, &bridge->to_near, on_far_ended, bridge);
}

static void proxy(struct loop_flow *peer, void *upstream)
{
    struct bridge *bridge = loop_scope_alloc(peer->scope, sizeof *bridge);

    if (bridge) {
        bridge->near = peer;
        loop_connect(peer->scope, upstream, NULL, &bridge->far, on_connected, bridge);
    }
}

/* ---- datagrams ---- */

static void on_datagram(void *socket, int64_t result, const struct loop_datagram *datagram)
{
    if (datagram && result >= 0) {
        loop_datagram_put(socket, datagram->sender, datagram->data, datagram->len);
    }
}

static int echo_datagrams(struct loop_env *env)
{
    struct loop_address listen = convert(&server.listen);
    struct loop_datagram_options options = {.bind_to = &listen};
    struct loop_datagram_socket *socket;
    int error = loop_datagram_open(env->scope, &options, &socket);

    if (error == 0) {
        loop_datagram_stream(socket, on_datagram, socket);
        server_announce(loop_fd_peek(loop_datagram_fd(socket)));
    }
    return error;
}

/* ---- all ---- */

static int start(struct loop_env *env, void *upstream)
{
    struct loop_address listen = convert(&server.listen);
    struct loop_server *served;
    struct loop_serve_options options = {
        .listen = {.reuse_addr = true}, .stop_on_signals = true, .grace_ns = LOOP_SECOND};
    int error;

    bench_remove_file(&server.listen); /* a server killed a moment ago may still be listening there */
    error = loop_serve(env->scope, &listen, &options, &served, server.mode == SERVER_PROXY ? proxy : echo, upstream);
    if (error == 0) {
        server_announce(loop_fd_peek(loop_listener_fd(loop_server_listener(served))));
    }
    return error;
}

static int start_any(struct loop_env *env, void *upstream)
{
    return server.mode == SERVER_UDP ? echo_datagrams(env) : start(env, upstream);
}

int main(int argc, char **argv)
{
    struct loop_address upstream = {0};
    struct loop_options options = {0};
    int error;

    server = server_arguments(argc, argv, "--busy-poll");
    options.busy_poll_ns = server.option ? BUSY_POLL_NS : 0;
    if (server.mode == SERVER_PROXY) {
        upstream = convert(&server.upstream);
    }
    error = loop_run_with(&options, start_any, &upstream);
    if (error != 0) {
        errno = -error;
        bench_fail("the loop");
    }
    return 0;
}
