/* SPDX-License-Identifier: ISC
 *
 * Sending from the queue of a datagram socket.
 */
#ifndef NET_DATAGRAM_SEND_H
#define NET_DATAGRAM_SEND_H

#include <net/datagram/socket.h>

/* Has `socket->turn` called from the dispatch, soon. Returns false when there is no memory. */
bool loop_datagram_kick(struct loop_datagram_socket *socket);

/* Returns whether the network may report this error for an earlier datagram. */
bool loop_datagram_is_told(int error);

/* Remembers an error of the network, for the stream to report. */
void loop_datagram_note_told(struct loop_datagram_socket *socket, int error);

/* Sends what is queued, as much as the kernel accepts. */
void loop_datagram_flush(struct loop_datagram_socket *socket);

#endif
