/* SPDX-License-Identifier: ISC
 *
 * A TLS server that sends back what it receives, and three clients. A client shakes hands, sends some bytes by a flow
 * or by a writer, closes its side, and reads until the end by a flow or by a reader. It cancels reads, writes and
 * handshakes at times, and goes on where it can. Handshakes have deadlines. The server replaces its certificate while
 * it serves. When an attempt fails, the client begins again.
 *
 * Judges: what a client receives is a prefix of what it has sent in this attempt; a read ends with 0 only behind all of
 * it, whatever becomes of the connection below; a cancelled read loses no bytes, and a cancelled write says how many
 * were sent; nothing violates TLS; a handshake ends within its deadline. When faults have ended every client gets
 * everything back.
 */
#include "explore.h"

#include <loop/reader.h>
#include <loop/writer.h>
#include <net/net.h>
#include <net/tls.h>

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

enum { N_CLIENTS = 3, READ_SIZE = 8192, LONGEST_WRITE = 50000 };

enum reading { BY_READ, BY_STREAM, BY_READ_EXACT, BY_READER };

struct server {
    struct loop_env *env;
    struct loop_tls_context *context;
    int64_t reload_after_ns;
    bool has_reader;
};

struct client {
    struct loop_node *node;
    unsigned number, n_attempts;
    size_t size, write_size; /* how much it sends, and how much at once */
    int64_t handshake_ns;
    enum reading reading;
    bool writes_by_writer, is_hasty, is_done;
    struct loop_env *env;
    struct loop_tls_context *context;
    struct loop_scope *attempt;
    struct loop_flow *under, *flow;
    struct loop_reader *reader;
    struct loop_writer *writer;
    uint64_t key;
    int64_t connected_ns;
    size_t sent, writing, received;
    bool is_cancelled, is_write_cancelled, has_shut_down, has_ended;
    char in[READ_SIZE], out[LONGEST_WRITE];
};

/* ---- the certificate, which nobody verifies ---- */

static char *certificate, *key;

static char *text_of(BIO *bio)
{
    char *data, *text;
    long len = BIO_get_mem_data(bio, &data);

    text = OPENSSL_strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

/* Signatures by such a key have one length, so that the same choices give the same run. */
static void make_certificate(void)
{
    EVP_PKEY *private = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *made = X509_new();
    BIO *certificate_text = BIO_new(BIO_s_mem()), *key_text = BIO_new(BIO_s_mem());

    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    ASN1_TIME_set(X509_getm_notBefore(made), 0);
    ASN1_TIME_set(X509_getm_notAfter(made), INT32_MAX);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, (const uint8_t *)"server", -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(made));
    X509_set_pubkey(made, private);
    X509_sign(made, private, NULL);
    PEM_write_bio_X509(certificate_text, made);
    PEM_write_bio_PrivateKey(key_text, private, NULL, NULL, 0, NULL, NULL);
    certificate = text_of(certificate_text);
    key = text_of(key_text);
    X509_free(made);
    EVP_PKEY_free(private);
}

static const struct loop_tls_options *server_options(void)
{
    static struct loop_tls_certificate presented;
    static struct loop_tls_options options;

    presented = (struct loop_tls_certificate){.chain = {.data = certificate, .len = strlen(certificate)},
                                              .key = {.data = key, .len = strlen(key)}};
    options = (struct loop_tls_options){.certificates = &presented, .n_certificates = 1};
    return &options;
}

/* ---- the server ---- */

struct peer {
    struct server *server;
    struct loop_flow *flow;
    struct loop_reader *reader;
    struct loop_copy_outcome outcome;
};

static void on_echoed(void *arg, int64_t result)
{
    struct peer *peer = arg;

    if (result >= 0 && peer->outcome.error == 0) {
        loop_shutdown(&peer->flow->sink, NULL, NULL);
    }
}

static void on_peer(void *arg, int64_t result)
{
    struct peer *peer = arg;

    if (result < 0) {
        return;
    }
    peer->reader = peer->server->has_reader ? loop_reader_create(&peer->flow->source, 0) : NULL;
    struct loop_source *source = peer->reader ? loop_reader_source(peer->reader) : &peer->flow->source;
    explore_must(peer->flow->scope, loop_copy_report(source, &peer->flow->sink, &peer->outcome, on_echoed, peer));
}

