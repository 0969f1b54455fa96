/* SPDX-License-Identifier: ISC
 *
 * TLS 1.2 and 1.3, by OpenSSL 3, as a flow over any other flow: what is written to it is encrypted and written to the
 * flow below, and what is read from the flow below is decrypted. A library of its own: noria::tls, or noria-tls by
 * pkg-config.
 *
 * A context has what connections share: certificates, authorities, protocols. Open one when the program starts, and
 * make connections with it. A TLS flow is used like any flow: loop_read, loop_write, loop_copy, readers, writers.
 *
 * Records are encrypted in the process and not by the kernel (kTLS), so that they can pass over any flow.
 *
 * All functions must be called on the loop's thread. Files are read, and certificates and keys are parsed, on the pool.
 *
 * The end. loop_shutdown tells the peer that the stream ends here (close_notify), and ends the output of the flow
 * below. Reads go on after it. Without it the peer must take the stream for one that was cut off. In the same way a
 * read ends with 0 only after the peer's close_notify. A stream that ends without one ends with -ECONNABORTED.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <loop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What certificates, versions and peers have been agreed on; shared by connections. It belongs to a scope. */
struct loop_tls_context;

/* ---- errors ---- */

#define LOOP_TLS_ERROR_SIZE 320

/* Why something failed, in one line for a person: the step that failed, and what to do about it where that is known.
 *
 *     certificate has expired: CN=example.org, on Jan  2 00:00:00 2026 GMT; its owner has to renew it
 *
 * The functions that take a pointer to this struct accept NULL. They write the text before the continuation is resumed
 * with an error; before it is resumed with 0 the text is empty. */
struct loop_tls_error {
    char text[LOOP_TLS_ERROR_SIZE];
};

/* ---- contexts ---- */

/* Certificates, a key or lists in the PEM format: in a file, or in memory. All zero: none. */
struct loop_tls_pem {
    const char *path LOOP_ZERO; /* relative to the working directory of the process; or NULL */
    const void *data LOOP_ZERO; /* where `path` is NULL */
    size_t len LOOP_ZERO;
};

/* A certificate that this side presents. */
struct loop_tls_certificate {
    struct loop_tls_pem chain LOOP_ZERO; /* the certificate, then those of the authorities between it and the root */
    struct loop_tls_pem key LOOP_ZERO;   /* its private key, without a password. None: it is in `chain` */
};

/* Whether the peer has to present a certificate that is valid and issued by one of the authorities. */
enum loop_tls_verify {
    LOOP_TLS_VERIFY_DEFAULT,  /* clients: LOOP_TLS_VERIFY_REQUIRED; servers: LOOP_TLS_VERIFY_NONE */
    LOOP_TLS_VERIFY_NONE,     /* for a client: anyone on the path can read and change everything */
    LOOP_TLS_VERIFY_OPTIONAL, /* for a server: a client may present none. A client is always shown one */
    LOOP_TLS_VERIFY_REQUIRED
};

enum loop_tls_version { LOOP_TLS_VERSION_DEFAULT, LOOP_TLS_VERSION_1_2, LOOP_TLS_VERSION_1_3 };

/* Receives a line of the key log, without a newline. Called inside handshakes, so it must not call the loop and must
 * not block. */
typedef void loop_tls_key_log_fn(void *arg, const char *line);

/* Options of a context. Zero for all is a client that trusts the authorities of the system. */
struct loop_tls_options {
    /* A server needs one or more. It presents the first that has the name that the client asks for (SNI), or else the
     * first with a wildcard for it, or else the first of all. Of certificates with different kinds of keys, such as RSA
     * and ECDSA, it presents one of a kind that the client supports. A client presents the first when a server asks for
     * one */
    const struct loop_tls_certificate *certificates LOOP_ZERO;
    size_t n_certificates LOOP_ZERO;
    /* The authorities that are trusted to issue certificates of peers. None: a client trusts those of the system */
    struct loop_tls_pem authorities LOOP_ZERO;
    /* Lists of revoked certificates (CRLs). Where there are any, every certificate in the peer's chain is looked up in
     * the list of its issuer, and the peer is refused if one of these lists is missing or out of date. So give the list
     * of each authority in the chain, from the root on */
    struct loop_tls_pem revocations LOOP_ZERO;
    enum loop_tls_verify verify LOOP_ZERO;
    /* Application protocols (ALPN), such as "h2" and "http/1.1", the preferred one first. A server that has none in
     * common with a client that offers some refuses it */
    const char *const *protocols LOOP_ZERO;
    size_t n_protocols LOOP_ZERO;
    enum loop_tls_version least_version LOOP_ZERO;    /* default: TLS 1.2 */
    enum loop_tls_version greatest_version LOOP_ZERO; /* default: TLS 1.3 */
    /* Every connection has a full handshake. Otherwise a server issues tickets, which leave with the first bytes that
     * it writes, or as soon as it waits for some of the client; and a client resumes the session of the last
     * connections to the same host: sooner, and without another look at the certificate. Sessions expire after the time
     * that the server has set, by default two hours; on the simulated kernel by the virtual clock too */
    bool no_resumption LOOP_ZERO;
    /* How long a handshake may take. 0: 10 seconds; LOOP_NEVER: without a limit */
    int64_t handshake_timeout_ns LOOP_ZERO;
    /* NULL, or receives the secrets of every connection in the format of NSS, with which Wireshark decrypts what it has
     * recorded. For debugging only: with these lines everything can be read */
    loop_tls_key_log_fn *key_log LOOP_ZERO;
    void *key_log_arg LOOP_ZERO;
    /* NULL, or a file that the same lines are appended to, for Wireshark. A new file can be read by its owner only. It
     * is opened with the context, whose errors are also those of open(2) for it. Each line is one write(2) on the
     * loop's thread. When that fails the line is lost, and the first failure is logged as a warning */
    const char *key_log_path LOOP_ZERO;
};

