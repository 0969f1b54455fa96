/* SPDX-License-Identifier: ISC
 *
 * Opens the contexts one after the other.
 */
#include "../common/arguments.h"
#include "proxy_tls.h"

#include <errno.h>
#include <signal.h>

/* ---- renewed certificates ---- */

static void on_reloaded(void *arg, int64_t result)
{
    const struct proxy_tls *tls = arg;

    if (result < 0) {
        arguments_complain("%s: the certificate stays as it was: %s", tls->chain_path, tls->error.text);
    }
}

/* Fills in options that name the files; the certificate has to stay as long as they do. */
static struct loop_tls_options server_options(const struct proxy_tls *tls, struct loop_tls_certificate *certificate)
{
    *certificate = (struct loop_tls_certificate){.chain = {.path = tls->chain_path}, .key = {.path = tls->key_path}};
    return (struct loop_tls_options){.certificates = certificate, .n_certificates = 1};
}

static void await_hangup(struct proxy_tls *tls);

static void on_hangup(void *arg, int64_t result)
{
    struct proxy_tls *tls = arg;
    struct loop_tls_certificate certificate;
    const struct loop_tls_options options = server_options(tls, &certificate);

    if (result >= 0) {
        loop_tls_reload(tls->server, &options, &tls->error, on_reloaded, tls);
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
    } else {
        await_hangup(tls);
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

bool proxy_tls_open(struct proxy_tls *tls, struct loop_scope *scope, loop_fn *fn, void *arg)
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
