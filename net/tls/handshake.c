/* SPDX-License-Identifier: ISC
 *
 * Handshakes. The program holds a promise. It is resolved when the handshake is done, or when the alert that tells the
 * peer why it has failed has left.
 */
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <net/tls/flow.h>
#include <net/tls/transport.h>

#include <assert.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

#define LONGEST_HOST 253 /* of a name in the DNS */

struct loop_tls_handshake {
    loop_job promise, timer;
    struct loop_flow **flow;
    struct loop_tls_error *error; /* the program's; or NULL */
    int status;                   /* 0: goes on; -errno: has failed, and the alert is on its way */
};

/* ---- the end ---- */

/* Takes the handshake out of the connection and resolves its promise. */
static void end(struct loop_tls_connection *connection, int64_t result)
{
    struct loop_tls_handshake *handshake = connection->handshake;

    connection->handshake = NULL;
    loop_cancel(connection->loop, handshake->timer);
    loop_resolve(connection->loop, handshake->promise, result);
    loop_kernel_free(handshake);
}

static void succeed(struct loop_tls_connection *connection)
{
    loop_tls_flow_init(connection);
    *connection->handshake->flow = &connection->flow;
    end(connection, 0);
}

/* Closes the connection and resolves the promise with an error. The caller holds a reference. */
static void fail(struct loop_tls_connection *connection, int error)
{
    struct loop_tls_error *out = connection->handshake->error;

    assert(error < 0);
    if (connection->note.text) {
        loop_tls_say(out, "%s", connection->note.text);
    } else {
        loop_tls_say(out, "the handshake has failed: %s", strerror(-error));
    }
    end(connection, error);
    loop_tls_flow_close(connection);
    loop_tls_connection_disown(connection);
}

/* ---- the steps ---- */

/* Whether the next step of OpenSSL begins with a record of the peer. */
static bool begins_with_input(const struct loop_tls_connection *connection)
{
    return SSL_want_read(connection->ssl) || (connection->context->is_server && SSL_in_before(connection->ssl));
}

/* Continues until OpenSSL has to wait. Returns what it waits for; LOOP_TLS_AGAIN: nothing, it is done. */
static enum loop_tls_state advance(struct loop_tls_connection *connection)
{
    enum loop_tls_state state = LOOP_TLS_AGAIN;
    unsigned tries = 0;
    int error = 0;

    if (begins_with_input(connection) && loop_tls_lacks_input(connection)) {
        return LOOP_TLS_WAITS_INPUT;
    }
    while (state == LOOP_TLS_AGAIN) {
        loop_tls_clear_errors();
        int result = SSL_do_handshake(connection->ssl);
        if (result == 1) {
            return LOOP_TLS_AGAIN;
        }
        state = loop_tls_state_after(connection, result, &tries, &error);
    }
    if (state == LOOP_TLS_CLOSED) {
        loop_tls_note(&connection->note, "the peer has ended the handshake");
        error = -ECONNABORTED;
        state = LOOP_TLS_FAILED;
    }
    connection->handshake->status = error;
    return state;
}

/* Whether a handshake that is done for OpenSSL is done for the program. A server waits for the last records of a
 * client, so a client waits until they are accepted. It cannot wait for those of the server: a client need not read
 * yet. */
static bool is_over(const struct loop_tls_connection *connection)
{
    return connection->out_status > 0 && (connection->context->is_server || loop_tls_is_flushed(connection));
}

/* Whether what a server has encrypted last is tickets alone, for which a client does not wait. They leave with the
 * first answer where the request has come already: a segment of their own would wake the client for nothing. */
static bool leaves_tickets(const struct loop_tls_connection *connection)
{
    return connection->out && connection->context->is_server && SSL_version(connection->ssl) >= TLS1_3_VERSION;
}

