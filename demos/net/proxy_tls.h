/* SPDX-License-Identifier: ISC
 *
 * What the connections of proxy share for TLS: a context for clients, and one for upstream. A context belongs to one
 * loop, so with --domains each loop opens its own; the main loop opens them first, so that what is wrong shows at once.
 */
#ifndef DEMOS_PROXY_TLS_H
#define DEMOS_PROXY_TLS_H

#include "../common/domains.h"

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
    struct domains *domains; /* of the main loop; NULL: there are none */
    struct gate *gate;       /* of a domain: open when the contexts are; NULL in the main loop */
    bool has_to_reload;      /* when the context for clients is open */
    loop_fn *fn;
    void *arg;
};

/* Returns whether the options ask for TLS on either side. */
bool proxy_tls_is_used(const struct proxy_tls *tls);

/* Opens the contexts that the options ask for, in the main loop, which has `n_domains`. From then on SIGHUP reads the
 * certificate again, for all loops. Resumes with 0, or with an error that has been reported. Returns false without
 * memory. */
bool proxy_tls_open(struct proxy_tls *tls, struct loop_scope *scope, unsigned n_domains, loop_fn *fn, void *arg);

/* Begins to open contexts in a domain, with the options of the main loop's. Returns NULL without memory. A failure that
 * comes later is reported, and ends the domain. */
struct proxy_tls *proxy_tls_open_domain(const struct proxy_tls *main, struct loop_env *env, unsigned index);

/* Calls fn(peer, arg) when the contexts of this loop are open. */
void proxy_tls_pass(struct proxy_tls *tls, struct loop_flow *peer, loop_connection_fn *fn, void *arg);

#endif
