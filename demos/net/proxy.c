/* SPDX-License-Identifier: ISC
 *
 * proxy LISTEN UPSTREAM: forwards every connection to another server.
 *
 * Each connection is two copies, one in each direction. When one of them reaches the end, the end is passed on and the
 * other direction continues. A copy reads no faster than its sink accepts bytes, so a slow reader holds back a fast
 * writer through the proxy.
 *
 * When one side fails, everything it has sent before is still delivered to the other side, which is then reset: an
 * error must not look like a normal end.
 *
 * Either side may speak TLS. Its flow is then one over that of the socket, and all of this is the same: a close_notify
 * is passed on as an end, and a stream that ends without one is a failure.
 */
#include "../common/arguments.h"
#ifdef PROXY_WITH_TLS
#include "proxy_tls.h"
#endif

#include <net/names.h>

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* After this time without a connection to upstream, a client that has closed its side without sending anything is taken
 * to have left. */
#define LEAVING_NS LOOP_SECOND

/* Time limit for delivering what the other side had sent before it failed. */
#define DRAIN_NS (5 * LOOP_SECOND)
#define DRAIN_STEP_NS (5 * LOOP_MILLISECOND)

#define KEPT_ANSWERS 64 /* of names */

/* Beside two for each connection, or three with a name: two addresses may be tried at a time. */
#define DESCRIPTORS_OF_OURS 20
#define DESCRIPTORS_OF_A_LOOP 12 /* of a domain, with those of its look-ups */

static int64_t connect_timeout_ns = 10 * LOOP_SECOND;

static int prepare_domain(struct loop_env *env, unsigned index, void *proxy);

static struct arguments_serving serving = {.grace_ns = 5 * LOOP_SECOND, .domain_main = prepare_domain};

#ifdef PROXY_WITH_TLS
static struct proxy_tls tls;                   /* the main loop's */
static _Thread_local struct proxy_tls *my_tls; /* of this loop; NULL: plain on both sides */
static const char *server_name;                /* of upstream */
#endif

static const struct arguments_option options[] = {
    ARGUMENTS_SERVING(serving),
    ARGUMENTS_DOMAINS(serving),
    {.name = "connect-timeout",
     .placeholder = "SECONDS",
     .duration_ns = &connect_timeout_ns,
     .help = "how long UPSTREAM may take to accept a connection (10; 0: as long as the kernel tries)"},
#ifdef PROXY_WITH_TLS
    {.name = "tls-certificate",
     .placeholder = "FILE",
     .text = &tls.chain_path,
     .help = "speak TLS with clients, by this certificate and those behind it (PEM); SIGHUP reads it again"},
    {.name = "tls-key", .placeholder = "FILE", .text = &tls.key_path, .help = "its key (in the same file)"},
    {.name = "tls-upstream", .flag = &tls.to_upstream, .help = "speak TLS with UPSTREAM, and verify who it is"},
    {.name = "ca",
     .placeholder = "FILE",
     .text = &tls.authorities,
     .help = "trust these authorities only (PEM), in place of the system's"},
    {.name = "sni",
     .placeholder = "NAME",
     .text = &server_name,
     .help = "the name that UPSTREAM must have a certificate for (that of UPSTREAM)"},
#endif
};

static const struct arguments_program program = {
    .name = "proxy",
    .operands = "LISTEN UPSTREAM",
    .about = "Carries every connection at LISTEN on to UPSTREAM, until SIGTERM or SIGINT.\n"
             "Addresses are tcp:127.0.0.1:7000, tcp:[::1]:7000, unix:/path or unix:@name, on either side.\n"
             "UPSTREAM may also be HOST:SERVICE: its name is looked up for each connection.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 2,
    .most_operands = 2,
};

struct proxy {
    struct loop_env *env;
    struct loop_address listen, upstream;
    const char *upstream_text;
    char host[256]; /* "": upstream is an address */
    const char *service;
    struct loop_resolver *resolver;
    struct loop_server *server;
    unsigned n_awaited; /* of what has to be ready: the server, and contexts of its domains */
    int status;
};

