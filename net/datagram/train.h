/* SPDX-License-Identifier: ISC
 *
 * Messages that are made of the queue of a datagram socket. Datagrams of one length to one peer that follow each other
 * become one message, a train, which the kernel splits again (UDP_SEGMENT, udp(7)). For the network, the peer and the
 * program they are the datagrams that they were.
 */
#ifndef NET_DATAGRAM_TRAIN_H
#define NET_DATAGRAM_TRAIN_H

#include <net/datagram/socket.h>

#define LOOP_TRAINS_AT_ONCE 64         /* messages that are sent by one system call */
#define LOOP_TRAINS_PIECES_AT_ONCE 256 /* of all of them */

/* Messages for sendmmsg(2). */
struct loop_trains {
    unsigned n, n_pieces;
    size_t n_datagrams[LOOP_TRAINS_AT_ONCE];
    struct mmsghdr headers[LOOP_TRAINS_AT_ONCE];
    struct iovec pieces[LOOP_TRAINS_PIECES_AT_ONCE];
    _Alignas(struct cmsghdr) char control[LOOP_TRAINS_AT_ONCE][LOOP_NET_SENT_CONTROL_BYTES];
};

/* Makes messages of what is at the head of the queue. `msg_iovlen` of each is the number of entries of the queue in
 * it. An entry that is a train by itself may need several messages. */
void loop_trains_gather(const struct loop_datagram_socket *socket, struct loop_trains *trains);

/* Handles a train of the first `n` entries of the queue that the kernel did not accept: their datagrams are sent each
 * by itself, and so have results of their own. When the error is about trains, no others are tried for a while. */
void loop_trains_refuse(struct loop_datagram_socket *socket, size_t n, int error);

#endif
