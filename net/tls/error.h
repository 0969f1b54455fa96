/* SPDX-License-Identifier: ISC
 *
 * Errors of OpenSSL, as an errno and a text that says what to do.
 */
#ifndef NET_TLS_ERROR_H
#define NET_TLS_ERROR_H

#include <net/tls.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

/* What is noted about a connection while OpenSSL works for it. It is the application data of its SSL object. */
struct loop_tls_note {
    char *host; /* the name or IP address of the server; NULL for none, and in servers */
    char *text; /* why it has failed; or NULL */
    int error;  /* -errno of what the certificate lacks; or 0 */
};

/* Writes a text like snprintf, cut to what fits. `out` may be NULL. */
void loop_tls_say(struct loop_tls_error *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Notes why the connection fails, unless something is noted already. */
void loop_tls_note(struct loop_tls_note *note, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Looks at the oldest error that OpenSSL has queued for this thread and empties the queue. Stores a text in `*out`.
 * Returns -ENOMEM, -EPROTO for an error of the protocol, or `otherwise`. */
int loop_tls_take_error(struct loop_tls_error *out, int otherwise);

/* Empties OpenSSL's queue of errors of this thread. To be called before what SSL_get_error will be asked about. Cheaper
 * than ERR_clear_error where it is empty already. */
void loop_tls_clear_errors(void);

/* The verification callback: notes what is wrong with the peer's certificate. */
int loop_tls_on_verified(int is_good, X509_STORE_CTX *store);

#endif
