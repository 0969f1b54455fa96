/* SPDX-License-Identifier: ISC
 *
 * What the connections of a context share until it is reloaded: OpenSSL's context, certificates and sessions.
 */
#ifndef NET_TLS_SETUP_H
#define NET_TLS_SETUP_H

#include <net/tls.h>
#include <net/tls/pem.h>
#include <net/tls/session.h>
#include <net/tls/settings.h>

#include <openssl/ssl.h>

struct loop_tls_setup {
    unsigned refs; /* those of the loop's thread alone */
    SSL_CTX *ssl_context;
    BIO_METHOD *method; /* filled in by the connections' side */
    struct loop_tls_settings settings;
    struct loop_tls_identities identities;
    struct loop_tls_sessions sessions;
    struct loop *loop;
    int key_log; /* the descriptor of the file; -1: none */
    bool has_lost_keys;
};

/* Makes a setup with one reference. Takes the settings over. Returns NULL without memory: the settings remain the
 * caller's. */
struct loop_tls_setup *loop_tls_setup_create(struct loop *loop, struct loop_tls_settings *settings);

/* Reads files and makes OpenSSL's context. Blocks: for the pool. Returns 0 or -errno with a text. */
int loop_tls_setup_load(struct loop_tls_setup *setup, struct loop_tls_error *error);

/* Takes a reference. */
void loop_tls_setup_ref(struct loop_tls_setup *setup);

/* Drops a reference. NULL is ignored. */
void loop_tls_setup_unref(struct loop_tls_setup *setup);

#endif
