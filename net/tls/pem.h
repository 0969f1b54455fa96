/* SPDX-License-Identifier: ISC
 *
 * Certificates, keys and lists in the PEM format, in files or in memory. Blocks: for the pool.
 */
#ifndef NET_TLS_PEM_H
#define NET_TLS_PEM_H

#include <net/tls.h>

#include <openssl/x509.h>

/* A certificate that this side presents, with its key. */
struct loop_tls_identity {
    X509 *certificate;
    STACK_OF(X509) * chain; /* the authorities between it and the root; or NULL */
    EVP_PKEY *key;
};

struct loop_tls_identities {
    struct loop_tls_identity *at;
    size_t n;
};

/* Reads a certificate, its chain and its key. Returns 0 or -errno with a text. The caller frees the identity also after
 * an error. */
int loop_tls_pem_identity(const struct loop_tls_certificate *from, struct loop_tls_identity *identity,
                          struct loop_tls_error *error);

/* Frees what an identity has. */
void loop_tls_identity_finish(struct loop_tls_identity *identity);

/* Adds the certificates in `from` to a store. Returns 0 or -errno with a text. */
int loop_tls_pem_authorities(const struct loop_tls_pem *from, X509_STORE *store, struct loop_tls_error *error);

/* Adds the lists in `from` to a store. Returns 0 or -errno with a text. */
int loop_tls_pem_revocations(const struct loop_tls_pem *from, X509_STORE *store, struct loop_tls_error *error);

/* Adds the authorities that the system trusts to a store. Returns 0 or -errno with a text. */
int loop_tls_pem_system(X509_STORE *store, struct loop_tls_error *error);

#endif