static void on_connection(struct loop_flow *flow, void *arg)
{
    struct peer *peer = loop_scope_alloc(flow->scope, sizeof *peer);

    if (!peer) {
        loop_scope_fail(flow->scope, -ENOMEM);
        return;
    }
    peer->server = arg;
    explore_must(flow->scope, loop_tls_accept(flow, peer->server->context, &peer->flow, NULL, on_peer, peer));
}

static void on_reloaded(void *arg, int64_t result)
{
    (void)arg;
    if (result == 0) {
        loop_simulation_sometimes("the server replaced its certificate");
    }
}

static void reload(void *arg, int64_t result)
{
    struct server *server = arg;

    if (result == 0) {
        loop_tls_reload(server->context, server_options(), NULL, on_reloaded, server);
    }
}

static void serve(void *arg, int64_t result)
{
    struct server *server = arg;
    struct loop_address address;

    loop_address_parse(&address, "tcp:0.0.0.0:7000");
    if (result == 0) {
        result = loop_serve(server->env->scope, &address, &(struct loop_serve_options){.listen.reuse_addr = true}, NULL,
                            on_connection, server);
    }
    if (result < 0) {
        loop_scope_fail(server->env->scope, (int)result);
    } else {
        loop_sleep(server->env->scope, server->reload_after_ns, reload, server);
    }
}

static int run_server(struct loop_env *env, void *arg)
{
    struct server *server = arg;

    server->env = env;
    return loop_tls_open_server(env->scope, server_options(), &server->context, NULL, serve, server) ? 0 : -ENOMEM;
}

/* ---- receiving ---- */

static void read_more(struct client *client);

static void take(struct client *client, const void *data, size_t len)
{
    if (client->received + len > client->sent || !explore_matches(data, len, client->key, client->received)) {
        loop_world_fail(NULL, "other bytes than were sent: at %zu of %zu", client->received, client->sent);
    }
    client->received += len;
}

static void at_end(struct client *client, int64_t result)
{
    client->has_ended = result == 0;
    if (result == 0 && client->received < client->size) {
        loop_world_fail(NULL, "an end that came too early: after %zu of %zu bytes", client->received, client->size);
    } else if (result == -EPROTO) {
        loop_world_fail(NULL, "TLS was violated: %s", loop_tls_why(client->flow));
    }
    if (result < 0) {
        loop_scope_fail(client->attempt, (int)result);
    }
}

static void on_read(void *arg, int64_t result)
{
    struct client *client = arg;
    size_t len;

    if (result == -ECANCELED && client->is_cancelled && !loop_scope_is_cancelled(client->attempt)) {
        loop_simulation_sometimes("a cancelled read was begun again");
        read_more(client);
    } else if (result > 0 && client->reading == BY_READER) {
        const char *data = loop_reader_data(client->reader, &len);
        take(client, data, len);
        read_more(client);
    } else if (result > 0) {
        take(client, client->in, (size_t)result);
        read_more(client);
    } else {
        at_end(client, result);
    }
}

static void on_streamed(void *arg, int64_t result, struct loop_chunk *chunk)
{
    if (chunk) {
        take(arg, loop_chunk_data(chunk), (size_t)result);
    } else {
        at_end(arg, result);
    }
}

static void read_more(struct client *client)
{
    struct loop_source *source = &client->flow->source;
    loop_job job;

    switch (client->reading) {
    case BY_READ: job = loop_read(source, client->in, sizeof client->in, on_read, client); break;
    case BY_READ_EXACT: job = loop_read_exact(source, client->in, 1000, on_read, client); break;
    case BY_READER: job = loop_reader_take(client->reader, 3000, on_read, client); break;
    default: job = loop_stream(source, on_streamed, client); break;
    }
    explore_must(client->attempt, job);
    client->is_cancelled = client->is_hasty && client->reading != BY_STREAM && loop_simulation_choose(3) == 2;
    if (client->is_cancelled) {
        loop_cancel(client->env->loop, job);
    }
}

