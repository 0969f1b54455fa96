/* SPDX-License-Identifier: ISC
 *
 * Certificates for tests, made with OpenSSL when they are needed. Nothing is kept in files.
 */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include "harness.h"

#include <net/tls.h>

struct evp_pkey_st;
struct x509_st;

/* A certificate with its key. */
struct issued {
    char *chain, *key; /* PEM */
    struct x509_st *certificate;
    struct evp_pkey_st *private_key;
};

struct issue {
    const char *name;                     /* the common name */
    const char *hosts;                    /* NULL, or as in an extension: "DNS:a.example,IP:127.0.0.1" */
    const struct issued *issuer;          /* NULL: itself */
    bool is_authority;                    /* may issue others */
    bool is_ed25519;                      /* otherwise the key is of the curve P-256 */
    int64_t begins_s, ends_s;             /* seconds from now; both 0: yesterday and tomorrow */
    const struct issued *intermediate[2]; /* are appended to `chain` */
};

/* Issues a certificate. It is freed when the test ends. */
struct issued issue(const struct issue *what);

/* Returns a list in the PEM format, valid for a day, in which the issuer revokes `n` certificates. */
char *list_of_revoked(const struct issued *issuer, const struct issued *const revoked[], size_t n);

static inline struct loop_tls_pem pem(const char *text)
{
    return (struct loop_tls_pem){.data = text, .len = strlen(text)};
}

static inline struct loop_tls_certificate presented(const struct issued *issued)
{
    return (struct loop_tls_certificate){.chain = pem(issued->chain), .key = pem(issued->key)};
}

#endif
