/* SPDX-License-Identifier: ISC
 *
 * Unix sockets: what is sent and received.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_UNIX_MESSAGE_H
#define LOOP_KERNEL_SIMULATED_NETWORK_UNIX_MESSAGE_H

#include <loop/kernel/simulated/network/socket.h>

ssize_t loop_sim_unix_receive(struct loop_sim_socket *socket, struct msghdr *message, int flags);
ssize_t loop_sim_unix_send(struct loop_sim_socket *socket, const struct msghdr *message, int flags);
uint32_t loop_sim_unix_poll(struct loop_sim_socket *socket);

/* Whether what a stream reads next is behind its urgent byte, or at it. */
bool loop_sim_unix_is_at_mark(const struct loop_sim_socket *socket);

/* Drops what a datagram socket has received, when it leaves its peer: the peer learns of it. */
void loop_sim_unix_drop_queue(struct loop_sim_socket *socket);

#endif
