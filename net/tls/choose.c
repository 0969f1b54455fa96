/* SPDX-License-Identifier: ISC
 *
 * The choices of a server.
 */
#include <net/tls/choose.h>
#include <net/tls/pem.h>
#include <net/tls/settings.h>

#include <openssl/x509v3.h>
#include <string.h>

/* Whether a certificate has the name, by itself or by a wildcard. */
static bool is_for(const struct loop_tls_identity *identity, const char *name)
{
    return X509_check_host(identity->certificate, name, 0, 0, NULL) == 1;
}

/* Whether a certificate has the name only by a wildcard. */
static bool is_by_wildcard(const struct loop_tls_identity *identity, const char *name)
{
    return X509_check_host(identity->certificate, name, 0, X509_CHECK_FLAG_NO_WILDCARDS, NULL) != 1;
}

/* Sets the certificates that have the name: only by a wildcard, or by itself. The last is set first. */
static bool set_all(SSL *ssl, const struct loop_tls_identities *identities, const char *name, bool by_wildcard)
{
    for (size_t i = identities->n; i-- > 0;) {
        const struct loop_tls_identity *identity = &identities->at[i];
        if (is_for(identity, name) && is_by_wildcard(identity, name) == by_wildcard &&
            !SSL_use_cert_and_key(ssl, identity->certificate, identity->key, identity->chain, 1)) {
            return false;
        }
    }
    return true;
}

/* A context has one certificate for each kind of key: where several are for the name, OpenSSL uses the one whose kind
 * the client supports. Of one kind the one that is set last remains: the first that has the name itself, or else the
 * first with a wildcard. */
int loop_tls_choose_certificate(SSL *ssl, void *arg)
{
    const struct loop_tls_identities *identities = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    bool is_known = false;

    for (size_t i = 0; name && i < identities->n; i++) {
        is_known = is_known || is_for(&identities->at[i], name);
    }
    if (!is_known) {
        return 1; /* the first of all, which the context has */
    }
    SSL_certs_clear(ssl);
    return set_all(ssl, identities, name, true) && set_all(ssl, identities, name, false);
}

/* Returns whether a protocol, with its length in front, is in a list of such. Stores where. */
static const unsigned char *find(const unsigned char *list, size_t list_len, const unsigned char *protocol)
{
    for (size_t at = 0; at + list[at] < list_len; at += list[at] + 1u) {
        if (list[at] == protocol[0] && memcmp(list + at, protocol, protocol[0] + 1u) == 0) {
            return list + at;
        }
        if (at + list[at] + 1u >= list_len) {
            break;
        }
    }
    return NULL;
}

int loop_tls_choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len,
                             const unsigned char *offered, unsigned offered_len, void *arg)
{
    const struct loop_tls_settings *settings = arg;

    (void)ssl;
    for (size_t at = 0; at < settings->protocols_len; at += settings->protocols[at] + 1u) {
        const unsigned char *found = offered_len > 0 ? find(offered, offered_len, settings->protocols + at) : NULL;
        if (found) {
            *chosen = found + 1;
            *chosen_len = found[0];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}
