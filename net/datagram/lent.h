/* SPDX-License-Identifier: ISC
 *
 * Datagrams to be sent: the memory they take, and the address they leave from.
 */
#ifndef NET_DATAGRAM_LENT_H
#define NET_DATAGRAM_LENT_H

#include <net/datagram/socket.h>

/* Returns a datagram of bytes that stay where they are until it is sent, or NULL when there is no memory. */
struct loop_outgoing *loop_outgoing_of(const struct loop_address *to, const void *data, size_t len);

/* Returns a datagram with its own copy of bytes and address, or NULL when there is no memory. */
struct loop_outgoing *loop_outgoing_copy(const struct loop_address *to, const void *data, size_t len);

/* Returns a datagram in the memory of the batch that is being handed out, or NULL when the batch has no room. */
struct loop_outgoing *loop_outgoing_answer(struct loop_datagram_batch *batch, const struct loop_address *to,
                                           const void *data, size_t len);

/* Stores the address that a datagram leaves from: `from`, or where that is NULL the one that the datagram which is
 * being answered was sent to. Returns 0, or -EINVAL when `from` is of another family than the socket. */
int loop_datagram_choose_origin(const struct loop_datagram_socket *socket, const struct loop_address *from,
                                const struct loop_address *to, struct loop_net_origin *origin);

#endif
