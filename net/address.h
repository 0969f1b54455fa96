/* SPDX-License-Identifier: ISC
 *
 * Addresses of sockets, and whether an address can be used at all.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <net/net.h>

/* Stores the address of the local end of the socket `number`. Returns 0 or -errno. */
int loop_net_local_address(int number, struct loop_address *address);

/* Stores the address of the remote end of the socket `number`. Returns 0 or -errno: -ENOTCONN without a peer. */
int loop_net_peer_address(int number, struct loop_address *address);

/* Returns 0 for an address that a socket can be bound or connected to, otherwise -EINVAL or -EAFNOSUPPORT. */
int loop_net_check_address(const struct loop_address *address);

#endif
