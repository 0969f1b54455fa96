/* SPDX-License-Identifier: ISC
 *
 * The source of a TLS flow.
 */
#ifndef NET_TLS_READ_H
#define NET_TLS_READ_H

#include <net/tls/connection.h>

/* Reads without waiting. Returns 1 to `len`, 0 at the end, -EAGAIN or -errno. */
int64_t loop_tls_read_now(struct loop_tls_connection *connection, void *buf, size_t len);

/* Returns false only where a read would have to wait. What OpenSSL has read of a record that is not complete counts. */
bool loop_tls_is_readable(struct loop_tls_connection *connection);

/* Adds a read to the line, or a wait where `buf` is NULL. */
loop_job loop_tls_read_later(struct loop_tls_connection *connection, void *buf, size_t len, loop_fn *fn, void *arg);

/* Resolves the reads in line that can be. */
void loop_tls_serve_reads(struct loop_tls_connection *connection);

/* Ends all reads in line. */
void loop_tls_end_reads(struct loop_tls_connection *connection, int error);

/* Takes bytes back. Returns 0 or -ENOMEM. */
int loop_tls_give_back(struct loop_tls_connection *connection, const void *bytes, size_t len);

#endif
