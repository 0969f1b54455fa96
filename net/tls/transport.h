/* SPDX-License-Identifier: ISC
 *
 * Moves records between a connection and the flow below it.
 */
#ifndef NET_TLS_TRANSPORT_H
#define NET_TLS_TRANSPORT_H

#include <net/tls/connection.h>

/* What OpenSSL waits for, or why it has failed. */
enum loop_tls_state { LOOP_TLS_AGAIN, LOOP_TLS_WAITS_INPUT, LOOP_TLS_WAITS_OUTPUT, LOOP_TLS_CLOSED, LOOP_TLS_FAILED };

/* Finds out why a call of OpenSSL has not succeeded, after it has returned `result`. LOOP_TLS_AGAIN: bytes have come,
 * so it is to be repeated; `tries` counts how often. LOOP_TLS_CLOSED: the peer has sent its close_notify.
 * LOOP_TLS_FAILED: `*error` is -errno, and the connection has a note. */
enum loop_tls_state loop_tls_state_after(struct loop_tls_connection *connection, int result, unsigned *tries,
                                         int *error);

/* Whether OpenSSL has no input, also after a try to read some, and may get it later. A call that needs input is left
 * out then: it would find that out at a greater cost. */
bool loop_tls_lacks_input(struct loop_tls_connection *connection);

/* Has what is in `out` written when the continuation that runs has returned, unless a write is in flight: all records
 * of one continuation leave together. Behind the close_notify the output below is ended. */
void loop_tls_flush(struct loop_tls_connection *connection);

/* Whether everything has been accepted by the flow below, or never will be. */
bool loop_tls_is_flushed(const struct loop_tls_connection *connection);

/* Has `step` called when there is input, or its end. False when there is no memory, and then `in_status` says so. */
bool loop_tls_wait_input(struct loop_tls_connection *connection);

/* Stops waiting for input: nothing needs any. */
void loop_tls_stop_waiting(struct loop_tls_connection *connection);

#endif
