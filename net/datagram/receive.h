/* SPDX-License-Identifier: ISC
 *
 * What a datagram socket does when it is told to go on.
 */
#ifndef NET_DATAGRAM_RECEIVE_H
#define NET_DATAGRAM_RECEIVE_H

#include <net/datagram/socket.h>

/* Hands out what has been received, receives more, and sends what is queued. For the socket's `turn`. */
void loop_datagram_turn(struct loop_datagram_socket *socket);

#endif
