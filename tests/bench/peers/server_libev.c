/* SPDX-License-Identifier: ISC
 *
 * The server on libev: plain calls from its watchers, as fast programs on libev do.
 */
#include "datagrams.h"
#include "relay.h"
#include "server.h"

#include <ev.h>
#include <stdlib.h>
#include <unistd.h>

/* One direction. The watcher watches `from`, or `to` while `to` is not writable. */
struct direction {
    ev_io watcher;
    struct relay relay;
};

static struct server server;

static struct direction *twin_of(const struct direction *direction)
{
    return (struct direction *)(void *)((char *)direction->relay.twin - offsetof(struct direction, relay));
}

static void end(struct ev_loop *loop, struct direction *direction)
{
    struct direction *twin = twin_of(direction);

    ev_io_stop(loop, &direction->watcher);
    ev_io_stop(loop, &twin->watcher);
    relay_close(&direction->relay);
    if (twin != direction) {
        free(twin);
    }
    free(direction);
}

static void watch(struct ev_loop *loop, struct direction *direction)
{
    const struct relay *relay = &direction->relay;

    ev_io_stop(loop, &direction->watcher);
    if (relay_is_blocked(relay)) {
        ev_io_set(&direction->watcher, relay->to, EV_WRITE);
        ev_io_start(loop, &direction->watcher);
    } else if (!relay->ended) {
        ev_io_set(&direction->watcher, relay->from, EV_READ);
        ev_io_start(loop, &direction->watcher);
    }
}

static void on_ready(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct direction *direction = (struct direction *)watcher;
    bool was_blocked = relay_is_blocked(&direction->relay);
    enum relay_state state = relay_step(&direction->relay);

    (void)events;
    if (state == RELAY_FAILED || (state == RELAY_ENDED && relay_end(&direction->relay))) {
        end(loop, direction);
    } else if (state == RELAY_ENDED || relay_is_blocked(&direction->relay) != was_blocked) {
        watch(loop, direction);
    }
}

static struct direction *make(int from, int to)
{
    struct direction *direction = bench_alloc(1, sizeof *direction);

    direction->relay = (struct relay){.from = from, .to = to, .twin = &direction->relay};
    ev_io_init(&direction->watcher, on_ready, from, EV_READ);
    return direction;
}

static void begin(struct ev_loop *loop, int near)
{
    int far = server_far_end(&server, near);
    struct direction *direction;

    if (far < 0) {
        return;
    }
    direction = make(near, far);
    if (far != near) {
        struct direction *twin = make(far, near);

        direction->relay.twin = &twin->relay;
        twin->relay.twin = &direction->relay;
        ev_io_start(loop, &twin->watcher);
    }
    ev_io_start(loop, &direction->watcher);
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int events)
{
    int near;

    (void)events;
    if (server.mode == SERVER_UDP) {
        datagrams_echo(watcher->fd);
        return;
    }
    while ((near = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        begin(loop, near);
    }
}

int main(int argc, char **argv)
{
    struct ev_loop *loop;
    ev_io watcher;

    server = server_arguments(argc, argv, NULL);
    loop = ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (!loop) {
        bench_fail("libev");
    }
    ev_io_init(&watcher, on_socket, server_listen(&server), EV_READ);
    ev_io_start(loop, &watcher);
    ev_run(loop, 0);
    return 0;
}
