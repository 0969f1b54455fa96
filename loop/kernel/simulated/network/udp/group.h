/* SPDX-License-Identifier: ISC
 *
 * Multicast groups: which sockets of a node are members, by which interface, and where datagrams to a group go.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_UDP_GROUP_H
#define LOOP_KERNEL_SIMULATED_NETWORK_UDP_GROUP_H

#include <loop/kernel/simulated/network/socket.h>

/* Sets an option of groups. Returns 0 or a negative errno; 1 for an option that is none of groups. */
int loop_sim_group_set(struct loop_sim_socket *socket, int level, int name, const void *value, socklen_t length);

/* Gets one. Returns as loop_sim_group_set does. */
int loop_sim_group_get(const struct loop_sim_socket *socket, int level, int name, void *value, socklen_t *length);

/* Stores an address of an interface. Returns false when it has none of the family. */
bool loop_sim_group_address(const struct loop_sim_node *node, int interface, bool is_ipv4, struct in6_addr *address);

/* Finds the interface by which a socket sends to a group, and its source address. Returns the interface, or a negative
 * errno. */
int loop_sim_group_route(const struct loop_sim_socket *socket, const struct in6_addr *group, struct in6_addr *source);

/* Whether a socket of the node is a member of a group, by the interface. */
bool loop_sim_group_has_member(const struct loop_sim_node *node, int interface, const struct in6_addr *group);

/* Whether a socket that is bound to the port of a group receives what comes from a source by an interface. */
bool loop_sim_group_accepts(const struct loop_sim_socket *socket, int interface, const struct in6_addr *group,
                            const struct in6_addr *source);

#endif
