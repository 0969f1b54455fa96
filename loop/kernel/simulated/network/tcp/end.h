/* SPDX-License-Identifier: ISC
 *
 * TCP connections: their ends, on this side.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_TCP_END_H
#define LOOP_KERNEL_SIMULATED_NETWORK_TCP_END_H

#include <loop/kernel/simulated/network/socket.h>

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

#endif
