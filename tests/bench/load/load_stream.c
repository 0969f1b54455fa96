/* SPDX-License-Identifier: ISC
 *
 * Load on stream sockets: each connection keeps a fixed number of messages in flight. An answered message is replaced
 * by the next one; messages answered together are replaced in one send. With --churn an answered message closes the
 * connection, and a new connection replaces it.
 */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* Edge-triggered: one event per change, so that the registration never changes. */
#define READABLE (EPOLLIN | EPOLLRDHUP | EPOLLET)

/* Sends the unsent bytes, and records what the socket does not accept. */
static void send_unsent(struct load *load, struct connection *connection)
{
    ssize_t sent =
        send(connection->fd, load->pattern + connection->to_send, connection->unsent, MSG_DONTWAIT | MSG_NOSIGNAL);
    bool waits;

    if (sent < 0 && errno != EAGAIN) {
        load_fail(load, connection, NULL);
        return;
    }
    if (sent > 0) {
        connection->to_send = load_place_after(connection->to_send, (size_t)sent);
        connection->unsent -= (size_t)sent;
    }
    waits = connection->unsent > 0;
    if (waits != connection->waits_to_send) {
        connection->waits_to_send = waits;
        load_watch(load, connection, waits ? READABLE | EPOLLOUT : READABLE);
    }
}

static unsigned after(const struct load *load, unsigned message)
{
    return message + 1 < load->pipeline ? message + 1 : 0;
}

static void send_messages(struct load *load, struct connection *connection, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        connection->sent_at[connection->newest] = load->now;
        connection->newest = after(load, connection->newest);
    }
    connection->in_flight += (size_t)n * load->size;
    connection->unsent += (size_t)n * load->size;
    if (!connection->waits_to_send) {
        send_unsent(load, connection);
    }
}

/* Counts correct bytes. Returns the number of messages that they complete. */
static unsigned take_bytes(struct load *load, struct connection *connection, size_t n_bytes)
{
    unsigned n = 0;

    connection->to_receive = load_place_after(connection->to_receive, n_bytes);
    connection->in_flight -= n_bytes;
    for (connection->partial += n_bytes; connection->partial >= load->size; connection->partial -= load->size) {
        load_count(load, connection->sent_at[connection->oldest]);
        connection->oldest = after(load, connection->oldest);
        n++;
    }
    return n;
}

static bool is_as_sent(const struct load *load, const struct connection *connection, size_t n_bytes)
{
    return n_bytes <= connection->in_flight - connection->unsent &&
           memcmp(load_received, load->pattern + connection->to_receive, n_bytes) == 0;
}

static void begin(struct load *load, struct connection *connection)
{
    load->now = bench_now();
    if (load_open(load, connection, READABLE)) {
        send_messages(load, connection, load->pipeline);
    }
}

/* Shuts down the sending direction; the server then ends its own. */
static void finish(struct load *load, struct connection *connection)
{
    (void)load;
    if (connection->in_flight == 0 && !connection->finished) {
        connection->finished = true;
        shutdown(connection->fd, SHUT_WR);
    }
}

static void on_messages(struct load *load, struct connection *connection, unsigned n)
{
    if (load->churn && n > 0) {
        load_close(load, connection);
        if (!load->stopping) {
            begin(load, connection);
        }
    } else if (load->stopping) {
        finish(load, connection);
    } else if (n > 0) {
        send_messages(load, connection, n);
    }
}

static void on_bytes(struct load *load, struct connection *connection, size_t n_bytes)
{
    if (is_as_sent(load, connection, n_bytes)) {
        load->now = bench_now();
        on_messages(load, connection, take_bytes(load, connection, n_bytes));
    } else {
        load_fail(load, connection, "other bytes came back than were sent");
    }
}

/* Returns false when nothing more can be received now. */
static bool receive(struct load *load, struct connection *connection, uint32_t events)
{
    ssize_t n = recv(connection->fd, load_received, sizeof load_received, MSG_DONTWAIT);

    if (n > 0) {
        on_bytes(load, connection, (size_t)n);
        return connection->fd >= 0 && (n == (ssize_t)sizeof load_received || events & ~(uint32_t)(EPOLLIN | EPOLLOUT));
    }
    if (n < 0 && errno != EAGAIN) {
        load_fail(load, connection, NULL);
    } else if (n == 0 && !connection->finished) {
        load_fail(load, connection, "the server closed the connection");
    } else if (n == 0) {
        load_close(load, connection);
    }
    return false;
}

static void ready(struct load *load, struct connection *connection, uint32_t events)
{
    if (connection->waits_to_send && events & EPOLLOUT) {
        send_unsent(load, connection);
    }
    while (connection->fd >= 0 && events & ~(uint32_t)EPOLLOUT && receive(load, connection, events)) {
    }
}

const struct load_kind load_stream_kind = {.begin = begin, .ready = ready, .finish = finish};
