/* SPDX-License-Identifier: ISC
 *
 * One direction of a stream by plain calls: sends what it receives from one socket to another, or back to the same one.
 * All relays share one buffer, which stays in the cache. Only bytes that a socket did not accept are stored, and the
 * relay receives nothing more until they are sent.
 *
 * For every server that reacts to readiness, however it learns of it.
 */
#ifndef BENCH_RELAY_H
#define BENCH_RELAY_H

#include <stdbool.h>
#include <stddef.h>

struct rest;

struct relay {
    int from, to;
    struct rest *rest;   /* what `to` did not accept */
    struct relay *twin;  /* the other direction: from `to` to `from`. An echo is its own twin */
    bool ended;          /* `from` has ended, and `to` has been shut down */
    unsigned char polls; /* for the owner: the number of requests in the ring that refer to this relay */
};

enum relay_state {
    RELAY_MORE,    /* there may be more to receive */
    RELAY_SHORT,   /* a short receive: nothing is left, except possibly the end */
    RELAY_EMPTY,   /* nothing to receive now */
    RELAY_BLOCKED, /* waiting until `to` is writable */
    RELAY_ENDED,   /* the end, or an error: see relay_end */
    RELAY_FAILED
};

/* Sets how much is received at once, at most RELAY_MOST_BYTES. Unless called it is SERVER_READ_BYTES. */
#define RELAY_MOST_BYTES (1u << 20)
void relay_set_buffer(size_t n_bytes);

/* Sends the stored rest, if any; otherwise receives once and sends that. */
enum relay_state relay_step(struct relay *relay);

static inline bool relay_is_blocked(const struct relay *relay)
{
    return relay->rest != NULL;
}

/* True while the relay waits for `from` to be readable. */
static inline bool relay_wants_input(const struct relay *relay)
{
    return !relay->rest && !relay->ended;
}

/* After RELAY_ENDED: passes the end on. Returns true if the other direction has ended as well, so that both can be
 * closed. */
bool relay_end(struct relay *relay);

/* Closes both descriptors and discards the stored bytes. Both relays then have a `from` of -1. */
void relay_close(struct relay *relay);

/* ---- a pool of relays, for servers without other per-connection state ---- */

/* Creates a pair of relays, or one echo if `far` is `near`. Returns the direction from `near`. */
struct relay *relay_new(int near, int far);

/* Retires a pair. Its memory is reused only after relay_reclaim, because a batch of events may still refer to it. */
void relay_retire(struct relay *relay);
void relay_reclaim(void);

#endif
