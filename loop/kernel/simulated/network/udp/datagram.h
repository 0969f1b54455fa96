/* SPDX-License-Identifier: ISC
 *
 * UDP sockets.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_UDP_DATAGRAM_H
#define LOOP_KERNEL_SIMULATED_NETWORK_UDP_DATAGRAM_H

#include <loop/kernel/simulated/network/protocol.h>

extern const struct loop_sim_protocol loop_sim_udp;

#endif
