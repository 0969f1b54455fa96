/* SPDX-License-Identifier: ISC
 *
 * Sockets, and what a host and a world keep of them. What the rest of the simulated kernel uses is in network.h.
 *
 * A socket has a protocol: TCP (tcp/), UDP (udp/) or Unix (unix/). Each host keeps its sockets in tables by port;
 * packets find their socket there, so that a host that has crashed answers as a new one does.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_SOCKET_H
#define LOOP_KERNEL_SIMULATED_NETWORK_SOCKET_H

#include <loop/kernel/simulated/network/address.h>
#include <loop/kernel/simulated/network/buffer.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/network/protocol.h>
#include <loop/kernel/simulated/object/file.h>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The options that a socket keeps as numbers: option.c has their table. */
enum loop_sim_option {
    LOOP_SIM_OPTION_BROADCAST,
    LOOP_SIM_OPTION_DONTROUTE,
    LOOP_SIM_OPTION_KEEPALIVE,
    LOOP_SIM_OPTION_OOBINLINE,
    LOOP_SIM_OPTION_PRIORITY,
    LOOP_SIM_OPTION_RCVBUF,
    LOOP_SIM_OPTION_SNDBUF,
    LOOP_SIM_OPTION_RCVLOWAT,
    LOOP_SIM_OPTION_REUSEADDR,
    LOOP_SIM_OPTION_REUSEPORT,
    LOOP_SIM_OPTION_PASSCRED,
    LOOP_SIM_OPTION_MARK,
    LOOP_SIM_OPTION_TIMESTAMP,
    LOOP_SIM_OPTION_TIMESTAMPNS,
    LOOP_SIM_OPTION_BUSY_POLL,
    LOOP_SIM_OPTION_IP_FREEBIND,
    LOOP_SIM_OPTION_IP_TOS,
    LOOP_SIM_OPTION_IP_TTL,
    LOOP_SIM_OPTION_IP_PKTINFO,
    LOOP_SIM_OPTION_IP_RECVTOS,
    LOOP_SIM_OPTION_IP_RECVTTL,
    LOOP_SIM_OPTION_IP_RECVERR,
    LOOP_SIM_OPTION_IP_MTU_DISCOVER,
    LOOP_SIM_OPTION_IP_BIND_ADDRESS_NO_PORT,
    LOOP_SIM_OPTION_IP_MULTICAST_TTL,
    LOOP_SIM_OPTION_IP_MULTICAST_LOOP,
    LOOP_SIM_OPTION_IP_MULTICAST_ALL,
    LOOP_SIM_OPTION_IPV6_V6ONLY,
    LOOP_SIM_OPTION_IPV6_MTU_DISCOVER,
    LOOP_SIM_OPTION_IPV6_MULTICAST_HOPS,
    LOOP_SIM_OPTION_IPV6_MULTICAST_LOOP,
    LOOP_SIM_OPTION_IPV6_MULTICAST_ALL,
    LOOP_SIM_OPTION_IPV6_RECVPKTINFO,
    LOOP_SIM_OPTION_IPV6_TCLASS,
    LOOP_SIM_OPTION_IPV6_RECVTCLASS,
    LOOP_SIM_OPTION_IPV6_RECVHOPLIMIT,
    LOOP_SIM_OPTION_IPV6_UNICAST_HOPS,
    LOOP_SIM_OPTION_IPV6_RECVERR,
    LOOP_SIM_OPTION_TCP_NODELAY,
    LOOP_SIM_OPTION_TCP_CORK,
    LOOP_SIM_OPTION_TCP_DEFER_ACCEPT,
    LOOP_SIM_OPTION_TCP_FASTOPEN,
    LOOP_SIM_OPTION_TCP_KEEPCNT,
    LOOP_SIM_OPTION_TCP_KEEPIDLE,
    LOOP_SIM_OPTION_TCP_KEEPINTVL,
    LOOP_SIM_OPTION_TCP_MAXSEG,
    LOOP_SIM_OPTION_TCP_QUICKACK,
    LOOP_SIM_OPTION_TCP_SYNCNT,
    LOOP_SIM_OPTION_TCP_USER_TIMEOUT,
    LOOP_SIM_OPTION_TCP_LINGER2,
    LOOP_SIM_OPTION_TCP_NOTSENT_LOWAT,
    LOOP_SIM_OPTION_UDP_SEGMENT,
    LOOP_SIM_OPTION_UDP_GRO,
    LOOP_SIM_OPTION_INCOMING_CPU,
    LOOP_SIM_OPTION_IP_TRANSPARENT,
    LOOP_SIM_OPTION_IP_LOCAL_PORT_RANGE,
    LOOP_SIM_OPTION_TCP_FASTOPEN_CONNECT,
    LOOP_SIM_OPTION_TCP_WINDOW_CLAMP,
    LOOP_SIM_OPTIONS
};

/* Halves of a socket that are shut down: as Linux numbers them. */
enum { LOOP_SIM_SHUT_RECEIVE = 1, LOOP_SIM_SHUT_SEND = 2, LOOP_SIM_SHUT_BOTH = 3 };

