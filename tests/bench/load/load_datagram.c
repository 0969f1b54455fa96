/* SPDX-License-Identifier: ISC
 *
 * Load on datagram sockets: each socket has one datagram in flight. A datagram that does not return in time is counted
 * as lost and sent again. If both return after all, the second is recognized and ignored.
 */
#include "load.h"

#include <string.h>

#define LOST_AFTER (200 * BENCH_MILLISECOND)

static void send_message(struct load *load, struct connection *connection)
{
    connection->sent_at[0] = load->now;
    connection->unsent = load->size;
    load->engine->send(load, connection);
}

static bool is_message(const struct load *load, unsigned place, const unsigned char *bytes, size_t n_bytes)
{
    return n_bytes == load->size && memcmp(bytes, load->pattern + place, load->size) == 0;
}

static void received(struct load *load, struct connection *connection, const unsigned char *bytes, size_t n_bytes)
{
    if (!is_message(load, connection->to_send, bytes, n_bytes)) {
        if (connection->n_stale > 0 && is_message(load, connection->was_at, bytes, n_bytes)) {
            connection->n_stale--;
        } else {
            load_fail(load, connection, "another datagram came back than was sent");
        }
        return;
    }
    load_count(load, connection->sent_at[0]);
    connection->was_at = connection->to_send;
    connection->to_send = load_place_after(connection->to_send, load->size);
    if (load->stopping) {
        load_close(load, connection);
    } else {
        send_message(load, connection);
    }
}

static void ended(struct load *load, struct connection *connection)
{
    load_fail(load, connection, "an empty datagram came back");
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
    if (load_open(load, connection)) {
        send_message(load, connection);
    }
}

/* Datagrams in flight return or are lost, so nothing needs to be done. */
static void finish(struct load *load, struct connection *connection)
{
    (void)load;
    (void)connection;
}

const struct load_kind load_datagram_kind = {
    .begin = begin, .received = received, .ended = ended, .finish = finish, .tick = tick};