static _Thread_local struct loop_resolver *domain_resolver;

enum { TO_FAR, TO_NEAR };

/* One connection with its two sides. It lives in the scope of `near`, the accepted side. */
struct bridge {
    const struct proxy *proxy;
    struct loop *loop;
    struct loop_flow *near_socket, *far_socket;
    struct loop_flow *near, *far; /* with TLS the flows over those */
    struct loop_name_error name_error;
#ifdef PROXY_WITH_TLS
    struct loop_tls_error tls_error;
#endif
    loop_job connecting, watch, leaving;
    loop_job copies[2]; /* 0: ended */
    struct loop_copy_outcome outcomes[2];
    int64_t error;              /* the first error */
    struct loop_flow *survivor; /* the side that has not failed, where there is an error */
    int64_t drain_until_ns;
};

static void reset(struct bridge *bridge, struct loop_flow *socket)
{
    (void)loop_socket_set(socket->fd, LOOP_SO_LINGER_S, 0);
    loop_scope_fail(bridge->near_socket->scope, bridge->error);
}

/* ---- failed connections ---- */

static bool is_broken(struct loop_flow *socket)
{
    struct pollfd entry = {.fd = loop_fd_peek(socket->fd)};

    return poll(&entry, 1, 0) > 0 && (entry.revents & (POLLERR | POLLHUP));
}

/* Returns whether there are bytes that the peer has not received: a reset would drop them. */
static bool has_unsent(struct loop_flow *socket)
{
    int queued = 0;

    return ioctl(loop_fd_peek(socket->fd), SIOCOUTQ, &queued) == 0 && queued > 0;
}

static void drain(void *arg, int64_t result)
{
    struct bridge *bridge = arg;
    bool is_over = result < 0 || loop_now(bridge->loop) >= bridge->drain_until_ns;

    if (is_over || !has_unsent(bridge->survivor) ||
        !loop_sleep(bridge->near_socket->scope, DRAIN_STEP_NS, drain, bridge)) {
        reset(bridge, bridge->survivor);
    }
}

/* Ends the connection after both directions have ended, at least one with an error. */
static void break_off(struct bridge *bridge)
{
    bridge->drain_until_ns = loop_now(bridge->loop) + DRAIN_NS;
    drain(bridge, 0);
}

static void on_drained(void *arg, int64_t result)
{
    const struct bridge *bridge = arg;

    if (result == 0) {
        loop_cancel(bridge->loop, bridge->copies[TO_FAR]);
        loop_cancel(bridge->loop, bridge->copies[TO_NEAR]);
    }
}

/* One direction has failed. If its sink failed, the other direction reads from that side: it ends by itself when
 * everything from there has been delivered, and is cancelled if that takes too long. If its source failed, the other
 * direction writes to that side: it is cancelled. */
static void on_failed(struct bridge *bridge, int direction, int64_t error)
{
    struct loop_flow *from = direction == TO_FAR ? bridge->near_socket : bridge->far_socket;
    struct loop_flow *to = direction == TO_FAR ? bridge->far_socket : bridge->near_socket;

    if (bridge->error == 0) {
        bridge->error = error;
        bridge->survivor = bridge->outcomes[direction].is_sink_error ? from : to;
    }
    if (is_broken(from) || !is_broken(to)) {
        loop_cancel(bridge->loop, bridge->copies[!direction]);
    } else if (!loop_sleep(bridge->near_socket->scope, DRAIN_NS, on_drained, bridge)) {
        loop_scope_fail(bridge->near_socket->scope, -ENOMEM);
    }
}

static void on_ended(struct bridge *bridge, int direction, int64_t result)
{
    bridge->copies[direction] = 0;
    if (result < 0) {
        on_failed(bridge, direction, result);
    } else if (bridge->error == 0) {
        loop_shutdown(direction == TO_FAR ? &bridge->far->sink : &bridge->near->sink, NULL, NULL);
    }
    if (bridge->error < 0 && !bridge->copies[!direction]) {
        break_off(bridge);
    }
}

