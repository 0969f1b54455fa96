/* SPDX-License-Identifier: ISC
 *
 * The way of packets from node to node.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_TRANSPORT_H
#define LOOP_KERNEL_SIMULATED_NETWORK_TRANSPORT_H

#include <loop/kernel/simulated/network/packet.h>
#include <loop/kernel/simulated/network/socket.h>

/* Makes a packet from a socket to its remote end. */
struct loop_sim_packet *loop_sim_packet_create(struct loop_sim_socket *socket, size_t size);

/* Sends a packet, which it takes. `arrives_ns`, unless NULL, keeps the packets of a stream in order. */
void loop_sim_transmit(struct loop_sim_packet *packet, int64_t *arrives_ns);

/* By choice, or for a rule: the peer of a connection that begins refuses it after the time that an answer takes. */
void loop_sim_stream_refuse_soon(struct loop_sim_socket *socket);

/* Frees packets, links and rules. */
void loop_sim_transport_finish(struct loop_sim_network *network);

#endif