/* The states of a TCP connection, RFC 9293. TIME_WAIT only holds the port, see struct loop_sim_stream. */
enum loop_sim_tcp_state {
    LOOP_SIM_TCP_CLOSED,
    LOOP_SIM_TCP_LISTEN,
    LOOP_SIM_TCP_SYN_SENT,
    LOOP_SIM_TCP_SYN_RECEIVED,
    LOOP_SIM_TCP_ESTABLISHED,
    LOOP_SIM_TCP_CLOSE_WAIT,
    LOOP_SIM_TCP_FIN_WAIT_1,
    LOOP_SIM_TCP_FIN_WAIT_2,
    LOOP_SIM_TCP_CLOSING,
    LOOP_SIM_TCP_LAST_ACK,
    LOOP_SIM_TCP_TIME_WAIT
};

/* How far connect(2) is, seen from the calls. */
enum loop_sim_phase { LOOP_SIM_UNCONNECTED, LOOP_SIM_CONNECTING, LOOP_SIM_CONNECTED };

/* What is known of the peer's urgent byte. */
enum loop_sim_urgent { LOOP_SIM_URGENT_NONE, LOOP_SIM_URGENT_ANNOUNCED, LOOP_SIM_URGENT_HERE, LOOP_SIM_URGENT_READ };

/* The time that segments and their acknowledgements take. */
struct loop_sim_trip {
    uint64_t end;     /* of what is measured; 0: nothing is */
    int64_t began_ns; /* when that was sent */
    int64_t smoothed_ns, variance_ns;
    bool is_known; /* something has been measured */
};

/* A TCP socket. Sequence numbers are 64 bits wide and begin at 0 for the SYN; traces add `first`. */
struct loop_sim_stream {
    enum loop_sim_tcp_state state;
    enum loop_sim_phase phase;
    bool is_done;   /* the peer's FIN has come */
    bool is_full;   /* a send found no room: the next room is an edge */
    bool wants_fin; /* a FIN follows the data */
    bool is_doomed; /* by choice its SYN is not answered */
    struct loop_sim_bytes sending, receiving;
    uint64_t unacknowledged, next, sent_most; /* of what is sent */
    uint64_t fin;                             /* the number of the own FIN */
    uint64_t window_end;                      /* the peer takes bytes before this number */
    uint64_t taken, expected, advertised_end; /* of what is received: unread bytes begin at `taken` */
    uint32_t first, peer_first;               /* for traces */
    enum loop_sim_urgent urgent_state;
    uint64_t urgent, urgent_sent; /* numbers of the urgent bytes; 0: none */
    unsigned char urgent_byte;
    int64_t arrives_ns;         /* when the last segment arrives at the peer: the next one is not earlier */
    struct loop_sim_event kept; /* sends bytes that were kept back for more */
    struct loop_sim_event retry;
    unsigned retries;
    int64_t retries_since_ns;
    unsigned n_retried; /* in all, since the connection began */
    struct loop_sim_trip trip;
    struct loop_sim_event keepalive;
    unsigned probes;
    int64_t heard_ns;
    int64_t holds_port_until_ns; /* in TIME_WAIT and orphaned in FIN_WAIT_2 */
    struct loop_sim_socket *listener;
    struct loop_list accepts; /* of a listener: connections that wait for accept */
    struct loop_list accept_link;
    unsigned n_accepts, n_half_open, backlog;
};

/* A Unix socket. */
struct loop_sim_unix {
    bool is_listening, is_connected, was_bound;
    bool waits_for_room;          /* a call waits until the backlog or queue of another socket has room */
    struct loop_sim_socket *peer; /* NULL: none, or it is closed */
    bool had_peer;                /* it is closed, and had this name: */
    struct sockaddr_storage peer_name;
    socklen_t peer_name_length;
    struct loop_list peers;     /* sockets that are connected to this one */
    struct loop_list peer_link; /* in the peer's `peers` */
    struct loop_list accepts, accept_link;
    unsigned n_accepts, backlog;
    struct loop_sim_socket *listener; /* whose `accepts` it is in */
    struct sockaddr_storage name;     /* it has room for a NUL behind the longest path */
    socklen_t name_length;            /* 0: none */
    uint64_t inode;                   /* of its path; 0: none */
    struct loop_sim_message *urgent;  /* the urgent byte of a stream, in `messages`. NULL: none, or it was read */
    struct loop_sim_credentials peer_credentials;
    bool has_peer_credentials;
};

enum { LOOP_SIM_MOST_GROUPS = 20, LOOP_SIM_MOST_SOURCES = 10 }; /* as Linux has them by default */

/* A membership of a socket in a multicast group. */
struct loop_sim_member {
    struct loop_list link;
    struct in6_addr group;
    int interface;
    bool is_any; /* of any source; otherwise of these: */
    unsigned n_sources;
    struct in6_addr sources[LOOP_SIM_MOST_SOURCES];
};

