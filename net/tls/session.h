/* SPDX-License-Identifier: ISC
 *
 * Sessions that a client may resume, by the host they are of, and the tickets of a server. They expire by the loop's
 * clock, which is a virtual one on the simulated kernel; OpenSSL looks at the machine's clock as well.
 */
#ifndef NET_TLS_SESSION_H
#define NET_TLS_SESSION_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct loop_tls_session;

struct loop_tls_sessions {
    struct loop_tls_session *newest;
    unsigned n;
};

/* Stores a session, and takes over the reference. Drops the oldest one when there are too many. Returns false without
 * memory: then the reference remains the caller's. */
bool loop_tls_sessions_put(struct loop_tls_sessions *sessions, const char *host, SSL_SESSION *session);

/* Returns the newest session of a host that has not expired, with a reference for the caller, or NULL. One of TLS 1.3
 * is for one connection only, so that connections cannot be recognized as those of one client. */
SSL_SESSION *loop_tls_sessions_take(struct loop_tls_sessions *sessions, const char *host);

/* Has a server refuse tickets that have expired by the loop's clock: then there is a full handshake. */
void loop_tls_tickets_expire(SSL_CTX *context);

/* Drops all sessions. */
void loop_tls_sessions_finish(struct loop_tls_sessions *sessions);

#endif
