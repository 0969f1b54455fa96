/* SPDX-License-Identifier: ISC
 *
 * A loop of httpd --domains. It opens the directories, and its own context of TLS: a context belongs to one loop. A
 * ticket of one is none for another, and the client has a full handshake then.
 */
#include "domain.h"
#include "../common/arguments.h"
#ifdef HTTPD_WITH_TLS
#include "secure.h"
#endif

#include <errno.h>

struct domain {
    struct loop_env *env;
    struct connections connections;
    struct sites sites;
    struct gate *gate;
    const char *failed; /* the name of what could not be opened */
    bool has_tls;
#ifdef HTTPD_WITH_TLS
    struct secure secure;
    bool has_to_reload; /* when the context is open */
#endif
};

/* Of this thread; it is in the memory of its loop's main scope. */
static _Thread_local struct domain *here;

/* ---- the start ---- */

static void give_up(struct domain *domain, const char *what, int64_t error)
{
    arguments_fail(what, error);
    loop_scope_fail(domain->env->scope, error);
}

static void begin(struct domain *domain)
{
    int error = domains_prepared();

    if (error < 0) {
        give_up(domain, "a domain", error);
        return;
    }
    connections_watch(&domain->connections);
    gate_open(domain->gate);
}

#ifdef HTTPD_WITH_TLS

static void on_certificates(void *arg, int64_t result)
{
    struct domain *domain = arg;

    if (result == -ECANCELED) {
        return;
    }
    if (result < 0) {
        arguments_complain("TLS: %s", domain->secure.error.text);
        loop_scope_fail(domain->env->scope, result);
        return;
    }
    domain->connections.tls = domain->secure.context;
    if (domain->has_to_reload) {
        secure_reload(&domain->secure);
    }
    begin(domain);
}

static void open_certificates(struct domain *domain)
{
    domain->secure = (struct secure){
        .env = domain->env, .sites = &domain->sites, .handshake_timeout_ns = domain->connections.limits.patience_ns};
    if (!secure_open(&domain->secure, on_certificates, domain)) {
        give_up(domain, "TLS", -ENOMEM);
    }
}

#endif

static void on_sites(void *arg, int64_t result)
{
    struct domain *domain = arg;

    if (result == -ECANCELED) {
        return;
    }
    if (result < 0) {
        give_up(domain, domain->failed, result);
        return;
    }
#ifdef HTTPD_WITH_TLS
    if (domain->has_tls) {
        open_certificates(domain);
        return;
    }
#endif
    begin(domain);
}

int domain_main(struct loop_env *env, unsigned index, void *arg)
{
    const struct domain_plan *plan = arg;
    struct domain *domain = loop_scope_alloc(env->scope, sizeof *domain);
    struct gate *gate = gate_create(env->scope);

    if (!domain || !gate) {
        return -ENOMEM;
    }
    domain->env = env;
    domain->gate = gate;
    domain->has_tls = plan->has_tls;
    domain->sites = *plan->sites;
    domain->connections = plan->connections;
    domain->connections.env = env;
    domain->connections.sites = &domain->sites;
    LIST_INIT(&domain->connections.list);
    here = domain;
    int error = domains_join(plan->domains, env, index);
    bool opens = error == 0 &&
                 sites_open(&domain->sites, env, plan->most_files, plan->fresh_ns, &domain->failed, on_sites, domain);
    return error == 0 && !opens ? -ENOMEM : error;
}

/* ---- what the domain does ---- */

void domain_accept(struct loop_flow *peer, void *plan)
{
    (void)plan;
    gate_pass(here->gate, peer, connections_accept, &here->connections);
}

void domain_end_idle(struct loop_incoming *call, struct loop_scope *scope, void *unused)
{
    (void)call;
    (void)scope;
    (void)unused;
    connections_end_idle(&here->connections);
}

void domain_reload(struct loop_incoming *call, struct loop_scope *scope, void *unused)
{
    (void)call;
    (void)scope;
    (void)unused;
#ifdef HTTPD_WITH_TLS
    if (here->secure.context) {
        secure_reload(&here->secure);
    } else {
        here->has_to_reload = true;
    }
#endif
}
