/* SPDX-License-Identifier: ISC
 *
 * Load on stream sockets: each connection keeps a fixed number of messages in flight. An answered message is replaced
 * by the next one; messages answered together are replaced in one send. With --churn an answered message closes the
 * connection, and a new connection replaces it.
 */
#include "load.h"

#include <string.h>

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
    load->engine->send(load, connection);
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

static bool is_as_sent(const struct load *load, const struct connection *connection, const unsigned char *bytes,
                       size_t n_bytes)
{
    return n_bytes <= connection->in_flight - connection->unsent &&
           memcmp(bytes, load->pattern + connection->to_receive, n_bytes) == 0;
}

static void begin(struct load *load, struct connection *connection)
{
    load->now = bench_now();
    if (load_open(load, connection)) {
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

static void received(struct load *load, struct connection *connection, const unsigned char *bytes, size_t n_bytes)
{
    if (is_as_sent(load, connection, bytes, n_bytes)) {
        on_messages(load, connection, take_bytes(load, connection, n_bytes));
    } else {
        load_fail(load, connection, "other bytes came back than were sent");
    }
}

static void ended(struct load *load, struct connection *connection)
{
    if (connection->finished) {
        load_close(load, connection);
    } else {
        load_fail(load, connection, "the server closed the connection");
    }
}

const struct load_kind load_stream_kind = {.begin = begin, .received = received, .ended = ended, .finish = finish};
