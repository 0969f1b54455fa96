/* SPDX-License-Identifier: ISC
 *
 * TCP connections: what arrives, and the states.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_TCP_ARRIVAL_H
#define LOOP_KERNEL_SIMULATED_NETWORK_TCP_ARRIVAL_H

#include <loop/kernel/simulated/network/packet.h>
#include <loop/kernel/simulated/network/socket.h>

/* A packet arrives. It stays the caller's. */
void loop_sim_stream_input(struct loop_sim_host *host, const struct loop_sim_packet *packet);

/* Wakes those that wait to receive, when there is as much as they wait for, or the end. */
void loop_sim_stream_report_data(struct loop_sim_socket *socket);

#endif
