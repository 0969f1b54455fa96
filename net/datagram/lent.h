/* SPDX-License-Identifier: ISC
 *
 * Datagrams to be sent: the memory they take, and the address they leave from.
 */
#ifndef NET_DATAGRAM_LENT_H
#define NET_DATAGRAM_LENT_H

#include <net/datagram/socket.h>

/* Returns a datagram of bytes that stay where they are until it is sent, or NULL when there is no memory. */
struct loop_outgoing *loop_outgoing_of(struct loop_datagram_socket *socket, const struct loop_address *to,
                                       const void *data, size_t len);

/* Returns a datagram with its own copy of bytes and address, or NULL when there is no memory. */
struct loop_outgoing *loop_outgoing_copy(struct loop_datagram_socket *socket, const struct loop_address *to,
                                         const void *data, size_t len);

/* Gives back the memory of a datagram that is in no queue. Some is kept for the next ones: a queue that is filled and
 * sent again and again would make the allocator take memory from the system and give it back each time. */
void loop_outgoing_destroy(struct loop_datagram_socket *socket, struct loop_outgoing *outgoing);

/* Frees what was kept. */
void loop_outgoing_free_spares(struct loop_datagram_socket *socket);

/* Returns a datagram in the memory of the batch that is being handed out, or NULL when the batch has no room. */
struct loop_outgoing *loop_outgoing_answer(struct loop_datagram_batch *batch, const struct loop_address *to,
                                           const void *data, size_t len);

/* Gives `by` the fate of a queued datagram: what it was sent with, and how much of it has been sent. */
void loop_outgoing_take_over(struct loop_outgoing *by, const struct loop_outgoing *outgoing);

/* Finds out what goes with a datagram by the options, which may be NULL. Where they have no address to leave from, it
 * is the one that the datagram which is being answered was sent to. Returns 0, or -EINVAL for a bad option. */
int loop_datagram_seal(const struct loop_datagram_socket *socket, const struct loop_datagram_send_options *options,
                       const struct loop_address *to, struct loop_net_envelope *envelope);

#endif