/* ---- sending ---- */

static void on_shut_down(void *arg, int64_t result)
{
    struct client *client = arg;

    client->has_shut_down = result == 0;
}

static void write_more(struct client *client);

static void on_written(void *arg, int64_t result)
{
    struct client *client = arg;
    bool is_part = client->is_write_cancelled && !loop_scope_is_cancelled(client->attempt) && !client->writes_by_writer;

    if (is_part && (result == -ECANCELED || result >= 0)) {
        if (result < (int64_t)client->writing) {
            loop_simulation_sometimes("a cancelled write was begun again");
        }
        client->sent -= client->writing - (result > 0 ? (size_t)result : 0);
    } else if (result < 0) {
        loop_scope_fail(client->attempt, (int)result);
        return;
    } else if (!client->writes_by_writer && result != (int64_t)client->writing) {
        return; /* the rest has failed, and the next write would say why */
    }
    write_more(client);
}

static void write_more(struct client *client)
{
    loop_job job;

    if (client->sent == client->size) {
        job = client->writes_by_writer ? loop_writer_shutdown(client->writer, on_shut_down, client)
                                       : loop_shutdown(&client->flow->sink, on_shut_down, client);
        explore_must(client->attempt, job);
        return;
    }
    size_t left = client->size - client->sent;
    client->writing = left < client->write_size ? left : client->write_size;
    explore_fill(client->out, client->writing, client->key, client->sent);
    client->sent += client->writing;
    client->is_write_cancelled = false;
    if (client->writes_by_writer) {
        int error = loop_writer_append(client->writer, client->out, client->writing);
        if (error != 0) {
            loop_scope_fail(client->attempt, error);
            return;
        }
        explore_must(client->attempt, loop_writer_wait_drained(client->writer, on_written, client));
        return;
    }
    job = loop_write(&client->flow->sink, client->out, client->writing, on_written, client);
    explore_must(client->attempt, job);
    client->is_write_cancelled = client->is_hasty && loop_simulation_choose(3) == 2;
    if (client->is_write_cancelled) {
        loop_cancel(client->env->loop, job);
    }
}

/* ---- attempts ---- */

static void attempt(void *arg, int64_t result);

static void on_attempt_end(void *arg, int64_t error)
{
    struct client *client = arg;

    client->is_done = client->has_ended && client->has_shut_down;
    if (client->is_done) {
        loop_simulation_sometimes("everything came back");
        return;
    }
    loop_simulation_sometimes(error == -ETIMEDOUT ? "a deadline passed" : "an attempt failed");
    explore_must(client->env->scope, loop_sleep(client->env->scope, 300 * LOOP_MILLISECOND, attempt, client));
}

static void on_shaken(void *arg, int64_t result)
{
    struct client *client = arg;
    struct loop_tls_info info;
    int64_t taken_ns = loop_now(client->env->loop) - client->connected_ns;

    if (taken_ns > client->handshake_ns + LOOP_SECOND) {
        loop_world_fail(NULL, "a handshake without an end: after %d ms", (int)(taken_ns / LOOP_MILLISECOND));
    }
    if (result < 0) {
        if (result == -EPROTO) {
            loop_world_fail(NULL, "TLS was violated in the handshake");
        } else if (result == -ETIMEDOUT && taken_ns >= client->handshake_ns) {
            loop_simulation_sometimes("a handshake took too long");
        }
        loop_scope_fail(client->attempt, (int)result);
        return;
    }
    if (loop_tls_get_info(client->flow, &info) == 0 && info.is_resumed) {
        loop_simulation_sometimes("a session was resumed");
    }
    client->reader = client->reading == BY_READER ? loop_reader_create(&client->flow->source, 0) : NULL;
    client->writer = client->writes_by_writer ? loop_writer_create(&client->flow->sink, 0) : NULL;
    if ((client->reading == BY_READER && !client->reader) || (client->writes_by_writer && !client->writer)) {
        loop_scope_fail(client->attempt, -ENOMEM);
        return;
    }
    write_more(client);
    read_more(client);
}

