/* SPDX-License-Identifier: ISC
 *
 * proxy LISTEN UPSTREAM: forwards every connection to another server.
 *
 * Each connection is two copies, one in each direction. When one of them reaches the end, the end is passed on and the
 * other direction continues. A copy reads no faster than its sink accepts bytes, so a slow reader holds back a fast
 * writer through the proxy.
 *
 * When one side fails, everything it has sent before is still delivered to the other side, which is then reset: an
 * error must not look like a normal end.
 */
#include "../common/arguments.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* After this time without a connection to upstream, a client that has closed its side without sending anything is taken
 * to have left. */
#define LEAVING_NS LOOP_SECOND

/* Time limit for delivering what the other side had sent before it failed. */
#define DRAIN_NS (5 * LOOP_SECOND)
#define DRAIN_STEP_NS (5 * LOOP_MILLISECOND)

static int64_t connect_timeout_ns = 10 * LOOP_SECOND;

static struct arguments_serving serving = {.grace_ns = 5 * LOOP_SECOND};

static const struct arguments_option options[] = {
    ARGUMENTS_SERVING(serving),
    {.name = "connect-timeout",
     .placeholder = "SECONDS",
     .duration_ns = &connect_timeout_ns,
     .help = "how long UPSTREAM may take to accept a connection (10; 0: as long as the kernel tries)"}};

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

enum { TO_FAR, TO_NEAR };

/* One connection with its two sides. It lives in the scope of `near`, the accepted side. */
struct bridge {
    const struct proxy *proxy;
    struct loop *loop;
    struct loop_flow *near, *far;
    loop_job connecting, watch, leaving;
    loop_job copies[2]; /* 0: ended */
    struct loop_copy_outcome outcomes[2];
    int64_t error; /* the first error */
    int64_t drain_until_ns;
};

static void reset(struct bridge *bridge, struct loop_flow *flow)
{
    (void)loop_socket_set(flow->fd, LOOP_SO_LINGER_S, 0);
    loop_scope_fail(bridge->near->scope, bridge->error);
}

/* ---- failed connections ---- */

static bool is_broken(struct loop_flow *flow)
{
    struct pollfd entry = {.fd = loop_fd_peek(flow->fd)};

    return poll(&entry, 1, 0) > 0 && (entry.revents & (POLLERR | POLLHUP));
}

/* Returns whether there are bytes that the peer has not received: a reset would drop them. */
static bool has_unsent(struct loop_flow *flow)
{
    int queued = 0;

    return ioctl(loop_fd_peek(flow->fd), SIOCOUTQ, &queued) == 0 && queued > 0;
}

static void drain(void *arg, int64_t result)
{
    struct bridge *bridge = arg;
    bool is_over = result < 0 || loop_now(bridge->loop) >= bridge->drain_until_ns;

    if (is_over || !has_unsent(bridge->near) || !loop_sleep(bridge->near->scope, DRAIN_STEP_NS, drain, bridge)) {
        reset(bridge, bridge->near);
    }
}

/* Ends the connection after both directions have ended, at least one with an error. */
static void break_off(struct bridge *bridge)
{
    if (is_broken(bridge->near)) {
        reset(bridge, bridge->far);
    } else {
        bridge->drain_until_ns = loop_now(bridge->loop) + DRAIN_NS;
        drain(bridge, 0);
    }
}

/* One direction has failed. If its sink failed, the other direction reads from that side: it ends by itself when
 * everything from there has been delivered. If its source failed, the other direction writes to that side: it is
 * cancelled. */
static void on_failed(struct bridge *bridge, int direction, int64_t error)
{
    struct loop_flow *from = direction == TO_FAR ? bridge->near : bridge->far;
    struct loop_flow *to = direction == TO_FAR ? bridge->far : bridge->near;

    bridge->error = bridge->error < 0 ? bridge->error : error;
    if (is_broken(from) || !is_broken(to)) {
        loop_cancel(bridge->loop, bridge->copies[!direction]);
    }
}

static void on_ended(struct bridge *bridge, int direction, int64_t result)
{
    bridge->copies[direction] = 0;
    if (result < 0) {
        on_failed(bridge, direction, result);
    } else if (bridge->error == 0) {
        loop_shutdown(direction == TO_FAR ? &bridge->far->sink : &bridge->near->sink, NULL, NULL);
    }
    if (bridge->error < 0 && !bridge->copies[!direction]) {
        break_off(bridge);
    }
}

/* The result is a count of bytes. Only the outcome distinguishes the end of the source from an error. */
static void on_near_ended(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    (void)result;
    on_ended(bridge, TO_FAR, bridge->outcomes[TO_FAR].error);
}

static void on_far_ended(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    (void)result;
    on_ended(bridge, TO_NEAR, bridge->outcomes[TO_NEAR].error);
}

/* ---- connecting to upstream ---- */

static void on_left(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    bridge->leaving = 0;
    if (result == 0) {
        loop_cancel(bridge->loop, bridge->connecting);
    }
}

/* The client has closed its side, or both. A request sent before that is still forwarded. */
static void on_near_event(void *arg, int64_t events)
{
    struct bridge *bridge = arg;
    char byte;

    bridge->watch = 0;
    if (events < 0) {
        return;
    }
    if (events & (POLLHUP | POLLERR)) {
        loop_cancel(bridge->loop, bridge->connecting);
    } else if (recv(loop_fd_peek(bridge->near->fd), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        bridge->leaving = loop_sleep(bridge->near->scope, LEAVING_NS, on_left, bridge);
    }
}

static void stop_watching(struct bridge *bridge)
{
    bridge->connecting = 0;
    loop_cancel(bridge->loop, bridge->watch);
    loop_cancel(bridge->loop, bridge->leaving);
}

static void on_connected(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    stop_watching(bridge);
    if (result < 0) {
        if (result != -ECANCELED) {
            arguments_fail(bridge->proxy->upstream_text, result);
        }
        bridge->error = result;
        reset(bridge, bridge->near);
        return;
    }
    bridge->copies[TO_FAR] =
        loop_copy_report(&bridge->near->source, &bridge->far->sink, &bridge->outcomes[TO_FAR], on_near_ended, bridge);
    bridge->copies[TO_NEAR] =
        loop_copy_report(&bridge->far->source, &bridge->near->sink, &bridge->outcomes[TO_NEAR], on_far_ended, bridge);
    if (!bridge->copies[TO_FAR] || !bridge->copies[TO_NEAR]) {
        loop_scope_fail(bridge->near->scope, -ENOMEM);
    }
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    const struct loop_connect_options options_of_connect = {.timeout_ns = connect_timeout_ns};
    const struct proxy *proxy = arg;
    struct bridge *bridge = loop_scope_alloc(peer->scope, sizeof *bridge);

    if (!bridge) {
        return;
    }
    bridge->proxy = proxy;
    bridge->loop = loop_scope_loop(peer->scope);
    bridge->near = peer;
    bridge->watch = loop_poll(peer->fd, POLLRDHUP, on_near_event, bridge);
    bridge->connecting =
        loop_connect(peer->scope, &proxy->upstream, &options_of_connect, &bridge->far, on_connected, bridge);
    if (!bridge->connecting) {
        stop_watching(bridge);
    }
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
