/* SPDX-License-Identifier: ISC
 *
 * A client and a server with TLS between them, over a pair of sockets.
 */
#ifndef TESTS_TLS_H
#define TESTS_TLS_H

#include "certificates.h"

#define TLS_HOST "server.example"

enum { TLS_CLIENT, TLS_SERVER };

/* An authority, a server's certificate for TLS_HOST and 127.0.0.1, and contexts that use them. */
__attribute__((unused)) static struct {
    struct issued authority, server;
    struct loop_tls_certificate certificate;
    struct loop_tls_options options[2];
    struct loop_tls_context *contexts[2];
    struct loop_tls_error errors[2];
    struct once opened[2];
} tls;

/* One connection. */
struct tls_pair {
    struct loop_flow *below[2], *flows[2];
    struct loop_tls_error errors[2];
    struct once done[2];
};

/* Makes the certificates and the usual options, without a deadline that a busy machine could miss. */
static inline void tls_prepare(void)
{
    tls.authority = issue(&(struct issue){.name = "Authority", .is_authority = true});
    tls.server =
        issue(&(struct issue){.name = TLS_HOST, .hosts = "DNS:" TLS_HOST ",IP:127.0.0.1", .issuer = &tls.authority});
    tls.certificate = presented(&tls.server);
    tls.options[TLS_CLIENT] =
        (struct loop_tls_options){.authorities = pem(tls.authority.chain), .handshake_timeout_ns = LOOP_NEVER};
    tls.options[TLS_SERVER] = (struct loop_tls_options){
        .certificates = &tls.certificate, .n_certificates = 1, .handshake_timeout_ns = LOOP_NEVER};
}

static inline void tls_open(struct loop_scope *scope)
{
    memset(tls.opened, 0, sizeof tls.opened);
    CHECK(loop_tls_open_client(scope, &tls.options[TLS_CLIENT], &tls.contexts[TLS_CLIENT], &tls.errors[TLS_CLIENT],
                               ONCE(&tls.opened[TLS_CLIENT])));
    CHECK(loop_tls_open_server(scope, &tls.options[TLS_SERVER], &tls.contexts[TLS_SERVER], &tls.errors[TLS_SERVER],
                               ONCE(&tls.opened[TLS_SERVER])));
}

/* Opens both contexts with `tls.options`, in a script. */
#define TLS_OPEN(scope)                                                                                                \
    do {                                                                                                               \
        tls_open(scope);                                                                                               \
        WAIT_UNTIL(tls.opened[TLS_CLIENT].count &&tls.opened[TLS_SERVER].count);                                       \
        CHECK_TEXT(tls.errors[TLS_CLIENT].text, "");                                                                   \
        CHECK_TEXT(tls.errors[TLS_SERVER].text, "");                                                                   \
        ONCE_IS(tls.opened[TLS_CLIENT], 0);                                                                            \
        ONCE_IS(tls.opened[TLS_SERVER], 0);                                                                            \
    } while (0)

/* Makes certificates and opens contexts. */
#define TLS_SET_UP(scope)                                                                                              \
    do {                                                                                                               \
        tls_prepare();                                                                                                 \
        TLS_OPEN(scope);                                                                                               \
    } while (0)

/* Starts both handshakes over the flows in `pair->below`. */
static inline void tls_shake(struct tls_pair *pair, const char *host)
{
    memset(pair->done, 0, sizeof pair->done);
    CHECK(loop_tls_connect(pair->below[TLS_CLIENT], tls.contexts[TLS_CLIENT], host, &pair->flows[TLS_CLIENT],
                           &pair->errors[TLS_CLIENT], ONCE(&pair->done[TLS_CLIENT])));
    CHECK(loop_tls_accept(pair->below[TLS_SERVER], tls.contexts[TLS_SERVER], &pair->flows[TLS_SERVER],
                          &pair->errors[TLS_SERVER], ONCE(&pair->done[TLS_SERVER])));
}

#define TLS_AWAIT(pair) WAIT_UNTIL((pair)->done[TLS_CLIENT].count && (pair)->done[TLS_SERVER].count)

/* Starts both handshakes over a new pair of sockets, and waits for their ends. */
#define TLS_MEET(scope, pair, host)                                                                                    \
    do {                                                                                                               \
        CHECK_IS(loop_socketpair(scope, &(pair)->below[TLS_CLIENT], &(pair)->below[TLS_SERVER]), 0);                   \
        tls_shake(pair, host);                                                                                         \
        TLS_AWAIT(pair);                                                                                               \
    } while (0)

/* Both handshakes have succeeded. */
#define TLS_ARE_UP(pair)                                                                                               \
    do {                                                                                                               \
        CHECK_TEXT((pair)->errors[TLS_CLIENT].text, "");                                                               \
        CHECK_TEXT((pair)->errors[TLS_SERVER].text, "");                                                               \
        ONCE_IS((pair)->done[TLS_CLIENT], 0);                                                                          \
        ONCE_IS((pair)->done[TLS_SERVER], 0);                                                                          \
    } while (0)

#define TLS_CONNECTED(scope, pair)                                                                                     \
    do {                                                                                                               \
        TLS_MEET(scope, pair, TLS_HOST);                                                                               \
        TLS_ARE_UP(pair);                                                                                              \
    } while (0)

/* Checks that a text has a part. */
#define CHECK_HAS(text, part)                                                                                          \
    do {                                                                                                               \
        if (!strstr(text, part)) {                                                                                     \
            ck_abort_msg("'%s' is not in: %s", part, text);                                                            \
        }                                                                                                              \
    } while (0)

#endif