/* The result is a count of bytes. Only the outcome distinguishes the end of the source from an error. */
static void on_near_ended(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    (void)result;
    on_ended(bridge, TO_FAR, bridge->outcomes[TO_FAR].error);
}

static void on_far_ended(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    (void)result;
    on_ended(bridge, TO_NEAR, bridge->outcomes[TO_NEAR].error);
}

/* ---- connecting to upstream ---- */

static void on_left(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    bridge->leaving = 0;
    if (result == 0) {
        loop_cancel(bridge->loop, bridge->connecting);
    }
}

/* The client has closed its side, or both. A request sent before that is still forwarded. */
static void on_near_event(void *arg, int64_t events)
{
    struct bridge *bridge = arg;
    char byte;

    bridge->watch = 0;
    if (events < 0) {
        return;
    }
    if (events & (POLLHUP | POLLERR)) {
        loop_cancel(bridge->loop, bridge->connecting);
    } else if (recv(loop_fd_peek(bridge->near_socket->fd), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        bridge->leaving = loop_sleep(bridge->near_socket->scope, LEAVING_NS, on_left, bridge);
    }
}

static void stop_watching(struct bridge *bridge)
{
    bridge->connecting = 0;
    loop_cancel(bridge->loop, bridge->watch);
    loop_cancel(bridge->loop, bridge->leaving);
}

static void give_up(struct bridge *bridge, int64_t error)
{
    bridge->error = error;
    reset(bridge, bridge->near_socket);
}

static void begin_copies(struct bridge *bridge)
{
    bridge->copies[TO_FAR] =
        loop_copy_report(&bridge->near->source, &bridge->far->sink, &bridge->outcomes[TO_FAR], on_near_ended, bridge);
    bridge->copies[TO_NEAR] =
        loop_copy_report(&bridge->far->source, &bridge->near->sink, &bridge->outcomes[TO_NEAR], on_far_ended, bridge);
    if (!bridge->copies[TO_FAR] || !bridge->copies[TO_NEAR]) {
        loop_scope_fail(bridge->near_socket->scope, -ENOMEM);
    }
}

#ifdef PROXY_WITH_TLS

/* The name or the IP address that upstream must have a certificate for. */
static const char *name_of_upstream(const struct proxy *proxy)
{
    return server_name ? server_name : proxy->host;
}

static void on_far_secured(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    stop_watching(bridge);
    if (result == 0) {
        begin_copies(bridge);
        return;
    }
    if (result != -ECANCELED) {
        arguments_complain("%s: %s", bridge->proxy->upstream_text, bridge->tls_error.text);
    }
    give_up(bridge, result);
}

#endif

static void on_connected(void *arg, int64_t result)
{
    struct bridge *bridge = arg;

    bridge->far = bridge->far_socket;
#ifdef PROXY_WITH_TLS
    if (result == 0 && my_tls && my_tls->client) {
        bridge->connecting = loop_tls_connect(bridge->far_socket, my_tls->client, name_of_upstream(bridge->proxy),
                                              &bridge->far, &bridge->tls_error, on_far_secured, bridge);
        if (!bridge->connecting) {
            loop_scope_fail(bridge->near_socket->scope, -ENOMEM);
        }
        return;
    }
#endif
    stop_watching(bridge);
    if (result == 0) {
        begin_copies(bridge);
        return;
    }
    if (result != -ECANCELED && bridge->name_error.text[0]) {
        arguments_complain("%s", bridge->name_error.text);
    } else if (result != -ECANCELED) {
        arguments_fail(bridge->proxy->upstream_text, result);
    }
    give_up(bridge, result);
}

/* Returns the resolver of this loop, or NULL where upstream is an address. */
static struct loop_resolver *resolver_here(const struct proxy *proxy)
{
    return serving.domains > 0 ? domain_resolver : proxy->resolver;
}

static loop_job connect_upstream(struct bridge *bridge)
{
    const struct proxy *proxy = bridge->proxy;
    const struct loop_connect_options by_address = {.timeout_ns = connect_timeout_ns};
    const struct loop_connect_name_options by_name = {.resolve = {.resolver = resolver_here(proxy)},
                                                      .timeout_ns = connect_timeout_ns};
    struct loop_scope *scope = bridge->near_socket->scope;

    if (proxy->service) {
        return loop_connect_name(scope, proxy->host, proxy->service, &by_name, &bridge->far_socket, &bridge->name_error,
                                 on_connected, bridge);
    }
    return loop_connect(scope, &proxy->upstream, &by_address, &bridge->far_socket, on_connected, bridge);
}

static void begin(struct bridge *bridge)
{
    bridge->watch = loop_poll(bridge->near_socket->fd, POLLRDHUP, on_near_event, bridge);
    bridge->connecting = connect_upstream(bridge);
    if (!bridge->connecting) {
        stop_watching(bridge);
    }
}

#ifdef PROXY_WITH_TLS
static void on_near_secured(void *arg, int64_t result)
{
    if (result == 0) {
        begin(arg);
    } /* else the connection is closed: a client that goes away or does not trust us is no news */
}
#endif

static void begin_bridge(struct loop_flow *peer, void *arg)
{
    struct bridge *bridge = loop_scope_alloc(peer->scope, sizeof *bridge);

    if (!bridge) {
        return;
    }
    bridge->proxy = arg;
    bridge->loop = loop_scope_loop(peer->scope);
    bridge->near = bridge->near_socket = peer;
#ifdef PROXY_WITH_TLS
    if (my_tls && my_tls->server) {
        loop_tls_accept(peer, my_tls->server, &bridge->near, &bridge->tls_error, on_near_secured, bridge);
        return;
    }
#endif
    begin(bridge);
}

static void on_connection(struct loop_flow *peer, void *proxy)
{
#ifdef PROXY_WITH_TLS
    if (my_tls) {
        proxy_tls_pass(my_tls, peer, begin_bridge, proxy);
        return;
    }
#endif
    begin_bridge(peer, proxy);
}

/* ---- the server ---- */

/* Opens a resolver for the loop, where upstream has a name. Returns 0 or -ENOMEM. */
static int open_resolver(struct loop_env *env, const struct proxy *proxy, struct loop_resolver **resolver)
{
    static const struct loop_resolver_options keeping = {.cache_limit = KEPT_ANSWERS};

    if (proxy->service) {
        *resolver = loop_resolver_open(env->scope, &keeping);
    }
    return proxy->service && !*resolver ? -ENOMEM : 0;
}

static int prepare_domain(struct loop_env *env, unsigned index, void *proxy)
{
    (void)index;
#ifdef PROXY_WITH_TLS
    if (proxy_tls_is_used(&tls)) {
        my_tls = proxy_tls_open_domain(&tls, env, index);
        if (!my_tls) {
            return -ENOMEM;
        }
    }
#endif
    return open_resolver(env, proxy, &domain_resolver);
}

/* The server has started, or its domains have their contexts; or one of them has failed, and has said why. */
static void on_ready(void *arg, int64_t result)
{
    struct proxy *proxy = arg;
    char more[LOOP_ADDRESS_TEXT_SIZE];

    if (result == 0 && --proxy->n_awaited > 0) {
        return;
    }
    snprintf(more, sizeof more, " -> upstream %s", proxy->upstream_text);
    int status = result < 0 ? 1 : arguments_announce(proxy->env, proxy->server, more);
    if (status != 0) {
        loop_stop(proxy->env->loop, status);
    }
}

static int begin_to_serve(struct proxy *proxy)
{
    proxy->n_awaited = 1;
#ifdef PROXY_WITH_TLS
    if (tls.domains) {
        proxy->n_awaited++;
        domains_await_prepared(tls.domains, on_ready, proxy);
    }
#endif
    serving.on_start = on_ready;
    serving.on_start_arg = proxy;
    return arguments_serve(proxy->env, &proxy->listen, &serving, &proxy->server, on_connection, proxy);
}

#ifdef PROXY_WITH_TLS
static void on_contexts(void *arg, int64_t result)
{
    struct proxy *proxy = arg;

    proxy->status = result < 0 ? 1 : begin_to_serve(proxy);
    if (proxy->status != 0) {
        loop_stop(proxy->env->loop, proxy->status);
    }
}
#endif

static int start(struct loop_env *env, void *arg)
{
    struct proxy *proxy = arg;

    proxy->env = env;
    arguments_bound_connections(&serving, proxy->service ? 3 : 2,
                                DESCRIPTORS_OF_OURS + (uint64_t)serving.domains * DESCRIPTORS_OF_A_LOOP);
    if (serving.domains == 0 && open_resolver(env, proxy, &proxy->resolver) < 0) {
        return arguments_fail("can't begin", -ENOMEM);
    }
#ifdef PROXY_WITH_TLS
    if (proxy_tls_is_used(&tls)) {
        my_tls = &tls;
        return proxy_tls_open(&tls, env->scope, serving.domains, on_contexts, proxy)
                   ? 0
                   : arguments_fail("can't begin", -ENOMEM);
    }
#endif
    return begin_to_serve(proxy);
}

/* ---- arguments ---- */

/* Reads an address, or HOST:SERVICE. */
static void read_upstream(struct proxy *proxy, const char *text)
{
    const char *colon = strrchr(text, ':');
    bool has_scheme = strncmp(text, "tcp:", 4) == 0 || strncmp(text, "udp:", 4) == 0 || strncmp(text, "unix:", 5) == 0;

    if (has_scheme) {
        proxy->upstream = arguments_address(text);
    } else if (!colon || colon == text || colon[1] == '\0' || (size_t)(colon - text) >= sizeof proxy->host) {
        arguments_refuse("'%s' is no HOST:SERVICE, and no address such as tcp:127.0.0.1:7000 or unix:/path", text);
    } else {
        memcpy(proxy->host, text, (size_t)(colon - text));
        proxy->service = colon + 1;
    }
}

#ifdef PROXY_WITH_TLS
/* The certificate of an address is for that address, without a port. */
static void check_tls(struct proxy *proxy)
{
    char *host = proxy->host;

    if (tls.key_path && !tls.chain_path) {
        arguments_refuse("--tls-key needs --tls-certificate");
    }
    if ((tls.authorities || server_name) && !tls.to_upstream) {
        arguments_refuse("--ca and --sni need --tls-upstream");
    }
    if (!tls.to_upstream || server_name) {
        return;
    }
    if (!proxy->service && proxy->upstream.u.any.sa_family == AF_UNIX) {
        arguments_refuse("--tls-upstream to a Unix socket needs --sni");
    }
    if (!proxy->service) {
        size_t len = (size_t)(strrchr(proxy->upstream_text, ':') - (proxy->upstream_text + 4));
        snprintf(host, sizeof proxy->host, "%.*s", (int)len, proxy->upstream_text + 4);
    }
    if (host[0] == '[') {
        memmove(host, host + 1, strlen(host));
        host[strcspn(host, "]")] = '\0';
    }
}
#endif

int main(int argc, char **argv)
{
    char **operands = arguments_parse(&program, argc, argv);
    struct proxy proxy = {.listen = arguments_address(operands[0]), .upstream_text = operands[1]};

    read_upstream(&proxy, operands[1]);
#ifdef PROXY_WITH_TLS
    check_tls(&proxy);
#endif
    int status = arguments_run(start, &proxy);
    return status != 0 ? status : proxy.status;
}
