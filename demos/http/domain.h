/* SPDX-License-Identifier: ISC
 *
 * A loop of httpd --domains. Files of the sites, certificates and connections are its own; the log, the count of
 * connections of each client and the end are those of all loops.
 */
#ifndef DEMOS_HTTP_DOMAIN_H
#define DEMOS_HTTP_DOMAIN_H

#include "../common/domains.h"
#include "connection.h"

/* What a domain is made of. Constant while domains run. */
struct domain_plan {
    struct domains *domains;
    struct connections connections; /* without an environment, sites and certificates */
    const struct sites *sites;      /* their names */
    unsigned most_files;            /* that stay open in one domain */
    int64_t fresh_ns;
    bool has_tls;
};

/* The main function of a domain; `plan` is a struct domain_plan. Connections wait until it has opened what it needs. A
 * failure of that ends the domain. */
int domain_main(struct loop_env *env, unsigned index, void *plan);

/* Serves a connection in the domain of this thread. */
void domain_accept(struct loop_flow *peer, void *plan);

/* Calls from the main loop (domains_call): they close idle connections, and read the certificates again. */
void domain_end_idle(struct loop_incoming *call, struct loop_scope *scope, void *unused);
void domain_reload(struct loop_incoming *call, struct loop_scope *scope, void *unused);

#endif
