/* SPDX-License-Identifier: ISC
 *
 * Hosts: the addresses of a node, and what is bound there.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_HOST_H
#define LOOP_KERNEL_SIMULATED_NETWORK_HOST_H

#include <loop/kernel/simulated/network/socket.h>

/* Returns the node that has an address, seen from a node; NULL: nobody. */
struct loop_sim_node *loop_sim_host_find(struct loop_sim_node *from, const struct in6_addr *address);

/* Whether an address belongs to a node; loopback addresses belong to each. */
bool loop_sim_host_has(struct loop_sim_node *node, const struct in6_addr *address);

/* Chooses the source address for a destination. Returns 0 or -ENETUNREACH. */
int loop_sim_host_source(struct loop_sim_node *node, const struct in6_addr *to, struct in6_addr *source);

/* Stores the first address of a node of a family. Returns false when it has none. */
bool loop_sim_host_first(const struct loop_sim_node *node, bool is_ipv4, struct in6_addr *address);

/* Returns the longest packet that a node sends to an address. To a group it is that of the interface; otherwise
 * `interface` is 0. */
size_t loop_sim_host_mtu(struct loop_sim_node *node, const struct in6_addr *to, int interface);

/* Whether an address that nobody has is on the link of a node: then it is silence that tells. */
bool loop_sim_host_is_near(struct loop_sim_node *node, const struct in6_addr *address);

/* Binds an IP socket. Port 0: a free one. Returns 0, -EADDRINUSE, ... */
int loop_sim_host_bind(struct loop_sim_socket *socket, const struct loop_sim_endpoint *local);
void loop_sim_host_unbind(struct loop_sim_socket *socket);

/* Frees the port of a connection that has ended, unless the program has bound it. getsockname still returns it. */
void loop_sim_host_leave_port(struct loop_sim_socket *socket);

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

/* Walks the datagram sockets that a datagram to a group may be for: returns the first one behind `last`, or of all
 * where that is NULL. NULL behind the last one. */
struct loop_sim_socket *loop_sim_host_next_bound(struct loop_sim_host *host, const struct loop_sim_endpoint *local,
                                                 struct loop_sim_socket *last);

/* Keeps the port of a connection for the time of TIME_WAIT. The socket is freed then, when it is released. */
void loop_sim_host_hold_port(struct loop_sim_socket *socket);

#endif
