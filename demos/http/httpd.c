/* SPDX-License-Identifier: ISC
 *
 * httpd DIR ADDRESS: serves the files beneath DIR over HTTP/1.1, with or without TLS.
 *
 * This file has the options, and what happens at the start, at SIGHUP and at the end.
 */
#include "../common/arguments.h"
#include "../common/restart.h"
#include "domain.h"
#ifdef HTTPD_WITH_TLS
#include "secure.h"
#endif

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#define DESCRIPTORS_OF_OURS 64  /* beside those of sites and connections */
#define DESCRIPTORS_OF_A_LOOP 8 /* of a domain */
#define MOST_FILES 1024u        /* that stay open, in all loops together */

static struct sites sites = {.n = 1};
static struct arguments_serving serving_limits = {.grace_ns = 5 * LOOP_SECOND};
static struct connection_limits limits = {.most_head_bytes = 16384,
                                          .most_body_bytes = 65536,
                                          .most_requests = 10000,
                                          .idle_ns = 30 * LOOP_SECOND,
                                          .patience_ns = 30 * LOOP_SECOND};
static unsigned most_per_address = 1000;
static int64_t fresh_ns = LOOP_SECOND;
static bool has_index, has_precompressed;
static const char *log_path;

static void add_host(const char *text)
{
    const char *wrong = sites_add(&sites, text);

    if (wrong) {
        arguments_refuse("--host %s: %s", text, wrong);
    }
}

static struct restart restart;

static const struct arguments_option options[] = {
    {.name = "host",
     .placeholder = "NAME=DIR",
     .each = add_host,
     .help = "serve DIR to requests for the host NAME, or *.NAME for all hosts one label below it; "
             "NAME=DIR,CERTIFICATE[,KEY] with TLS. May be repeated"},
    {.name = "index", .flag = &has_index, .help = "list directories that have no index.html"},
    {.name = "precompressed", .flag = &has_precompressed, .help = "serve FILE.br or FILE.gz for FILE, as clients like"},
    {.name = "access-log",
     .placeholder = "FILE",
     .text = &log_path,
     .help = "write a line for each answer ('-': standard output); SIGHUP opens it again"},
    {.name = "timeout",
     .placeholder = "SECONDS",
     .duration_ns = &limits.patience_ns,
     .help = "how long a peer may take for a request, or for 64 KiB of an answer (30)"},
    {.name = "idle",
     .placeholder = "SECONDS",
     .duration_ns = &limits.idle_ns,
     .help = "how long a connection may be without a request (30)"},
    {.name = "total",
     .placeholder = "SECONDS",
     .duration_ns = &serving_limits.connection_timeout_ns,
     .help = "cut a connection off after this time, whatever it does (0, the default: no limit)"},
    {.name = "fresh",
     .placeholder = "SECONDS",
     .duration_ns = &fresh_ns,
     .help = "how long a file that was served is taken for unchanged (1; 0: each request opens its file)"},
    {.name = "max-header",
     .placeholder = "BYTES",
     .count = &limits.most_head_bytes,
     .least = 8192,
     .most = 65536,
     .help = "the head of a request, of which a line has at most half (16384)"},
    {.name = "max-body",
     .placeholder = "BYTES",
     .count = &limits.most_body_bytes,
     .most = 1u << 30,
     .help = "the body of a request, which is read and dropped (65536)"},
    {.name = "max-requests",
     .placeholder = "N",
     .count = &limits.most_requests,
     .most = 1u << 31,
     .help = "close a connection after N requests (10000; 0: no limit)"},
    {.name = "max-per-address",
     .placeholder = "N",
     .count = &most_per_address,
     .most = 1000000,
     .help = "connections of an IPv4 address or an IPv6 network of 64 bits; more are closed (1000; 0: no limit)"},
#ifdef HTTPD_WITH_TLS
    {.name = "tls-certificate",
     .placeholder = "FILE",
     .text = &sites.site[0].chain,
     .help = "serve by TLS, with this certificate and those behind it (PEM); SIGHUP reads it again"},
    {.name = "tls-key", .placeholder = "FILE", .text = &sites.site[0].key, .help = "its key (in the same file)"},
#endif
    ARGUMENTS_SERVING(serving_limits),
    ARGUMENTS_DOMAINS(serving_limits),
    RESTART_OPTION(restart),
};

static const struct arguments_program program = {
    .name = "httpd",
    .operands = "DIR ADDRESS",
    .about = "Serves the files beneath DIR over HTTP/1.1, until SIGTERM or SIGINT.\n"
             "ADDRESS is tcp:127.0.0.1:7000, tcp:[::1]:7000, unix:/path or unix:@name; port 0 takes a free one.\n"
             "There are never more connections than there are descriptors for.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 2,
    .most_operands = 2,
};

