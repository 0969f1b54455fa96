/* SPDX-License-Identifier: ISC
 *
 * What a server chooses when a client says what it wants: a certificate, and an application protocol.
 */
#ifndef NET_TLS_CHOOSE_H
#define NET_TLS_CHOOSE_H

#include <openssl/ssl.h>

/* The callback that chooses the certificate for the name the client has asked for. `identities` is a struct
 * loop_tls_identities. */
int loop_tls_choose_certificate(SSL *ssl, void *identities);

/* The callback that chooses the first of the server's protocols that the client offers. `settings` is a struct
 * loop_tls_settings. */
int loop_tls_choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len,
                             const unsigned char *offered, unsigned offered_len, void *settings);

#endif
