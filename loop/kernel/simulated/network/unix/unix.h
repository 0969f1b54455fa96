/* SPDX-License-Identifier: ISC
 *
 * Unix sockets: streams, sequenced packets and datagrams, within one node.
 */
#ifndef LOOP_KERNEL_SIMULATED_NETWORK_UNIX_UNIX_H
#define LOOP_KERNEL_SIMULATED_NETWORK_UNIX_UNIX_H

#include <loop/kernel/simulated/network/protocol.h>
#include <loop/kernel/simulated/network/socket.h>

/* Connects two new sockets, socketpair(2). */
void loop_sim_unix_pair(struct loop_sim_socket *one, struct loop_sim_socket *other);

extern const struct loop_sim_protocol loop_sim_unix;

#endif
