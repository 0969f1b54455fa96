/* SPDX-License-Identifier: ISC
 *
 * What the connections of proxy share for TLS: a context for clients, and one for upstream.
 */
#ifndef DEMOS_PROXY_TLS_H
#define DEMOS_PROXY_TLS_H

#include <loop/loop.h>
#include <net/tls.h>

struct proxy_tls {
    /* The options, filled in by the caller */
    const char *chain_path, *key_path; /* NULL: clients speak plainly */
    bool to_upstream;
    const char *authorities; /* of upstream; NULL: those of the system */

    struct loop_scope *scope;
    struct loop_tls_context *server, *client; /* NULL: none */
    struct loop_tls_error error;
    loop_fn *fn;
    void *arg;
};

/* Opens the contexts that the options ask for. From then on SIGHUP reads the certificate again. Resumes with 0, or with
 * an error that has been reported. Returns false without memory. */
bool proxy_tls_open(struct proxy_tls *tls, struct loop_scope *scope, loop_fn *fn, void *arg);

#endif
