/* SPDX-License-Identifier: ISC
 *
 * The certificates of the sites. A client is shown that of the site whose name it asks for, or else that of the first
 * one.
 */
#ifndef DEMOS_HTTP_SECURE_H
#define DEMOS_HTTP_SECURE_H

#include "sites.h"

#include <net/tls.h>

struct secure {
    struct loop_env *env;
    const struct sites *sites;
    int64_t handshake_timeout_ns;
    struct loop_tls_context *context; /* NULL until it is open */
    struct loop_tls_error error;
    void (*reloaded)(void *arg); /* called after each reload that has succeeded; or NULL */
    void *reloaded_arg;
};

/* Reads the certificates. The members `env`, `sites` and `handshake_timeout_ns` have been set, and `reloaded`. Resumes
 * with the results of loop_tls_open_server. */
loop_job secure_open(struct secure *secure, loop_fn *fn, void *arg);

/* Reads them again, and complains where that fails: then the certificates stay as they were. */
void secure_reload(struct secure *secure);

#endif
