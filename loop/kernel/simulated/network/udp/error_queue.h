/* SPDX-License-Identifier: ISC
 *
 * Error queues of UDP sockets, IP_RECVERR in ip(7): which datagram an error is about.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_UDP_ERROR_QUEUE_H
#define LOOP_KERNEL_SIMULATED_NETWORK_UDP_ERROR_QUEUE_H

#include <loop/kernel/simulated/network/packet.h>
#include <loop/kernel/simulated/network/socket.h>

/* Appends the error that a packet reports, when the socket has asked for errors of this family. Returns whether it
 * has. */
bool loop_sim_error_queue_put(struct loop_sim_socket *socket, const struct loop_sim_packet *packet);

/* Appends that a datagram to an address is longer than the MTU of its path, when the socket has asked for errors of
 * this family. Returns whether it has. */
bool loop_sim_error_queue_put_mtu(struct loop_sim_socket *socket, const struct loop_sim_endpoint *to,
                                  uint32_t mtu_bytes);

/* Stores the first error and removes it: recvmsg(2) with MSG_ERRQUEUE. Returns 0 bytes, or -EAGAIN. */
ssize_t loop_sim_error_queue_take(struct loop_sim_socket *socket, struct msghdr *to);

#endif
