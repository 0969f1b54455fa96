/* SPDX-License-Identifier: ISC
 *
 * Sockets, as the sources of network/ share them. What the rest of the simulated kernel uses is in network.h.
 *
 * A socket has a protocol: TCP (tcp/), UDP (datagram.c) or Unix (unix/). Each host keeps its sockets in
 * tables by port; packets find their socket there, so that a host that has crashed answers as a new one does.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_SOCKET_H
#define LOOP_KERNEL_SIMULATED_NETWORK_SOCKET_H

#include <loop/kernel/simulated/network/address.h>
#include <loop/kernel/simulated/network/buffer.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/network/packet.h>
#include <loop/kernel/simulated/network/protocol.h>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/un.h>

/* ---- control messages ---- */

/* What the sender of a datagram asks for by control messages. */
struct loop_sim_ancillary {
    struct loop_sim_file *rights[LOOP_SIM_MOST_RIGHTS];
    size_t n_rights;
    struct loop_sim_credentials credentials;
    bool has_credentials, has_source;
    struct in6_addr source;
    int traffic_class; /* -1: none */
};

/* Reads the control messages of a send. Returns 0 or a negative errno; then no use of a file is held. */
int loop_sim_control_read(struct loop_sim_socket *socket, const struct msghdr *message,
                          struct loop_sim_ancillary *ancillary);
void loop_sim_control_finish(struct loop_sim_ancillary *ancillary);

/* Writes control messages: those that do not fit set MSG_CTRUNC. */
struct loop_sim_control {
    struct msghdr *message;
    size_t used;
};
void loop_sim_control_put(struct loop_sim_control *control, int level, int type, const void *data, size_t len);
void loop_sim_control_put_rights(struct loop_sim_control *control, struct loop_sim_node *node,
                                 struct loop_sim_file **rights, size_t n_rights, int flags);

/* ---- options ---- */

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
    LOOP_SIM_OPTION_BUSY_POLL,
    LOOP_SIM_OPTION_IP_FREEBIND,
    LOOP_SIM_OPTION_IP_TOS,
    LOOP_SIM_OPTION_IP_TTL,
    LOOP_SIM_OPTION_IP_PKTINFO,
    LOOP_SIM_OPTION_IP_RECVTOS,
    LOOP_SIM_OPTION_IP_RECVERR,
    LOOP_SIM_OPTION_IP_MTU_DISCOVER,
    LOOP_SIM_OPTION_IP_BIND_ADDRESS_NO_PORT,
    LOOP_SIM_OPTION_IP_MULTICAST_TTL,
    LOOP_SIM_OPTION_IP_MULTICAST_LOOP,
    LOOP_SIM_OPTION_IPV6_V6ONLY,
    LOOP_SIM_OPTION_IPV6_RECVPKTINFO,
    LOOP_SIM_OPTION_IPV6_TCLASS,
    LOOP_SIM_OPTION_IPV6_RECVTCLASS,
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
    LOOP_SIM_OPTIONS
};

/* Gives a new socket its defaults. */
void loop_sim_options_init(struct loop_sim_socket *socket);

int loop_sim_option_set(struct loop_sim_socket *socket, int level, int name, const void *value, socklen_t length);
int loop_sim_option_get(struct loop_sim_socket *socket, int level, int name, void *value, socklen_t *length);

/* ---- sockets ---- */

/* Halves of a socket that are shut down: as Linux numbers them. */
enum { LOOP_SIM_SHUT_RECEIVE = 1, LOOP_SIM_SHUT_SEND = 2, LOOP_SIM_SHUT_BOTH = 3 };

extern const struct loop_sim_protocol loop_sim_tcp, loop_sim_udp, loop_sim_unix;

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
    int64_t arrives_ns; /* when the last segment arrives at the peer: the next one is not earlier */
    struct loop_sim_event retry;
    unsigned retries;
    int64_t retries_since_ns;
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
    struct loop_sim_credentials peer_credentials;
    bool has_peer_credentials;
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
    size_t messages_bytes; /* charge of `messages` */
    size_t sent_bytes;     /* Unix: charge of messages of this sender in queues of others */
    unsigned n_sent;       /* and their number */
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

/* ---- hosts ---- */

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