/* Opens a context for connections to servers. `*context` is set before the continuation is resumed with 0. It belongs
 * to `scope`, and connections that were made with it may outlive it. `options`, which may be NULL, and all that it
 * points to are not used after the call; `context` and `error` are, until the continuation is resumed.
 *
 * Resumes with 0; -ENOENT, -EACCES or another error of open(2) and read(2) for a file; -EBADMSG for a file or memory
 * that is not in the PEM format, or holds none of what it should; -EKEYREJECTED for a key that is not that of its
 * certificate, or that OpenSSL refuses; -EFBIG for a file of more than 16 MiB; -EINVAL for bad options, and for
 * what is no regular file, such as a pipe; -ENOMEM; -ECANCELED. After an error `*context` is NULL. Returns job 0 when
 * there is no memory or the scope has ended. */
LOOP_API loop_job loop_tls_open_client(struct loop_scope *scope, const struct loop_tls_options *options,
                                       struct loop_tls_context **context, struct loop_tls_error *error, loop_fn *fn,
                                       void *arg);

/* Opens a context for connections from clients, with the ownership and the results of loop_tls_open_client. It needs at
 * least one certificate, and authorities where clients are verified: -EINVAL without. */
LOOP_API loop_job loop_tls_open_server(struct loop_scope *scope, const struct loop_tls_options *options,
                                       struct loop_tls_context **context, struct loop_tls_error *error, loop_fn *fn,
                                       void *arg);

/* Replaces everything in a context, such as a certificate that has been renewed. Connections whose handshake begins
 * after the continuation has been resumed with 0 use the new options; those that exist go on with the old ones. After
 * an error or a cancel the context is as it was. Of several reloads at a time the one that began last decides,
 * whichever ends last. Sessions from before are not resumed. Resumes with the results of loop_tls_open_client. The job
 * belongs to the scope of the context. */
LOOP_API loop_job loop_tls_reload(struct loop_tls_context *context, const struct loop_tls_options *options,
                                  struct loop_tls_error *error, loop_fn *fn, void *arg);

/* ---- connections ---- */

