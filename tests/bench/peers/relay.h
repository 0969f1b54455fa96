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
    struct rest *rest;   /* what `to` didn't take */
    struct relay *twin;  /* the other direction: from `to` to `from`. An echo is its own twin */
    bool ended;          /* `from` has come to its end, and `to` was told */
    unsigned char polls; /* for the owner: how many requests in the ring know this relay */
};

enum relay_state {
    RELAY_MORE,    /* there may be more to receive */
    RELAY_SHORT,   /* less came than there was room for: nothing is left, unless the end */
    RELAY_EMPTY,   /* nothing to receive now */
    RELAY_BLOCKED, /* waits until `to` can be written */
    RELAY_ENDED,   /* the end, or an error: see relay_end */
    RELAY_FAILED
};

/* Sends what was left over, or else receives once and sends that. */
enum relay_state relay_step(struct relay *relay);

static inline bool relay_is_blocked(const struct relay *relay)
{
    return relay->rest != NULL;
}

/* True while its descriptor is wanted readable. */
static inline bool relay_wants_input(const struct relay *relay)
{
    return !relay->rest && !relay->ended;
}

/* After RELAY_ENDED: passes the end on. True when the other direction has ended as well, so that both can be closed. */
bool relay_end(struct relay *relay);

/* Closes both descriptors and forgets what was left over. Both relays have a `from` of -1 then. */
void relay_close(struct relay *relay);

/* ---- a pool of them, for those who have nothing else for a connection ---- */

/* A pair of them, or an echo where `far` is `near`; the direction from `near`. */
struct relay *relay_new(int near, int far);

/* The memory is used again only after relay_reclaim: a batch of events may still name it. */
void relay_retire(struct relay *relay);
void relay_reclaim(void);

#endif
