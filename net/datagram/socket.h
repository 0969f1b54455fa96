/* SPDX-License-Identifier: ISC
 *
 * A datagram socket as its parts see it: opening, receiving, sending, and the datagrams on their way.
 */
#ifndef NET_DATAGRAM_SOCKET_H
#define NET_DATAGRAM_SOCKET_H

#include <loop/part.h>
#include <net/local.h>
#include <net/datagram/control.h>

#define LOOP_DATAGRAMS_AT_ONCE 32  /* received by one system call */
#define LOOP_DATAGRAMS_LEAST 4     /* that are expected at a time */
#define LOOP_DATAGRAM_ANSWERS 128  /* handed out in one turn, and lent answers to them */
#define LOOP_DATAGRAM_COPIES 32768 /* bytes of answers that aren't lent, before each takes memory of its own */

/* A datagram to be sent. A copy has its bytes behind it; the answers to a batch are in the batch's own array. */
struct loop_outgoing {
    struct loop_outgoing *next, *prev;
    struct loop_datagram_socket *socket;
    size_t room_bytes; /* behind it */
    loop_job promise;  /* 0: its outcome shows only in the statistics */
    const void *data;
    size_t len;
    const struct loop_address *to; /* NULL: the one the socket is connected to */
    int first_error;               /* of the first try, which may have been an earlier datagram's; 0: none */
    struct loop_net_envelope envelope;
    size_t segment_bytes;        /* of each of its datagrams but the last; 0: it is one */
    size_t sent_bytes;           /* of whole datagrams */
    bool is_lent;                /* queued, and in the batch's memory */
    bool is_alone;               /* the kernel refused a train with it */
    struct loop_address address; /* where `to` isn't lent */
};

/* Messages received together, in the loop's scratch memory, and the answers to them. A message is a datagram, or a
 * train of datagrams of one sender. */
struct loop_datagram_batch {
    unsigned n, at;   /* handed out up to `at`, which is handed out up to `offset` */
    unsigned current; /* the one that is being handed out */
    size_t offset;    /* 0 at the beginning of a message */
    unsigned n_outgoing;
    size_t size_bytes; /* of all */
    size_t n_copied;
    struct mmsghdr headers[LOOP_DATAGRAMS_AT_ONCE];
    struct iovec vectors[LOOP_DATAGRAMS_AT_ONCE];
    struct loop_address senders[LOOP_DATAGRAMS_AT_ONCE];
    struct loop_address receiver, destination; /* of the one that is being handed out */
    struct loop_net_report report;             /* of that one too */
    _Alignas(struct cmsghdr) char control[LOOP_DATAGRAMS_AT_ONCE][LOOP_NET_CONTROL_BYTES];
    struct loop_outgoing outgoing[LOOP_DATAGRAM_ANSWERS];
    char copies[LOOP_DATAGRAM_COPIES];
    _Alignas(64) char bytes[];
};

struct loop_drain_wait;
struct loop_datagram_membership;

struct loop_datagram_socket {
    struct loop *loop;
    struct loop_scope *scope;
    struct loop_fd *fd;
    void (*turn)(struct loop_datagram_socket *socket); /* receives and sends what can be; called from the dispatch */
    /* receiving */
    loop_datagram_fn *fn;
    void *arg;
    loop_job stream, watch;
    struct loop_datagram_batch *batch; /* being handed out, or held back */
    size_t max_bytes;
    unsigned n_expected; /* how many may come together */
    unsigned n_allowed;  /* how many more may be handed out in this turn */
    int told;            /* an error of the network that the stream has yet to report, or 0 */
    int64_t end_result;
    bool is_delivering, is_paused, is_ending;
    bool wants_more;   /* the socket may have more */
    bool wants_errors; /* its error queue may have some */
    bool is_kicked;    /* `turn` is about to be called */
    bool has_control;  /* messages come with control messages */
    bool is_connected, is_told_errors;
    bool has_error_queue; /* errors of the network come with the datagram that they are about */
    bool is_peer_ipv4;    /* it is connected to an address of IPv4, which may be mapped */
    bool has_origins;     /* it is bound to every address: each datagram says which one it was sent to */
    unsigned reports;     /* that were asked for */
    bool has_trains;      /* the kernel may join datagrams that it has received (UDP_GRO) */
    struct loop_address local;
    /* sending */
    bool is_blocked; /* until `wait` completes */
    loop_job wait;
    int64_t pause_ns; /* how long `wait` sleeps; 0: it polls for readiness */
    struct loop_outgoing *first, *last;
    struct loop_outgoing *spare; /* memory for the next ones */
    size_t spare_bytes;
    bool has_segments;        /* the kernel splits what is sent (UDP_SEGMENT) */
    size_t joined_most_bytes; /* longer datagrams were refused in trains */
    uint64_t joins_again;     /* `stats.sent` from which on they are tried again */
    struct loop_drain_wait *drains;
    size_t queued_bytes, limit_bytes;
    struct loop_datagram_stats stats;
    struct loop_net_file file;
    struct loop_datagram_membership *memberships, *spare_memberships; /* of any source; memory for the next ones */
};

/* Returns whether a public call may use the socket. Only a debug build notices that it is gone. */
static inline bool loop_datagram_is_good(const struct loop_datagram_socket *socket, const char *function)
{
#if !NORIA_DEBUG
    if (socket) {
        return true;
    }
#endif
    return loop_check_object(socket, offsetof(struct loop_datagram_socket, scope), "datagram socket", function);
}

#endif