/* Begins TLS on `under`, as a client. `host` is the name or the IP address of the server: it is asked for a certificate
 * (SNI), and the certificate must be for it. `host` is copied. It may be NULL only where the context verifies nothing.
 *
 * From the call on, `under` is used by the TLS flow alone. `*flow` is set before the continuation is resumed with 0. It
 * belongs to the scope of `under`: a scope that lives long should have one inside for each connection, because what is
 * left of a closed flow (1 KiB) is freed with its scope. loop_flow_close on it closes `under` too, and so does an error
 * of this job. `under` may be any flow, also one of the program's own without a descriptor, or another TLS flow. Its
 * source and its sink must belong to its scope, and it must stay valid as long as that.
 *
 * Resumes with 0, for a client once the sink of `under` has accepted its last records; or with an error, no flow:
 *   -EKEYEXPIRED    the peer's certificate has expired, or is not valid yet
 *   -EKEYREVOKED    the peer's certificate has been revoked
 *   -EKEYREJECTED   the peer's certificate is refused for another reason: not for `host`, of an unknown authority, ...
 *   -ENOKEY         the client has presented no certificate, and the server requires one
 *   -EPROTO         the peer does not speak TLS, violates it, has no version, cipher or protocol in common with this
 *                   side, or has refused this side by an alert
 *   -ECONNABORTED   the stream has ended in the middle
 *   -ETIMEDOUT      handshake_timeout_ns have passed, or the scope's deadline
 *   -EINVAL         `host` is NULL, empty, too long or begins with a dot; the context is a server's, or of another
 *                   loop; `under` has parts of other scopes
 *   -ECANCELED, -ENOMEM, or the error of `under`, such as -ECONNRESET
 *
 * The results of operations on the flow: those of loop_read, loop_write and so on, with these meanings.
 *   - Reads end with -ECONNABORTED where the stream below has ended without the peer's close_notify, and with -EPROTO
 *     after an alert or bytes that are not TLS. loop_tls_why tells more.
 *   - A write resumes with `len` when its last record has been accepted by the sink of `under`. One that is cancelled
 *     resumes with how many bytes have been encrypted: their records are sent all the same, before those of later
 *     writes, as long as the scope lasts. One that fails resumes with how many bytes are in records that were accepted
 *     before.
 *   - A shutdown ends with the error of `under` where the close_notify cannot be written, unless the peer has ended its
 *     stream and is gone. One that is started directly behind a write leaves together with its last bytes: a cancel
 *     does not hold it back then, and the write in front of it stays the last.
 *   - A write after loop_shutdown ends with -EPIPE, one after a violation of TLS with -EPROTO.
 *   - loop_flow_close cancels what is pending. It sends no close_notify: use loop_shutdown before. loop_source_close
 *     and loop_sink_close do the same, both directions; a second call of the same function returns -EBADF.
 *
 * At most six records are buffered for writing, and one for reading. An idle flow has no buffer. */
LOOP_API loop_job loop_tls_connect(struct loop_flow *under, struct loop_tls_context *context, const char *host,
                                   struct loop_flow **flow, struct loop_tls_error *error, loop_fn *fn, void *arg);

/* Begins TLS on `under`, as a server: in the connection function of loop_serve, or after loop_accept. The context is a
 * server's. Ownership, results and what `*flow` does are those of loop_tls_connect. */
LOOP_API loop_job loop_tls_accept(struct loop_flow *under, struct loop_tls_context *context, struct loop_flow **flow,
                                  struct loop_tls_error *error, loop_fn *fn, void *arg);

/* Returns the flow below, for its address and its socket options; NULL for a flow that is not TLS. */
LOOP_API struct loop_flow *loop_tls_under(struct loop_flow *flow);

/* Returns why reads or writes of a TLS flow fail, in the form of struct loop_tls_error; "" while they do not. The text
 * is valid until the scope of the flow has ended, or until the next call. */
LOOP_API const char *loop_tls_why(const struct loop_flow *flow);

/* What the handshake has agreed on. */
struct loop_tls_info {
    const char *version;     /* "TLSv1.3"; static */
    const char *cipher;      /* "TLS_AES_256_GCM_SHA384"; static */
    const char *server_name; /* the name the client has asked for, or NULL; valid until the flow is closed */
    char protocol[256];      /* the application protocol (ALPN); "" for none */
    bool is_resumed;         /* a session of an earlier connection */
    bool is_verified;        /* the peer has a certificate, and it was verified, now or when the session began */
};

/* Stores what the handshake has agreed on in `*info`. Returns 0; -EBADF when the flow is closed; -EINVAL for a flow
 * that is not TLS. */
LOOP_API int loop_tls_get_info(const struct loop_flow *flow, struct loop_tls_info *info);

/* Copies the peer's certificate to `buf`, in the DER format. Returns its length in bytes; -ENOSPC for more than
 * `size_bytes`; -ENOENT when the peer has presented none; -EBADF when the flow is closed; -EINVAL for a flow that is
 * not TLS. */
LOOP_API int64_t loop_tls_peer_certificate(const struct loop_flow *flow, void *buf, size_t size_bytes);

/* Writes the subject of the peer's certificate to `text`, as in RFC 2253: "CN=client 7,O=Example". Returns the length
 * without the NUL, or the errors of loop_tls_peer_certificate. */
LOOP_API int loop_tls_peer_subject(const struct loop_flow *flow, char *text, size_t size_bytes);

/* ---- OpenSSL ---- */

struct ssl_st;     /* SSL */
struct ssl_ctx_st; /* SSL_CTX */

/* Returns OpenSSL's object of a connection, to read more from it. It must not be made to read, write or shut down.
 * Valid until the flow is closed. NULL for a flow that is closed or not TLS. */
LOOP_API struct ssl_st *loop_tls_ssl(const struct loop_flow *flow);

/* Returns OpenSSL's object of a context, to set what has no option here, such as ciphers. It lasts until
 * loop_tls_reload replaces it. */
LOOP_API struct ssl_ctx_st *loop_tls_ssl_context(const struct loop_tls_context *context);

#ifdef __cplusplus
}
#endif

#endif
