/* SPDX-License-Identifier: ISC
 *
 * Declarations that the parts of the load client share.
 *
 * Each connection sends one fixed pattern repeatedly, starting at an offset of its own. The value of a byte follows
 * from the connection and from the number of bytes before it, so lost, duplicated or swapped bytes do not match.
 * Consecutive messages are adjacent in the pattern: one memcmp checks an answer, and one send transmits several
 * messages.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "bench.h"
#include "histogram.h"

#define LOAD_PATTERN_PERIOD 16381u /* a prime: messages of no usual size begin at the same place soon again */

struct load;
struct connection;

/* What is done on a connection. */
struct load_kind {
    void (*begin)(struct load *load, struct connection *connection);
    void (*ready)(struct load *load, struct connection *connection, uint32_t events);
    void (*finish)(struct load *load, struct connection *connection); /* no more messages from now on */
    void (*tick)(struct load *load, struct connection *connection);   /* now and then; may be NULL */
};

extern const struct load_kind load_stream_kind, load_datagram_kind;

struct load {
    struct bench_address target;
    const struct load_kind *kind;
    unsigned n_connections, size, pipeline;
    int64_t seconds_ns, warmup_ns, spin_ns;
    bool churn, touch;
    unsigned hold;
    int server_pid;

    int epoll;
    const unsigned char *pattern; /* one period, and as much more as is ever in flight */
    struct connection *connections;
    unsigned n_open;
    bool measuring, stopping;
    int64_t now;
    uint64_t operations, errors, lost;
    struct histogram times;
};

struct connection {
    int fd; /* -1: closed */
    unsigned index;
    unsigned to_send, to_receive; /* places in the pattern */
    bool waits_to_send, finished;
    size_t unsent;           /* bytes of messages that the socket hasn't taken yet */
    size_t in_flight;        /* bytes that have to come back, the unsent ones among them */
    size_t partial;          /* bytes that have come of a message that isn't whole */
    int64_t *sent_at;        /* of each message in flight: a ring, from `oldest` on */
    unsigned oldest, newest; /* in that ring */
    unsigned n_stale;        /* datagrams that were sent twice: so many answers may come late */
    unsigned was_at;         /* where the datagram before began in the pattern */
};

#define LOAD_RECEIVE_BYTES (256u << 10)
extern unsigned char load_received[LOAD_RECEIVE_BYTES];

/* ---- what the kinds do with them ---- */

static inline unsigned load_place_after(unsigned place, size_t n_bytes)
{
    size_t next = place + n_bytes;
    return (unsigned)(next < LOAD_PATTERN_PERIOD ? next : next % LOAD_PATTERN_PERIOD);
}

static inline void load_count(struct load *load, int64_t began)
{
    if (load->measuring) {
        load->operations++;
        histogram_add(&load->times, load->now - began);
    }
}

/* Opens the connection's socket and has epoll tell of `events`. False, counted and complained about, where it fails. */
bool load_open(struct load *load, struct connection *connection, uint32_t events);
void load_watch(struct load *load, struct connection *connection, uint32_t events);
void load_close(struct load *load, struct connection *connection);

/* Closes it because something was wrong: errno, or what `trouble` says. */
void load_fail(struct load *load, struct connection *connection, const char *trouble);

/* A socket connected to the target, or -1 with errno. */
int load_connect(struct load *load);

/* --hold: opens the connections, says so, and waits for a line. Returns the program's status. */
int load_hold(struct load *load);

#endif
