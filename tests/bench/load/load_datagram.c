/* SPDX-License-Identifier: ISC
 *
 * Load on datagram sockets: each socket has one datagram in flight. A datagram that does not return in time is counted
 * as lost and sent again. If both return after all, the second is recognized and ignored.
 */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define LOST_AFTER (200 * BENCH_MILLISECOND)

static void send_message(struct load *load, struct connection *connection)
{
    connection->sent_at[0] = load->now;
    if (send(connection->fd, load->pattern + connection->to_send, load->size, MSG_DONTWAIT) < 0 && errno != EAGAIN) {
        load_fail(load, connection, NULL);
    }
}

static bool is_message(const struct load *load, unsigned place, ssize_t n)
{
    return n == (ssize_t)load->size && memcmp(load_received, load->pattern + place, load->size) == 0;
}

static void on_datagram(struct load *load, struct connection *connection, ssize_t n)
{
    if (!is_message(load, connection->to_send, n)) {
        if (connection->n_stale > 0 && is_message(load, connection->was_at, n)) {
            connection->n_stale--;
        } else {
            load_fail(load, connection, "another datagram came back than was sent");
        }
        return;
    }
    load->now = bench_now();
    load_count(load, connection->sent_at[0]);
    connection->was_at = connection->to_send;
    connection->to_send = load_place_after(connection->to_send, load->size);
    if (load->stopping) {
        load_close(load, connection);
    } else {
        send_message(load, connection);
    }
}

static void ready(struct load *load, struct connection *connection, uint32_t events)
{
    (void)events;
    do {
        ssize_t n = recv(connection->fd, load_received, sizeof load_received, MSG_DONTWAIT);

        if (n < 0) {
            if (errno != EAGAIN) {
                load_fail(load, connection, NULL);
            }
            return;
        }
        on_datagram(load, connection, n);
    } while (connection->fd >= 0 && connection->n_stale > 0);
}

static void tick(struct load *load, struct connection *connection)
{
    if (load->now - connection->sent_at[0] < LOST_AFTER) {
        return;
    }
    load->lost++;
    if (load->stopping) {
        load_close(load, connection);
    } else {
        connection->n_stale++;
        send_message(load, connection);
    }
}

static void begin(struct load *load, struct connection *connection)
{
    load->now = bench_now();
    if (load_open(load, connection, EPOLLIN | EPOLLET)) {
        send_message(load, connection);
    }
}

/* Datagrams in flight return or are lost, so nothing needs to be done. */
static void finish(struct load *load, struct connection *connection)
{
    (void)load;
    (void)connection;
}

const struct load_kind load_datagram_kind = {.begin = begin, .ready = ready, .finish = finish, .tick = tick};