static void step(struct loop_tls_connection *connection)
{
    struct loop_tls_handshake *handshake = connection->handshake;
    enum loop_tls_state state = LOOP_TLS_FAILED;

    loop_tls_connection_enter(connection);
    if (handshake->status == 0) {
        state = advance(connection);
    }
    connection->holds_tickets = state == LOOP_TLS_AGAIN && leaves_tickets(connection);
    loop_tls_flush(connection);
    if (state == LOOP_TLS_AGAIN && is_over(connection)) {
        succeed(connection);
    } else if (state == LOOP_TLS_FAILED && (loop_tls_is_flushed(connection) || connection->in_status <= 0)) {
        fail(connection, handshake->status);
    } else if (state <= LOOP_TLS_WAITS_INPUT && connection->out_status < 0) {
        loop_tls_note(&connection->note, "writing to the flow below has failed: %s", strerror(-connection->out_status));
        fail(connection, connection->out_status);
    } else if (state == LOOP_TLS_WAITS_INPUT && !loop_tls_wait_input(connection)) {
        fail(connection, -ENOMEM);
    }
    loop_tls_connection_leave(connection);
}

/* The program, or the timer, gives the handshake up. */
static void give_up(struct loop_tls_connection *connection, int error)
{
    loop_tls_connection_ref(connection);
    if (connection->handshake) {
        fail(connection, error);
    }
    loop_tls_connection_unref(connection);
}

static void on_cancel(void *arg, loop_job job)
{
    (void)job;
    give_up(arg, -ECANCELED);
}

static void on_timeout(void *arg, int64_t result)
{
    struct loop_tls_connection *connection = arg;

    if (result == 0 && connection->handshake) {
        loop_tls_note(&connection->note, "the handshake has not ended in time: the peer is slow, or speaks no TLS");
        give_up(connection, -ETIMEDOUT);
    }
    loop_tls_connection_unref(connection);
}

/* ---- the start ---- */

/* Sets what is asked of the server, and what is known of it. Returns 0 or -errno. */
static int set_host(struct loop_tls_connection *connection, const char *host)
{
    X509_VERIFY_PARAM *parameters = SSL_get0_param(connection->ssl);
    size_t len = strlen(host);

    connection->note.host = loop_kernel_strndup(host, host[len - 1] == '.' ? len - 1 : len);
    if (!connection->note.host) {
        return -ENOMEM;
    }
    if (!X509_VERIFY_PARAM_set1_ip_asc(parameters, connection->note.host)) {
        X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (!SSL_set_tlsext_host_name(connection->ssl, connection->note.host) ||
            !X509_VERIFY_PARAM_set1_host(parameters, connection->note.host, 0)) {
            return -ENOMEM;
        }
    }
    SSL_SESSION *session = loop_tls_sessions_take(&connection->setup->sessions, connection->note.host);
    if (session) {
        (void)SSL_set_session(connection->ssl, session);
        SSL_SESSION_free(session);
    }
    return 0;
}

static int start_timer(struct loop_tls_connection *connection)
{
    int64_t timeout_ns = connection->setup->settings.options.handshake_timeout_ns;

    if (timeout_ns == LOOP_NEVER) {
        return 0;
    }
    loop_job timer = loop_sleep(connection->scope, timeout_ns, on_timeout, connection);
    if (!timer) {
        return -ENOMEM;
    }
    loop_tls_connection_ref(connection);
    connection->handshake->timer = timer;
    loop_daemon(connection->loop, timer);
    return 0;
}

/* Makes the state of a handshake, with its promise. False when there is no memory. */
static bool create(struct loop_tls_connection *connection, struct loop_flow **flow, struct loop_tls_error *error,
                   loop_fn *fn, void *arg)
{
    struct loop_tls_handshake *handshake = loop_kernel_calloc(1, sizeof *handshake);
    loop_job promise = handshake ? loop_promise(connection->scope, on_cancel, connection, fn, arg) : 0;

    if (!promise) {
        loop_kernel_free(handshake);
        return false;
    }
    handshake->promise = promise;
    handshake->flow = flow;
    handshake->error = error;
    connection->handshake = handshake;
    connection->step = step;
    return true;
}

