/* SPDX-License-Identifier: ISC
 *
 * tls_peer listen|connect ADDRESS [OPTION=VALUE...]: a peer for other programs that speak TLS, for tests/peers. Prints
 * a line about each handshake. It listens and echoes, until SIGTERM; or it connects, sends a line and prints that of
 * the peer, as often as `times` says. The options are certificate=FILE (more than once), authorities=FILE,
 * verify=required, protocols=A,B, host=NAME and times=N.
 */
#include <loop/reader.h>
#include <net/net.h>
#include <net/tls.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4, LINE_BYTES = 1024 };

static struct {
    struct loop_env *env;
    bool listens;
    struct loop_address address;
    struct loop_tls_certificate certificates[MOST];
    const char *protocols[MOST];
    struct loop_tls_options options;
    const char *host;
    long times;
    struct loop_tls_context *context;
    struct loop_tls_error error;
} peer = {.times = 1};

struct connection {
    struct loop_scope *scope;
    struct loop_flow *below, *flow;
    struct loop_reader *reader;
    struct loop_tls_error error;
};

static void connect_next(void *unused, int64_t result);

/* ---- connections ---- */

static void print_info(const struct loop_flow *flow)
{
    struct loop_tls_info info;
    char subject[200] = "";

    loop_tls_get_info(flow, &info);
    (void)loop_tls_peer_subject(flow, subject, sizeof subject);
    printf("%s resumed=%d verified=%d protocol=%s name=%s subject=%s\n", info.version, info.is_resumed,
           info.is_verified, info.protocol, info.server_name ? info.server_name : "", subject);
    fflush(stdout);
}

static void on_echoed(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (result >= 0) {
        loop_shutdown(&connection->flow->sink, NULL, NULL);
    }
}

static void on_line(void *arg, int64_t result)
{
    struct connection *connection = arg;
    size_t len;
    const char *line = loop_reader_data(connection->reader, &len);

    if (result > 0) {
        printf("%.*s\n", (int)len, line);
    } else {
        const char *why = loop_tls_why(connection->flow);
        printf("failed: %s\n", *why ? why : strerror((int)-result));
    }
    fflush(stdout);
    loop_shutdown(&connection->flow->sink, NULL, NULL);
    loop_scope_cancel(connection->scope);
}

static void on_secured(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (result < 0) {
        printf("refused: %s\n", connection->error.text);
        fflush(stdout);
        return;
    }
    print_info(connection->flow);
    if (peer.listens) {
        loop_copy(&connection->flow->source, &connection->flow->sink, on_echoed, connection);
        return;
    }
    connection->reader = loop_reader_create(&connection->flow->source, LINE_BYTES);
    loop_write(&connection->flow->sink, "hello\n", 6, NULL, NULL);
    loop_reader_line(connection->reader, on_line, connection);
}

static void on_connection(struct loop_flow *below, void *unused)
{
    struct connection *connection = loop_scope_alloc(below->scope, sizeof *connection);

    (void)unused;
    if (connection) {
        loop_tls_accept(below, peer.context, &connection->flow, &connection->error, on_secured, connection);
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct connection *connection = arg;

    if (result < 0) {
        printf("no connection: %s\n", strerror((int)-result));
        return;
    }
    loop_tls_connect(connection->below, peer.context, peer.host, &connection->flow, &connection->error, on_secured,
                     connection);
}

static void connect_next(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    if (peer.times-- == 0) {
        return;
    }
    struct loop_scope *scope = loop_scope_open(peer.env->scope, connect_next, NULL);
    struct connection *connection = loop_scope_alloc(scope, sizeof *connection);
    connection->scope = scope;
    loop_connect(scope, &peer.address, NULL, &connection->below, on_connected, connection);
}

/* ---- the start ---- */

static void on_context(void *unused, int64_t result)
{
    const struct loop_serve_options serving = {.listen = {.reuse_addr = true}, .stop_on_signals = true};

    (void)unused;
    if (result < 0) {
        fprintf(stderr, "tls_peer: %s\n", peer.error.text);
        loop_scope_fail(peer.env->scope, result);
    } else if (!peer.listens) {
        connect_next(NULL, 0);
    } else if (loop_serve(peer.env->scope, &peer.address, &serving, NULL, on_connection, NULL) == 0) {
        printf("listening\n");
        fflush(stdout);
    }
}

static int start(struct loop_env *env, void *unused)
{
    (void)unused;
    peer.env = env;
    peer.options.certificates = peer.certificates;
    peer.options.protocols = peer.protocols;
    loop_job job = peer.listens
                       ? loop_tls_open_server(env->scope, &peer.options, &peer.context, &peer.error, on_context, NULL)
                       : loop_tls_open_client(env->scope, &peer.options, &peer.context, &peer.error, on_context, NULL);
    return job ? 0 : -ENOMEM;
}

static bool set_protocols(char *text)
{
    for (char *at = strtok(text, ","); at && peer.options.n_protocols < MOST; at = strtok(NULL, ",")) {
        peer.protocols[peer.options.n_protocols++] = at;
    }
    return peer.options.n_protocols > 0;
}

static bool set_option(char *option)
{
    char *value = strchr(option, '=');

    if (!value) {
        return false;
    }
    *value++ = '\0';
    if (strcmp(option, "certificate") == 0 && peer.options.n_certificates < MOST) {
        peer.certificates[peer.options.n_certificates++].chain.path = value;
    } else if (strcmp(option, "authorities") == 0) {
        peer.options.authorities.path = value;
    } else if (strcmp(option, "verify") == 0) {
        peer.options.verify = LOOP_TLS_VERIFY_REQUIRED;
    } else if (strcmp(option, "host") == 0) {
        peer.host = value;
    } else if (strcmp(option, "times") == 0) {
        peer.times = strtol(value, NULL, 10);
    } else {
        return strcmp(option, "protocols") == 0 && set_protocols(value);
    }
    return true;
}

int main(int argc, char **argv)
{
    bool is_good = argc > 2 && loop_address_parse(&peer.address, argv[2]) == 0;

    peer.listens = is_good && strcmp(argv[1], "listen") == 0;
    for (int i = 3; i < argc; i++) {
        is_good = is_good && set_option(argv[i]);
    }
    if (!is_good) {
        fprintf(stderr, "usage: tls_peer listen|connect ADDRESS [OPTION=VALUE...]\n");
        return 2;
    }
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