struct serving {
    struct loop_env *env;
    struct loop_address address;
    const char *failed; /* the name of what could not be opened */
    struct connections connections;
    struct ending ending;
    struct domain_plan plan; /* with --domains */
    struct loop_server *server;
    unsigned n_awaited; /* of what has to be ready: the server, and the domains when they are prepared */
#ifdef HTTPD_WITH_TLS
    struct secure secure;
#endif
    int status;
};

/* Ends the start with an error. */
static void give_up(struct serving *serving, const char *what, int64_t error)
{
    serving->status = arguments_fail(what, error);
    access_log_close(serving->connections.log);
}

/* ---- signals ---- */

static void on_stop(void *arg, int64_t result)
{
    struct serving *serving = arg;

    if (result < 0) {
        return;
    }
    serving->ending.is_stopping = true;
    connections_end_idle(&serving->connections);
    if (serving->plan.domains) {
        domains_call(serving->plan.domains, domain_end_idle, NULL);
    }
}

static void on_log_opened(void *arg, int64_t result)
{
    (void)arg;
    if (result < 0) {
        arguments_fail(log_path, result);
    }
}

static void await_hangup(struct serving *serving);

static void on_hangup(void *arg, int64_t result)
{
    struct serving *serving = arg;

    if (result < 0) {
        return;
    }
#ifdef HTTPD_WITH_TLS
    if (serving->secure.context) {
        secure_reload(&serving->secure);
    }
#endif
    if (serving->connections.log) {
        access_log_open(serving->connections.log, on_log_opened, serving);
    }
    await_hangup(serving);
}

static void await(struct serving *serving, int signal_number, loop_fn *fn)
{
    struct loop_env *env = serving->env;

    loop_daemon(env->loop, loop_signal(env->scope, signal_number, fn, serving));
}

static void await_hangup(struct serving *serving)
{
    await(serving, SIGHUP, on_hangup);
}

/* ---- the server ---- */

/* Divides the descriptors: limits the connections, also to the user's lower limit. Returns how many files may stay
 * open, in all loops together. */
static unsigned divide_descriptors(void)
{
    rlim_t each = has_precompressed ? 3 : 2; /* a socket, and a file with the encoded one beside it */
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    unsigned files = limit.rlim_cur / 8 < MOST_FILES ? (unsigned)(limit.rlim_cur / 8) : MOST_FILES;
    rlim_t others = DESCRIPTORS_OF_OURS + files + sites.n - 1;
    others += (rlim_t)serving_limits.domains * (DESCRIPTORS_OF_A_LOOP + sites.n);
    arguments_bound_connections(&serving_limits, each, others);
    return files;
}

static void on_server_end(void *arg, int64_t error)
{
    struct serving *serving = arg;

    access_log_close(serving->connections.log);
    if (error < 0) {
        loop_scope_fail(serving->env->scope, error);
    }
}

/* A successor serves. Each connection is closed after its next answer, and none before: a request may be on its way. */
static void on_replaced(void *arg)
{
    ((struct serving *)arg)->ending.is_replaced = true;
}

/* Ends the server with this status. There is none where it could not begin though some domains have. */
static void end_server(struct serving *serving, int status)
{
    serving->status = status;
    if (serving->server) {
        loop_server_stop(serving->server, loop_now(serving->env->loop));
    }
}

static bool announce(void *arg)
{
    struct serving *serving = arg;

    if (serving->ending.is_stopping) {
        return false;
    }
    int status = arguments_announce(serving->env, serving->server, "");

    if (status != 0) {
        end_server(serving, status);
    }
    return status == 0;
}

/* The server has started, or its domains are prepared; or one of them has failed, and has said why. */
static void on_ready(void *arg, int64_t result)
{
    struct serving *serving = arg;

    if (result < 0) {
        end_server(serving, 1);
        return;
    }
    if (--serving->n_awaited == 0) {
        restart_ready(&restart, announce, serving);
    }
}

/* Starts the server: in this loop, or in domains. */
static int start_server(struct serving *serving)
{
    bool has_domains = serving->plan.domains;

    serving->n_awaited = has_domains ? 2 : 1;
    if (has_domains) {
        domains_await_prepared(serving->plan.domains, on_ready, serving);
    }
    serving_limits.on_start = on_ready;
    serving_limits.on_start_arg = serving;
    serving_limits.service = restart.service;
    serving_limits.on_end = on_server_end;
    serving_limits.on_end_arg = serving;
    serving_limits.domain_main = domain_main;
    serving->plan.connections = serving->connections;
    serving->plan.connections.tls = NULL;
    serving->plan.has_tls = sites.site[0].chain != NULL;
    return arguments_serve(serving->env, &serving->address, &serving_limits, &serving->server,
                           has_domains ? domain_accept : connections_accept,
                           has_domains ? (void *)&serving->plan : (void *)&serving->connections);
}

