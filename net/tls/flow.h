/* SPDX-License-Identifier: ISC
 *
 * A TLS flow as a source and a sink.
 */
#ifndef NET_TLS_FLOW_H
#define NET_TLS_FLOW_H

#include <net/tls/connection.h>

/* Makes a flow of a connection whose handshake is done. */
void loop_tls_flow_init(struct loop_tls_connection *connection);

/* Closes a connection and the flow below, and ends what is pending with -ECANCELED. */
void loop_tls_flow_close(struct loop_tls_connection *connection);

/* Returns the connection of a flow; NULL for a flow that is not TLS. */
struct loop_tls_connection *loop_tls_flow_connection(const struct loop_flow *flow);

#endif