/* Returns the node that has an address, seen from a node; NULL: nobody. */
struct loop_sim_node *loop_sim_host_find(struct loop_sim_node *from, const struct in6_addr *address);

/* Whether an address belongs to a node; loopback addresses belong to each. */
bool loop_sim_host_has(struct loop_sim_node *node, const struct in6_addr *address);

/* Chooses the source address for a destination. Returns 0 or -ENETUNREACH. */
int loop_sim_host_source(struct loop_sim_node *node, const struct in6_addr *to, struct in6_addr *source);

/* Whether an address that nobody has is on the link of a node: then it is silence that tells. */
bool loop_sim_host_is_near(struct loop_sim_node *node, const struct in6_addr *address);

/* Binds an IP socket. Port 0: a free one. Returns 0, -EADDRINUSE, ... */
int loop_sim_host_bind(struct loop_sim_socket *socket, const struct loop_sim_endpoint *local);
void loop_sim_host_unbind(struct loop_sim_socket *socket);

/* Chooses a free port for a socket that connects; its addresses are known. Returns 0 or -EADDRNOTAVAIL. */
int loop_sim_host_bind_to_connect(struct loop_sim_socket *socket);

/* Returns -EADDRINUSE when another socket listens at the address of one that is to. */
int loop_sim_host_may_listen(struct loop_sim_socket *socket);

/* Gives an accepted connection the port of its listener. */
void loop_sim_host_adopt(struct loop_sim_socket *socket, const struct loop_sim_endpoint *local);

/* bind(2) of IP sockets. */
int loop_sim_host_bind_call(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length);

/* Enters a connection in the table by both its ends, and finds one. */
void loop_sim_host_match(struct loop_sim_socket *socket);
void loop_sim_host_unmatch(struct loop_sim_socket *socket);
struct loop_sim_socket *loop_sim_host_find_matched(struct loop_sim_host *host, int number,
                                                   const struct loop_sim_endpoint *local,
                                                   const struct loop_sim_endpoint *remote);

/* Returns the socket that a packet to `local` is for: a listener, or a datagram socket. NULL: none. */
struct loop_sim_socket *loop_sim_host_find_bound(struct loop_sim_host *host, int number,
                                                 const struct loop_sim_endpoint *local,
                                                 const struct loop_sim_endpoint *remote);

/* Keeps the port of a connection for the time of TIME_WAIT. The socket is freed then, when it is released. */
void loop_sim_host_hold_port(struct loop_sim_socket *socket);

/* ---- the network ---- */

enum { LOOP_SIM_FOUND_NODES = 256 };

/* Who has an address: what a search has found. It holds as long as no address and no node is added. */
struct loop_sim_found {
    struct in6_addr address;
    struct loop_sim_node *node; /* NULL: nobody */
    unsigned generation;        /* 0: nothing is found yet */
};

struct loop_sim_network {
    struct loop_sim_world *world;
    struct loop_list at_once; /* packets that stay in a node: they arrive in the step that sent them */
    struct loop_list in_flight;
    struct loop_list dead; /* sockets to be freed */
    unsigned depth;        /* of calls that may use sockets */
    bool is_delivering;
    uint64_t serial; /* of sockets */
    struct loop_list links, rules, names;
    unsigned last_rule;
    unsigned n_addresses; /* that nodes were given */
    struct loop_sim_found found[LOOP_SIM_FOUND_NODES];
};

struct loop_sim_network *loop_sim_network_of(struct loop_sim_world *world);

/* Bracket calls into the network: sockets are not freed in between. */
void loop_sim_network_enter(struct loop_sim_world *world);
void loop_sim_network_leave(struct loop_sim_world *world);

/* Frees links, rules and names. */
void loop_sim_transport_finish(struct loop_sim_network *network);
void loop_sim_names_finish(struct loop_sim_network *network);

/* Makes a packet from a socket to its remote end. */
struct loop_sim_packet *loop_sim_packet_create(struct loop_sim_socket *socket, size_t size);

/* Sends a packet, which it takes. `arrives_ns`, unless NULL, keeps the packets of a stream in order. */
void loop_sim_transmit(struct loop_sim_packet *packet, int64_t *arrives_ns);

/* ---- Unix sockets ---- */