static loop_job start(struct loop_flow *under, struct loop_tls_context *context, const char *host,
                      struct loop_flow **flow, struct loop_tls_error *error, loop_fn *fn, void *arg)
{
    struct loop_tls_connection *connection = loop_tls_connection_create(under, context);

    if (!connection) {
        return 0;
    }
    if (!create(connection, flow, error, fn, arg)) {
        loop_tls_connection_disown(connection);
        return 0;
    }
    loop_job promise = connection->handshake->promise;
    int failed = start_timer(connection);
    if (context->is_server) {
        SSL_set_accept_state(connection->ssl);
    } else {
        SSL_set_connect_state(connection->ssl);
        failed = failed == 0 && host ? set_host(connection, host) : failed;
    }
    if (failed < 0) {
        give_up(connection, failed);
    } else {
        loop_tls_connection_ref(connection);
        step(connection);
        loop_tls_connection_unref(connection);
    }
    return promise;
}

/* ---- the program's calls ---- */

static const char *mistake_in(const struct loop_flow *under, const struct loop_tls_context *context, const char *host,
                              bool is_server)
{
    if (context->is_server != is_server) {
        return is_server ? "the context is a client's: open it with loop_tls_open_server"
                         : "the context is a server's: open it with loop_tls_open_client";
    }
    if (context->loop != loop_scope_loop(under->scope)) {
        return "the context is another loop's: open one in each loop";
    }
    if (under->source.scope != under->scope || under->sink.scope != under->scope) {
        return "the source and the sink of the flow below belong to different scopes";
    }
    if (is_server) {
        return NULL;
    }
    if (!host && context->setup->settings.options.verify != LOOP_TLS_VERIFY_NONE) {
        return "without a host no certificate can be verified: name the server";
    }
    size_t len = host ? strlen(host) : 1;
    return len == 0 || len > LONGEST_HOST || (host && host[0] == '.')
               ? "the host is no name: it is empty, too long, or begins with a dot"
               : NULL;
}

static loop_job check_and_start(struct loop_flow *under, struct loop_tls_context *context, const char *host,
                                bool is_server, struct loop_flow **flow, struct loop_tls_error *error, loop_fn *fn,
                                void *arg)
{
    *flow = NULL;
    loop_tls_say(error, "%s", "");
    if (loop_scope_is_cancelled(under->scope)) {
        return loop_promise(under->scope, NULL, NULL, fn, arg);
    }
    const char *mistake = mistake_in(under, context, host, is_server);
    if (!mistake) {
        return start(under, context, host, flow, error, fn, arg);
    }
    loop_job promise = loop_promise(under->scope, NULL, NULL, fn, arg);
    if (promise) {
        loop_tls_say(error, "%s", mistake);
        (void)loop_flow_close(under);
        loop_resolve(loop_scope_loop(under->scope), promise, -EINVAL);
    }
    return promise;
}

/* Whether the objects are there. */
static bool are_good(const struct loop_flow *under, const struct loop_tls_context *context, struct loop_flow **flow,
                     const char *function)
{
    return loop_check_pointer(flow, "flow", function) && loop_check_flow(under, function) &&
           loop_check_object(context, offsetof(struct loop_tls_context, scope), "TLS context", function);
}

loop_job loop_tls_connect(struct loop_flow *under, struct loop_tls_context *context, const char *host,
                          struct loop_flow **flow, struct loop_tls_error *error, loop_fn *fn, void *arg)
{
    return are_good(under, context, flow, __func__) ? check_and_start(under, context, host, false, flow, error, fn, arg)
                                                    : 0;
}

loop_job loop_tls_accept(struct loop_flow *under, struct loop_tls_context *context, struct loop_flow **flow,
                         struct loop_tls_error *error, loop_fn *fn, void *arg)
{
    return are_good(under, context, flow, __func__) ? check_and_start(under, context, NULL, true, flow, error, fn, arg)
                                                    : 0;
}
