/* SPDX-License-Identifier: ISC
 *
 * What OpenSSL says about errors, as an errno and a text.
 */
#include <loop/kernel/memory.h>
#include <net/tls/error.h>

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void loop_tls_say(struct loop_tls_error *out, const char *format, ...)
{
    va_list arguments;

    if (out) {
        va_start(arguments, format);
        vsnprintf(out->text, sizeof out->text, format, arguments);
        va_end(arguments);
    }
}

void loop_tls_note(struct loop_tls_note *note, const char *format, ...)
{
    char text[LOOP_TLS_ERROR_SIZE];
    va_list arguments;

    if (note->text) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    note->text = loop_kernel_strdup(text);
}

/* ---- errors of the protocol ---- */

static const struct {
    int reason;
    const char *text;
} reasons[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS: check the port, and whether both sides use TLS"},
    {SSL_R_HTTP_REQUEST, "the peer speaks plain HTTP: it has to use https"},
    {SSL_R_HTTPS_PROXY_REQUEST, "the peer speaks plain HTTP: it has to use https"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "no version of TLS in common: the peer's are older than least_version"},
    {SSL_R_VERSION_TOO_LOW, "no version of TLS in common: the peer's are older than least_version"},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, "no version of TLS is left: check least_version and greatest_version"},
    {SSL_R_NO_SHARED_CIPHER, "no cipher in common, or no certificate for the ciphers of the peer"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "no application protocol in common: check `protocols` on both sides"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "the peer has no application protocol in common: check `protocols`"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the peer has no version of TLS in common with this side"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA,
     "the peer refuses this side's certificate: it does not know the authority, or the chain is incomplete"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the server requires a certificate of the client: give one"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client has presented no certificate, and one is required"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record was changed on its way, or is damaged"},
};

/* A packed error of OpenSSL. */
static bool is_alert(unsigned long code)
{
    return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET;
}

static void describe(struct loop_tls_error *out, unsigned long code)
{
    const char *reason = ERR_reason_error_string(code);

    for (size_t i = 0; ERR_GET_LIB(code) == ERR_LIB_SSL && i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].reason == ERR_GET_REASON(code)) {
            loop_tls_say(out, "%s", reasons[i].text);
            return;
        }
    }
    loop_tls_say(out, "%s%s", is_alert(code) ? "the peer has sent an alert: " : "", reason ? reason : "unknown");
}

int loop_tls_take_error(struct loop_tls_error *out, int otherwise)
{
    unsigned long code = ERR_get_error();
    bool lacks_memory = ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;

    if (code == 0) {
        loop_tls_say(out, "unknown error");
        return otherwise;
    }
    describe(out, code);
    while ((code = ERR_get_error()) != 0) {
        lacks_memory = lacks_memory || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    }
    if (lacks_memory) {
        loop_tls_say(out, "no memory");
    }
    return lacks_memory ? -ENOMEM : otherwise;
}

void loop_tls_clear_errors(void)
{
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

/* ---- certificates ---- */

/* Writes the subject of a certificate to `text`. */
static void write_subject(X509 *certificate, char *text, size_t size_bytes)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int length = -1;

    text[0] = '\0';
    if (bio && certificate &&
        X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
                           XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
        length = BIO_read(bio, text, (int)size_bytes - 1);
    }
    text[length > 0 ? length : 0] = '\0';
    BIO_free(bio);
}

static void write_time(const ASN1_TIME *time, char *text, size_t size_bytes)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int length = -1;

    if (bio && ASN1_TIME_print(bio, time)) {
        length = BIO_read(bio, text, (int)size_bytes - 1);
    }
    text[length > 0 ? length : 0] = '\0';
    BIO_free(bio);
}

/* Writes the names that a certificate is for, as far as they fit. The peer may have put anything into them: what does
 * not belong in a line for a person is replaced. */
static void write_names(X509 *certificate, char *text, size_t size_bytes)
{
    GENERAL_NAMES *names = certificate ? X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL) : NULL;
    size_t at = 0;

    text[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && at < size_bytes; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            int n = snprintf(text + at, size_bytes - at, "%s%.*s", at > 0 ? ", " : "",
                             ASN1_STRING_length(name->d.dNSName), (const char *)ASN1_STRING_get0_data(name->d.dNSName));
            at += n > 0 ? (size_t)n : 0;
        }
    }
    GENERAL_NAMES_free(names);
    for (char *byte = text; *byte; byte++) {
        *byte = *byte < ' ' || *byte > '~' ? '?' : *byte;
    }
    if (at == 0) {
        snprintf(text, size_bytes, "no name");
    }
}

static int error_of(int reason)
{
    switch (reason) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: return -EKEYEXPIRED;
    case X509_V_ERR_CERT_REVOKED: return -EKEYREVOKED;
    case X509_V_ERR_OUT_OF_MEM: return -ENOMEM;
    default: return -EKEYREJECTED;
    }
}

static const char *cure_of(int reason)
{
    switch (reason) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return "trust it by `authorities`, if it is the right one";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "unknown CA: add it to `authorities`, or have the peer send the whole chain";
    case X509_V_ERR_CERT_REVOKED: return "its owner has to replace it";
    case X509_V_ERR_UNABLE_TO_GET_CRL: return "add the list of its issuer to `revocations`";
    case X509_V_ERR_CRL_HAS_EXPIRED: return "renew the list in `revocations`";
    default: return NULL;
    }
}

/* Notes a certificate that is out of its time. */
static void note_time(struct loop_tls_note *note, X509 *certificate, const char *subject, bool is_expired)
{
    char time[40];

    write_time(is_expired ? X509_get0_notAfter(certificate) : X509_get0_notBefore(certificate), time, sizeof time);
    if (is_expired) {
        loop_tls_note(note, "certificate has expired: %s, on %s; its owner has to renew it", subject, time);
    } else {
        loop_tls_note(note, "certificate is not yet valid: %s, before %s; check the clock", subject, time);
    }
}

static void note_reason(struct loop_tls_note *note, int reason, X509 *certificate)
{
    const char *cure = cure_of(reason);
    char text[160];

    if (reason == X509_V_ERR_HOSTNAME_MISMATCH || reason == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        write_names(certificate, text, sizeof text);
        loop_tls_note(note, "host name mismatch: '%s' was asked for, and the certificate is for %s", note->host, text);
        return;
    }
    write_subject(certificate, text, sizeof text);
    if (certificate && (reason == X509_V_ERR_CERT_HAS_EXPIRED || reason == X509_V_ERR_CERT_NOT_YET_VALID)) {
        note_time(note, certificate, text, reason == X509_V_ERR_CERT_HAS_EXPIRED);
        return;
    }
    loop_tls_note(note, "%s: %s%s%s", X509_verify_cert_error_string(reason), text, cure ? "; " : "", cure ? cure : "");
}

int loop_tls_on_verified(int is_good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct loop_tls_note *note = SSL_get_app_data(ssl);

    if (!is_good && note && !note->error) {
        int reason = X509_STORE_CTX_get_error(store);
        note->error = error_of(reason);
        note_reason(note, reason, X509_STORE_CTX_get_current_cert(store));
    }
    return is_good;
}
