/* SPDX-License-Identifier: ISC
 *
 * The server on libevent: plain calls from its events, as fast programs on libevent do. With --bufferevent it uses
 * libevent's buffered streams, with their limits for a single read and a single write set to 64 KiB.
 */
#include "datagrams.h"
#include "relay.h"
#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST_UNSENT (1u << 20) /* above this the other side is not read */

static struct server server;
static struct event_base *base;

/* ---- plain events ---- */

/* One direction. The event watches `from`, or `to` while `to` is not writable. */
struct direction {
    struct event event;
    struct relay relay;
};

static struct direction *twin_of(const struct direction *direction)
{
    return (struct direction *)(void *)((char *)direction->relay.twin - offsetof(struct direction, relay));
}

static void on_ready(evutil_socket_t fd, short events, void *arg);

static void watch(struct direction *direction)
{
    const struct relay *relay = &direction->relay;

    event_del(&direction->event);
    if (relay_is_blocked(relay)) {
        event_assign(&direction->event, base, relay->to, EV_WRITE | EV_PERSIST, on_ready, direction);
        event_add(&direction->event, NULL);
    } else if (!relay->ended) {
        event_assign(&direction->event, base, relay->from, EV_READ | EV_PERSIST, on_ready, direction);
        event_add(&direction->event, NULL);
    }
}

static void end(struct direction *direction)
{
    struct direction *twin = twin_of(direction);

    event_del(&direction->event);
    event_del(&twin->event);
    relay_close(&direction->relay);
    if (twin != direction) {
        free(twin);
    }
    free(direction);
}

static void on_ready(evutil_socket_t fd, short events, void *arg)
{
    struct direction *direction = arg;
    bool was_blocked = relay_is_blocked(&direction->relay);
    enum relay_state state = relay_step(&direction->relay);

    (void)fd;
    (void)events;
    if (state == RELAY_FAILED || (state == RELAY_ENDED && relay_end(&direction->relay))) {
        end(direction);
    } else if (state == RELAY_ENDED || relay_is_blocked(&direction->relay) != was_blocked) {
        watch(direction);
    }
}

static struct direction *make(int from, int to)
{
    struct direction *direction = bench_alloc(1, sizeof *direction);

    direction->relay = (struct relay){.from = from, .to = to, .twin = &direction->relay};
    event_assign(&direction->event, base, from, EV_READ | EV_PERSIST, on_ready, direction);
    return direction;
}

static void begin_plain(int near, int far)
{
    struct direction *direction = make(near, far);

    if (far != near) {
        struct direction *twin = make(far, near);

        direction->relay.twin = &twin->relay;
        twin->relay.twin = &direction->relay;
        event_add(&twin->event, NULL);
    }
    event_add(&direction->event, NULL);
}

/* ---- buffered streams ---- */

/* One side; an echo is its own twin. */
struct side {
    struct bufferevent *stream;
    struct side *twin;
    bool ended; /* it has reached its end */
    bool held;  /* it is not read while its twin is slow */
};

static void free_side(struct side *side)
{
    bufferevent_free(side->stream);
    free(side);
}

static void free_both(struct side *side)
{
    struct side *twin = side->twin;

    if (twin != side) {
        free_side(twin);
    }
    free_side(side);
}

static void on_bytes(struct bufferevent *stream, void *arg)
{
    struct side *side = arg;
    struct evbuffer *output = bufferevent_get_output(side->twin->stream);

    evbuffer_add_buffer(output, bufferevent_get_input(stream));
    if (evbuffer_get_length(output) > MOST_UNSENT) {
        side->held = true;
        bufferevent_disable(stream, EV_READ);
    }
}

/* Everything for this side has been sent: resumes its twin, or passes on the end of the twin. */
static void on_sent(struct bufferevent *stream, void *arg)
{
    struct side *side = arg;

    if (side->twin->held) {
        side->twin->held = false;
        bufferevent_enable(side->twin->stream, EV_READ);
    }
    if (!side->twin->ended) {
        return;
    }
    if (side->ended && evbuffer_get_length(bufferevent_get_output(side->twin->stream)) == 0) {
        free_both(side);
    } else {
        shutdown(bufferevent_getfd(stream), SHUT_WR);
    }
}

static void on_end(struct bufferevent *stream, short events, void *arg)
{
    struct side *side = arg;

    if (!(events & BEV_EVENT_EOF)) {
        free_both(side);
        return;
    }
    side->ended = true;
    bufferevent_disable(stream, EV_READ);
    if (evbuffer_get_length(bufferevent_get_output(side->twin->stream)) == 0) {
        on_sent(side->twin->stream, side->twin);
    }
}

static struct side *make_side(int fd)
{
    struct side *side = bench_alloc(1, sizeof *side);

    *side = (struct side){.stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE), .twin = side};
    if (!side->stream) {
        bench_fail("bufferevent");
    }
    bufferevent_set_max_single_read(side->stream, SERVER_READ_BYTES);
    bufferevent_set_max_single_write(side->stream, SERVER_READ_BYTES);
    bufferevent_setcb(side->stream, on_bytes, on_sent, on_end, side);
    return side;
}

static void begin_buffered(int near, int far)
{
    struct side *side = make_side(near);

    if (far != near) {
        side->twin = make_side(far);
        side->twin->twin = side;
        bufferevent_enable(side->twin->stream, EV_READ | EV_WRITE);
    }
    bufferevent_enable(side->stream, EV_READ | EV_WRITE);
}

/* ---- all ---- */

static void on_connection(struct evconnlistener *listener, evutil_socket_t near, struct sockaddr *address, int length,
                          void *arg)
{
    int far = server_far_end(&server, near);

    (void)listener;
    (void)address;
    (void)length;
    (void)arg;
    if (far < 0) {
        return;
    }
    if (server.option) {
        begin_buffered(near, far);
    } else {
        begin_plain(near, far);
    }
}

static void on_datagrams(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    (void)arg;
    datagrams_echo(fd);
}

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *made;

    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    made = event_base_new_with_config(config);
    event_config_free(config);
    if (!made) {
        bench_fail("libevent");
    }
    return made;
}

int main(int argc, char **argv)
{
    struct event datagrams;
    int fd;

    server = server_arguments(argc, argv, "--bufferevent");
    base = make_base();
    fd = server_listen(&server);
    if (server.mode == SERVER_UDP) {
        event_assign(&datagrams, base, fd, EV_READ | EV_PERSIST, on_datagrams, NULL);
        event_add(&datagrams, NULL);
    } else if (!evconnlistener_new(base, on_connection, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd)) {
        bench_fail("listener");
    }
    return event_base_dispatch(base) == 0 ? 0 : 1;
}
