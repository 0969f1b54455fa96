/* SPDX-License-Identifier: ISC
 *
 * TCP connections: what TCP_INFO tells of them, tcp(7).
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_TCP_INFO_H
#define LOOP_KERNEL_SIMULATED_NETWORK_TCP_INFO_H

#include <loop/kernel/simulated/network/socket.h>

#include <netinet/tcp.h>

/* Measures a round trip: of what ends in front of the number `end` and is sent now. No effect while one is measured. */
void loop_sim_stream_begin_trip(struct loop_sim_socket *socket, uint64_t end);

/* Ends the round trip that is measured, when what it is of has been acknowledged. */
void loop_sim_stream_end_trip(struct loop_sim_socket *socket, uint64_t acknowledged);

/* Gives the round trip that is measured up: something is sent again, and an answer may be to either (RFC 6298, 3). */
void loop_sim_stream_drop_trip(struct loop_sim_socket *socket);

/* Returns what is known of a TCP socket. The caller fills in the sizes of segments and the MTU. */
struct tcp_info loop_sim_stream_info(const struct loop_sim_socket *socket);

#endif
