/* SPDX-License-Identifier: ISC
 *
 * Opens the contexts one after the other.
 */
#include "../common/arguments.h"
#include "proxy_tls.h"

#include <errno.h>
#include <signal.h>

/* Of the domain of this thread. */
static _Thread_local struct proxy_tls *here;

/* ---- renewed certificates ---- */

static void reload_in_domain(struct loop_incoming *call, struct loop_scope *scope, void *unused);

static void on_reloaded(void *arg, int64_t result)
{
    const struct proxy_tls *tls = arg;

    if (result < 0) {
        arguments_complain("%s: the certificate stays as it was: %s", tls->chain_path, tls->error.text);
    } else if (tls->domains) {
        domains_call(tls->domains, reload_in_domain, NULL);
    }
}

/* Fills in options that name the files; the certificate has to stay as long as they do. */
static struct loop_tls_options server_options(const struct proxy_tls *tls, struct loop_tls_certificate *certificate)
{
    *certificate = (struct loop_tls_certificate){.chain = {.path = tls->chain_path}, .key = {.path = tls->key_path}};
    return (struct loop_tls_options){.certificates = certificate, .n_certificates = 1};
}

static void reload(struct proxy_tls *tls)
{
    struct loop_tls_certificate certificate;
    const struct loop_tls_options options = server_options(tls, &certificate);

    loop_tls_reload(tls->server, &options, &tls->error, on_reloaded, tls);
}

static void reload_in_domain(struct loop_incoming *call, struct loop_scope *scope, void *unused)
{
    (void)call;
    (void)scope;
    (void)unused;
    if (here->server) {
        reload(here);
    } else {
        here->has_to_reload = true;
    }
}

static void await_hangup(struct proxy_tls *tls);

static void on_hangup(void *arg, int64_t result)
{
    struct proxy_tls *tls = arg;

    if (result >= 0) {
        reload(tls);
        await_hangup(tls);
    }
}

static void await_hangup(struct proxy_tls *tls)
{
    loop_daemon(loop_scope_loop(tls->scope), loop_signal(tls->scope, SIGHUP, on_hangup, tls));
}

/* ---- the contexts ---- */

static void on_server(void *arg, int64_t result)
{
    struct proxy_tls *tls = arg;

    if (result < 0) {
        arguments_complain("%s: %s", tls->chain_path, tls->error.text);
    } else if (!tls->gate) {
        await_hangup(tls);
    } else if (tls->has_to_reload) {
        reload(tls);
    }
    tls->fn(tls->arg, result);
}

static bool open_server(struct proxy_tls *tls)
{
    struct loop_tls_certificate certificate;
    const struct loop_tls_options options = server_options(tls, &certificate);

    return loop_tls_open_server(tls->scope, &options, &tls->server, &tls->error, on_server, tls) != 0;
}

static void on_client(void *arg, int64_t result)
{
    struct proxy_tls *tls = arg;

    if (result < 0) {
        arguments_complain("%s: %s", tls->authorities ? tls->authorities : "authorities", tls->error.text);
    } else if (tls->chain_path) {
        if (open_server(tls)) {
            return;
        }
        result = -ENOMEM;
        arguments_fail(tls->chain_path, result);
    }
    tls->fn(tls->arg, result);
}

static bool open_contexts(struct proxy_tls *tls, struct loop_scope *scope, loop_fn *fn, void *arg)
{
    const struct loop_tls_options options = {.authorities = {.path = tls->authorities}};

    tls->scope = scope;
    tls->fn = fn;
    tls->arg = arg;
    if (tls->to_upstream) {
        return loop_tls_open_client(scope, &options, &tls->client, &tls->error, on_client, tls) != 0;
    }
    return open_server(tls);
}

bool proxy_tls_is_used(const struct proxy_tls *tls)
{
    return tls->chain_path || tls->to_upstream;
}

bool proxy_tls_open(struct proxy_tls *tls, struct loop_scope *scope, unsigned n_domains, loop_fn *fn, void *arg)
{
    tls->domains = n_domains > 0 ? domains_create(scope, n_domains) : NULL;
    return (n_domains == 0 || tls->domains) && open_contexts(tls, scope, fn, arg);
}

/* ---- in a domain ---- */

static void on_domain_contexts(void *arg, int64_t result)
{
    struct proxy_tls *tls = arg;

    int64_t error = result < 0 ? result : domains_prepared();

    if (error < 0) {
        loop_scope_fail(tls->scope, error);
    } else {
        gate_open(tls->gate);
    }
}

struct proxy_tls *proxy_tls_open_domain(const struct proxy_tls *main, struct loop_env *env, unsigned index)
{
    struct proxy_tls *tls = loop_scope_alloc(env->scope, sizeof *tls);

    if (!tls) {
        return NULL;
    }
    tls->chain_path = main->chain_path;
    tls->key_path = main->key_path;
    tls->to_upstream = main->to_upstream;
    tls->authorities = main->authorities;
    tls->gate = gate_create(env->scope);
    here = tls;
    bool has_joined = tls->gate && domains_join(main->domains, env, index) == 0;
    return has_joined && open_contexts(tls, env->scope, on_domain_contexts, tls) ? tls : NULL;
}

void proxy_tls_pass(struct proxy_tls *tls, struct loop_flow *peer, loop_connection_fn *fn, void *arg)
{
    if (tls->gate) {
        gate_pass(tls->gate, peer, fn, arg);
    } else {
        fn(peer, arg);
    }
}