struct loop_sim_socket {
    struct loop_sim_file file; /* must be first */
    const struct loop_sim_protocol *protocol;
    struct loop_list link;       /* in the host's sockets */
    struct loop_list bound_link; /* in the host's table of ports */
    struct loop_list match_link; /* in the host's table of connections */
    struct loop_list dead_link;  /* in the network's `dead` or the host's `waits` */
    int family, type, number;    /* of the protocol: IPPROTO_TCP, ... */
    uint64_t serial;
    mode_t mode; /* fchmod(2): bind gives it to the path */
    int error, soft_error;
    unsigned halves; /* that are shut down */
    bool is_released, is_bound, is_port_chosen, is_address_bound;
    struct loop_sim_endpoint local, remote;
    bool is_matched; /* UDP: connected */
    int options[LOOP_SIM_OPTIONS];
    bool has_set_rcvbuf, has_set_sndbuf;
    struct linger linger;
    int64_t receive_timeout_ns, send_timeout_ns; /* 0: none */
    struct loop_list messages;
    struct loop_list errors; /* UDP: the error queue */
    struct loop_list groups; /* UDP: struct loop_sim_member */
    int multicast_interface; /* of what is sent to groups; 0: that of the route */
    size_t messages_bytes;   /* charge of `messages` */
    size_t sent_bytes;       /* Unix: charge of messages of this sender in queues of others */
    unsigned n_sent;         /* and their number */
    bool is_discarded;
    struct loop_sim_stream stream;
    struct loop_sim_unix local_socket;
};

/* Returns the socket of a file, or NULL when it is none. */
struct loop_sim_socket *loop_sim_socket_of(struct loop_sim_file *file);

/* Writes what a person needs to recognize a socket, such as "tcp 10.0.0.2:32768 > 10.0.0.1:7000". */
void loop_sim_socket_describe(const struct loop_sim_socket *socket, char *text, size_t size);

/* Makes a socket of a node. The caller gives it its options. */
struct loop_sim_socket *loop_sim_socket_make(struct loop_sim_node *node, const struct loop_sim_protocol *protocol,
                                             int family, int type);

/* Frees a released socket, when no code that may use it runs any more. */
void loop_sim_socket_discard(struct loop_sim_socket *socket);

/* Destroys a message, in a queue or not: its sender has room again. */
void loop_sim_socket_drop_message(struct loop_sim_message *message);

/* Wakes those who wait, unless the socket is released. 0: anything has changed. */
void loop_sim_socket_changed(struct loop_sim_socket *socket, uint32_t events);

/* Returns the error that waits, negative, and clears it. */
int loop_sim_socket_take_error(struct loop_sim_socket *socket);

/* Returns -EPIPE, after the signal unless MSG_NOSIGNAL. */
int loop_sim_socket_broken_pipe(struct loop_sim_socket *socket, int flags);

enum {
    LOOP_SIM_FIRST_PORT = 32768, /* of those that are chosen for a socket */
    LOOP_SIM_PORT_BUCKETS = 64,
    LOOP_SIM_MATCH_BUCKETS = 256,
    LOOP_SIM_MOST_ADDRESSES = 16
};

/* What a node has of the network. */
struct loop_sim_host {
    struct loop_sim_node *node;
    bool is_up; /* false: it has crashed and not started again */
    struct in6_addr addresses[LOOP_SIM_MOST_ADDRESSES];
    unsigned n_addresses;
    int mtu_bytes[LOOP_SIM_ETHERNET + 1]; /* by interface; 0: the default */
    struct loop_list sockets;
    struct loop_list bound[LOOP_SIM_PORT_BUCKETS];
    struct loop_list matched[LOOP_SIM_MATCH_BUCKETS];
    uint16_t next_port;
    unsigned next_abstract_name;
    unsigned n_waiting_for_room; /* Unix sockets */
    int64_t *busy_until_ns;      /* of the links to each node */
    unsigned n_busy;
    struct loop_list waits; /* sockets that hold their port for a while, the one that ends first in front */
};

struct loop_sim_host *loop_sim_host_of(struct loop_sim_node *node);

/* An address and the node that has it. */
struct loop_sim_owned {
    struct in6_addr address;
    struct loop_sim_node *node; /* NULL: a free place of the table */
};

struct loop_sim_network {
    struct loop_sim_world *world;
    struct loop_list at_once; /* packets that stay in a node: they arrive in the step that sent them */
    struct loop_list in_flight;
    struct loop_list dead; /* sockets to be freed */
    unsigned depth;        /* of calls that may use sockets */
    bool is_delivering;
    uint64_t serial; /* of sockets */
    uint64_t train;  /* of sends of UDP that were split */
    struct loop_list links, rules, names;
    unsigned last_rule;
    unsigned n_addresses;         /* that nodes were given */
    struct loop_sim_owned *owned; /* a hash table of the addresses of all nodes */
    size_t owned_size;
    unsigned owned_generation; /* grows with the nodes and their addresses: then the table is made again */
};

struct loop_sim_network *loop_sim_network_of(struct loop_sim_world *world);

/* Bracket calls into the network: sockets are not freed in between. */
void loop_sim_network_enter(struct loop_sim_world *world);
void loop_sim_network_leave(struct loop_sim_world *world);

#endif
