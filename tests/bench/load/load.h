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

#define LOAD_PATTERN_PERIOD 16381u /* a prime, so that messages of usual sizes rarely start at the same offset */

struct load;
struct connection;

/* The functions of one kind of load. */
struct load_kind {
    void (*begin)(struct load *load, struct connection *connection);
    /* Bytes of a stream, or one datagram. They are valid during the call. */
    void (*received)(struct load *load, struct connection *connection, const unsigned char *bytes, size_t n_bytes);
    void (*ended)(struct load *load, struct connection *connection);  /* by the server */
    void (*finish)(struct load *load, struct connection *connection); /* stops sending messages */
    void (*tick)(struct load *load, struct connection *connection);   /* called periodically; may be NULL */
};

extern const struct load_kind load_stream_kind, load_datagram_kind;

/* The functions of one interface of the kernel. Both serve every kind of load. */
struct load_engine {
    const char *name;
    bool (*open)(struct load *load);                                 /* false: not on this kernel */
    void (*watch)(struct load *load, struct connection *connection); /* starts to receive on a new socket */
    void (*send)(struct load *load,
                 struct connection *connection); /* sends what is unsent, now or when there is room */
    void (*close)(struct load *load, struct connection *connection);
    /* Waits at most until then, and passes what has arrived to the kind of load. */
    void (*turn)(struct load *load, int64_t until);
};

extern const struct load_engine load_uring_engine, load_epoll_engine;

enum { LOAD_TARGETS_MAX = 64 };

struct load {
    struct bench_address targets[LOAD_TARGETS_MAX];
    unsigned n_targets;
    const struct load_kind *kind;
    const struct load_engine *engine;
    unsigned n_connections, size, pipeline;
    unsigned batch; /* how many completions a turn waits for, on io_uring */
    int64_t seconds_ns, warmup_ns, spin_ns;
    bool churn, touch;
    unsigned hold;
    int server_pid, beside_pid;

    const unsigned char *pattern; /* one period, and as many more bytes as are ever in flight */
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
    unsigned to_send, to_receive; /* offsets into the pattern */
    bool waits_to_send, finished;
    size_t unsent;           /* bytes that the engine has not sent yet */
    size_t in_flight;        /* bytes to be received, including the unsent ones */
    size_t partial;          /* received bytes of an incomplete message */
    int64_t *sent_at;        /* of each message in flight: a ring, from `oldest` on */
    unsigned oldest, newest; /* in that ring */
    unsigned n_stale;        /* datagrams sent twice: the number of late answers to ignore */
    unsigned was_at;         /* the previous datagram's offset in the pattern */
};

static inline bool load_is_datagram(const struct load *load)
{
    return load->targets[0].type == SOCK_DGRAM;
}

/* ---- for the kinds of load ---- */

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

/* Opens the connection's socket and starts to receive. On an error counts it, prints it and returns false. */
bool load_open(struct load *load, struct connection *connection);
void load_close(struct load *load, struct connection *connection);

/* Closes the connection after an error, which is `trouble`, or errno. */
void load_fail(struct load *load, struct connection *connection, const char *trouble);

/* ---- for the engines ---- */

/* Records that the next bytes of a connection have been sent. The rest of a datagram is lost. */
void load_sent(struct load *load, struct connection *connection, size_t n_bytes);

/* ---- others ---- */

/* Returns a socket connected to the target, or -1 with errno. */
int load_connect(struct load *load);

/* --hold: opens the connections, prints a line, and waits for a line on standard input. Returns the program's
 * status. */
int load_hold(struct load *load);

#endif
