/* SPDX-License-Identifier: ISC
 *
 * The sink of a TLS flow. The sink's queue passes on one write or shutdown at a time.
 */
#ifndef NET_TLS_WRITE_H
#define NET_TLS_WRITE_H

#include <net/tls/connection.h>

/* Starts a write. */
loop_job loop_tls_write(struct loop_tls_connection *connection, const struct iovec *iov, size_t n_iov, loop_fn *fn,
                        void *arg);

/* Starts to end the output: close_notify, then a shutdown of the flow below. */
loop_job loop_tls_shut_down(struct loop_tls_connection *connection, loop_fn *fn, void *arg);

/* A shutdown will follow the write in flight. */
void loop_tls_expect_shutdown(struct loop_tls_connection *connection);

/* Encrypts more of the write, and ends it, or the shutdown, where nothing is left. */
void loop_tls_serve_writes(struct loop_tls_connection *connection);

/* Ends the write and the shutdown that are pending. */
void loop_tls_end_writes(struct loop_tls_connection *connection, int error);

#endif
