/* SPDX-License-Identifier: ISC
 *
 * What the two halves of a datagram socket, receiving (datagram.c) and sending (datagram_send.c), share.
 */
#ifndef NET_DATAGRAM_H
#define NET_DATAGRAM_H

#include "origin.h"

#define LOOP_DATAGRAMS_AT_ONCE 32  /* received by one system call */
#define LOOP_DATAGRAMS_LEAST 4     /* that are expected at a time */
#define LOOP_DATAGRAM_COPIES 32768 /* bytes of answers that aren't lent, before each takes memory of its own */

/* A datagram that is to be sent. What it needs of its own stands behind it; the others' are in a batch. */
struct loop_outgoing {
    struct loop_outgoing *next, *prev;
    struct loop_datagram_socket *socket;
    loop_job promise; /* 0: nobody hears what becomes of it */
    const void *data;
    size_t len;
    const struct loop_address *to; /* NULL: the one the socket is connected to */
    int first_error;               /* what the first try said, which may have been an earlier datagram's */
    struct loop_net_origin origin; /* where it leaves from */
    bool is_lent;                  /* it is queued, and in the batch as what it says is */
    struct loop_address address;   /* where `to` isn't lent */
};

/* Datagrams received together, in the loop's working memory, and the answers to them. */
struct loop_datagram_batch {
    unsigned n, at; /* handed out up to `at` */
    unsigned n_outgoing;
    size_t size_bytes; /* of all */
    size_t n_copied;
    struct mmsghdr headers[LOOP_DATAGRAMS_AT_ONCE];
    struct iovec vectors[LOOP_DATAGRAMS_AT_ONCE];
    struct loop_address senders[LOOP_DATAGRAMS_AT_ONCE];
    struct loop_address receiver; /* of the one that is being handed out */
    _Alignas(struct cmsghdr) char control[LOOP_DATAGRAMS_AT_ONCE][LOOP_NET_CONTROL_BYTES];
    struct loop_outgoing outgoing[LOOP_DATAGRAMS_AT_ONCE];
    char copies[LOOP_DATAGRAM_COPIES];
    _Alignas(64) char bytes[];
};

struct loop_drain_wait;

struct loop_datagram_socket {
    struct loop *loop;
    struct loop_scope *scope;
    struct loop_fd *fd;
    /* receiving */
    loop_datagram_fn *fn;
    void *arg;
    loop_job stream, watch;
    struct loop_datagram_batch *batch; /* being handed out, or held back */
    size_t max_bytes;
    unsigned n_expected; /* how many may come together */
    int told;            /* an error that the stream has yet to hear, or 0 */
    int64_t end_result;
    bool is_delivering, is_paused, is_ending;
    bool wants_more; /* there may be some in the socket */
    bool is_kicked;  /* comes back from the dispatch */
    bool is_connected, is_told_errors;
    bool has_origins; /* it is bound to every address: each datagram says which one it was sent to */
    struct loop_address local;
    /* sending */
    bool is_blocked; /* `wait` tells when to go on */
    loop_job wait;
    int64_t pause_ns; /* 0: readiness is to be trusted */
    struct loop_outgoing *first, *last;
    struct loop_drain_wait *drains;
    size_t queued_bytes, limit_bytes;
    struct loop_datagram_stats stats;
    struct loop_net_file file;
};

/* Whether a public call may use the socket. Only a debug build finds out that it has gone. */
static inline bool loop_datagram_is_good(const struct loop_datagram_socket *socket, const char *function)
{
#if !NORIA_DEBUG
    if (socket) {
        return true;
    }
#endif
    return loop_check_object(socket, offsetof(struct loop_datagram_socket, scope), "datagram socket", function);
}

/* Has loop_datagram_turn called from the dispatch, soon; false when there is no memory. */
bool loop_datagram_kick(struct loop_datagram_socket *socket);

/* Errors that the network tells of an earlier datagram. */
bool loop_datagram_is_told(int error);

/* ---- datagram_lent.c ---- */

/* One of bytes that stay where they are; NULL when there is no memory. */
struct loop_outgoing *loop_outgoing_of(const struct loop_address *to, const void *data, size_t len);

/* One with a copy of its own of everything; NULL when there is no memory. */
struct loop_outgoing *loop_outgoing_copy(const struct loop_address *to, const void *data, size_t len);

/* One that takes no memory of its own, while the batch is handed out; NULL when there is no room. */
struct loop_outgoing *loop_outgoing_answer(struct loop_datagram_batch *batch, const struct loop_address *to,
                                           const void *data, size_t len);

/* The address that a datagram leaves from: `from` as the program gives it; NULL: as the datagram that is answered says.
 * 0 or -EINVAL. */
int loop_datagram_choose_origin(const struct loop_datagram_socket *socket, const struct loop_address *from,
                                const struct loop_address *to, struct loop_net_origin *origin);

/* Copies what is still queued and in the batch, which is about to be gone. */
void loop_datagram_unlend(struct loop_datagram_batch *batch);

/* ---- datagram_send.c ---- */

/* Takes it out of the queue, and ends its job with `error`. */
void loop_outgoing_fail(struct loop_outgoing *outgoing, int error);

/* Sends what waits, as much as the kernel takes. */
void loop_datagram_flush(struct loop_datagram_socket *socket);

#endif
