/* SPDX-License-Identifier: ISC
 *
 * Unix sockets: their names, and calls that wait until another socket has room.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_UNIX_NAME_H
#define LOOP_KERNEL_SIMULATED_NETWORK_UNIX_NAME_H

#include <loop/kernel/simulated/network/socket.h>

/* bind(2), and getsockname(2) or getpeername(2). */
int loop_sim_unix_bind(struct loop_sim_socket *socket, const struct sockaddr *address, socklen_t length);
int loop_sim_unix_name(struct loop_sim_socket *socket, bool is_peer, struct sockaddr_storage *address,
                       socklen_t *length);

/* Returns the socket that an address names, or NULL with the negative errno in *error. */
struct loop_sim_socket *loop_sim_unix_find(struct loop_sim_socket *socket, const struct sockaddr *address,
                                           socklen_t length, int *error);

/* Gives a socket an abstract name, unless it has a name. */
void loop_sim_unix_choose_name(struct loop_sim_socket *socket);

struct loop_sim_credentials loop_sim_unix_credentials(const struct loop_sim_node *node);

/* A call on the socket waits for room at another one; there is room again at one. */
void loop_sim_unix_wait_for_room(struct loop_sim_socket *socket);
void loop_sim_unix_has_room(struct loop_sim_host *host);

#endif
