/* SPDX-License-Identifier: ISC
 *
 * The load client on epoll: edge-triggered, so that a registration rarely changes, and plain calls.
 */
#include "load.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define READABLE (EPOLLIN | EPOLLRDHUP | EPOLLET)
#define EVENTS_AT_ONCE 256
#define RECEIVE_BYTES (256u << 10)

static unsigned char received[RECEIVE_BYTES] __attribute__((aligned(64)));
static int epoll;

static bool open_epoll(struct load *load)
{
    (void)load;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        bench_fail("epoll");
    }
    return true;
}

static void control(struct connection *connection, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};

    if (epoll_ctl(epoll, how, connection->fd, &event) != 0) {
        bench_fail("epoll_ctl");
    }
}

static void watch(struct load *load, struct connection *connection)
{
    (void)load;
    connection->waits_to_send = false;
    control(connection, EPOLL_CTL_ADD, READABLE);
}

static void close_socket(struct load *load, struct connection *connection)
{
    (void)load;
    close(connection->fd);
}

/* Sends the unsent bytes, and waits for room for those that the socket does not accept. */
static void send_now(struct load *load, struct connection *connection)
{
    ssize_t sent =
        send(connection->fd, load->pattern + connection->to_send, connection->unsent, MSG_DONTWAIT | MSG_NOSIGNAL);
    bool waits;

    if (sent < 0 && errno != EAGAIN) {
        load_fail(load, connection, NULL);
        return;
    }
    load_sent(load, connection, sent > 0 ? (size_t)sent : 0);
    waits = connection->unsent > 0;
    if (waits != connection->waits_to_send) {
        connection->waits_to_send = waits;
        control(connection, EPOLL_CTL_MOD, waits ? READABLE | EPOLLOUT : READABLE);
    }
}

static void send_unsent(struct load *load, struct connection *connection)
{
    if (!connection->waits_to_send) {
        send_now(load, connection);
    }
}

/* Returns false when nothing more can be received now. */
static bool receive(struct load *load, struct connection *connection, uint32_t events)
{
    ssize_t n = recv(connection->fd, received, sizeof received, MSG_DONTWAIT);

    if (n > 0) {
        load->now = bench_now();
        load->kind->received(load, connection, received, (size_t)n);
        return n == (ssize_t)sizeof received || events & ~(uint32_t)(EPOLLIN | EPOLLOUT) || connection->n_stale > 0;
    }
    if (n == 0) {
        load->kind->ended(load, connection);
    } else if (errno != EAGAIN) {
        load_fail(load, connection, NULL);
    }
    return false;
}

static void on_event(struct load *load, struct connection *connection, uint32_t events)
{
    if (connection->fd >= 0 && connection->waits_to_send && events & EPOLLOUT) {
        send_now(load, connection);
    }
    while (connection->fd >= 0 && events & ~(uint32_t)EPOLLOUT && receive(load, connection, events)) {
    }
}

static int wait_for_events(struct load *load, struct epoll_event *events, int64_t until)
{
    int64_t spin_until = load->now + load->spin_ns;

    while (load->spin_ns > 0 && load->now < spin_until) {
        int n = epoll_wait(epoll, events, EVENTS_AT_ONCE, 0);

        if (n != 0) {
            return n;
        }
        load->now = bench_now();
    }
    return epoll_wait(epoll, events, EVENTS_AT_ONCE, (int)((until - load->now) / BENCH_MILLISECOND) + 1);
}

static void turn(struct load *load, int64_t until)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int n = wait_for_events(load, events, until);

    load->now = bench_now();
    for (int i = 0; i < n; i++) {
        on_event(load, events[i].data.ptr, events[i].events);
    }
}

const struct load_engine load_epoll_engine = {
    .name = "epoll", .open = open_epoll, .watch = watch, .send = send_unsent, .close = close_socket, .turn = turn};
