/* SPDX-License-Identifier: ISC
 *
 * Makes certificates, keys and lists of revoked certificates.
 */
#include "certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

enum { DAY_S = 24 * 60 * 60 };

enum { MOST_KEPT = 128 };

/* What was made, until the test's process ends. */
static void *kept[MOST_KEPT];
static size_t n_kept;

static void keep(void *made)
{
    CHECK(n_kept < MOST_KEPT);
    kept[n_kept++] = made;
}

static time_t now_s(void)
{
    struct timespec now;

    CHECK_IS(clock_gettime(CLOCK_REALTIME, &now), 0);
    return now.tv_sec;
}

/* Returns what was written to `bio` as a text, and frees the BIO. */
static char *text_of(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = OPENSSL_strndup(data, (size_t)len);

    CHECK(text != NULL);
    keep(text);
    BIO_free(bio);
    return text;
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    CHECK(extension != NULL);
    CHECK(X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
}

static void set_serial(X509 *certificate)
{
    uint64_t serial;

    CHECK_IS(RAND_bytes((unsigned char *)&serial, sizeof serial), 1);
    CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial | 1));
}

static void fill(X509 *certificate, const struct issue *what, EVP_PKEY *key, X509 *issuer)
{
    time_t now = now_s();
    bool is_default = what->begins_s == 0 && what->ends_s == 0;
    X509_NAME *name = X509_get_subject_name(certificate);

    CHECK(X509_set_version(certificate, X509_VERSION_3));
    set_serial(certificate);
    X509_time_adj_ex(X509_getm_notBefore(certificate), 0, is_default ? -DAY_S : what->begins_s, &now);
    X509_time_adj_ex(X509_getm_notAfter(certificate), 0, is_default ? DAY_S : what->ends_s, &now);
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)what->name, -1, -1, 0));
    CHECK(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)));
    CHECK(X509_set_pubkey(certificate, key));
    add_extension(certificate, issuer, NID_basic_constraints, what->is_authority ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
    if (what->is_authority) {
        add_extension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    if (what->hosts) {
        add_extension(certificate, issuer, NID_subject_alt_name, what->hosts);
    }
}

struct issued issue(const struct issue *what)
{
    struct issued issued = {.certificate = X509_new()};
    BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());

    issued.private_key = what->is_ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen("P-256");
    CHECK(issued.certificate && issued.private_key && chain && key);
    keep(issued.certificate);
    keep(issued.private_key);
    EVP_PKEY *signer = what->issuer ? what->issuer->private_key : issued.private_key;
    X509 *issuer = what->issuer ? what->issuer->certificate : issued.certificate;
    fill(issued.certificate, what, issued.private_key, issuer);
    const EVP_MD *digest = EVP_PKEY_get_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    CHECK(X509_sign(issued.certificate, signer, digest) > 0);
    CHECK(PEM_write_bio_X509(chain, issued.certificate));
    for (size_t i = 0; i < COUNT_OF(what->intermediate) && what->intermediate[i]; i++) {
        CHECK(PEM_write_bio_X509(chain, what->intermediate[i]->certificate));
    }
    CHECK(PEM_write_bio_PrivateKey(key, issued.private_key, NULL, NULL, 0, NULL, NULL));
    issued.chain = text_of(chain);
    issued.key = text_of(key);
    return issued;
}

char *list_of_revoked(const struct issued *issuer, const struct issued *const revoked[], size_t n)
{
    X509_CRL *list = X509_CRL_new();
    time_t now = now_s();
    ASN1_TIME *from = ASN1_TIME_adj(NULL, now, 0, -DAY_S), *to = ASN1_TIME_adj(NULL, now, 0, DAY_S);
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK(list && from && to && bio);
    CHECK(X509_CRL_set_version(list, X509_CRL_VERSION_2));
    CHECK(X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->certificate)));
    CHECK(X509_CRL_set1_lastUpdate(list, from) && X509_CRL_set1_nextUpdate(list, to));
    for (size_t i = 0; i < n; i++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        CHECK(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked[i]->certificate)));
        CHECK(X509_REVOKED_set_revocationDate(entry, from));
        CHECK(X509_CRL_add0_revoked(list, entry));
    }
    CHECK(X509_CRL_sort(list) && X509_CRL_sign(list, issuer->private_key, EVP_sha256()) > 0);
    CHECK(PEM_write_bio_X509_CRL(bio, list));
    X509_CRL_free(list);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    return text_of(bio);
}
