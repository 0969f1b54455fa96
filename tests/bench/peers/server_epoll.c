/* SPDX-License-Identifier: ISC
 *
 * server_epoll [--level | --edge] [--buffer BYTES] MODE LISTEN [UPSTREAM]
 *
 * The handwritten server on epoll: level-triggered, one receive and one send per event. With --edge it is
 * edge-triggered, and receives until the socket is empty; a short receive means that it is. --buffer sets how much it
 * receives at once. tests/bench/sweep measures which settings are best for which load.
 */
#include "datagrams.h"
#include "relay.h"
#include "server.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 512

static struct server server;
static int epoll;
static bool is_edge;

static uint32_t interest(const struct relay *relay)
{
    if (is_edge) {
        return EPOLLIN | EPOLLRDHUP | EPOLLET | (relay_is_blocked(relay->twin) ? EPOLLOUT : 0u);
    }
    return (relay_wants_input(relay) ? EPOLLIN : 0u) | (relay_is_blocked(relay->twin) ? EPOLLOUT : 0u);
}

static void watch(struct relay *relay, int how)
{
    struct epoll_event event = {.events = interest(relay), .data.ptr = relay};

    if (epoll_ctl(epoll, how, relay->from, &event) != 0) {
        bench_fail("epoll_ctl");
    }
}

static void update(struct relay *relay)
{
    watch(relay, EPOLL_CTL_MOD);
    if (relay->twin != relay) {
        watch(relay->twin, EPOLL_CTL_MOD);
    }
}

static void end(struct relay *relay)
{
    struct relay *twin = relay->twin;

    relay_close(relay);
    if (twin != relay) {
        relay_retire(twin);
    }
    relay_retire(relay);
}

/* Edge-triggered until there is nothing to receive; with `is_sure` only an empty socket counts as that. */
static enum relay_state step(struct relay *relay, bool is_sure)
{
    enum relay_state state;

    do {
        state = relay_step(relay);
    } while (is_edge && (state == RELAY_MORE || (state == RELAY_SHORT && is_sure)));
    return state;
}

static void run(struct relay *relay, bool is_sure)
{
    bool was_blocked = relay_is_blocked(relay);
    enum relay_state state = step(relay, is_sure || was_blocked);

    if (state == RELAY_FAILED || (state == RELAY_ENDED && relay_end(relay))) {
        end(relay);
    } else if (state == RELAY_ENDED || relay_is_blocked(relay) != was_blocked) {
        update(relay);
    }
}

static void on_event(struct relay *relay, uint32_t events)
{
    struct relay *twin = relay->twin;

    if (relay->from < 0) {
        return; /* closed by an event before this one */
    }
    if (relay_is_blocked(twin) && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        run(twin, true);
    }
    if (relay->from < 0) {
        return;
    }
    if (relay_wants_input(relay) && events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        run(relay, events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP));
    } else if (relay->ended && events & (EPOLLERR | EPOLLHUP)) {
        end(relay); /* the other direction has no receiver any more */
    }
}

static void begin(int near)
{
    int far = server_far_end(&server, near);
    struct relay *relay;

    if (far < 0) {
        return;
    }
    relay = relay_new(near, far);
    watch(relay, EPOLL_CTL_ADD);
    if (far != near) {
        watch(relay->twin, EPOLL_CTL_ADD);
    }
}

static void on_socket(int fd)
{
    int near;

    if (server.mode == SERVER_UDP) {
        datagrams_echo(fd);
        return;
    }
    while ((near = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        begin(near);
    }
}

static size_t parse_size(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value < 1 || value > RELAY_MOST_BYTES) {
        bench_refuse("--buffer is a number from 1 to %u, not '%s'", RELAY_MOST_BYTES, text);
    }
    return value;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {{"level", no_argument, NULL, 'l'},
                                            {"edge", no_argument, NULL, 'e'},
                                            {"buffer", required_argument, NULL, 'b'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'l': is_edge = false; break;
        case 'e': is_edge = true; break;
        case 'b': relay_set_buffer(parse_size(optarg)); break;
        default: exit(2);
        }
    }
    argv[optind - 1] = argv[0];
    server = server_arguments(argc - optind + 1, argv + optind - 1, NULL);
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS_AT_ONCE] = {{.events = EPOLLIN, .data.ptr = NULL}};
    int fd;

    parse(argc, argv);
    fd = server_listen(&server);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, events) != 0) {
        bench_fail("epoll");
    }
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_AT_ONCE, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                on_event(events[i].data.ptr, events[i].events);
            } else {
                on_socket(fd);
            }
        }
        relay_reclaim();
    }
}
