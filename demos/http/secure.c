/* SPDX-License-Identifier: ISC
 *
 * The certificates of the sites.
 */
#include "secure.h"
#include "../common/arguments.h"

static const char *const protocols[] = {"http/1.1"};

/* Fills in the options. The certificates have to stay as long as they do. */
static struct loop_tls_options options_of(const struct secure *secure, struct loop_tls_certificate *certificates)
{
    size_t n = 0;

    for (unsigned i = 0; i < secure->sites->n; i++) {
        const struct site *site = &secure->sites->site[i];
        if (site->chain) {
            certificates[n++] =
                (struct loop_tls_certificate){.chain = {.path = site->chain}, .key = {.path = site->key}};
        }
    }
    return (struct loop_tls_options){.certificates = certificates,
                                     .n_certificates = n,
                                     .protocols = protocols,
                                     .n_protocols = sizeof protocols / sizeof *protocols,
                                     .handshake_timeout_ns = secure->handshake_timeout_ns};
}

loop_job secure_open(struct secure *secure, loop_fn *fn, void *arg)
{
    struct loop_tls_certificate certificates[MOST_SITES];
    const struct loop_tls_options options = options_of(secure, certificates);

    return loop_tls_open_server(secure->env->scope, &options, &secure->context, &secure->error, fn, arg);
}

static void on_reloaded(void *arg, int64_t result)
{
    const struct secure *secure = arg;

    if (result < 0) {
        arguments_complain("TLS: the certificates stay as they were: %s", secure->error.text);
    } else if (secure->reloaded) {
        secure->reloaded(secure->reloaded_arg);
    }
}

void secure_reload(struct secure *secure)
{
    struct loop_tls_certificate certificates[MOST_SITES];
    const struct loop_tls_options options = options_of(secure, certificates);

    loop_tls_reload(secure->context, &options, &secure->error, on_reloaded, secure);
}
