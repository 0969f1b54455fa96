/* SPDX-License-Identifier: ISC
 *
 * TCP connections: what is sent, and when it is sent again.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_TCP_SEGMENT_H
#define LOOP_KERNEL_SIMULATED_NETWORK_TCP_SEGMENT_H

#include <loop/kernel/simulated/network/packet.h>
#include <loop/kernel/simulated/network/socket.h>

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

/* Sends a packet without data: flags besides those that each packet has. */
void loop_sim_stream_send_flags(struct loop_sim_socket *socket, unsigned flags);

/* What is sent of bytes behind the last full segment: */
enum loop_sim_push {
    LOOP_SIM_PUSH,      /* all, unless TCP_CORK is set */
    LOOP_SIM_PUSH_MORE, /* nothing: more follows */
    LOOP_SIM_PUSH_ALL
};

/* Sends what the window allows, and a FIN behind it. Bytes that are kept back are sent by the next push, or later. */
void loop_sim_stream_push(struct loop_sim_socket *socket, enum loop_sim_push push);

/* Begins the end of the sending half. */
void loop_sim_stream_finish_sending(struct loop_sim_socket *socket);

/* Sets timers: to try again, and to ask whether the peer is there. */
void loop_sim_stream_arm_retry(struct loop_sim_socket *socket);
void loop_sim_stream_arm_keepalive(struct loop_sim_socket *socket);

/* A packet of a stream was lost: whoever waits for its effect tries again in a while. */
void loop_sim_stream_lost(const struct loop_sim_packet *packet);

/* A host is gone: those who wait for an answer of it try again in a while. */
void loop_sim_stream_host_lost(const struct loop_sim_node *node);

#endif