/* bind(2), and getsockname(2) or getpeername(2). */
int loop_sim_unix_bind(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length);
int loop_sim_unix_name(struct loop_sim_socket *socket, bool is_peer, struct sockaddr_storage *address,
                       socklen_t *length);

/* Connects two new sockets, socketpair(2). */
void loop_sim_unix_pair(struct loop_sim_socket *one, struct loop_sim_socket *other);

/* Returns the socket that an address names, or NULL with the negative errno in *error. */
struct loop_sim_socket *loop_sim_unix_find(struct loop_sim_socket *socket, const struct sockaddr *address,
                                           socklen_t length, int *error);

/* Gives a socket an abstract name, unless it has a name. */
void loop_sim_unix_choose_name(struct loop_sim_socket *socket);

struct loop_sim_credentials loop_sim_unix_credentials(const struct loop_sim_node *node);

/* A call on the socket waits for room at another one; there is room again at one. */
void loop_sim_unix_wait_for_room(struct loop_sim_socket *socket);
void loop_sim_unix_has_room(struct loop_sim_host *host);

/* The peer is closed or no longer connected. */
void loop_sim_unix_leave_peer(struct loop_sim_socket *socket);

ssize_t loop_sim_unix_receive(struct loop_sim_socket *socket, struct msghdr *message, int flags);
ssize_t loop_sim_unix_send(struct loop_sim_socket *socket, const struct msghdr *message, int flags);
uint32_t loop_sim_unix_poll(struct loop_sim_socket *socket);

/* ---- TCP and UDP, for each other and for the transport ---- */

/* A packet arrives. It stays the caller's. */
void loop_sim_stream_input(struct loop_sim_host *host, const struct loop_sim_packet *packet);

/* A packet of a stream was lost: whoever waits for its effect tries again in a while. */
void loop_sim_stream_lost(const struct loop_sim_packet *packet);

/* A host is gone: those who wait for an answer of it try again in a while. */
void loop_sim_stream_host_lost(const struct loop_sim_node *node);

/* Forgets a connection without a word to the peer or the socket's user: the state is CLOSED. */
void loop_sim_stream_forget(struct loop_sim_socket *socket);

/* Forgets the connections of a listener that accept has not returned. */
void loop_sim_stream_drop_children(struct loop_sim_socket *listener);

/* Ends a connection: nothing is sent or received any more. */
void loop_sim_stream_end(struct loop_sim_socket *socket);

/* Both halves are at their end: the port is held for a while, to answer a FIN that comes again. */
void loop_sim_stream_wait_for_late_packets(struct loop_sim_socket *socket);

/* Ends a connection with an error, given as a positive number. */
void loop_sim_stream_fail(struct loop_sim_socket *socket, int error);

/* Sends what the window allows, and a FIN behind it. */
void loop_sim_stream_push(struct loop_sim_socket *socket);

/* By choice, or for a rule: the peer of a connection that begins refuses it after the time that an answer takes. */
void loop_sim_stream_refuse_soon(struct loop_sim_socket *socket);

/* Sends a packet without data: flags besides those that each packet has. */
void loop_sim_stream_send_flags(struct loop_sim_socket *socket, unsigned flags);

/* Sets timers: to try again, and to ask whether the peer is there. */
void loop_sim_stream_arm_retry(struct loop_sim_socket *socket);
void loop_sim_stream_arm_keepalive(struct loop_sim_socket *socket);

/* Begins a connection: its numbers. Establishes one: its buffers. */
void loop_sim_stream_begin(struct loop_sim_socket *socket);
void loop_sim_stream_establish(struct loop_sim_socket *socket);

/* Whether the connection is over or has not begun; whether there is as much room as poll asks for. */
bool loop_sim_stream_is_closed(const struct loop_sim_socket *socket);
bool loop_sim_stream_is_writable(const struct loop_sim_socket *socket);

/* Returns the bytes that a socket takes now. */
size_t loop_sim_stream_window(const struct loop_sim_socket *socket);

/* Returns the most bytes of a segment. */
size_t loop_sim_stream_segment_bytes(const struct loop_sim_socket *socket);

/* Begins the end of the sending half. */
void loop_sim_stream_finish_sending(struct loop_sim_socket *socket);

#endif