static void cancel_handshake(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == 0 && !client->flow) {
        loop_simulation_sometimes("a handshake was cancelled");
        loop_scope_cancel(client->attempt);
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0) {
        return;
    }
    client->connected_ns = loop_now(client->env->loop);
    explore_must(client->attempt,
                 loop_tls_connect(client->under, client->context, "server", &client->flow, NULL, on_shaken, client));
    if (client->is_hasty && loop_simulation_choose(4) == 3) {
        loop_job job = loop_sleep(client->attempt, loop_simulation_choose(40) * (100 * LOOP_MICROSECOND),
                                  cancel_handshake, client);
        if (job) {
            loop_daemon(client->env->loop, job);
        }
    }
}

static void attempt(void *arg, int64_t result)
{
    struct client *client = arg;
    struct loop_address address;

    if (result < 0) {
        return;
    }
    client->key = client->number * UINT64_C(1000) + client->n_attempts++;
    client->sent = client->received = client->writing = 0;
    client->has_shut_down = client->has_ended = false;
    client->flow = NULL;
    client->attempt = loop_scope_open(client->env->scope, on_attempt_end, client);
    if (!client->attempt) {
        loop_scope_fail(client->env->scope, -ENOMEM);
        return;
    }
    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    loop_scope_deadline(client->attempt, loop_now(client->env->loop) + 15 * LOOP_SECOND);
    explore_must(client->attempt, loop_connect(client->attempt, &address, NULL, &client->under, on_connected, client));
}

static void on_opened(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0) {
        loop_scope_fail(client->env->scope, (int)result);
    } else {
        attempt(client, 0);
    }
}

static int begin(struct loop_env *env, void *arg)
{
    struct client *client = arg;
    const struct loop_tls_options options = {.authorities = {.data = certificate, .len = strlen(certificate)},
                                             .verify = LOOP_TLS_VERIFY_NONE,
                                             .handshake_timeout_ns = client->handshake_ns,
                                             .greatest_version = client->number % 2 ? LOOP_TLS_VERSION_1_2 : 0};

    client->env = env;
    return loop_tls_open_client(env->scope, &options, &client->context, NULL, on_opened, client) ? 0 : -ENOMEM;
}

/* ---- the world ---- */

static void check(struct loop_world *world, void *arg)
{
    const struct client *client = arg;

    if (!client->is_done && !explore_gave_up(client->node)) {
        loop_world_fail(world, "a client ended without its bytes: %u", client->number);
    }
}

static int build(struct loop_world *world, void *arg)
{
    static const size_t sizes[] = {1000, 1, 20000, 100000}, writes[] = {LONGEST_WRITE, 1000, 20000};
    static const int64_t limits[] = {10 * LOOP_SECOND, 2 * LOOP_SECOND};
    struct server *server = loop_world_alloc(world, sizeof *server);

    (void)arg;
    server->has_reader = loop_simulation_choose(2);
    server->reload_after_ns = loop_simulation_choose(4) * (10 * LOOP_MILLISECOND);
    struct loop_node *node = explore_node(
        world, (struct loop_node_options){.name = "server", .main = run_server, .arg = server, .is_daemon = true});
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        struct client *client = loop_world_alloc(world, sizeof *client);
        client->number = i + 1;
        client->size = EXPLORE_ONE_OF(sizes);
        client->write_size = EXPLORE_ONE_OF(writes);
        client->handshake_ns = EXPLORE_ONE_OF(limits);
        client->reading = loop_simulation_choose(4);
        client->writes_by_writer = loop_simulation_choose(2);
        client->is_hasty = loop_simulation_choose(2);
        client->node = explore_node(world, (struct loop_node_options){.main = begin, .arg = client});
        loop_world_at_end(world, check, client);
    }
    explore_links(world);
    explore_partition(world, node);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"everything came back",
                                        "an attempt failed",
                                        "a cancelled read was begun again",
                                        "a cancelled write was begun again",
                                        "a handshake was cancelled",
                                        "a session was resumed",
                                        "the server replaced its certificate",
                                        NULL};

    make_certificate();
    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 60 * LOOP_SECOND,
                                                                  .liveness_ns = 60 * LOOP_SECOND,
                                                                  .faults = LOOP_FAULT_ALL,
                                                                  .marks = marks});
}