static void serve_now(void *arg)
{
    struct serving *serving = arg;

    serving->status = start_server(serving);
    if (serving->status != 0) {
        access_log_close(serving->connections.log);
        return;
    }
    connections_watch(&serving->connections);
    await(serving, SIGTERM, on_stop);
    await(serving, SIGINT, on_stop);
    await_hangup(serving);
}

static void serve(struct serving *serving)
{
    restart.replaced = on_replaced;
    int status = restart_begin(&restart, serving->env, serve_now, serving);
    if (status != 0) {
        serving->status = status;
        access_log_close(serving->connections.log);
    }
}

#ifdef HTTPD_WITH_TLS

static void on_certificates(void *arg, int64_t result)
{
    struct serving *serving = arg;

    if (result == 0) {
        serving->connections.tls = serving->secure.context;
        serve(serving);
        return;
    }
    arguments_complain("TLS: %s", serving->secure.error.text);
    serving->status = 1;
    access_log_close(serving->connections.log);
}

/* The certificates are good: the domains read them, too. */
static void on_reloaded(void *arg)
{
    const struct serving *serving = arg;

    if (serving->plan.domains) {
        domains_call(serving->plan.domains, domain_reload, NULL);
    }
}

static void secure(struct serving *serving)
{
    serving->secure.reloaded = on_reloaded;
    serving->secure.reloaded_arg = serving;
    serving->secure.env = serving->env;
    serving->secure.sites = &sites;
    serving->secure.handshake_timeout_ns = limits.patience_ns;
    if (!secure_open(&serving->secure, on_certificates, serving)) {
        give_up(serving, sites.site[0].chain, -ENOMEM);
    }
}

#endif

static void on_log(void *arg, int64_t result)
{
    struct serving *serving = arg;

    if (result < 0) {
        give_up(serving, log_path, result);
        return;
    }
#ifdef HTTPD_WITH_TLS
    if (sites.site[0].chain) {
        secure(serving);
        return;
    }
#endif
    serve(serving);
}

static void on_sites(void *arg, int64_t result)
{
    struct serving *serving = arg;
    struct connections *connections = &serving->connections;

    if (result < 0) {
        give_up(serving, serving->failed, result);
    } else if (!log_path) {
        on_log(serving, 0);
    } else {
        connections->log = access_log_create(serving->env, log_path, serving_limits.domains > 0);
        if (!connections->log || !access_log_open(connections->log, on_log, serving)) {
            give_up(serving, log_path, -ENOMEM);
        }
    }
}

/* Prepares what the domains are made of. Returns 0 or -ENOMEM. */
static int plan_domains(struct serving *serving, unsigned most_files)
{
    struct domain_plan *plan = &serving->plan;
    unsigned n = serving_limits.domains;

    if (n == 0) {
        return 0;
    }
    plan->sites = &sites;
    plan->fresh_ns = fresh_ns;
    plan->most_files = most_files / n > 0 ? most_files / n : 1;
    plan->domains = domains_create(serving->env->scope, n);
    return plan->domains ? 0 : -ENOMEM;
}

/* With domains this loop serves no connection, but it opens all that they will, so that what is wrong shows at once. */
static int start(struct loop_env *env, void *arg)
{
    struct serving *serving = arg;
    struct connections *connections = &serving->connections;
    unsigned most_files = divide_descriptors();

    serving->env = env;
    connections->env = env;
    connections->ending = &serving->ending;
    connections->limits = limits;
    connections->sites = &sites;
    connections->has_index = has_index;
    connections->has_precompressed = has_precompressed;
    connections->clients = clients_create(env->scope, most_per_address);
    LIST_INIT(&connections->list);
    if (!connections->clients || plan_domains(serving, most_files) < 0 ||
        !sites_open(&sites, env, most_files, fresh_ns, &serving->failed, on_sites, serving)) {
        return arguments_fail(sites.site[0].directory, -ENOMEM);
    }
    return 0;
}

#ifdef HTTPD_WITH_TLS
static void check_certificates(void)
{
    if (sites.site[0].key && !sites.site[0].chain) {
        arguments_refuse("--tls-key needs --tls-certificate");
    }
    for (unsigned i = 1; i < sites.n; i++) {
        if (sites.site[i].chain && !sites.site[0].chain) {
            arguments_refuse("a certificate of --host needs --tls-certificate");
        }
    }
}
#endif

int main(int argc, char **argv)
{
    char **operands = arguments_parse(&program, argc, argv);
#ifdef HTTPD_WITH_TLS
    check_certificates();
#endif
    sites.site[0].directory = operands[0];
    struct serving serving = {.address = arguments_address(operands[1])};
    int status = arguments_run(start, &serving);

    return status != 0 ? status : serving.status;
}
