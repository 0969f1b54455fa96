/* SPDX-License-Identifier: ISC
 *
 * Packets, which go from a node to another.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_PACKET_H
#define LOOP_KERNEL_SIMULATED_NETWORK_PACKET_H

#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/network/address.h>
#include <loop/kernel/simulated/network/buffer.h>
#include <loop/kernel/simulated/network/protocol.h>

enum { LOOP_SIM_FIN = 1, LOOP_SIM_SYN = 2, LOOP_SIM_RST = 4, LOOP_SIM_ACK = 16, LOOP_SIM_URG = 32 };

/* What goes from a node to another. */
struct loop_sim_packet {
    struct loop_sim_event event; /* its arrival */
    struct loop_list link;
    struct loop_sim_node *from_node, *to_node; /* to_node NULL: nobody */
    struct loop_sim_endpoint from, to;
    const struct loop_sim_protocol *protocol;
    int number;      /* of the protocol */
    int unreachable; /* ICMP: the errno that it reports, 0: none; `from` and `to` as in a packet back */
    unsigned flags;  /* LOOP_SIM_FIN, ... */
    uint64_t sequence, acknowledged, window_end, urgent;
    uint32_t first, peer_first;
    bool is_doomed; /* it is lost, by choice */
    unsigned char traffic_class, hop_limit;
    struct loop_sim_train train;
    int interface;   /* to a multicast group: the one by which it is sent. Otherwise 0 */
    bool comes_back; /* to a group: to members on the own node as well */
    size_t size;
    unsigned char data[];
};

/* Makes a packet from anywhere to anywhere. */
struct loop_sim_packet *loop_sim_packet_create_from(struct loop_sim_node *node,
                                                    const struct loop_sim_protocol *protocol,
                                                    const struct loop_sim_endpoint *from,
                                                    const struct loop_sim_endpoint *to, size_t size);

/* Records a packet in the trace, with its bytes as they would be on the wire, or without. */
void loop_sim_packet_trace(const char *event, const struct loop_sim_packet *packet, bool with_bytes);

#endif
