/* SPDX-License-Identifier: ISC
 *
 * The error queue of a UDP socket that has asked for it (IP_RECVERR in ip(7)): which datagram an error of the network
 * is about.
 */
#ifndef NET_DATAGRAM_ERROR_QUEUE_H
#define NET_DATAGRAM_ERROR_QUEUE_H

#include <net/datagram/socket.h>

/* Resumes the stream with each error of the queue, until the queue is empty, or the stream is paused or ends, or others
 * have their turn. */
void loop_datagram_report_errors(struct loop_datagram_socket *socket);

/* Takes errors out of the queue of a socket without a stream, and counts them. */
void loop_datagram_count_errors(struct loop_datagram_socket *socket);

#endif
