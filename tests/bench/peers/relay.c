/* SPDX-License-Identifier: ISC
 *
 * One direction of a stream by plain calls. See relay.h.
 */
#include "relay.h"

#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rest {
    size_t begin, end;
    char bytes[];
};

static char buffer[RELAY_MOST_BYTES] __attribute__((aligned(64)));
static size_t buffer_bytes = SERVER_READ_BYTES;

void relay_set_buffer(size_t n_bytes)
{
    buffer_bytes = n_bytes < sizeof buffer ? n_bytes : sizeof buffer;
}

/* Returns the number of bytes that `to` accepted, or -1 if it cannot accept any more. */
static ssize_t send_some(struct relay *relay, const char *bytes, size_t n)
{
    ssize_t sent = send(relay->to, bytes, n, MSG_NOSIGNAL);

    return sent >= 0 ? sent : errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static enum relay_state keep_rest(struct relay *relay, const char *bytes, size_t n)
{
    struct rest *rest = malloc(sizeof *rest + n);

    if (!rest) {
        return RELAY_FAILED;
    }
    rest->begin = 0;
    rest->end = n;
    memcpy(rest->bytes, bytes, n);
    relay->rest = rest;
    return RELAY_BLOCKED;
}

static enum relay_state send_rest(struct relay *relay)
{
    struct rest *rest = relay->rest;
    ssize_t sent = send_some(relay, rest->bytes + rest->begin, rest->end - rest->begin);

    if (sent < 0) {
        return RELAY_FAILED;
    }
    rest->begin += (size_t)sent;
    if (rest->begin < rest->end) {
        return RELAY_BLOCKED;
    }
    free(rest);
    relay->rest = NULL;
    return RELAY_MORE;
}

enum relay_state relay_step(struct relay *relay)
{
    ssize_t received, sent;

    if (relay->rest) {
        return send_rest(relay);
    }
    received = recv(relay->from, buffer, buffer_bytes, 0);
    if (received <= 0) {
        return received == 0 ? RELAY_ENDED : errno == EAGAIN || errno == EINTR ? RELAY_EMPTY : RELAY_FAILED;
    }
    sent = send_some(relay, buffer, (size_t)received);
    if (sent < 0) {
        return RELAY_FAILED;
    }
    if (sent < received) {
        return keep_rest(relay, buffer + sent, (size_t)(received - sent));
    }
    return received < (ssize_t)buffer_bytes ? RELAY_SHORT : RELAY_MORE;
}

bool relay_end(struct relay *relay)
{
    relay->ended = true;
    if (!relay->twin->ended) {
        shutdown(relay->to, SHUT_WR);
    }
    return relay->twin->ended;
}

static void close_from(struct relay *relay)
{
    if (relay->from >= 0) {
        close(relay->from);
    }
    relay->from = -1;
    free(relay->rest);
    relay->rest = NULL;
}

void relay_close(struct relay *relay)
{
    close_from(relay);
    close_from(relay->twin);
}

/* ---- the pool ---- */

#define POOL_SIZE (1u << 16)

static struct relay pool[POOL_SIZE];
static unsigned n_used;
static struct relay *unused, *retired; /* lists by `twin` */

static struct relay *take(int from, int to)
{
    struct relay *relay = unused;

    if (relay) {
        unused = relay->twin;
    } else if (n_used < POOL_SIZE) {
        relay = &pool[n_used++];
    } else {
        errno = ENOMEM;
        bench_fail("connections");
    }
    *relay = (struct relay){.from = from, .to = to, .twin = relay};
    return relay;
}

struct relay *relay_new(int near, int far)
{
    struct relay *relay = take(near, far);

    if (far != near) {
        relay->twin = take(far, near);
        relay->twin->twin = relay;
    }
    return relay;
}

void relay_retire(struct relay *relay)
{
    relay->twin = retired;
    retired = relay;
}

void relay_reclaim(void)
{
    while (retired) {
        struct relay *relay = retired;

        retired = relay->twin;
        relay->twin = unused;
        unused = relay;
    }
}
